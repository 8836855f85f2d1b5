"""Ends what the eBPF tracer watches when sbx itself is killed, as PTRACE_O_EXITKILL does for a ptrace tracer.

A child of sbx that waits for the end of a pipe. It inherits the BPF programs, so that what is born meanwhile is marked
as well, and with it they end.
"""

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable

_PATIENCE_SECONDS = 10.0
_PAUSE_SECONDS = 0.01

Marked = Callable[[int], bool]
"""Whether the process behind a pidfd is watched."""


def end_all(marked: Marked) -> bool:
    """Kill every watched process once; whether there was one."""
    found = False
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            pidfd = os.pidfd_open(int(name))
        except OSError:
            continue
        with contextlib.suppress(OSError):
            if marked(pidfd):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                found = True
        os.close(pidfd)
    return found


class Guard:
    """Stands beside a trace from construction to :meth:`dismiss`."""

    def __init__(self, marked: Marked, keep: tuple[int, ...]) -> None:
        """``keep``: descriptors that ``marked`` and the BPF programs need."""
        read_end, self._write_end = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._write_end)
            _watch(read_end, marked, keep)
        os.close(read_end)

    def dismiss(self) -> None:
        """The trace is over: nothing is to be ended."""
        os.write(self._write_end, b".")
        self._leave()

    def end(self) -> None:
        """End everything that is watched, as if we had been killed."""
        self._leave()

    def _leave(self) -> None:
        os.close(self._write_end)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def _watch(read_end: int, marked: Marked, keep: tuple[int, ...]) -> None:
    """Never returns."""
    try:
        os.setsid()  # out of reach of the terminal's signals
        ctypes.CDLL(None).prctl(15, b"sbx-guard", 0, 0, 0)  # PR_SET_NAME
        kept = sorted({read_end, *keep})
        below = 0
        for descriptor in [*kept, os.sysconf("SC_OPEN_MAX")]:  # whoever waits for the end of our output must not
            os.closerange(below, descriptor)
            below = descriptor + 1
        if not os.read(read_end, 1):
            deadline = time.monotonic() + _PATIENCE_SECONDS
            while end_all(marked) and time.monotonic() < deadline:
                time.sleep(_PAUSE_SECONDS)
    finally:
        os._exit(0)
