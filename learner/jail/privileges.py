"""Which capabilities a program may come to hold in a jail (capabilities(7))."""

import ctypes
import os

_PR_CAPBSET_DROP = 24  # linux/prctl.h
_LAST_CAPABILITY = 63

KEPT_BY_ROOT = frozenset({0, 1, 3, 4, 5, 6, 7, 8})
"""CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP (linux/capability.h): what root's package managers
need on files and ids. All that touches networks, mounts, devices or other processes goes."""


def limit() -> None:
    """Let no exec from here on give capabilities, except for :data:`KEPT_BY_ROOT` to root. Raises OSError.

    For processes in a user namespace of their own: they hold every capability in it until they exec.
    """
    libc = ctypes.CDLL(None)
    for capability in range(_LAST_CAPABILITY + 1):
        if capability in KEPT_BY_ROOT and os.geteuid() == 0:
            continue
        if libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            break  # EINVAL: beyond this kernel's last one
