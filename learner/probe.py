"""Doing an access again, on purpose and without side effects, to see whether it is admitted.

All probes of a batch run in one forked child that first confines itself for real (or, for a control, does not).
Nothing is truncated or overwritten: what is made gets a name of our own and is removed again.
"""

import contextlib
import ctypes
import enum
import errno
import fcntl
import os
import platform
import resource
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import msgspec

from learner.enforcers.enforcer import Confinement

_T = TypeVar("_T")

REFUSALS = frozenset({errno.EACCES, errno.EPERM, errno.EXDEV, errno.EROFS, errno.ENOENT, errno.ENOTDIR})
"""Errnos by which an enforcer refuses, or hides; every other answer means that the request got through to the object.
One that an unconfined control gives as well says nothing."""

NAME = ".sbx-probe-"
"""How the names that probes make begin."""


class Act(enum.StrEnum):
    """What a probe does. ``path`` is the object, or the directory where something is made or removed."""

    READ = "read"
    LIST = "list"
    WRITE = "write"
    EXEC = "exec"
    CREATE = "create"
    MKDIR = "mkdir"
    SYMLINK = "symlink"
    SOCKET = "socket"
    FIFO = "fifo"
    REMOVE = "remove"
    RMDIR = "rmdir"
    STAT = "stat"
    CONNECT_TCP = "connect-tcp"
    BIND_TCP = "bind-tcp"
    SEND_UDP = "send-udp"
    TRUNCATE = "truncate"
    ATTRIBUTES = "attributes"
    IOCTL = "ioctl"
    CONNECT_UNIX = "connect-unix"
    FIND_UNIX = "find-unix"
    """Whether a socket is reached; whoever listens there hears nothing of it."""
    CONNECT_ABSTRACT = "connect-abstract"
    SIGNAL = "signal"
    LOOKUP = "look up"
    """A service of macOS by its name: nothing that a process on another system could try."""


OTHER_OBJECT = errno.ESTALE
"""What a probe with an identity says of an object that is not the one that was meant, such as an empty directory of
the sandbox's own in its place."""


class Probe(msgspec.Struct, frozen=True, order=True):
    """One thing to try. ``path`` is a host or a name for sockets; ``number`` a port or a process id.

    For what is opened (READ, LIST, WRITE) ``number`` may be the object's :func:`identity`; 0: any object will do.
    """

    act: Act
    path: str
    number: int = 0


def identity(found: os.stat_result) -> int:
    """A number that no other object has at the same time."""
    return found.st_dev << 64 | found.st_ino


SCRATCH = frozenset({Act.REMOVE, Act.RMDIR})
"""Acts that need something of ours in their directory, made before by the unconfined side."""


class NoAnswer(Exception):  # noqa: N818
    """The child ended before it had answered; ``str()`` says how."""


def run(probes: Sequence[Probe], confinement: Confinement | None) -> list[int]:
    """The errno of each probe (0: it worked), tried in one child under ``confinement`` (None: unconfined).

    -1 stands for a probe that could not be tried here (no scratch file could be made, no way to check exec).
    Raises :class:`NoAnswer` if the child could not be confined or died.
    """
    token = secrets.token_hex(6)
    with _scratch(probes, token) as ready:

        def work() -> list[int]:
            if confinement is not None:
                confinement.apply()
            return [_try(p, token, i) if ready[i] else -1 for i, p in enumerate(probes)]

        return in_child(work, list[int], "the probing process died")


def in_child(work: Callable[[], _T], form: type[_T], died: str) -> _T:
    """What ``work()`` gives in a forked child that keys do not interrupt; msgspec carries it over as ``form``.

    Raises :class:`NoAnswer` with what the child raised, or ``died`` if it said nothing.
    """
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read_end)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            answer = msgspec.json.encode(work())
        except BaseException as problem:  # noqa: BLE001 - the parent must hear of anything
            answer = msgspec.json.encode(f"{type(problem).__name__}: {problem}")
        with contextlib.suppress(OSError), os.fdopen(write_end, "wb") as out:
            out.write(answer)
        os._exit(0)
    os.close(write_end)
    try:
        with os.fdopen(read_end, "rb") as incoming:
            said = incoming.read()
    except BaseException:
        os.kill(pid, signal.SIGKILL)  # nobody is left to clean up after it
        raise
    finally:
        os.waitpid(pid, 0)
    if not said:
        raise NoAnswer(died)
    decoded: _T | str = msgspec.json.decode(said, type=form | str)
    if isinstance(decoded, str):
        raise NoAnswer(decoded)
    return decoded


@contextmanager
def _scratch(probes: Sequence[Probe], token: str) -> Iterator[list[bool]]:
    """Make what probes need; afterwards remove everything that bears our token, whoever made it."""
    try:
        yield [_make_scratch(probe, _own(probe, token, index)) for index, probe in enumerate(probes)]
    finally:
        for index, probe in enumerate(probes):
            if probe.act in _MAKING or probe.act in SCRATCH:
                name = _own(probe, token, index)
                with contextlib.suppress(OSError):
                    os.unlink(name)
                with contextlib.suppress(OSError):
                    os.rmdir(name)


def _own(probe: Probe, token: str, index: int) -> str:
    return f"{probe.path}/{NAME}{token}-{index}"


def _make_scratch(probe: Probe, name: str) -> bool:
    try:
        if probe.act is Act.REMOVE:
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        elif probe.act is Act.RMDIR:
            os.mkdir(name, 0o700)
    except OSError:
        return False
    return True


def _try(probe: Probe, token: str, index: int) -> int:
    try:
        return _ACTS[probe.act](probe, _own(probe, token, index)) or 0
    except OSError as problem:
        return problem.errno or errno.EIO


def _open(path: str, flags: int, meant: int = 0) -> None:
    # O_NONBLOCK: a FIFO must not wait for its other end; O_NOCTTY: a terminal must not become ours.
    opened = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        if meant and identity(os.fstat(opened)) != meant:
            raise OSError(OTHER_OBJECT, os.strerror(OTHER_OBJECT))
    finally:
        os.close(opened)


def _read(probe: Probe, _own: str) -> None:
    _open(probe.path, os.O_RDONLY, probe.number)


def _list(probe: Probe, _own: str) -> None:
    _open(probe.path, os.O_RDONLY | os.O_DIRECTORY, probe.number)


def _write(probe: Probe, _own: str) -> None:
    _open(probe.path, os.O_WRONLY, probe.number)


def _truncate(probe: Probe, _own: str) -> None:
    """Grow the file past a limit of no bytes at all: refused last of all, so nothing comes of it (mm/truncate: EFBIG).

    Raises OSError: EFBIG if truncating is admitted.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        os.truncate(probe.path, _LARGEST)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


_LARGEST = (1 << 63) - 1
"""LLONG_MAX: no file can be longer, so this never shortens one."""


def _attributes(probe: Probe, own: str) -> None:
    """Remove an attribute that is not there: ENODATA, or its like, if changing attributes is admitted."""
    os.removexattr(probe.path, f"user{os.path.basename(own)}", follow_symlinks=False)


def _ioctl(probe: Probe, _own: str) -> None:
    """Ask a device for something that no driver knows: ENOTTY if it was asked."""
    opened = os.open(probe.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(opened, _NO_REQUEST)
    finally:
        os.close(opened)


_NO_REQUEST = 0x5358FFFF


def _create(_probe: Probe, own: str) -> None:
    # Not O_TMPFILE, which leaves no name: for Landlock that is writing, and no making (measured, Linux 6.18).
    os.mknod(own, 0o600)


def _mkdir(_probe: Probe, own: str) -> None:
    os.mkdir(own, 0o700)


def _symlink(_probe: Probe, own: str) -> None:
    os.symlink("nowhere", own)


def _socket(_probe: Probe, own: str) -> None:
    os.mknod(own, 0o140600)


def _fifo(_probe: Probe, own: str) -> None:
    os.mkfifo(own, 0o600)


def _remove(_probe: Probe, own: str) -> None:
    os.unlink(own)


def _rmdir(_probe: Probe, own: str) -> None:
    os.rmdir(own)


def _stat(probe: Probe, _own: str) -> None:
    os.lstat(probe.path)


def _connect_tcp(probe: Probe, _own: str) -> None:
    _inet(probe, socket.SOCK_STREAM, lambda s, where: s.connect(where))


def _bind_tcp(probe: Probe, _own: str) -> None:
    _inet(probe, socket.SOCK_STREAM, lambda s, where: s.bind(where))


def _send_udp(probe: Probe, _own: str) -> None:
    _inet(probe, socket.SOCK_DGRAM, lambda s, where: s.sendto(b"", where))


def _inet(probe: Probe, kind: int, use: Callable[[socket.socket, tuple[str, int]], object]) -> None:
    # Always loopback: where rules are by port the host does not matter, and nothing leaves this machine.
    family = socket.AF_INET6 if ":" in probe.path else socket.AF_INET
    with socket.socket(family, kind) as probing:
        probing.settimeout(1.0)
        try:
            use(probing, ("::1" if family == socket.AF_INET6 else "127.0.0.1", probe.number))
        except TimeoutError:
            return


def _connect_unix(probe: Probe, _own: str) -> None:
    with socket.socket(socket.AF_UNIX) as probing:
        probing.settimeout(1.0)
        probing.connect(probe.path)


def _find_unix(probe: Probe, _own: str) -> None:
    """Name it as where datagrams would go: what is of another type says so (EPROTOTYPE, unix(7)) once it is reached."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probing:
        probing.connect(probe.path)


def _connect_abstract(probe: Probe, _own: str) -> None:
    with socket.socket(socket.AF_UNIX) as probing:
        probing.settimeout(1.0)
        probing.connect("\0" + probe.path)


def _signal(probe: Probe, _own: str) -> None:
    os.kill(probe.number, 0)


def _lookup(_probe: Probe, _own: str) -> int:
    return errno.ENOSYS


_AT_EXECVE_CHECK = 0x10000  # linux/fcntl.h, Linux 6.14
_AT_FDCWD = -100
_EXECVEAT = {"x86_64": 322, "aarch64": 281}  # execveat(2)
_libc = ctypes.CDLL(None, use_errno=True)


def exec_check_available() -> bool:
    """Whether this kernel can say if a file may be executed without executing it (AT_EXECVE_CHECK)."""
    return _check_exec("/bin/sh") == 0


def _check_exec(path: str) -> int:
    number = _EXECVEAT.get(platform.machine())
    if number is None:
        return errno.ENOSYS
    argv = (ctypes.c_char_p * 2)(b"sbx", None)
    empty = (ctypes.c_char_p * 1)(None)
    name = ctypes.c_char_p(os.fsencode(path))
    if _libc.syscall(ctypes.c_long(number), _AT_FDCWD, name, argv, empty, ctypes.c_long(_AT_EXECVE_CHECK)) == 0:
        return 0
    return ctypes.get_errno()


def _exec(probe: Probe, _own: str) -> int:
    if sys.platform != "linux":
        return -1  # nothing there says it without running the program
    code = _check_exec(probe.path)
    if code not in (errno.EINVAL, errno.ENOSYS):
        return code
    return _exec_and_kill(probe.path)


def _exec_and_kill(path: str) -> int:
    """Before Linux 6.14: really exec it, traced, and kill it at its first instruction."""
    from ptrace.binding.func import ptrace_traceme

    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            ptrace_traceme()  # type: ignore[no-untyped-call]
            os.execv(path, [path])
        except OSError as problem:
            os.write(write_end, str(problem.errno).encode())
        finally:
            os._exit(127)
    os.close(write_end)
    _, status = os.waitpid(pid, 0)
    if os.WIFSTOPPED(status):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(read_end)
        return 0
    with os.fdopen(read_end, "rb") as said:
        return int(said.read() or errno.EIO)


_ACTS: dict[Act, Callable[[Probe, str], int | None]] = {
    Act.READ: _read,
    Act.LIST: _list,
    Act.WRITE: _write,
    Act.EXEC: _exec,
    Act.CREATE: _create,
    Act.MKDIR: _mkdir,
    Act.SYMLINK: _symlink,
    Act.SOCKET: _socket,
    Act.FIFO: _fifo,
    Act.REMOVE: _remove,
    Act.RMDIR: _rmdir,
    Act.STAT: _stat,
    Act.CONNECT_TCP: _connect_tcp,
    Act.BIND_TCP: _bind_tcp,
    Act.SEND_UDP: _send_udp,
    Act.TRUNCATE: _truncate,
    Act.ATTRIBUTES: _attributes,
    Act.IOCTL: _ioctl,
    Act.CONNECT_UNIX: _connect_unix,
    Act.FIND_UNIX: _find_unix,
    Act.CONNECT_ABSTRACT: _connect_abstract,
    Act.SIGNAL: _signal,
    Act.LOOKUP: _lookup,
}
_MAKING = frozenset({Act.CREATE, Act.MKDIR, Act.SYMLINK, Act.SOCKET, Act.FIFO})
