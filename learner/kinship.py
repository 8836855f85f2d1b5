"""What processes are to each other when one of them ends, and which of them the terminal's keys reach (prctl(2))."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends. Only Linux knows that."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int, status: int = 125) -> None:
    """Be killed when the process ``parent``, which forked this one, ends; exit with ``status`` if it has ended.

    To be called after any change of credentials: that takes the wish back. Only Linux knows the former.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(status)


def ignore_keys() -> None:
    """Leave what the terminal's keys send to the whole process group to the command."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)


def _prctl(option: int, value: int) -> None:
    """Neither of the options can fail."""
    if sys.platform != "linux":
        return
    rest = (ctypes.c_ulong(0),) * 3
    ctypes.CDLL(None).prctl(ctypes.c_int(option), ctypes.c_ulong(value), *rest)
