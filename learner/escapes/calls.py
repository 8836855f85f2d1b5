"""System calls that Python does not offer, through libc. Each raises OSError."""

import contextlib
import ctypes
import os
import platform
import signal
import struct
from collections.abc import Callable
from typing import NoReturn

from learner.escapes.escape import Void
from learner.settings import map_ids

CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x20000000, 0x10000000, 0x40000000  # linux/sched.h
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18  # linux/mount.h

_NUMBERS = {
    "x86_64": {
        "add_key": 248,
        "bpf": 321,
        "keyctl": 250,
        "mq_open": 240,
        "mq_timedreceive": 243,
        "mq_timedsend": 242,
        "mq_unlink": 241,
    },
    "aarch64": {
        "add_key": 217,
        "bpf": 280,
        "keyctl": 219,
        "mq_open": 180,
        "mq_timedreceive": 183,
        "mq_timedsend": 182,
        "mq_unlink": 181,
    },
}
_EVERYWHERE = {"io_uring_setup": 425, "io_uring_enter": 426, "openat2": 437, "pidfd_getfd": 438}
"""asm/unistd.h; from 424 on the numbers are the same on every architecture."""

libc = ctypes.CDLL(None, use_errno=True)
Word = int | bytes | ctypes.Array[ctypes.c_char] | None


def check(result: int) -> int:
    """``result`` of a call of libc's, unless it is negative: then OSError."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def call(name: str, *args: Word) -> int:
    """A system call by name. Raises Void where its number is not known."""
    number = _EVERYWHERE.get(name) or _NUMBERS.get(platform.machine(), {}).get(name)
    if number is None:
        raise Void(f"the number of {name} is not known on {platform.machine()}")
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    return check(int(libc.syscall(ctypes.c_long(number), *words)))


def unshare(flags: int) -> None:
    """unshare(2)."""
    check(libc.unshare(ctypes.c_int(flags)))


def mount(source: str | None, target: str, kind: str | None, flags: int) -> None:
    """mount(2) without data."""
    words = [None if w is None else os.fsencode(w) for w in (source, target, kind)]
    check(libc.mount(*words, ctypes.c_ulong(flags), None))


def own_user_namespace(flags: int) -> None:
    """Enter new namespaces, ``flags`` beside a user namespace in which this user stays itself. Raises OSError."""
    uid, gid = os.geteuid(), os.getegid()
    libc.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: one that changed its user may not write its own files in /proc
    unshare(CLONE_NEWUSER | flags)
    with contextlib.suppress(PermissionError, FileNotFoundError):  # no mapping, but capabilities all the same
        map_ids(uid, gid)


def own_mounts(flags: int = 0) -> None:
    """Enter a mount namespace in which one may mount: as root at once, else in a user namespace. Raises OSError.

    Nothing that is mounted in it is seen outside.
    """
    try:
        unshare(CLONE_NEWNS | flags)
    except PermissionError:
        own_user_namespace(CLONE_NEWNS | flags)
    # Refused under Landlock, which then refuses every other mount as well.
    mount(None, "/", None, MS_REC | MS_PRIVATE)


def in_child(work: Callable[[], None]) -> None:
    """``work()`` in a forked child. Raises its OSError."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        _report(work, write_end)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as said:
        code = said.read()
    os.waitpid(pid, 0)
    if len(code) != 4:
        raise OSError(5, "the child died")
    (number,) = struct.unpack("=i", code)
    if number:
        raise OSError(number, os.strerror(number))


def _report(work: Callable[[], None], write_end: int) -> NoReturn:
    code = 0
    try:
        work()
    except OSError as problem:
        code = problem.errno or 5
    finally:
        with contextlib.suppress(OSError):
            os.write(write_end, struct.pack("=i", code))
        os._exit(0)


def execute(program: str | int, argv: list[str]) -> int:
    """Exec in a child with no environment, and its wait status. Raises the OSError of exec."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.execve(program, argv, {})
        except OSError as problem:
            os.write(write_end, struct.pack("=i", problem.errno or 5))
        finally:
            os._exit(127)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as said:
        code = said.read()
    _, status = os.waitpid(pid, 0)
    if code:
        (number,) = struct.unpack("=i", code)
        raise OSError(number, os.strerror(number))
    return status


def end(pid: int) -> None:
    """Kill and reap a child."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
