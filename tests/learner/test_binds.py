"""The plan of a namespace, over file systems made up for the test: nothing too much, nothing missing, in order."""

import os

import msgspec
import pytest
from accesses import policy
from disk import DIRECTORY, LINK, Disk
from hypothesis import given
from hypothesis import strategies as st

from learner.enforcers.binds import MAX_NAMES, Make, Plan, Step, leads, plan
from learner.places import ancestors, is_within
from learner.policy import CHANGES, NO_RIGHT, Policy, Right, Scope

TREE, FILE = Scope.TREE, Scope.FILE
READ, LIST, EXEC, WRITE, CREATE = Right.READ, Right.LIST, Right.EXEC, Right.WRITE, Right.CREATE


HOST = Disk(
    {
        "/bin": "-> usr/bin",
        "/usr/bin/sh": "",
        "/usr/lib/libc.so": "",
        "/etc/passwd": "",
        "/etc/alternatives/awk": "-> /usr/bin/sh",
        "/etc/alternatives/lost": "-> /srv/secret",
        "/dev/tty": "char",
        "/dev/ptmx": "char",
        "/dev/pts/0": "char",
        "/dev/fd": "-> /proc/self/fd",
        "/home/me/.config": "-> dotfiles/config",
        "/home/me/dotfiles/config/tool": "",
        "/home/me/work/src/main.c": "",
        "/home/me/work/out": "-> /home/me/.ssh",
        "/home/me/.ssh/id": "",
        "/home/me/.local/bin/tool": "-> ../share/tool/bin/tool",
        "/home/me/.local/share/tool/bin/tool": "",
        "/home/me/.local/share/tool/bin/python": "-> /opt/python/bin/python3",
        "/opt/python/bin/python3": "-> python3.12",
        "/opt/python/bin/python3.12": "",
        "/proc/meminfo": "",
        "/proc/sys/kernel/core_pattern": "",
        "/srv/secret": "",
        "/tmp": None,
    }
)


def by_path(found: Plan) -> dict[str, Step]:
    return {step.path: step for step in found.steps}


def test_what_is_granted_is_bound_and_nothing_else() -> None:
    found = by_path(plan(policy(("/usr", TREE, READ | LIST), ("/etc/passwd", FILE, READ)), HOST))
    assert found["/usr"] == Step("/usr", Make.BIND)
    assert found["/etc/passwd"] == Step("/etc/passwd", Make.BIND, file=True)
    assert found["/etc"].make is Make.DIRECTORY
    assert found["/bin"] == Step("/bin", Make.SYMLINK, "usr/bin")
    assert found["/etc/alternatives/awk"].text == "/usr/bin/sh"
    assert not {"/srv", "/home", "/etc/alternatives/lost", "/proc", "/dev"} & set(found)


def test_binds_within_binds_are_merged() -> None:
    granted = policy(
        ("/usr", TREE, READ),
        ("/usr/bin/sh", FILE, EXEC),
        ("/home/me", TREE, READ),
        ("/home/me/work", TREE, READ | WRITE),
    )
    binds = {step.path: step.writable for step in plan(granted, HOST).binds}
    assert binds == {"/usr": False, "/home/me": False, "/home/me/work": True}


def test_a_chain_of_links_to_an_interpreter_is_kept() -> None:
    granted = policy(
        ("/home/me/.local/share/tool/bin/tool", FILE, READ | EXEC), ("/opt/python/bin/python3.12", FILE, EXEC)
    )
    found = by_path(plan(granted, HOST))
    assert found["/home/me/.local/share/tool/bin/python"].text == "/opt/python/bin/python3"
    assert found["/opt/python/bin/python3"].text == "python3.12"
    # ~/.local/bin is no directory on the way, so the link in it is found when it is searched, or when it is started.
    assert "/home/me/.local/bin" not in found
    for more in ({"farms": ("/home/me/.local/bin",)}, {"through": ("/home/me/.local/bin/tool",)}):
        again = plan(granted, HOST, **more)
        assert by_path(again)["/home/me/.local/bin/tool"].text == "../share/tool/bin/tool"
        assert leads(again, HOST, "/home/me/.local/bin/tool")
    assert not leads(plan(granted, HOST), HOST, "/home/me/.local/bin/tool")


def test_a_dotfile_that_is_a_link_stays_one() -> None:
    found = by_path(plan(policy(("/home/me/dotfiles/config", TREE, READ)), HOST))
    assert found["/home/me/.config"] == Step("/home/me/.config", Make.SYMLINK, "dotfiles/config")


def test_a_granted_link_is_granted_at_its_target_unless_the_program_may_have_made_it() -> None:
    found = plan(policy(("/home/me/.config", TREE, READ)), HOST)
    assert [s.path for s in found.binds] == ["/home/me/dotfiles/config"]
    assert by_path(found)["/home/me/.config"].make is Make.SYMLINK
    trap = plan(policy(("/home/me/work", TREE, READ | CREATE), ("/home/me/work/out", TREE, READ)), HOST)
    assert [s.path for s in trap.binds] == ["/home/me/work"]
    assert any(gap.item == "/home/me/work/out" and "symlink" in gap.reason for gap in trap.gaps)


def test_a_directory_that_may_be_listed_shows_names_without_content() -> None:
    found = plan(policy(("/home/me", FILE, LIST)), HOST)
    steps = by_path(found)
    assert found.binds == ()
    assert steps["/home/me/work"].make is Make.HIDDEN_DIRECTORY
    assert steps["/home/me/.config"].make is Make.SYMLINK
    assert not [path for path in steps if path.startswith("/home/me/work/")]
    assert "single directories" in {gap.item for gap in found.gaps}
    many = Disk({f"/many/{n}": "" for n in range(MAX_NAMES + 1)})
    assert "/many" in {gap.item for gap in plan(policy(("/many", FILE, LIST)), many).gaps}


def test_changes_in_a_single_directory_stay_closed_without_landlock_inside() -> None:
    granted = policy(("/home/me", FILE, CREATE))
    alone = plan(granted, HOST)
    assert alone.binds == ()
    assert [gap.item for gap in alone.gaps] == ["/home/me"]
    inside = plan(granted, HOST, inner=True)
    assert [(s.path, s.writable) for s in inside.binds] == [("/home/me", True)]
    assert plan(policy(("/", FILE, CREATE)), HOST, inner=True).binds == ()
    assert {"attributes", "metadata", "single directories", "unix sockets by path"} == {gap.item for gap in inside.gaps}


def test_devices_stay_devices_and_new_terminals_are_ones_own() -> None:
    found = by_path(plan(policy(("/dev/tty", FILE, READ | WRITE)), HOST))
    assert found["/dev/tty"].device
    found = by_path(plan(policy(("/dev/ptmx", FILE, READ | WRITE), ("/dev/pts", TREE, READ | WRITE)), HOST))
    assert found["/dev/pts"].make is Make.TERMINALS
    assert found["/dev/ptmx"].text == "pts/ptmx"


def test_the_machines_settings_stay_read_only_in_a_writable_proc() -> None:
    quiet = plan(policy(("/proc", TREE, READ)), HOST)
    assert [(s.path, s.writable) for s in quiet.binds] == [("/proc", False)]
    assert by_path(quiet)["/dev/fd"].text == "/proc/self/fd"
    busy = plan(policy(("/proc", TREE, READ), ("/proc/self/oom_score_adj", FILE, WRITE)), HOST)
    assert [(s.path, s.writable) for s in busy.binds] == [("/proc", True), ("/proc/sys", False)]
    assert [s.path for s in plan(policy(("/proc/meminfo", FILE, READ)), HOST).binds] == ["/proc/meminfo"]
    alone = plan(policy(("/proc/self/status", FILE, READ)), HOST)
    assert [s.path for s in alone.binds] == ["/proc"]
    assert "process files" in {gap.item for gap in alone.gaps}


def test_what_is_not_there_is_said() -> None:
    assert [g.item for g in plan(policy(("/nonesuch", TREE, READ)), HOST).gaps] == ["/nonesuch"]
    loop = Disk({"/a": "-> b", "/b": "-> a"})
    assert ["loop" in g.reason for g in plan(policy(("/a", FILE, READ)), loop).gaps] == [True]


def test_everything_may_be_granted() -> None:
    found = plan(policy(("/", TREE, READ), ("/home/me/work", TREE, READ | WRITE)), HOST)
    assert [(s.path, s.writable, s.device) for s in found.steps if s.make is Make.BIND] == [
        ("/", False, True),
        ("/home/me/work", True, False),
    ]


# --- whatever the file system and the policy

_names = st.sampled_from(["a", "b", "c", "bin"])
_paths = st.lists(_names, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
_texts = st.one_of(_paths, st.lists(st.sampled_from(["a", "b", "..", "bin"]), min_size=1, max_size=3).map("/".join))
_objects = st.dictionaries(
    _paths, st.one_of(st.none(), st.just(""), st.just("char"), _texts.map("-> {}".format)), max_size=12
)


def _consistent(objects: dict[str, str | None]) -> Disk:
    """Only what can exist: nothing lies beneath what is no directory."""
    return Disk({p: w for p, w in objects.items() if not any(objects.get(a) is not None for a in ancestors(p))})


_disks = _objects.map(_consistent)
_rights = st.lists(st.sampled_from([READ, LIST, EXEC, WRITE, CREATE, Right.ATTRIBUTES, Right.REMOVE]), min_size=1).map(
    lambda found: Right(sum({r.value for r in found}))
)
_policies = st.lists(st.tuples(_paths, st.sampled_from(Scope), _rights), max_size=6).map(lambda grants: policy(*grants))


def _real(disk: Disk, path: str) -> str | None:
    """Where a path leads, found as the planner does not: by substituting the first link, again and again."""
    for _ in range(60):
        if path in disk.objects and not any(disk.mode(p) == LINK for p in (path, *ancestors(path))):
            return path
        link = next((p for p in [*reversed(ancestors(path)), path] if disk.mode(p) == LINK), None)
        if link is None:
            return None
        target = os.path.join(os.path.dirname(link), disk.readlink(link))
        parts = target.split("/")
        if ".." in parts:  # leave it to the planner: what stands before the dots must be resolved first
            return "?"
        path = os.path.normpath(target + path[len(link) :])
    return None


@given(_disks, _policies, st.booleans())
def test_nothing_is_bound_that_is_not_granted(disk: Disk, granted: Policy, inner: bool) -> None:
    found = plan(granted, disk, through=("/a", "/b/c"), farms=("/bin",), inner=inner)
    reals = {g.path: _real(disk, g.path) for g in granted.grants}
    for step in found.binds:
        giving = NO_RIGHT
        changing = NO_RIGHT
        for grant in granted.grants:
            real = reals[grant.path]
            if real == "?":
                return
            if real is None:
                continue
            whole = grant.scope is TREE or disk.mode(real) != DIRECTORY or inner
            if real == step.path and whole:
                giving |= grant.rights
            if real == step.path or (grant.scope is TREE and is_within(step.path, real)):
                changing |= grant.rights
        assert giving, step
        assert not step.writable or changing & CHANGES


@given(_disks, _policies)
def test_everything_that_is_granted_is_reachable(disk: Disk, granted: Policy) -> None:
    found = plan(granted, disk, farms=())
    left_out = {gap.item for gap in found.gaps}
    binds = {step.path: step for step in found.binds}
    for grant in granted.grants:
        real = _real(disk, grant.path)
        if real in (None, "?") or grant.path in left_out or not grant.rights & (READ | EXEC):
            continue
        assert real is not None
        if disk.mode(real) == DIRECTORY and grant.scope is FILE:
            continue
        above = [binds[p] for p in (real, *ancestors(real)) if p in binds]
        assert above, (grant, found)
        assert any(step.writable for step in above) or not grant.rights & WRITE


@given(_disks, _policies, st.booleans())
def test_parents_come_first_and_links_are_the_machines_own(disk: Disk, granted: Policy, inner: bool) -> None:
    found = plan(granted, disk, through=("/a", "/b/c"), farms=("/bin",), inner=inner)
    made = {"/"}
    bound: list[str] = []
    for step in found.steps:
        inside = any(is_within(step.path, top) and step.path != top for top in bound)
        assert step.path not in made - {"/"}
        assert inside or os.path.dirname(step.path) in made, (step, found.steps)
        assert step.make is Make.BIND or not inside
        if step.make is Make.SYMLINK:
            assert disk.objects[step.path] == f"-> {step.text}"
        elif not inside:
            made.add(step.path)
        if step.make is Make.BIND:
            bound.append(step.path)
            assert disk.mode(step.path) not in (0, LINK)


@given(_disks, _policies)
def test_the_plan_depends_on_nothing_else(disk: Disk, granted: Policy) -> None:
    turned = Policy(tuple(reversed(granted.grants)))
    assert plan(granted, disk) == plan(turned, disk)


@pytest.mark.parametrize("count", [200])
def test_many_grants_in_one_tree_are_one_bind(count: int) -> None:
    disk = Disk({f"/usr/lib/{n}.so": "" for n in range(count)})
    grants = [(f"/usr/lib/{n}.so", FILE, READ) for n in range(count)]
    assert len(plan(policy(*grants), disk).binds) == count
    assert len(plan(policy(("/usr", TREE, READ), *grants), disk).binds) == 1


def test_devices_that_are_always_open_are_there_if_the_machine_has_them() -> None:
    machine = Disk({"/dev/null": "char", "/dev/zero": "char", "/srv/secret": ""})
    found = by_path(plan(Policy(), machine))
    assert {path for path, step in found.items() if step.make is Make.BIND} == {"/dev/null", "/dev/zero"}
    assert found["/dev/null"].writable
    assert found["/dev/null"].device
    assert plan(Policy(), machine).gaps == ()


def test_a_link_of_the_policy_is_there_although_nothing_else_of_its_directory_is() -> None:
    machine = Disk(
        {
            "/home/me/.config/tool/rc": "-> ../../dotfiles/rc",
            "/home/me/.config/tool/key": "",
            "/home/me/dotfiles/rc": "",
        }
    )
    granted = policy(("/home/me/dotfiles/rc", FILE, READ))
    assert "/home/me/.config/tool/rc" not in by_path(plan(granted, machine))
    found = by_path(plan(msgspec.structs.replace(granted, links=("/home/me/.config/tool/rc", "/gone")), machine))
    assert found["/home/me/.config/tool/rc"] == Step("/home/me/.config/tool/rc", Make.SYMLINK, "../../dotfiles/rc")
    assert "/home/me/.config/tool/key" not in found


def test_a_link_to_what_is_not_granted_is_not_shown() -> None:
    machine = Disk({"/home/me/link": "-> .ssh/id", "/home/me/.ssh/id": "", "/home/me/note": ""})
    granted = msgspec.structs.replace(policy(("/home/me/note", FILE, READ)), links=("/home/me/link",))
    assert "/home/me/link" not in by_path(plan(granted, machine))


def test_the_loader_is_found_through_a_link_to_a_directory_of_links() -> None:
    machine = Disk(
        {
            "/lib64": "-> usr/lib64",
            "/lib": "-> usr/lib",
            "/usr/lib64/ld.so": "-> /lib/x86/ld.so",
            "/usr/lib/x86/ld.so": "",
        }
    )
    found = by_path(plan(policy(("/usr/lib/x86", TREE, READ)), machine))
    assert found["/lib64"] == Step("/lib64", Make.SYMLINK, "usr/lib64")
    assert found["/usr/lib64/ld.so"].make is Make.SYMLINK
