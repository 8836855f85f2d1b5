import errno

import pytest
from accesses import access, accesses, made, socket
from hypothesis import given

from learner.access import Access, Kind, Meaning
from learner.needs import created, needs, vanished
from learner.policy import NO_RIGHT, Right
from tracers.events import Operation

HERE, THERE = "/w/here/name", "/w/there/name"
UNCHECKED = {
    Operation.STAT,
    Operation.READLINK,
    Operation.CHDIR,
    Operation.GETXATTR,
    Operation.WATCH,
    Operation.LISTEN,
    Operation.RESOLVE,
    Operation.MOUNT,
    Operation.NAMESPACE,
    Operation.PTRACE,
    Operation.IO_URING,
    Operation.MEMFD,
    Operation.FOREIGN,
    Operation.SERVICE,
}
CASES: list[tuple[Access, str, Right]] = [
    (access(Operation.READ, HERE), HERE, Right.READ),
    (access(Operation.LIST, "/w/here", Kind.DIRECTORY), "/w/here", Right.LIST),
    (access(Operation.WRITE, HERE), HERE, Right.WRITE),
    (access(Operation.TRUNCATE, HERE), HERE, Right.TRUNCATE),
    (access(Operation.EXEC, HERE), HERE, Right.EXEC),
    (access(Operation.CHMOD, HERE), HERE, Right.ATTRIBUTES),
    (access(Operation.CHOWN, HERE), HERE, Right.ATTRIBUTES),
    (access(Operation.UTIME, HERE), HERE, Right.ATTRIBUTES),
    (access(Operation.SETXATTR, HERE), HERE, Right.ATTRIBUTES),
    (access(Operation.IOCTL, "/dev/tty", Kind.CHAR), "/dev/tty", Right.IOCTL),
    (access(Operation.CONNECT, HERE, Kind.SOCKET), HERE, Right.CONNECT),
    (access(Operation.SEND, HERE, Kind.SOCKET), HERE, Right.CONNECT),
    (access(Operation.CREATE, HERE), "/w/here", Right.CREATE),
    (access(Operation.MKDIR, HERE, Kind.DIRECTORY), "/w/here", Right.MKDIR),
    (access(Operation.SYMLINK, HERE, Kind.SYMLINK), "/w/here", Right.SYMLINK),
    (access(Operation.BIND, HERE, Kind.SOCKET), "/w/here", Right.SOCKET),
    (access(Operation.MKNOD, HERE, Kind.FIFO), "/w/here", Right.FIFO),
    (access(Operation.MKNOD, HERE, Kind.SOCKET), "/w/here", Right.SOCKET),
    (access(Operation.MKNOD, HERE, Kind.CHAR), "/w/here", Right.DEVICE),
    (access(Operation.MKNOD, HERE, Kind.BLOCK), "/w/here", Right.DEVICE),
    (access(Operation.MKNOD, HERE), "/w/here", Right.CREATE),
    (access(Operation.REMOVE, HERE), "/w/here", Right.REMOVE),
    (access(Operation.RMDIR, HERE, Kind.DIRECTORY), "/w/here", Right.RMDIR),
    (access(Operation.RENAME_FROM, HERE, peer="/w/here/b"), "/w/here", Right.REMOVE),
    (access(Operation.RENAME_FROM, HERE, Kind.DIRECTORY, peer="/w/here/b"), "/w/here", Right.RMDIR),
    (access(Operation.RENAME_FROM, HERE, peer=THERE), "/w/here", Right.REMOVE | Right.MOVE),
    (access(Operation.RENAME_TO, HERE, peer="/w/here/b"), "/w/here", Right.CREATE),
    (access(Operation.RENAME_TO, HERE, peer="/w/here/b", existed=True), "/w/here", Right.CREATE | Right.REMOVE),
    (access(Operation.RENAME_TO, HERE, peer=THERE), "/w/here", Right.CREATE | Right.MOVE),
    (access(Operation.RENAME_TO, HERE, Kind.DIRECTORY, peer=THERE), "/w/here", Right.MKDIR | Right.MOVE),
    (
        access(Operation.RENAME_TO, HERE, Kind.DIRECTORY, peer="/w/here/b", existed=True),
        "/w/here",
        Right.MKDIR | Right.RMDIR,
    ),
    (access(Operation.RENAME_TO, HERE, Kind.SYMLINK, peer="/w/here/b"), "/w/here", Right.SYMLINK),
    (access(Operation.LINK_TO, HERE, peer="/w/here/b"), "/w/here", Right.CREATE),
    (access(Operation.LINK_TO, HERE, peer=THERE), "/w/here", Right.CREATE | Right.MOVE),
    (access(Operation.LINK_FROM, HERE, peer=THERE), "/w/here", Right.MOVE),
]


@pytest.mark.parametrize(("one", "path", "right"), CASES)
def test_each_operation(one: Access, path: str, right: Right) -> None:
    [need] = needs(one)
    assert (need.path, need.right, need.access) == (path, right, one)


def test_the_table_is_complete() -> None:
    assert {one.operation for one, _, _ in CASES} == set(Operation) - UNCHECKED


@pytest.mark.parametrize("operation", UNCHECKED)
def test_what_no_enforcer_checks_needs_nothing(operation: Operation) -> None:
    assert needs(access(operation, HERE)) == ()


def test_a_hard_link_within_a_directory_needs_nothing_of_its_source() -> None:
    assert needs(access(Operation.LINK_FROM, HERE, peer="/w/here/b")) == ()


def test_an_unnamed_file_is_made_and_used() -> None:
    assert [(n.path, n.right) for n in needs(access(Operation.CREATE, "/w/here/#unnamed"))] == [
        ("/w/here", Right.CREATE),
        ("/w/here/#unnamed", Right.READ | Right.WRITE),
    ]


def test_names_in_the_root_directory() -> None:
    assert [n.path for n in needs(access(Operation.CREATE, "/x"))] == ["/"]
    assert [n.path for n in needs(access(Operation.LIST, "/", Kind.DIRECTORY))] == ["/"]


def test_endpoints_and_opaque_things_have_no_path_needs() -> None:
    assert needs(socket(Operation.CONNECT, "127.0.0.1", 80)) == ()
    assert needs(access(Operation.READ, "/memfd:x", Kind.OPAQUE)) == ()
    assert needs(access(Operation.READ, "pipe", Kind.FIFO)) == ()


@given(accesses)
def test_only_what_was_done_needs_anything(one: Access) -> None:
    found = needs(one)
    if one.meaning is not Meaning.DONE:
        assert found == ()
    for need in found:
        assert need.right != NO_RIGHT
        assert need.path == one.object or one.object.startswith(need.path.rstrip("/") + "/")


@pytest.mark.parametrize("code", [errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST])
@pytest.mark.parametrize("operation", Operation)
def test_probes_and_refusals_need_nothing(operation: Operation, code: int) -> None:
    assert needs(access(operation, HERE, outcome=code)) == ()


def test_created_and_vanished() -> None:
    run = [
        made("/w/new"),
        made("/w/dir", Kind.DIRECTORY),
        access(Operation.CREATE, "/w/old", existed=True),
        access(Operation.MKDIR, "/w/there", Kind.DIRECTORY, errno.EEXIST, existed=True),
        access(Operation.RENAME_TO, "/w/moved", existed=False, peer="/w/new"),
        access(Operation.RENAME_FROM, "/w/new", peer="/w/moved"),
        access(Operation.REMOVE, "/w/gone"),
        access(Operation.REMOVE, "/w/kept", outcome=errno.EACCES),
        access(Operation.READ, "/w/read"),
    ]
    assert created(run) == {"/w/new", "/w/dir", "/w/moved"}
    assert vanished(run) == {"/w/new", "/w/gone"}
