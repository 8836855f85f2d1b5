"""Waiting for a command that runs in a child: its status, its signals, and the end of its time.

With a limit the watcher is a *subreaper*: what the command leaves behind becomes its own child, and is ended with the
command. Nobody would hold the limit for it afterwards.
"""

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from learner.limits import TIMED_OUT, Held
from tracers.offspring import descendants
from tracers.tracer import exit_status

GRACE_SECONDS = 5.0
"""Between SIGTERM and SIGKILL once the time is over."""
LINGER_SECONDS = 2.0
"""The same for what a command leaves behind when it ends in time."""
_KILL_SECONDS = 10.0
_PAUSE_SECONDS = 0.02
_PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


class Ended(NamedTuple):
    """``status`` as a shell has it. ``killed_by``: the signal, 0 if none. ``survivors``: what could not be ended."""

    status: int
    killed_by: int = 0
    timed_out: bool = False
    survivors: tuple[int, ...] = ()


def watch(start: Callable[[], NoReturn], held: Held) -> Ended:
    """Fork, ``start()`` the command in the child, and wait for it.

    Signals that somebody sends to this process are passed on; the terminal's reach the command by themselves. When the
    time of ``held`` is over, the command and all that it started get SIGTERM, then SIGKILL. Its cgroup is removed.
    """
    watched = {signal.SIGCHLD, *_PASSED_ON}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    ignoring = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where it is ignored, nobody learns how a child ended
    if held.watched:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGCHLD, ignoring)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if held.watched:
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(TIMED_OUT)
        start()
    try:
        return _wait(child, held, watched)
    finally:
        if held.group is not None:
            held.group.kill()
            held.group.remove()
        signal.signal(signal.SIGCHLD, ignoring)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait(child: int, held: Held, watched: set[signal.Signals]) -> Ended:
    deadline = time.monotonic() + held.limits.time if held.limits.time is not None else None
    while (waited := _reap(child)) is None:
        left = max(deadline - time.monotonic(), 0.0) if deadline is not None else 3600.0
        found = signal.sigtimedwait(watched, left)
        if found is None and deadline is not None and time.monotonic() >= deadline:
            survivors = _end_all(held, GRACE_SECONDS)
            return Ended(TIMED_OUT, timed_out=True, survivors=survivors)
        if found is not None and found.si_signo in _PASSED_ON and found.si_code <= 0:  # SI_USER: sent by a process
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, found.si_signo)
    survivors = _end_all(held, LINGER_SECONDS) if held.watched else ()
    killed_by = os.WTERMSIG(waited) if os.WIFSIGNALED(waited) else 0
    return Ended(exit_status(waited), killed_by, survivors=survivors)


def _reap(child: int) -> int | None:
    """Collect whatever has ended; the wait status of ``child`` if it is among that."""
    found = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == child:
                found = status
    return found


def _end_all(held: Held, grace: float) -> tuple[int, ...]:
    """End every descendant: kindly for ``grace`` seconds, then not. What is left, if anything."""
    polite_until = time.monotonic() + grace
    last = polite_until + _KILL_SECONDS
    for pid in descendants():
        _send(pid, signal.SIGTERM)
        _send(pid, signal.SIGCONT)
    while True:
        _reap(0)
        left = descendants()
        now = time.monotonic()
        if not left or now >= last:
            return left
        if now >= polite_until:
            if held.group is not None:
                held.group.kill()
            for pid in left:  # again and again: one may have forked meanwhile
                _send(pid, signal.SIGKILL)
        time.sleep(_PAUSE_SECONDS)


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _prctl(option: int, value: int) -> None:
    """prctl(2). Neither of the options used can fail."""
    rest = (ctypes.c_ulong(0),) * 3
    ctypes.CDLL(None).prctl(ctypes.c_int(option), ctypes.c_ulong(value), *rest)
