"""The peers' rules, one by one: what each would have granted, and refused, for small traces made by hand."""

import errno
import sys
from pathlib import Path

import msgspec
import pytest
from accesses import HEADER, HOME, PROJECT, policy, trace

from learner.access import Access, Kind
from learner.policy import CHANGES, NO_RIGHT, Right, Scope
from tracers.events import Operation

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))

from baselines import BASELINES
from confined import ALL, SEEN, Baseline, Confined, as_in, confine

GREYWALL, SANDLOCK, FIREJAIL = BASELINES


def seen(
    operation: Operation,
    path: str,
    kind: Kind = Kind.FILE,
    outcome: int = 0,
    *,
    call: str = "openat",
    existed: bool | None = None,
    links: tuple[str, ...] = (),
) -> Access:
    return Access(operation, path, kind, outcome, 1, call, links, existed)


def read(path: str, outcome: int = 0, kind: Kind = Kind.FILE) -> Access:
    return seen(Operation.READ, path, kind, outcome)


def write(path: str) -> Access:
    return seen(Operation.WRITE, path)


def create(path: str) -> Access:
    return seen(Operation.CREATE, path, existed=False)


def listed(path: str) -> Access:
    return seen(Operation.LIST, path, Kind.DIRECTORY)


def execute(path: str, *links: str) -> Access:
    return seen(Operation.EXEC, path, call="execve", links=links)


def mkdir(path: str, outcome: int = 0, call: str = "mkdir") -> Access:
    return seen(Operation.MKDIR, path, Kind.DIRECTORY, outcome, call=call, existed=bool(outcome))


def learned(baseline: Baseline, *accesses: Access) -> set[tuple[str, Scope, bool]]:
    """What these accesses add to what is granted without any: path, scope, and whether it may be changed."""
    every = baseline.learn(trace(*accesses)).grants
    return {(g.path, g.scope, Right.WRITE in g.rights) for g in set(every) - set(baseline.learn(trace()).grants)}


def tree(path: str, changes: bool = False) -> tuple[str, Scope, bool]:
    return path, Scope.TREE, changes


def single(path: str, changes: bool = False) -> tuple[str, Scope, bool]:
    return path, Scope.FILE, changes


@pytest.mark.parametrize("baseline", BASELINES, ids=lambda b: b.name)
def test_that_each_names_its_source_and_is_a_function_of_the_trace(baseline: Baseline) -> None:
    run = trace(read("/etc/hosts"), write(f"{HOME}/.tool/a"), execute("/usr/bin/git"))
    assert "github.com/" in baseline.source
    assert baseline.learn(run) == baseline.learn(run)
    paths = [g.path for g in baseline.learn(run).grants]
    assert paths == sorted(paths)


OTHER = msgspec.structs.replace(HEADER, project="/home/bob/ledger", cwd="/home/bob/ledger", home="/home/bob")


@pytest.mark.parametrize("baseline", BASELINES, ids=lambda b: b.name)
def test_that_a_profile_means_the_same_in_another_home_and_project(baseline: Baseline) -> None:
    names = "work/engine/a", ".tool/a", ".tool/b"
    later = msgspec.structs.replace(
        trace(*(read(f"/home/bob/{name}") for name in ("ledger/a", ".tool/a", ".tool/b", ".other/a"))), header=OTHER
    )
    confined = confine(baseline, as_in(trace(*(read(f"{HOME}/{name}") for name in names)), OTHER))
    assert [need.path for need in confined.refused(later)] == ["/home/bob/.other/a"]


class TestGreywall:
    def test_that_two_paths_below_an_application_directory_become_it(self) -> None:
        # CollapsePaths: a group of two or more is replaced by the first directory below ~/.cache and its like.
        run = read(f"{HOME}/.data/tool/a/b/c"), read(f"{HOME}/.data/tool/d")
        assert learned(GREYWALL, *run) == {tree(f"{HOME}/.data/tool")}

    def test_that_one_path_below_an_application_directory_becomes_its_own_parent(self) -> None:
        assert learned(GREYWALL, read(f"{HOME}/.data/tool/a/b/c")) == {tree(f"{HOME}/.data/tool/a/b")}

    def test_that_one_file_directly_in_a_well_known_parent_opens_all_of_that(self) -> None:
        # The file is its own application directory, a group of one: the parent of the path, which is all of ~/.config.
        assert learned(GREYWALL, write(f"{HOME}/.config/tool.toml")) == {tree(f"{HOME}/.config", changes=True)}

    def test_that_elsewhere_one_file_is_enough_for_its_directory(self) -> None:
        assert learned(GREYWALL, read(f"{HOME}/.tool/a/b")) == {tree(f"{HOME}/.tool/a")}

    def test_that_a_path_directly_in_the_home_directory_stays_as_it_is(self) -> None:
        run = write(f"{HOME}/.toolrc"), mkdir(f"{HOME}/.tool", call="mkdirat")
        assert learned(GREYWALL, *run) == {single(f"{HOME}/.toolrc", changes=True), tree(f"{HOME}/.tool", changes=True)}

    def test_that_a_directory_beneath_another_goes(self) -> None:
        assert learned(GREYWALL, read(f"{HOME}/.tool/a"), read(f"{HOME}/.tool/b/c")) == {tree(f"{HOME}/.tool")}

    @pytest.mark.parametrize(
        "access",
        [
            read(f"{HOME}/.tool/a", errno.ENOENT, Kind.ABSENT),
            read(f"{HOME}/.tool/a", errno.EACCES),
            listed(f"{HOME}/.tool"),
            mkdir(f"{HOME}/.tool/a"),
            seen(Operation.RENAME_TO, f"{HOME}/.tool/a", call="rename", existed=False),
            seen(Operation.REMOVE, f"{HOME}/.tool/a", call="unlink"),
            execute(f"{HOME}/.tool/a"),
            read(f"{HOME}/.tool/a.so"),
            read(f"{HOME}/.tool/a.so.1"),
            read("/srv/a"),
            write("/var/lib/a"),
            read("/tmp/a"),
            read(f"{PROJECT}/a"),
            read(f"{HOME}/.pyenv/versions/a"),
            read(f"{HOME}/.ssh/known_hosts"),
            write(f"{HOME}/.gnupg/trustdb.gpg"),
            read(f"{HOME}/.gitconfig"),
            read(f"{HOME}/.tool/.env.local"),
        ],
        ids=lambda a: f"{a.operation} {a.object} {a.call} {a.outcome}",
    )
    def test_what_is_not_learned(self, access: Access) -> None:
        assert learned(GREYWALL, access) == set()

    @pytest.mark.parametrize(
        ("path", "rights"),
        [
            ("/usr/lib/x", SEEN),
            ("/etc/shadow", SEEN),
            ("/opt/x", SEEN),
            ("/dev/sda", ALL),
            (f"{PROJECT}/src/x", ALL),
            (f"{HOME}/.config/gh/hosts.yml", SEEN),
            (f"{HOME}/.npm/_logs/x", ALL),
            (f"{HOME}/.bashrc", SEEN),
            (f"{HOME}/Documents/x", NO_RIGHT),
            ("/var/log/x", NO_RIGHT),
            ("/srv/x", NO_RIGHT),
        ],
    )
    def test_what_is_open_without_learning(self, path: str, rights: Right) -> None:
        assert confine(GREYWALL, trace()).rights(path) == rights

    @pytest.mark.parametrize(
        ("path", "taken"),
        [
            (f"{PROJECT}/.env", ALL),
            (f"{PROJECT}/.env.staging", ALL),
            (f"{PROJECT}/sub/.env", NO_RIGHT),
            (f"{HOME}/.ssh/id_ed25519", ALL),
            (f"{HOME}/.ssh/config", NO_RIGHT),
            (f"{HOME}/.gnupg/private-keys-v1.d/x", ALL),
            (f"{HOME}/.bashrc", CHANGES),
            (f"{PROJECT}/.git/hooks/pre-commit", CHANGES),
            (f"{PROJECT}/.git/config", CHANGES),
            (f"{PROJECT}/.git/index", NO_RIGHT),
        ],
    )
    def test_what_is_denied(self, path: str, taken: Right) -> None:
        assert GREYWALL.denied(trace())(path) == taken

    def test_that_tmp_is_a_private_one(self) -> None:
        run = trace(create("/tmp/mine"), read("/tmp/mine"), read("/tmp/theirs"), listed("/tmp"))
        confined = confine(GREYWALL, run)
        assert [need.path for need in confined.refused(run)] == ["/tmp/theirs"]
        assert confined.rights("/tmp/theirs") == NO_RIGHT

    def test_that_what_it_did_not_learn_is_refused_later(self) -> None:
        run = trace(read("/srv/a"), read(f"{HOME}/.tool/a"), seen(Operation.REMOVE, f"{HOME}/.x/a", call="unlink"))
        assert {need.path for need in confine(GREYWALL, run).refused(run)} == {"/srv/a", f"{HOME}/.x"}


class TestSandlock:
    def test_that_four_files_become_their_directory_and_three_do_not(self) -> None:
        three = [read(f"/srv/a/{i}") for i in range(3)]
        assert learned(SANDLOCK, *three) == {single(f"/srv/a/{i}") for i in range(3)}
        assert learned(SANDLOCK, *three, read("/srv/a/3")) == {tree("/srv/a")}

    def test_that_directories_are_not_collapsed_again(self) -> None:
        run = [read(f"/srv/{top}/{i}") for top in "abcd" for i in range(4)]
        assert learned(SANDLOCK, *run) == {tree(f"/srv/{top}") for top in "abcd"}

    def test_that_reads_and_writes_are_counted_apart(self) -> None:
        run = [read("/srv/a/0"), read("/srv/a/1"), write("/srv/a/2"), write("/srv/a/3")]
        assert learned(SANDLOCK, *run) == {
            *(single(f"/srv/a/{i}") for i in (0, 1)),
            *(single(f"/srv/a/{i}", changes=True) for i in (2, 3)),
        }

    @pytest.mark.parametrize("directory", ["/etc", "/proc", "/dev", "/root", f"{HOME}/.ssh", f"{HOME}/.aws", HOME])
    def test_that_protected_and_guarded_directories_are_not_collapsed(self, directory: str) -> None:
        run = [read(f"{directory}/x{i}") for i in range(6)]
        assert learned(SANDLOCK, *run) == {single(f"{directory}/x{i}") for i in range(6)}

    def test_that_attempts_count_if_the_object_exists(self) -> None:
        run = read("/srv/a", errno.EACCES), read("/srv/b", errno.ENOENT, Kind.ABSENT)
        assert learned(SANDLOCK, *run) == {single("/srv/a")}

    def test_that_a_listed_directory_is_granted_with_all_that_is_in_it(self) -> None:
        assert learned(SANDLOCK, listed("/home"), listed("/")) == {tree("/home")}

    def test_that_a_new_file_needs_its_nearest_directory_that_was_there(self) -> None:
        run = mkdir("/srv/a/new"), mkdir("/srv/a/new/er"), create("/srv/a/new/er/file"), write("/srv/a/new/er/file")
        assert learned(SANDLOCK, *run) == {tree("/srv/a", changes=True)}

    def test_that_nothing_new_is_granted_in_a_protected_directory(self) -> None:
        assert learned(SANDLOCK, create("/root/file"), create("/file"), create(f"{HOME}/.aws/new")) == set()

    def test_that_making_a_directory_that_is_there_opens_the_one_above(self) -> None:
        assert learned(SANDLOCK, mkdir(f"{HOME}/.tool", errno.EEXIST)) == {tree(HOME, changes=True)}

    def test_that_removing_and_renaming_need_the_parent(self) -> None:
        run = (
            seen(Operation.REMOVE, "/srv/a/x", call="unlink"),
            seen(Operation.RENAME_FROM, "/srv/b/x", call="rename"),
            seen(Operation.RENAME_TO, "/srv/c/x", call="rename", existed=True),
        )
        assert learned(SANDLOCK, *run) == {tree(f"/srv/{top}", changes=True) for top in "abc"}

    def test_that_what_belongs_to_one_process_or_terminal_is_dropped(self) -> None:
        run = read("/proc/123/maps"), write("/dev/tty"), write("/dev/pts/3"), read("/proc/self/maps")
        assert learned(SANDLOCK, *run) == {single("/proc/self/maps")}
        assert {need.path for need in confine(SANDLOCK, trace(*run)).refused(trace(*run))} == {
            *("/proc/123/maps", "/dev/tty", "/dev/pts/3")
        }

    def test_that_programs_and_interpreters_are_read_and_stats_are_not(self) -> None:
        run = (
            execute("/usr/bin/git", "/usr/local/bin/git"),
            seen(Operation.EXEC, "/usr/lib/ld.so", call="interpreter of /usr/bin/git"),
            seen(Operation.STAT, "/srv/a", call="newfstatat"),
        )
        assert learned(SANDLOCK, *run) == {single("/usr/bin/git"), single("/usr/lib/ld.so")}

    def test_that_nothing_is_open_without_learning_and_nothing_denied(self) -> None:
        confined = confine(SANDLOCK, trace())
        assert confined.policy.grants == ()
        assert confined.denied("/etc/shadow") == NO_RIGHT

    def test_that_attributes_are_not_checked(self) -> None:
        run = trace(seen(Operation.CHMOD, "/srv/a", call="chmod"))
        assert confine(SANDLOCK, run).refused(run) == ()
        assert len(Confined(policy()).refused(run)) == 1


class TestFirejail:
    def test_that_in_etc_the_first_name_counts_whether_or_not_it_is_there(self) -> None:
        run = read("/etc/ssl/certs/ca.pem"), read("/etc/gitconfig", errno.ENOENT, Kind.ABSENT)
        assert learned(FIREJAIL, *run) == {tree("/etc/ssl", changes=True), tree("/etc/gitconfig", changes=True)}
        rights = confine(FIREJAIL, trace(*run)).rights
        assert rights("/etc/ssl/private/key") == ALL & ~CHANGES
        assert rights("/etc/hosts") == NO_RIGHT
        assert rights("/etc") == Right.LIST

    def test_that_in_usr_share_the_first_name_counts_unless_it_is_common(self) -> None:
        run = read("/usr/share/git-core/templates/x"), read("/usr/share/zoneinfo/UTC")
        assert learned(FIREJAIL, *run) == {tree("/usr/share/git-core", changes=True)}
        rights = confine(FIREJAIL, trace(*run)).rights
        assert Right.READ in rights("/usr/share/git-core/x") & rights("/usr/share/zoneinfo/x")
        assert rights("/usr/share/doc/x") == NO_RIGHT

    def test_that_var_and_run_are_not_truncated(self) -> None:
        run = read("/var/lib/a/b"), read("/run/a/b"), read("/run/user/1000/a"), read("/var/tmp/x")
        assert learned(FIREJAIL, *run) == {tree("/var/lib/a/b", changes=True), tree("/run/a/b", changes=True)}

    @pytest.mark.parametrize(
        ("path", "whitelisted"),
        [
            (".tool/a/b/c", ".tool/a/b"),
            (".toolrc", ".toolrc"),
            (".config/tool/x", ".config/tool"),
            (".config/tool.toml", None),
            (".local/share/x", None),
            (".cache/tool/a/b", ".cache/tool"),
            (".cache/x", None),
            (".bashrc", None),
            (".bash_history", None),
            (".config/gtk-3.0/x", None),
        ],
    )
    def test_what_in_the_home_directory_is_whitelisted(self, path: str, whitelisted: str | None) -> None:
        found = learned(FIREJAIL, read(f"{HOME}/{path}"))
        assert found == ({tree(f"{HOME}/{whitelisted}", changes=True)} if whitelisted else set())

    def test_that_the_rest_of_the_home_directory_is_empty_and_not_kept(self) -> None:
        run = trace(read(f"{HOME}/.tool/a"), create(f"{HOME}/.new"), read(f"{HOME}/.new"))
        confined = confine(FIREJAIL, run)
        assert confined.rights(f"{HOME}/.tool/b") == ALL
        assert confined.rights(f"{HOME}/Documents") == NO_RIGHT
        assert confined.refused(run) == ()

    def test_that_other_users_have_no_homes(self) -> None:
        rights = confine(FIREJAIL, trace()).rights
        assert rights("/home/bob/x") == NO_RIGHT
        assert rights("/home") == Right.LIST

    def test_that_only_executed_programs_are_there(self) -> None:
        run = trace(execute("/usr/bin/python3.11", "/usr/bin/python3"))
        rights = confine(FIREJAIL, run).rights
        assert Right.EXEC in rights("/usr/bin/python3") & rights("/usr/bin/python3.11")
        assert rights("/usr/bin/perl") == rights("/usr/sbin/fdisk") == NO_RIGHT

    def test_that_tmp_is_private_until_something_in_it_is_touched(self) -> None:
        assert confine(FIREJAIL, trace()).rights("/tmp/theirs") == NO_RIGHT
        assert confine(FIREJAIL, trace(read("/tmp/x", errno.ENOENT, Kind.ABSENT))).rights("/tmp/theirs") == ALL

    def test_that_dev_is_private_until_another_device_is_touched(self) -> None:
        usual = confine(FIREJAIL, trace(write("/dev/null"), read("/dev/urandom"))).rights
        assert usual("/dev/null") == ALL
        assert usual("/dev/sda") == NO_RIGHT
        assert confine(FIREJAIL, trace(read("/dev/loop0"))).rights("/dev/sda") == ALL

    @pytest.mark.parametrize(
        ("path", "rights"),
        [
            ("/opt/tool/x", ALL),
            ("/srv/x", ALL),
            ("/usr/lib/x", ALL & ~CHANGES),
            ("/usr/lib/openssh/x", NO_RIGHT),
            ("/boot/vmlinuz", NO_RIGHT),
            ("/var/log/x", NO_RIGHT),
            ("/var/tmp/x", ALL),
        ],
    )
    def test_what_is_open_without_learning(self, path: str, rights: Right) -> None:
        assert confine(FIREJAIL, trace()).rights(path) == rights

    def test_that_the_blacklists_stand_whatever_was_learned(self) -> None:
        run = trace(read(f"{HOME}/.ssh/id_rsa"), read(f"{HOME}/.gitconfig"), read("/etc/shadow"), read("/etc/passwd"))
        confined = confine(FIREJAIL, run)
        assert {n.path for n in confined.refused(run)} == {f"{HOME}/.ssh/id_rsa", f"{HOME}/.gitconfig", "/etc/shadow"}


class TestConfined:
    def test_that_objects_are_counted_once_and_links_not_followed(self, tmp_path: Path) -> None:
        for name in ("a/b/c", "a/hidden/d", "e", "f"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        (tmp_path / "a/link").symlink_to("/usr")
        (tmp_path / "g").symlink_to("a")
        top = str(tmp_path)
        granted = policy(
            (f"{top}/a", Scope.TREE, Right.READ),
            (f"{top}/a/b", Scope.TREE, Right.EXEC),
            (f"{top}/e", Scope.FILE, Right.READ),
            (f"{top}/g", Scope.TREE, Right.READ),
            (f"{top}/absent", Scope.FILE, Right.READ),
        )
        found = Confined(granted, lambda path: ALL if path == f"{top}/a/hidden" else NO_RIGHT).opened()
        assert sorted(found) == [f"{top}/{name}" for name in ("a", "a/b", "a/b/c", "a/link", "e", "g")]

    def test_that_a_right_that_is_missing_is_refused(self) -> None:
        run = trace(read("/srv/a"), write("/srv/a"), read("/srv/b", errno.ENOENT, Kind.ABSENT))
        refused = Confined(policy(("/srv/a", Scope.FILE, Right.READ))).refused(run)
        assert [(need.path, need.right) for need in refused] == [("/srv/a", Right.WRITE)]
