"""The system calls behind namespaces, through libc: thin, and each raises OSError.

Numbers are those of asm-generic/unistd.h, the same on every architecture for calls as new as these.
"""

import ctypes
import os
import struct

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000  # linux/sched.h
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE, MS_NOSUID, MS_NODEV, MS_NOEXEC = 0x1000, 0x4000, 1 << 18, 2, 4, 8  # linux/mount.h
MNT_DETACH = 2
RDONLY, NOSUID, NODEV = 1, 2, 4
"""MOUNT_ATTR_* (linux/mount.h)."""

_OPEN_TREE, _MOVE_MOUNT, _OPENAT2, _MOUNT_SETATTR = 428, 429, 437, 442
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000  # linux/fcntl.h
_OPEN_TREE_CLONE = 1
_MOVE_BOTH_EMPTY = 0x4 | 0x40  # MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_EMPTY_PATH
_RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_IN_ROOT = 0x2, 0x4, 0x10  # linux/openat2.h

_PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_SECUREBITS, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 4, 24, 28, 38, 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_SECUREBITS = 0x1 | 0x2 | 0x20 | 0x40 | 0x80
"""NOROOT and its lock, KEEP_CAPS' lock, NO_CAP_AMBIENT_RAISE and its lock (linux/securebits.h): root's programs get no
capability back by being root's."""
_CAPABILITY_VERSION_3 = 0x20080522  # linux/capability.h

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{os.strerror(code)} ({what})")
    return result


def _call(what: str, number: int, *args: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    return _check(int(_libc.syscall(ctypes.c_long(number), *wide)), what)


def unshare(flags: int) -> None:
    """unshare(2)."""
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """mount(2)."""
    words = [None if w is None else os.fsencode(w) for w in (source, target, kind, data)]
    _check(_libc.mount(*words[:3], ctypes.c_ulong(flags), words[3]), f"mount on {target}")


def detach(target: str) -> None:
    """umount2(2) with MNT_DETACH."""
    _check(_libc.umount2(os.fsencode(target), ctypes.c_int(MNT_DETACH)), "umount2")


def pivot_root(new: str, old: str) -> None:
    """pivot_root(2)."""
    number = _PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(38, "Function not implemented (pivot_root: no number for this architecture)")
    _call("pivot_root", number, os.fsencode(new), os.fsencode(old))


def open_beneath(directory: int, path: str) -> int:
    """An O_PATH descriptor of ``path`` below ``directory``, through no symlink at all; ELOOP if there is one."""
    how = ctypes.create_string_buffer(
        struct.pack(
            "=QQQ",
            os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW,
            0,
            _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS | _RESOLVE_IN_ROOT,
        )
    )
    return _call(f"openat2 {path}", _OPENAT2, directory, os.fsencode(path.lstrip("/") or "."), how, 24)


def clone_tree(fd: int) -> int:
    """open_tree(2): a detached copy of the mounts at and below the object that ``fd`` is."""
    return _call("open_tree", _OPEN_TREE, fd, b"", _AT_EMPTY_PATH | _AT_RECURSIVE | _OPEN_TREE_CLONE | os.O_CLOEXEC)


def set_attributes(fd: int, attributes: int, *, recursive: bool) -> None:
    """mount_setattr(2): set ``attributes`` on the mount at ``fd``; nothing is cleared."""
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    packed = ctypes.create_string_buffer(struct.pack("=QQQQ", attributes, 0, 0, 0))
    _call("mount_setattr", _MOUNT_SETATTR, fd, b"", flags, packed, 32)


def attach(tree: int, target: int) -> None:
    """move_mount(2): put the detached ``tree`` on the object that ``target`` is."""
    _call("move_mount", _MOVE_MOUNT, tree, b"", target, b"", _MOVE_BOTH_EMPTY)


def _prctl(option: int, value: int, what: str) -> None:
    zero = ctypes.c_ulong(0)
    _check(_libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero), what)


def make_dumpable() -> None:
    """Let this process write to its own files in /proc, as one that changed its user may not (proc(5))."""
    _prctl(_PR_SET_DUMPABLE, 1, "PR_SET_DUMPABLE")


def no_new_privileges() -> None:
    """Set no_new_privs."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, "PR_SET_NO_NEW_PRIVS")


def capabilities() -> int:
    """How many capabilities this kernel has."""
    with open("/proc/sys/kernel/cap_last_cap") as last:
        return int(last.read()) + 1


def drop_capabilities(count: int) -> None:
    """Give up every one of ``count`` capabilities for good: bounding, ambient, and the process's own sets."""
    _prctl(_PR_SET_SECUREBITS, _SECUREBITS, "PR_SET_SECUREBITS")
    for number in range(count):
        _prctl(_PR_CAPBSET_DROP, number, "PR_CAPBSET_DROP")
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, "PR_CAP_AMBIENT")
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0))
    _check(_libc.capset(header, ctypes.create_string_buffer(24)), "capset")
