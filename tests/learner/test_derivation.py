import errno
import os
import random

import msgspec
import pytest
from accesses import HOME, PLACES, PROGRAMS, PROJECT, access, accesses, covered, made
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.access import Access, Kind, Meaning
from learner.census import Beside
from learner.derivation import WORK, Derived, Scale
from learner.needs import needs
from learner.places import Map, ancestors
from learner.policy import CHANGES, Grant, Right, Scope
from learner.sensitive import Catalogue
from tracers.events import Operation

DIRECTORY = Kind.DIRECTORY
VIBE = HOME + "/.vibe"
_OPENING = CHANGES & ~(Right.WRITE | Right.TRUNCATE | Right.ATTRIBUTES)


def shape(found: Derived) -> dict[tuple[str, Scope], Right]:
    return {(g.path, g.scope): g.rights for g in found.policy.grants}


def only(found: Derived) -> Grant:
    [grant] = found.policy.grants
    return grant


def test_nothing_needs_nothing() -> None:
    assert covered() == Derived(covered().policy, (), ())
    assert not covered().policy.grants


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("code", [errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM])
def test_a_probe_or_a_refusal_grants_nothing(operation: Operation, code: int) -> None:
    found = covered(access(operation, HOME + "/nope/deep", outcome=code))
    assert not found.policy.grants
    assert not found.gaps


def test_reading_single_files_outside_of_the_project() -> None:
    found = covered(access(Operation.READ, "/etc/passwd"), access(Operation.READ, HOME + "/.gitconfig"))
    assert shape(found) == {
        ("/etc/passwd", Scope.FILE): Right.READ,
        (HOME + "/.gitconfig", Scope.FILE): Right.READ,
    }


def test_listing_the_home_directory_does_not_open_it() -> None:
    assert shape(covered(access(Operation.LIST, HOME, DIRECTORY))) == {(HOME, Scope.FILE): Right.LIST}


def test_installed_packages_are_read_as_a_whole() -> None:
    found = covered(
        access(Operation.READ, "/usr/share/zoneinfo/UTC"),
        access(Operation.READ, HOME + "/v/lib/python3.12/site-packages/x.py"),
        access(Operation.LIST, HOME + "/v/lib/python3.12/site-packages", DIRECTORY),
    )
    assert shape(found) == {
        ("/usr/share/zoneinfo/UTC", Scope.FILE): Right.READ,
        (HOME + "/v/lib/python3.12/site-packages", Scope.TREE): Right.READ | Right.LIST,
    }


def test_how_much_lies_beside_decides_between_files_and_their_directory() -> None:
    top = HOME + "/notes/a"
    run = [access(Operation.READ, f"{top}/{name}") for name in "wxyz"]
    for objects, scopes in ((0, {Scope.TREE}), (1000, {Scope.FILE})):
        found = covered(*run, beside={top: Beside(objects)})
        assert {grant.scope for grant in found.policy.grants} == scopes
    secret = covered(*run, beside={top: Beside(1, sensitive=True)})
    assert len(secret.policy.grants) == 4
    unknown = covered(*run)
    assert len(unknown.policy.grants) == 4


@pytest.mark.parametrize("allowed", [frozenset[str](), frozenset({HOME + "/keys/.env"})])
def test_no_tree_swallows_a_sensitive_object(allowed: frozenset[str]) -> None:
    top = HOME + "/keys"
    names = [f"{top}/{name}" for name in "abcdefgh"]
    run = [access(Operation.READ, name) for name in (*names, top + "/.env")]
    found = covered(*run, beside={top: Beside(0)}, allowed=allowed)
    assert {grant.path for grant in found.policy.grants} == {*names, *allowed}


def test_a_higher_price_of_grants_makes_fewer_and_wider_ones() -> None:
    names = [f"/usr/share/{a}/{b}" for a in "vwxyz" for b in "abc"]
    run = [access(Operation.READ, name) for name in names]
    beside = {f"/usr/share/{a}": Beside(40_000) for a in "vwxyz"} | {"/usr/share": Beside(500_000)}
    sizes = [len(covered(*run, beside=beside, scale=Scale(price)).policy.grants) for price in (1, 4, 64)]
    assert sizes == [15, 5, 1]
    assert len(covered(*run, beside=beside, scale=Scale(1, most=7)).policy.grants) == 5
    told = covered(access(Operation.READ, "/etc/a"), access(Operation.READ, "/var/b"), scale=Scale(1, most=1))
    assert len(told.policy.grants) == 2
    assert [gap.item for gap in told.gaps] == ["at most 1 grants"]


def test_executing_is_granted_program_by_program() -> None:
    found = covered(access(Operation.EXEC, "/usr/bin/git"), access(Operation.EXEC, PROJECT + "/run.sh"))
    assert shape(found) == {
        ("/usr/bin/git", Scope.FILE): Right.EXEC,
        (PROJECT + "/run.sh", Scope.FILE): Right.EXEC,
    }


def test_the_project_is_the_programs_to_work_in_once_it_changes_anything() -> None:
    assert shape(covered(access(Operation.READ, PROJECT + "/a/b"))) == {(PROJECT, Scope.TREE): Right.READ}
    assert shape(covered(access(Operation.WRITE, PROJECT + "/a/b"))) == {(PROJECT, Scope.TREE): WORK}


def test_a_home_directory_that_is_the_project_is_not_opened() -> None:
    places = Map(HOME, HOME)
    found = covered(
        access(Operation.READ, HOME + "/notes.txt"),
        access(Operation.WRITE, HOME + "/notes.txt"),
        access(Operation.REMOVE, HOME + "/old.txt"),
        places=places,
    )
    assert shape(found) == {(HOME + "/notes.txt", Scope.FILE): Right.READ | Right.WRITE}
    assert [gap.item for gap in found.gaps] == [f"remove in {HOME}"]


@pytest.mark.parametrize("directory", ["/", "/etc", "/usr", "/opt", "/proc", HOME, HOME + "/.config"])
@pytest.mark.parametrize("operation", [Operation.CREATE, Operation.REMOVE, Operation.MKDIR, Operation.BIND])
def test_shared_directories_stay_closed_to_changes(directory: str, operation: Operation) -> None:
    kind = DIRECTORY if operation is Operation.MKDIR else Kind.FILE
    name = os.path.join(directory, "tmpabcd1234")
    found = covered(access(operation, name, kind, existed=False))
    assert not [g for g in found.policy.grants if g.rights & _OPENING]
    [gap] = found.gaps
    assert gap.item.endswith(f" in {directory}")
    assert name in gap.reason


def test_a_file_left_in_a_shared_directory_is_granted_by_itself() -> None:
    found = covered(made(HOME + "/.viberc"), access(Operation.WRITE, HOME + "/.viberc"))
    assert shape(found) == {(HOME + "/.viberc", Scope.FILE): Right.WRITE}
    assert [gap.item for gap in found.gaps] == [f"create in {HOME}"]


def test_reading_back_what_vanished_from_a_shared_directory_says_what_is_missing() -> None:
    name = HOME + "/.viberc.lock"
    found = covered(made(name), access(Operation.READ, name), access(Operation.REMOVE, name))
    assert not found.policy.grants
    assert [gap.item for gap in found.gaps] == [f"{word} in {HOME}" for word in ("create", "read", "remove")]


def test_a_directory_that_the_program_made_is_made_by_a_launch() -> None:
    found = covered(
        made(VIBE, DIRECTORY),
        made(VIBE + "/logs", DIRECTORY),
        made(VIBE + "/logs/a.log"),
        access(Operation.WRITE, VIBE + "/logs/a.log"),
    )
    grant = only(found)
    assert (grant.path, grant.scope, grant.ensure) == (VIBE, Scope.TREE, True)
    assert grant.rights == WORK
    assert not found.gaps


def test_in_a_temporary_directory_only_what_lasts_is_granted() -> None:
    found = covered(made("/tmp/work", DIRECTORY), made("/tmp/work/a"), access(Operation.WRITE, "/tmp/work/a"))
    assert {(g.path, g.ensure) for g in found.policy.grants} == {("/tmp/work", True)}
    volatile = covered(made("/tmp/tmpabcd1234", DIRECTORY), made("/tmp/tmpabcd1234/a"))
    assert not volatile.policy.grants
    assert [gap.item for gap in volatile.gaps] == ["create in /tmp", "mkdir in /tmp"]


@pytest.mark.parametrize("name", ["tmpabcd1234", "3fa85f64-5717-4562-b3fc-2c963f66afa6", "run-20260802"])
def test_a_volatile_directory_opens_the_one_that_holds_it(name: str) -> None:
    found = covered(made(f"{VIBE}/{name}", DIRECTORY), made(f"{VIBE}/{name}/x"))
    grant = only(found)
    assert (grant.path, grant.scope, grant.ensure) == (VIBE, Scope.TREE, False)
    assert Right.MKDIR | Right.CREATE in grant.rights


def test_state_below_a_name_that_changes_is_granted_above_it() -> None:
    session = HOME + "/.codex/sessions/2026/11/22"
    found = covered(made(session + "/rollout-1.jsonl"), access(Operation.WRITE, session + "/rollout-1.jsonl"))
    assert [(g.path, g.ensure) for g in found.policy.grants] == [(HOME + "/.codex/sessions", False)]
    cache = HOME + "/.cache/tool/0123456789abcdef"
    found = covered(access(Operation.READ, cache + "/index"))
    assert shape(found) == {(HOME + "/.cache/tool", Scope.TREE): Right.READ}


def test_a_persons_directory_named_after_a_date_is_no_reason_to_open_what_holds_it() -> None:
    trip = HOME + "/photos/20261122-trip"
    found = covered(access(Operation.READ, trip + "/a.jpg"), made(trip + "/b.jpg"))
    assert {grant.path for grant in found.policy.grants} == {trip}


def test_a_shell_that_looks_for_its_own_directory_needs_no_listing_of_those_above() -> None:
    above = [access(Operation.LIST, path, DIRECTORY) for path in ancestors(PROJECT)]
    found = covered(*above)
    assert not found.policy.grants
    assert [gap.item for gap in found.gaps] == ["list what is above the project"]
    assert [g.path for g in covered(*above[:2]).policy.grants] == [HOME, HOME + "/work"]
    shared = covered(*above[:2], access(Operation.LIST, "/", DIRECTORY, program=2))
    assert [g.path for g in shared.policy.grants] == ["/", HOME, HOME + "/work"]


def test_examples_are_objects_that_another_run_would_know() -> None:
    tool = HOME + "/.tool"
    found = covered(
        made(tool + "/b7"),
        made(tool + "/log-20260802"),
        access(Operation.REMOVE, tool + "/b7"),
        made(tool + "/settings"),
    )
    assert only(found).witnesses[0].example == tool + "/settings"
    passing = covered(made(tool + "/log-20260802"))
    assert only(passing).witnesses[0].example == tool


def test_the_links_to_what_is_granted_are_kept_unless_a_tree_shows_them() -> None:
    config, target = HOME + "/.config/tool/rc", HOME + "/dotfiles/rc"
    run = [
        msgspec.structs.replace(access(Operation.READ, target), links=(config,)),
        msgspec.structs.replace(access(Operation.READ, PROJECT + "/x"), links=(PROJECT + "/link", "/proc/self")),
        msgspec.structs.replace(access(Operation.READ, "/srv/none", outcome=errno.ENOENT), links=("/srv/link",)),
        msgspec.structs.replace(access(Operation.READ, HOME + "/.ssh/id_rsa"), links=(HOME + "/key",)),
    ]
    assert covered(*run).policy.links == (config,)


def test_a_program_may_run_its_helpers() -> None:
    helpers = {"/usr/bin/git": ("/usr/lib/git-core",)}
    found = covered(access(Operation.EXEC, "/usr/bin/git"), helpers=helpers)
    assert shape(found) == {
        ("/usr/bin/git", Scope.FILE): Right.EXEC,
        ("/usr/lib/git-core", Scope.TREE): Right.EXEC | Right.READ,
    }


def test_a_directory_of_its_own_below_one_that_is_opened_stays_its_own() -> None:
    found = covered(made(VIBE + "/a.toml"), made(VIBE + "/logs", DIRECTORY), made(VIBE + "/logs/x"))
    assert [(g.path, g.ensure) for g in found.policy.grants] == [(VIBE, False), (VIBE + "/logs", True)]
    assert found.policy.grants[1].rights == WORK
    assert not found.policy.grants[0].rights & Right.LIST


def test_packages_are_no_directories_of_the_programs_own() -> None:
    packages = HOME + "/v/lib/python3.12/site-packages"
    found = covered(made(packages + "/x/__pycache__", DIRECTORY), made(packages + "/x/__pycache__/x.pyc"))
    assert not found.policy.grants
    assert [gap.item for gap in found.gaps] == ["bytecode caches"]
    installed = covered(made(packages + "/new", DIRECTORY), made(packages + "/new/a.py"))
    assert [(g.path, g.ensure) for g in installed.policy.grants] == [(packages, False)]


def test_atomic_replacement_opens_the_directory() -> None:
    new, old = VIBE + "/config.toml.tmp.99", VIBE + "/config.toml"
    found = covered(
        access(Operation.READ, old),
        made(new),
        access(Operation.WRITE, new),
        access(Operation.RENAME_FROM, new, peer=old),
        access(Operation.RENAME_TO, old, existed=True, peer=new),
    )
    grant = only(found)
    assert (grant.path, grant.scope) == (VIBE, Scope.TREE)
    # The new file is another inode: reading it next time takes the directory.
    assert grant.rights == Right.READ | WORK & CHANGES


def test_compiled_modules_are_not_written_into_installed_packages() -> None:
    cache = "/usr/lib/python3.11/__pycache__/os.cpython-311.pyc"
    found = covered(made(cache + ".140"), access(Operation.RENAME_TO, cache, existed=False, peer=cache + ".140"))
    assert not found.policy.grants
    assert [gap.item for gap in found.gaps] == ["bytecode caches"]


def test_terminals_and_process_entries_are_numbered_anew() -> None:
    found = covered(
        access(Operation.WRITE, "/dev/pts/7", Kind.CHAR),
        access(Operation.READ, "/proc/self/status"),
        access(Operation.WRITE, "/proc/self/oom_score_adj"),
    )
    assert shape(found) == {
        ("/dev/pts", Scope.TREE): Right.WRITE,
        ("/proc", Scope.TREE): Right.READ,
        ("/proc/self/oom_score_adj", Scope.FILE): Right.WRITE,
    }


def test_a_wider_grant_takes_the_witnesses_of_a_narrower_one() -> None:
    found = covered(
        access(Operation.READ, "/var/lib/x/db", program=2),
        access(Operation.REMOVE, "/var/lib/x/lock"),
        made("/var/lib/x/a"),
    )
    grant = only(found)
    assert {w.program for w in grant.witnesses} == {"vibe", "git"}


# --- sensitive objects


def test_sensitive_objects_are_left_out_and_told() -> None:
    found = covered(
        access(Operation.READ, HOME + "/.ssh/id_rsa", program=2), access(Operation.READ, HOME + "/.ssh/id_rsa")
    )
    assert not found.policy.grants
    [use] = found.sensitive
    assert (use.path, use.rights, use.programs) == (HOME + "/.ssh/id_rsa", Right.READ, ("git", "vibe"))
    assert not use.granted


def test_sensitive_objects_are_granted_one_by_one_when_allowed() -> None:
    key = HOME + "/.ssh/id_rsa"
    found = covered(access(Operation.READ, key), access(Operation.READ, HOME + "/.ssh/other"), allowed=frozenset({key}))
    assert shape(found) == {(key, Scope.FILE): Right.READ}
    assert [use.granted for use in found.sensitive] == [True, False]


def test_allowing_a_sensitive_file_does_not_open_what_holds_it() -> None:
    netrc, hosts = HOME + "/.netrc", HOME + "/.ssh/known_hosts"
    found = covered(made(netrc), access(Operation.WRITE, netrc), made(hosts), allowed=frozenset({netrc, hosts}))
    assert shape(found) == {(netrc, Scope.FILE): Right.WRITE, (HOME + "/.ssh", Scope.TREE): Right.CREATE}
    assert [gap.item for gap in found.gaps] == [f"create in {HOME}"]


def test_a_sensitive_object_inside_of_a_granted_tree_is_not_called_left_out() -> None:
    found = covered(access(Operation.READ, PROJECT + "/.env"), access(Operation.READ, PROJECT + "/README.md"))
    [use] = found.sensitive
    assert (use.granted, use.within) == (False, PROJECT)
    [alone] = covered(access(Operation.READ, PROJECT + "/.env")).sensitive
    assert alone.within == ""


# --- properties


def _told(found: Derived) -> tuple[object, ...]:
    return found.policy, found.sensitive, found.gaps


_runs = st.lists(accesses, max_size=12)
_CATALOGUE = Catalogue(HOME)


@settings(max_examples=300, deadline=None)
@given(_runs)
def test_every_need_is_granted_or_told(run: list[Access]) -> None:
    found = covered(*run)
    gaps = " ".join(gap.item + " " + gap.reason for gap in found.gaps)
    launched = [g.path for g in found.policy.grants if g.ensure]
    for one in run:
        for need in needs(one):
            if _CATALOGUE.match(one.object, need.right) is not None:
                assert any(use.path == one.object for use in found.sensitive)
                continue
            if one.operation is Operation.MKDIR and any(
                p == one.object or p.startswith(one.object + "/") for p in launched
            ):
                continue  # a launch makes it
            lacking = need.right & ~found.policy.rights_on(need.path)
            assert not lacking or one.object in gaps or "bytecode caches" in gaps


@settings(max_examples=300, deadline=None)
@given(_runs)
def test_every_grant_has_a_witness_that_was_done(run: list[Access]) -> None:
    done = {
        (PROGRAMS[a.program].label, a.operation, a.object)
        for a in run
        if a.meaning is Meaning.DONE and a.kind is not Kind.OPAQUE
    }
    for grant in covered(*run).policy.grants:
        assert grant.witnesses
        for witness in grant.witnesses:
            assert witness.objects >= 1
            own = witness.example == grant.path  # where another run would know none of the objects
            assert own or any((witness.program, o, witness.example) in done for o in witness.operations)
            assert all((witness.program, operation) in {d[:2] for d in done} for operation in witness.operations)


@settings(max_examples=300, deadline=None)
@given(_runs)
def test_no_shared_directory_is_opened(run: list[Access]) -> None:
    for grant in covered(*run).policy.grants:
        if PLACES.is_shared(grant.path):
            assert not grant.rights & _OPENING
            assert grant.scope is Scope.FILE or grant.path in ("/proc", "/usr")


@settings(max_examples=200, deadline=None)
@given(_runs, st.randoms(use_true_random=False))
def test_the_order_of_accesses_does_not_matter(run: list[Access], shuffle: random.Random) -> None:
    other = list(run)
    shuffle.shuffle(other)
    assert _told(covered(*run)) == _told(covered(*other))
    assert _told(covered(*run)) == _told(covered(*run, *run))


@settings(max_examples=200, deadline=None)
@given(_runs)
def test_policies_are_sorted_and_have_one_grant_an_anchor(run: list[Access]) -> None:
    anchors = [(g.path, g.scope) for g in covered(*run).policy.grants]
    assert anchors == sorted(set(anchors))


def test_a_path_of_two_thousand_directories() -> None:
    deep = HOME + "/d" * 2000
    found = covered(made(deep, DIRECTORY), made(deep + "/x"), access(Operation.READ, HOME + "/e" * 2000))
    assert {g.path for g in found.policy.grants} == {deep, HOME + "/e" * 2000}


def test_a_hundred_thousand_files() -> None:
    run = [access(Operation.READ, f"{HOME}/data/{n % 100}/{n}") for n in range(100_000)]
    beside = {f"{HOME}/data/{n}": Beside(10_000) for n in range(100)}
    found = covered(*run, beside=beside)
    assert len(found.policy.grants) == 100_000


def test_a_directory_that_it_makes_sure_of_is_its_own_as_if_it_had_made_it() -> None:
    sure = access(Operation.MKDIR, HOME + "/.cache/tool", DIRECTORY, errno.EEXIST)
    new = made(HOME + "/.cache/tool", DIRECTORY)
    assert shape(covered(sure)) == shape(covered(new)) == {(HOME + "/.cache/tool", Scope.TREE): WORK}
    assert only(covered(sure)).ensure


@pytest.mark.parametrize(
    "path",
    [
        HOME + "/.cache",
        HOME + "/.ssh",
        HOME + "/work/other",
        "/usr/lib/tool",
        "/var/lib/tool",
        HOME + "/.x/20260802-11",
    ],
)
def test_what_is_not_its_own_is_not_had_by_making_sure_of_it(path: str) -> None:
    assert not covered(access(Operation.MKDIR, path, DIRECTORY, errno.EEXIST)).policy.grants


def test_state_made_in_a_directory_that_was_there_may_be_replaced_another_day() -> None:
    found = only(covered(made(VIBE + "/0123456789abcdef.json")))
    assert (found.path, found.scope, found.ensure) == (VIBE, Scope.TREE, False)
    assert found.rights & CHANGES == WORK & CHANGES
    assert not found.rights & Right.LIST


@pytest.mark.parametrize("fanned", ["0e/a4", "0e"])
def test_directories_for_the_first_digits_of_hashes_are_not_granted_one_by_one(fanned: str) -> None:
    index = HOME + "/.npm/_cacache/index"
    digest = "e961e2a18e6d479c4957b4c19785d201"
    found = covered(
        made(f"{index}/{fanned}", DIRECTORY),
        access(Operation.MKDIR, f"{index}/{fanned}", DIRECTORY, errno.EEXIST),
        access(Operation.RENAME_TO, f"{index}/{fanned}/{digest}", existed=True, peer=HOME + "/.npm/_cacache/tmp/x"),
        access(Operation.READ, f"{index}/18/9c/{digest}"),
    )
    assert {path for path, _ in shape(found)} == {index}


def test_the_environments_of_other_processes_are_told_once_and_opened_by_nothing() -> None:
    listed = access(Operation.LIST, "/proc", DIRECTORY)
    found = covered(
        listed, *(access(Operation.READ, f"/proc/{pid}/{n}") for pid in (7, 42) for n in ("stat", "environ"))
    )
    assert shape(found) == {("/proc", Scope.TREE): Right.READ | Right.LIST}
    [use] = found.sensitive
    assert (use.path, use.within, use.granted) == ("/proc/*/environ", "", False)


def test_who_makes_a_terminal_may_open_its_other_end() -> None:
    found = covered(
        *(access(one, "/dev/ptmx", Kind.CHAR) for one in (Operation.READ, Operation.WRITE, Operation.IOCTL))
    )
    assert shape(found) == {
        ("/dev/ptmx", Scope.FILE): Right.READ | Right.WRITE | Right.IOCTL,
        ("/dev/pts", Scope.TREE): Right.READ | Right.WRITE,
    }


def test_asking_whether_nothing_is_a_terminal_needs_nothing() -> None:
    assert not covered(access(Operation.IOCTL, "/dev/null", Kind.CHAR)).policy.grants
