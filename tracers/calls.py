"""What each system call attempts: from its arguments and result to operations on targets.

Both Linux tracers fill a :class:`RawCall` (ptrace from registers and memory, strace from its text), and
:func:`events` says what it means. Flag values are those of ``asm-generic`` (fcntl.h, stat.h, linux/openat2.h),
which x86-64 and aarch64 share except for the four open(2) flags in :data:`OPEN_DIRECTORY` and its neighbours.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from tracers.dns import question_names
from tracers.events import Endpoint, Event, Family, HostTarget, Memory, Opaque, Operation, PathTarget, Target
from tracers.sockets import sockaddr

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_REMOVEDIR = 0x200
AT_SYMLINK_FOLLOW = 0x400
AT_EMPTY_PATH = 0x1000
OPEN_DIRECTORY = os.O_DIRECTORY
OPEN_NOFOLLOW = os.O_NOFOLLOW
OPEN_TMPFILE = os.O_TMPFILE if hasattr(os, "O_TMPFILE") else 0o20200000
RENAME_EXCHANGE = 2
RESOLVE_NO_SYMLINKS, RESOLVE_IN_ROOT = 0x04, 0x10
NAMESPACE_FLAGS = 0x7E020080  # CLONE_NEWNS|NEWCGROUP|NEWUTS|NEWIPC|NEWUSER|NEWPID|NEWNET|NEWTIME, linux/sched.h


class RawCall(msgspec.Struct):
    """One finished system call, before it is given a meaning.

    ``args`` are the numeric arguments (signed where they are descriptors; 0 for what is not a number),
    ``text`` the strings by argument index, ``base`` the directory each relative string starts at.
    ``result`` is the return value, or ``-errno``. ``opened`` is the kernel's name of the object behind the
    descriptor that the call returned or acted on; ``data`` holds raw bytes by argument index (socket
    addresses, datagrams); ``peer`` the connected endpoint of a socket call without an address; ``word`` what
    :mod:`tracers.words` lets out of an exec's arguments; ``mode`` the ``st_mode`` type bits of what was there, if seen.
    """

    name: str
    args: tuple[int, ...]
    result: int
    text: dict[int, bytes | Memory] = {}
    base: dict[int, bytes] = {}
    data: dict[int, bytes] = {}
    opened: bytes | None = None
    existed: bool | None = None
    transport: str = ""
    peer: Endpoint | None = None
    word: str = ""
    mode: int = 0


class PathArg(NamedTuple):
    """Where a path stands in the argument list, and the descriptor of the directory it starts at."""

    at: int
    dirfd: int | None = None


class Attempt(NamedTuple):
    """One operation of a call, before the tracer's own fields are added."""

    operation: Operation
    target: Target
    existed: bool | None = None
    mode: int = 0
    peer: PathTarget | None = None


Decoder = Callable[[RawCall], Iterator[Attempt]]


class Shape(NamedTuple):
    """A traced call: its path arguments, what it means, and the index of the one number that its meaning hangs on."""

    paths: tuple[PathArg, ...]
    decode: Decoder
    number: int | None = None


def _target(call: RawCall, arg: PathArg, follow: bool = True) -> PathTarget:
    return PathTarget(
        path=call.text.get(arg.at, Memory.UNREADABLE),
        base=call.base.get(arg.at, b""),
        follow=follow,
        opened=call.opened if follow else None,
    )


def _simple(operation: Operation, arg: PathArg, *, nofollow: bool = False, at_flags: int | None = None) -> Shape:
    """A call that does one thing to one path; ``at_flags`` is the index of its AT_* argument."""

    def decode(call: RawCall) -> Iterator[Attempt]:
        flags = call.args[at_flags] if at_flags is not None else 0
        text = call.text.get(arg.at)
        by_descriptor = not text and (flags & AT_EMPTY_PATH or (text == b"" and call.result >= 0))
        if by_descriptor or (text is None and call.name in NULL_PATH_IS_DESCRIPTOR):
            return  # fstat by another name: an operation on a descriptor that was opened before, not on a path
        yield Attempt(operation, _target(call, arg, not (nofollow or flags & AT_SYMLINK_NOFOLLOW)))

    return Shape((arg,), decode, at_flags)


NULL_PATH_IS_DESCRIPTOR = frozenset({"utimensat", "futimesat", "utimensat_time64"})
"""Calls that act on their descriptor when the path is NULL, whatever their flags (utimensat(2))."""


def _open_attempts(call: RawCall, arg: PathArg, flags: int) -> Iterator[Attempt]:
    exclusive = flags & os.O_CREAT and flags & os.O_EXCL
    target = _target(call, arg, not (flags & OPEN_NOFOLLOW or exclusive))
    if call.opened is not None:
        target = PathTarget(target.path, target.base, target.follow, call.opened)
    if flags & OPEN_TMPFILE == OPEN_TMPFILE:
        # An unnamed file in a directory: the directory is what the right to create is asked of.
        target = PathTarget(target.path, target.base, target.follow, None)
        yield Attempt(Operation.CREATE, target, True, stat.S_IFDIR)
        return
    if flags & os.O_PATH:
        yield Attempt(Operation.STAT, target)
        return
    mode = flags & os.O_ACCMODE
    if flags & os.O_CREAT:
        existed = False if exclusive and call.result >= 0 else call.existed
        if not existed:
            yield Attempt(Operation.CREATE, target, existed)
    if flags & OPEN_DIRECTORY and mode == os.O_RDONLY:
        yield Attempt(Operation.LIST, target)
        return
    if mode in (os.O_RDONLY, os.O_RDWR):
        yield Attempt(Operation.READ, target)
    if mode in (os.O_WRONLY, os.O_RDWR):
        yield Attempt(Operation.WRITE, target)
    if flags & os.O_TRUNC:
        yield Attempt(Operation.TRUNCATE, target)


CREAT_FLAGS = os.O_CREAT | os.O_WRONLY | os.O_TRUNC  # what creat(2) stands for


def _open(arg: PathArg, flags_at: int | None) -> Shape:
    def decode(call: RawCall) -> Iterator[Attempt]:
        yield from _open_attempts(call, arg, CREAT_FLAGS if flags_at is None else call.args[flags_at])

    return Shape((arg,), decode, flags_at)


def as_openat(path: bytes | Memory | None, flags: int, resolve: int) -> tuple[bytes | Memory | None, int]:
    """(path, flags) of an openat that comes closest to an openat2 with this ``resolve``."""
    if resolve & RESOLVE_IN_ROOT and isinstance(path, bytes):
        path = path.lstrip(b"/") or b"."  # its root is the directory that the descriptor names
    if resolve & RESOLVE_NO_SYMLINKS:
        flags |= OPEN_NOFOLLOW  # a refused link is what the call failed on, not what the link leads to
    return path, flags


def _rename(old: PathArg, new: PathArg, flags_at: int | None) -> Shape:
    def decode(call: RawCall) -> Iterator[Attempt]:
        source, destination = _target(call, old, False), _target(call, new, False)
        yield Attempt(Operation.RENAME_FROM, source, True if call.result >= 0 else None, 0, destination)
        yield Attempt(Operation.RENAME_TO, destination, call.existed, 0, source)
        if flags_at is not None and call.args[flags_at] & RENAME_EXCHANGE:
            yield Attempt(Operation.RENAME_FROM, destination, True, 0, source)
            yield Attempt(Operation.RENAME_TO, source, True, 0, destination)

    return Shape((old, new), decode, flags_at)


def _link(old: PathArg, new: PathArg, flags_at: int | None) -> Shape:
    def decode(call: RawCall) -> Iterator[Attempt]:
        follow = flags_at is not None and bool(call.args[flags_at] & AT_SYMLINK_FOLLOW)
        source, destination = _target(call, old, follow), _target(call, new, False)
        if call.text.get(old.at) == b"":  # AT_EMPTY_PATH: the descriptor itself, by the kernel's name
            source = PathTarget(call.base.get(old.at, b""), opened=call.base.get(old.at))
        existed = False if call.result >= 0 else True if call.result == -errno.EEXIST else None
        yield Attempt(Operation.LINK_FROM, source, None, 0, destination)
        yield Attempt(Operation.LINK_TO, destination, existed, 0, source)

    return Shape((old, new), decode, flags_at)


def _mknod(arg: PathArg, mode_at: int) -> Shape:
    def decode(call: RawCall) -> Iterator[Attempt]:
        mode = stat.S_IFMT(call.args[mode_at]) or stat.S_IFREG
        yield Attempt(Operation.MKNOD, _target(call, arg, False), False, mode)

    return Shape((arg,), decode, mode_at)


def _unlinkat(call: RawCall) -> Iterator[Attempt]:
    operation = Operation.RMDIR if call.args[2] & AT_REMOVEDIR else Operation.REMOVE
    yield Attempt(operation, _target(call, PathArg(1, 0), False))


def _exec(arg: PathArg, at_flags: int | None) -> Shape:
    def decode(call: RawCall) -> Iterator[Attempt]:
        flags = call.args[at_flags] if at_flags is not None else 0
        if flags & AT_EMPTY_PATH and call.text.get(arg.at) == b"":
            name = call.base.get(arg.at, b"")
            target: Target = PathTarget(name, opened=name) if name.startswith(b"/") else Opaque(os.fsdecode(name))
            yield Attempt(Operation.EXEC, target)
            return
        yield Attempt(Operation.EXEC, _target(call, arg, not flags & AT_SYMLINK_NOFOLLOW))

    return Shape((arg,), decode, at_flags)


def _on_descriptor(operation: Operation) -> Shape:
    """A call on an open descriptor whose object's path decides about it (ftruncate, ioctl on a device)."""

    def decode(call: RawCall) -> Iterator[Attempt]:
        if call.opened is not None and call.opened.startswith(b"/"):
            yield Attempt(operation, PathTarget(call.opened, opened=call.opened))

    return Shape((), decode, 1)


def _address(call: RawCall, index: int) -> Target | None:
    raw = call.data.get(index)
    if raw is None:
        return None
    found = sockaddr(raw, call.transport)
    if isinstance(found, bytes):
        return PathTarget(found, base=call.base.get(index, b""))
    return found


def _socket(operation: Operation) -> Shape:
    def decode(call: RawCall) -> Iterator[Attempt]:
        target = _address(call, 1)
        if target is None:
            yield Attempt(operation, PathTarget(Memory.UNREADABLE))
        elif operation is not Operation.BIND or not isinstance(target, PathTarget):
            yield Attempt(operation, target)
        else:
            yield Attempt(operation, PathTarget(target.path, target.base, False), False, stat.S_IFSOCK)

    return Shape((), decode)


DNS_PORT = 53


def _send(call: RawCall) -> Iterator[Attempt]:
    """sendto, sendmsg and sendmmsg: an address (index 4, or the connected peer) and datagrams (index 1)."""
    target = _address(call, 4) or call.peer
    if target is None or (isinstance(target, Endpoint) and target.family in (Family.NETLINK, Family.OTHER)):
        return
    if isinstance(target, Endpoint) and target.port == DNS_PORT:
        for host in question_names(call.data.get(1, b"")):
            yield Attempt(Operation.RESOLVE, HostTarget(host))
    yield Attempt(Operation.SEND, target)


def _listen(call: RawCall) -> Iterator[Attempt]:
    if call.peer is not None:
        yield Attempt(Operation.LISTEN, call.peer)


def _opaque(operation: Operation, describe: Callable[[RawCall], str]) -> Shape:
    def decode(call: RawCall) -> Iterator[Attempt]:
        yield Attempt(operation, Opaque(describe(call)))

    return Shape((), decode, 0)


def _unshare(call: RawCall) -> Iterator[Attempt]:
    kinds = call.args[1 if call.name == "setns" else 0] & NAMESPACE_FLAGS
    if kinds or call.name == "setns":
        yield Attempt(Operation.NAMESPACE, Opaque(f"{call.name} {kinds:#x}"))


def _memfd(call: RawCall) -> Iterator[Attempt]:
    name = call.text.get(0, b"")
    yield Attempt(Operation.MEMFD, Opaque("unreadable" if isinstance(name, Memory) else os.fsdecode(name)))


def _shapes() -> dict[str, Shape]:
    op = Operation
    p0, at = PathArg(0), PathArg(1, 0)
    shapes: dict[str, Shape] = {
        "open": _open(p0, 1),
        "openat": _open(at, 2),
        "openat2": _open(at, 2),  # as :func:`as_openat` says it
        "creat": _open(p0, None),
        "newfstatat": _simple(op.STAT, at, at_flags=3),
        "fstatat64": _simple(op.STAT, at, at_flags=3),
        "statx": _simple(op.STAT, at, at_flags=2),
        "faccessat": _simple(op.STAT, at),
        "faccessat2": _simple(op.STAT, at, at_flags=3),
        "name_to_handle_at": _simple(op.STAT, at, at_flags=4),
        "readlink": _simple(op.READLINK, p0, nofollow=True),
        "readlinkat": _simple(op.READLINK, at, nofollow=True),
        "chdir": _simple(op.CHDIR, p0),
        "execve": _exec(p0, None),
        "execveat": _exec(at, 4),
        "mkdir": _simple(op.MKDIR, p0, nofollow=True),
        "mkdirat": _simple(op.MKDIR, at, nofollow=True),
        "rmdir": _simple(op.RMDIR, p0, nofollow=True),
        "unlink": _simple(op.REMOVE, p0, nofollow=True),
        "unlinkat": Shape((at,), _unlinkat, 2),
        "rename": _rename(p0, PathArg(1), None),
        "renameat": _rename(at, PathArg(3, 2), None),
        "renameat2": _rename(at, PathArg(3, 2), 4),
        "link": _link(p0, PathArg(1), None),
        "linkat": _link(at, PathArg(3, 2), 4),
        "symlink": _simple(op.SYMLINK, PathArg(1), nofollow=True),
        "symlinkat": _simple(op.SYMLINK, PathArg(2, 1), nofollow=True),
        "mknod": _mknod(p0, 1),
        "mknodat": _mknod(at, 2),
        "truncate": _simple(op.TRUNCATE, p0),
        "truncate64": _simple(op.TRUNCATE, p0),
        "ftruncate": _on_descriptor(op.TRUNCATE),
        "ftruncate64": _on_descriptor(op.TRUNCATE),
        "chmod": _simple(op.CHMOD, p0),
        "fchmodat": _simple(op.CHMOD, at),
        "fchmodat2": _simple(op.CHMOD, at, at_flags=3),
        "chown": _simple(op.CHOWN, p0),
        "lchown": _simple(op.CHOWN, p0, nofollow=True),
        "fchownat": _simple(op.CHOWN, at, at_flags=4),
        "utime": _simple(op.UTIME, p0),
        "utimes": _simple(op.UTIME, p0),
        "futimesat": _simple(op.UTIME, at),
        "utimensat": _simple(op.UTIME, at, at_flags=3),
        "utimensat_time64": _simple(op.UTIME, at, at_flags=3),
        "setxattr": _simple(op.SETXATTR, p0),
        "lsetxattr": _simple(op.SETXATTR, p0, nofollow=True),
        "removexattr": _simple(op.SETXATTR, p0),
        "lremovexattr": _simple(op.SETXATTR, p0, nofollow=True),
        "setxattrat": _simple(op.SETXATTR, at, at_flags=2),
        "removexattrat": _simple(op.SETXATTR, at, at_flags=2),
        "getxattr": _simple(op.GETXATTR, p0),
        "lgetxattr": _simple(op.GETXATTR, p0, nofollow=True),
        "listxattr": _simple(op.GETXATTR, p0),
        "llistxattr": _simple(op.GETXATTR, p0, nofollow=True),
        "getxattrat": _simple(op.GETXATTR, at, at_flags=2),
        "listxattrat": _simple(op.GETXATTR, at, at_flags=2),
        "inotify_add_watch": _simple(op.WATCH, PathArg(1)),
        "chroot": _simple(op.MOUNT, p0),
        "pivot_root": _simple(op.MOUNT, p0),
        "mount": _simple(op.MOUNT, PathArg(1)),
        "umount2": _simple(op.MOUNT, p0),
        "move_mount": _simple(op.MOUNT, PathArg(3, 2)),
        "open_tree": _simple(op.MOUNT, at, at_flags=2),
        "fspick": _simple(op.MOUNT, at),
        "mount_setattr": _simple(op.MOUNT, at, at_flags=2),
        "ioctl": _on_descriptor(op.IOCTL),
        "connect": _socket(op.CONNECT),
        "bind": _socket(op.BIND),
        "listen": Shape((), _listen),
        "sendto": Shape((), _send),
        "sendmsg": Shape((), _send),
        "sendmmsg": Shape((), _send),
        "unshare": Shape((), _unshare, 0),
        "setns": Shape((), _unshare, 1),
        "ptrace": _opaque(op.PTRACE, lambda call: f"request {call.args[0]}"),
        "io_uring_setup": _opaque(op.IO_URING, lambda call: "io_uring_setup"),
        "memfd_create": Shape((PathArg(0),), _memfd),
    }
    for name in ("stat", "access", "statfs", "stat64", "statfs64", "oldstat"):
        shapes[name] = _simple(op.STAT, p0)
    for name in ("lstat", "lstat64", "oldlstat"):
        shapes[name] = _simple(op.STAT, p0, nofollow=True)
    for name, twin in (("chown32", "chown"), ("lchown32", "lchown")):
        shapes[name] = shapes[twin]
    return shapes


SHAPES: dict[str, Shape] = _shapes()
"""Every traced call by name. Calls that only change a process's directory (fchdir) are in :data:`CONTEXT`."""

CONTEXT = frozenset({"fchdir"})
"""Traced for what they do to later lookups; they attempt nothing themselves."""

RESOLUTION_CHANGES = frozenset(
    {"symlink", "symlinkat", "chroot", "pivot_root", "mount", "umount2", "move_mount", "setns", "unshare"}
)
"""Calls after whose success an equal path may lead elsewhere."""


def events(call: RawCall, program: int, pid: int, *, abi: str = "", root: str = "") -> tuple[Event, ...]:
    """The meaning of one finished call; ``abi`` prefixes the name of a call of a foreign ABI (``i386:open``)."""
    outcome = -call.result if call.result < 0 else 0
    name = f"{abi}:{call.name}" if abi else call.name
    shape = SHAPES.get(call.name)
    if shape is None:
        return (Event(program, pid, name, Operation.FOREIGN, Opaque(name), outcome),)
    return tuple(
        Event(
            program, pid, name, a.operation, a.target, outcome, a.existed, a.mode or call.mode, a.peer, root, call.word
        )
        for a in shape.decode(call)
    )
