"""System calls about privileges, namespaces and the death of parents (prctl(2), unshare(2), capabilities(7))."""

import ctypes
import os
import signal

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000  # linux/sched.h
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER = 1, 24, 36  # linux/prctl.h
_LAST_CAPABILITY = 63
_MS_REC, _MS_PRIVATE, _MS_BIND = 0x4000, 0x40000, 0x1000  # sys/mount.h

KEPT_BY_ROOT = frozenset({0, 1, 3, 4, 5, 6, 7, 8})
"""CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP (linux/capability.h): what root's package managers
need on files and ids. All that touches networks, mounts, devices or other processes goes."""

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)


def unshare(flags: int) -> None:
    """Move this process to new namespaces. Raises OSError."""
    _check(_libc.unshare(flags), "unshare")


def hide_file(path: str) -> None:
    """Put /dev/null over ``path`` in this process's own mount namespace. Raises OSError."""
    _check(_libc.mount(b"/dev/null", os.fsencode(path), None, _MS_BIND, None), path)


def private_mounts() -> None:
    """Keep mounts of this namespace from spreading to the one it was copied from. Raises OSError."""
    _check(_libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None), "mount")


def die_with_parent(parent: int) -> None:
    """Be killed when the process ``parent``, which forked this one, ends; now, if it has ended already.

    To be called after any change of credentials: that takes the wish back (prctl(2)).
    """
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    if os.getppid() != parent:
        os._exit(125)


def ignore_keys() -> None:
    """Leave what the terminal's keys send to the whole process group to the command."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def limit() -> None:
    """Let no exec from here on give capabilities, except for :data:`KEPT_BY_ROOT` to root. Raises OSError.

    For processes in a user namespace of their own: they hold every capability in it until they exec.
    """
    for capability in range(_LAST_CAPABILITY + 1):
        if capability in KEPT_BY_ROOT and os.geteuid() == 0:
            continue
        if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            break  # EINVAL: beyond this kernel's last one
