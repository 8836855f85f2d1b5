"""Waiting for a command that runs in a child: its status, its signals, and the end of its time.

With a limit the watcher is a *subreaper*: what the command leaves behind becomes its own child, and is ended with the
command. Nobody would hold the limit for it afterwards.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import NamedTuple, NoReturn

from learner import kinship
from learner.limits import TIMED_OUT, Held
from tracers.offspring import remaining
from tracers.tracer import exit_status

GRACE_SECONDS = 5.0
"""Between SIGTERM and SIGKILL once the time is over."""
LINGER_SECONDS = 2.0
"""The same for what a command leaves behind when it ends in time."""
_KILL_SECONDS = 10.0
_PAUSE_SECONDS = 0.02
_PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


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
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*watched, signal.SIGALRM})
    # Where it is ignored, nobody learns how a child ended. BSD kernels drop it, even blocked, where nothing handles it.
    handling = signal.signal(signal.SIGCHLD, _noted)
    if held.watched:
        kinship.adopt_orphans()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGCHLD, handling)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if held.watched:
            kinship.die_with_parent(parent, TIMED_OUT)
        start()
    try:
        return _wait(child, held, watched)
    finally:
        if held.group is not None:
            held.group.kill()
            held.group.remove()
        signal.signal(signal.SIGCHLD, handling)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _noted(_number: int, _frame: FrameType | None) -> None:
    """A signal is waited for; nothing is to be done when it comes."""


def _wait(child: int, held: Held, watched: set[signal.Signals]) -> Ended:
    deadline = time.monotonic() + held.limits.time if held.limits.time is not None else None
    while (waited := _reap(child)) is None:
        left = max(deadline - time.monotonic(), 0.0) if deadline is not None else 3600.0
        found = _next(watched, left)
        if found is None and deadline is not None and time.monotonic() >= deadline:
            survivors = _end_all(held, GRACE_SECONDS)
            return Ended(TIMED_OUT, timed_out=True, survivors=survivors)
        if found is not None and found in _PASSED_ON:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, found)
    survivors = _end_all(held, LINGER_SECONDS) if held.watched else ()
    killed_by = os.WTERMSIG(waited) if os.WIFSIGNALED(waited) else 0
    return Ended(exit_status(waited), killed_by, survivors=survivors)


def _next(watched: set[signal.Signals], seconds: float) -> int | None:
    """The next signal that came from a process, or 0 for another one; None if the time was over before."""
    if not hasattr(signal, "sigtimedwait"):  # macOS
        return _next_or_alarm(watched, seconds)
    found = signal.sigtimedwait(watched, seconds)
    if found is None:
        return None
    return found.si_signo if found.si_code <= 0 else 0  # SI_USER: sent by a process


def _next_or_alarm(watched: set[signal.Signals], seconds: float) -> int | None:
    """The same by an alarm. Who sent a signal is not known: the terminal's keys, most likely, if they could have."""
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    number = signal.sigwait({*watched, signal.SIGALRM})
    signal.setitimer(signal.ITIMER_REAL, 0)
    if signal.SIGALRM in signal.sigpending():  # it would end this process as soon as it is let through
        signal.sigwait({signal.SIGALRM})
    if number == signal.SIGALRM:
        return None
    return 0 if number in (signal.SIGINT, signal.SIGQUIT) else number


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
    known: set[int] = set()
    for pid in remaining(known):
        _send(pid, signal.SIGTERM)
        _send(pid, signal.SIGCONT)
    while True:
        _reap(0)
        left = remaining(known)
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
