"""The resolver against the kernel: what it says a path leads to is what an open of that path opens."""

import errno
import os
import string
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from learner.access import Kind
from learner.links import MAX_LINKS
from learner.resolver import Resolver

PID = os.getpid()

NAMES = ["a", "b", "c", "dir", "link", "new\nline", "by\udcffte", "blank ", "gone (deleted)"]
STEPS = st.sampled_from([*NAMES, "..", ".", ""])
RELATIVE = st.lists(STEPS, min_size=1, max_size=5).map("/".join)
TARGETS = st.one_of(RELATIVE.filter(bool), RELATIVE.map(lambda path: f"@/{path}"))  # @: the tree's own directory
NODES = st.one_of(st.just("file"), st.just("dir"), TARGETS.map(lambda target: f"->{target}"))
TREES = st.lists(st.tuples(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3), NODES), max_size=10)


def plant(top: str, tree: list[tuple[list[str], str]]) -> None:
    """Make what can be made of ``tree`` in ``top``, in order; impossible nodes are left out."""
    for names, node in tree:
        path = os.path.join(top, *names)
        try:
            # Links are not followed on the way: the tree stays inside of ``top``.
            if os.path.realpath(os.path.dirname(path)) != os.path.dirname(path):
                continue
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if node == "dir":
                os.mkdir(path)
            elif node == "file":
                os.close(os.open(path, os.O_CREAT | os.O_EXCL))
            else:
                os.symlink(node[2:].replace("@", top, 1), path)
        except OSError:
            continue


def kernel(path: str, follow: bool) -> str | int:
    """The kernel's name of what an open of ``path`` finds, or the errno."""
    try:
        descriptor = os.open(path, os.O_PATH | (0 if follow else os.O_NOFOLLOW))
    except OSError as problem:
        return problem.errno or 0
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


@pytest.fixture(scope="module")
def ground() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as directory:
        yield os.path.realpath(directory)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=TREES, asked=st.lists(st.tuples(RELATIVE, st.booleans()), min_size=1, max_size=8))
def test_agrees_with_the_kernel(ground: str, tree: list[tuple[list[str], str]], asked: list[tuple[str, bool]]) -> None:
    resolver = Resolver()  # one for all questions: what it remembers must not lead it astray
    with tempfile.TemporaryDirectory(dir=ground) as top:
        plant(top, tree)
        for relative, follow in asked:
            path = f"{top}/{relative}"
            found = resolver.resolve(path, follow=follow, pid=PID)
            truth = kernel(path, follow)
            if isinstance(truth, str):
                assert found.path == truth
                assert found.kind is not Kind.ABSENT
            elif truth == errno.ENOENT:
                assert found.kind is Kind.ABSENT and not os.path.lexists(found.path)
            elif truth == errno.ELOOP:
                assert found.kind is Kind.SYMLINK and os.path.islink(found.path)
            else:
                # Something on the way is a file.
                assert truth == errno.ENOTDIR and found.kind not in (Kind.DIRECTORY, Kind.SYMLINK)
            for link in found.links:
                assert resolver.targets[link] == os.readlink(link)
                assert os.path.realpath(os.path.dirname(link)) == os.path.dirname(link)


@pytest.fixture
def top(scratch: Path) -> str:
    (scratch / "dir").mkdir()
    (scratch / "dir" / "file").touch()
    return str(scratch)


def resolve(path: str, *, follow: bool = True, resolver: Resolver | None = None, pid: int = PID) -> tuple[str, Kind]:
    found = (resolver or Resolver()).resolve(path, follow=follow, pid=pid)
    return found.path, found.kind


def test_an_absent_object_is_named_where_it_would_be(top: str) -> None:
    os.symlink("dir", f"{top}/link")
    os.symlink("absent/deep", f"{top}/dangling")
    assert resolve(f"{top}/link/no") == (f"{top}/dir/no", Kind.ABSENT)
    assert resolve(f"{top}/link/no/more") == (f"{top}/dir/no/more", Kind.ABSENT)
    assert resolve(f"{top}/dangling") == (f"{top}/absent/deep", Kind.ABSENT)
    assert resolve(f"{top}/dangling", follow=False) == (f"{top}/dangling", Kind.SYMLINK)
    assert resolve(f"{top}/dangling/", follow=False) == (f"{top}/absent/deep", Kind.ABSENT)


def test_a_walk_that_fails_never_comes_out_at_something_else(top: str) -> None:
    # The kernel says ENOENT and ENOTDIR: it never gets to the "..".
    assert resolve(f"{top}/no/../dir/file") == (f"{top}/no", Kind.ABSENT)
    assert resolve(f"{top}/dir/file/../file") == (f"{top}/dir/file", Kind.FILE)
    assert resolve(f"{top}/dir/file/no") == (f"{top}/dir/file/no", Kind.ABSENT)


def test_links_are_told_in_order(top: str) -> None:
    os.symlink("two", f"{top}/one")
    os.symlink(f"{top}/three", f"{top}/two")
    os.symlink("./dir/../dir", f"{top}/three")
    resolver = Resolver()
    found = resolver.resolve(f"{top}/one/file", follow=True, pid=PID)
    assert found.path == f"{top}/dir/file"
    assert found.links == (f"{top}/one", f"{top}/two", f"{top}/three")
    assert resolver.targets == {f"{top}/one": "two", f"{top}/two": f"{top}/three", f"{top}/three": "./dir/../dir"}
    assert resolver.link_names == {"one", "two", "three"}


@pytest.mark.parametrize("length", [MAX_LINKS - 1, MAX_LINKS, MAX_LINKS + 1])
def test_as_many_links_as_the_kernel_follows(top: str, length: int) -> None:
    os.symlink("dir", f"{top}/l1")
    for number in range(2, length + 1):
        os.symlink(f"l{number - 1}", f"{top}/l{number}")
    truth = kernel(f"{top}/l{length}", follow=True)
    assert (truth == errno.ELOOP) == (length > MAX_LINKS)
    assert (resolve(f"{top}/l{length}") == (f"{top}/dir", Kind.DIRECTORY)) == (truth != errno.ELOOP)


def test_loops_end(top: str) -> None:
    os.symlink("b", f"{top}/a")
    os.symlink("a", f"{top}/b")
    os.symlink("self/self", f"{top}/self")
    for name in ("a", "a/x", "self", "self/x"):
        assert resolve(f"{top}/{name}")[1] is Kind.SYMLINK


@pytest.mark.parametrize(
    "name", ["n" * 255, "\udcff\udcfe", "new\nline", "$HOME", *string.punctuation.replace("/", "")]
)
def test_hostile_names(top: str, name: str) -> None:
    if name == ".":
        return
    os.mkdir(f"{top}/{name}")
    os.symlink(name, f"{top}/a link")
    assert resolve(f"{top}/a link/x") == (f"{top}/{name}/x", Kind.ABSENT)
    assert resolve(f"{top}/a link") == (kernel(f"{top}/a link", follow=True), Kind.DIRECTORY)


@pytest.mark.parametrize("bad", ["x" * 256, "a\0b", "x/" * 3000])
def test_names_that_cannot_be(top: str, bad: str) -> None:
    assert resolve(f"{top}/{bad}")[1] is Kind.ABSENT


def test_links_of_proc_lead_to_the_objects_of_the_asker(top: str) -> None:
    descriptor = os.open(f"{top}/dir", os.O_RDONLY)
    before = os.getcwd()
    os.chdir(top)
    try:
        for start in ("/proc/self", f"/proc/{PID}", "/proc/thread-self"):
            assert resolve(f"{start}/fd/{descriptor}/file") == (f"{top}/dir/file", Kind.FILE)
            assert resolve(f"{start}/cwd/dir") == (f"{top}/dir", Kind.DIRECTORY)
            assert resolve(f"{start}/root{top}/no") == (f"{top}/no", Kind.ABSENT)
            assert resolve(f"{start}/status") == ("/proc/self/status", Kind.FILE)
            assert resolve(f"{start}/cwd", follow=False) == ("/proc/self/cwd", Kind.SYMLINK)
        assert resolve(f"/dev/fd/{descriptor}") == (f"{top}/dir", Kind.DIRECTORY)
        found = Resolver().resolve("/proc/self/cwd/x", follow=True, pid=PID)
        assert not found.lasting and found.links == ()
    finally:
        os.chdir(before)
        os.close(descriptor)
    assert resolve(f"/proc/self/fd/{descriptor}")[1] is Kind.ABSENT


def test_another_process_is_not_self() -> None:
    other = os.getppid()
    assert resolve("/proc/self/status", pid=other) == ("/proc/self/status", Kind.FILE)
    assert resolve(f"/proc/{other}/status") == (f"/proc/{other}/status", Kind.FILE)
    assert resolve(f"/proc/{other}/task/{other}/comm", pid=other) == ("/proc/thread-self/comm", Kind.FILE)


def test_what_has_no_place_is_described(top: str) -> None:
    file = os.open(f"{top}/dir/file", os.O_RDONLY)
    os.unlink(f"{top}/dir/file")
    unnamed = os.open(top, os.O_TMPFILE | os.O_RDWR)
    memory = os.memfd_create("scratch: pad")
    ends = os.pipe()
    try:
        for descriptor, described in (
            (file, f"{top}/dir/file (deleted)"),
            (unnamed, f"{top}/#unnamed"),
            (memory, "memfd:scratch: pad"),
            (ends[0], "pipe"),
        ):
            path = f"/proc/self/fd/{descriptor}"
            assert resolve(path) == (described, Kind.OPAQUE)
            name = os.readlink(path)
            opened = Resolver().resolve(path, follow=True, pid=PID, opened=name)
            assert (opened.path, opened.kind, opened.lasting) == (described, Kind.OPAQUE, False)
    finally:
        for descriptor in (file, unnamed, memory, *ends):
            os.close(descriptor)


def test_a_file_may_be_called_deleted(top: str) -> None:
    Path(f"{top}/x (deleted)").touch()
    os.symlink("x (deleted)", f"{top}/link")
    descriptor = os.open(f"{top}/link", os.O_RDONLY)
    try:
        assert resolve(f"/proc/self/fd/{descriptor}") == (f"{top}/x (deleted)", Kind.FILE)
        for path in (f"{top}/link", f"{top}/x (deleted)"):
            found = Resolver().resolve(path, follow=True, pid=PID, opened=f"{top}/x (deleted)")
            assert (found.path, found.kind) == (f"{top}/x (deleted)", Kind.FILE)
    finally:
        os.close(descriptor)


def test_what_the_kernel_opened_wins(top: str) -> None:
    os.symlink("dir", f"{top}/link")
    found = Resolver().resolve(f"{top}/link/other", follow=True, pid=PID, opened=f"{top}/dir/file")
    assert (found.path, found.kind, found.links) == (f"{top}/dir/file", Kind.FILE, (f"{top}/link",))
    # Opened, and removed again before we looked: it keeps its name.
    found = Resolver().resolve(f"{top}/link/no", follow=True, pid=PID, opened=f"{top}/dir/no (deleted)")
    assert (found.path, found.kind) == (f"{top}/dir/no", Kind.ABSENT)


def test_what_was_walked_is_remembered_until_forget(top: str) -> None:
    resolver = Resolver()
    os.symlink("dir", f"{top}/link")
    os.mkdir(f"{top}/other")
    assert resolve(f"{top}/link/x", resolver=resolver) == (f"{top}/dir/x", Kind.ABSENT)
    os.unlink(f"{top}/link")
    os.symlink("other", f"{top}/link")
    assert resolve(f"{top}/link/x", resolver=resolver) == (f"{top}/dir/x", Kind.ABSENT)
    resolver.forget()
    assert resolve(f"{top}/link/x", resolver=resolver) == (f"{top}/other/x", Kind.ABSENT)
    # A directory that became a link.
    os.rename(f"{top}/dir", f"{top}/moved")
    os.symlink("moved", f"{top}/dir")
    resolver.forget()
    assert resolve(f"{top}/dir/file", resolver=resolver) == (f"{top}/moved/file", Kind.FILE)
    assert resolver.targets[f"{top}/link"] == "other"


def test_absence_is_never_remembered(top: str) -> None:
    resolver = Resolver()
    assert resolve(f"{top}/new/file", resolver=resolver)[1] is Kind.ABSENT
    os.mkdir(f"{top}/new")
    Path(f"{top}/new/file").touch()
    assert resolve(f"{top}/new/file", resolver=resolver) == (f"{top}/new/file", Kind.FILE)


def test_another_root_directory(top: str) -> None:
    """Through a stand-in for ``/proc/PID/root``: names begin at our root, links and ``..`` stay inside theirs."""
    os.makedirs(f"{top}/jail/etc")
    os.mkdir(f"{top}/jail/proc")
    Path(f"{top}/jail/etc/file").touch()
    os.symlink("/etc", f"{top}/jail/absolute")
    os.symlink(f"{top}/jail", f"{top}/root")
    resolver = Resolver()

    def inside(path: str) -> tuple[str, Kind]:
        found = resolver.resolve(f"{top}/jail{path}", follow=True, pid=PID, root=f"{top}/root")
        return found.path, found.kind

    assert inside("/absolute/file") == (f"{top}/jail/etc/file", Kind.FILE)
    assert inside("/../../etc/file") == (f"{top}/jail/etc/file", Kind.FILE)
    assert inside("/etc/../..") == (f"{top}/jail", Kind.DIRECTORY)
    assert inside("/usr") == (f"{top}/jail/usr", Kind.ABSENT)
    assert inside("/proc/self/comm") == ("/proc/self/comm", Kind.FILE)
