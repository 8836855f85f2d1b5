"""Ends what a tracer traces when sbx itself is killed: strace before 6.2 would leave it running.

Run as a script beside strace: ``strace_guard.py STRACE_PID``, with a pipe from sbx as standard input. A byte
means that all is over; the end of the pipe without one means that sbx died.
"""

import contextlib
import os
import signal
import sys
import time

_PATIENCE_SECONDS = 10.0
_PAUSE_SECONDS = 0.01


def tracees(tracer: int) -> list[int]:
    """Process ids of what ``tracer`` traces."""
    wanted = f"TracerPid:\t{tracer}\n"
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/status", errors="replace") as status:
                if any(line == wanted for line in status):
                    found.append(int(name))
    return found


def kill_tracees(tracer: int) -> bool:
    """Kill everything that ``tracer`` traces right now. True if there was anything."""
    found = tracees(tracer)
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return bool(found)


def end_tracees(tracer: int) -> None:
    """Kill everything that ``tracer`` traces, and what that forks meanwhile; gives up after ten seconds."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while kill_tracees(tracer) and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)


def _main() -> None:
    tracer = int(sys.argv[1])
    if not os.read(0, 1):
        end_tracees(tracer)


if __name__ == "__main__":
    _main()
