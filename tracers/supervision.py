"""A command that a keeper forked: taking over its listener, and following what becomes of it."""

import errno
import os
import signal
import time
from collections.abc import Callable, Iterable

from tracers import descendants
from tracers.job import Foreground, SignalRelay, is_stopped
from tracers.keeper import Keeper, Said
from tracers.listener import Listener, ListenerFilter, borrow, wake_synchronously
from tracers.permission import not_permitted
from tracers.tracer import TracerError, exit_status


def take(code: ListenerFilter, pid: int, keeper: Keeper) -> Listener | None:
    """The listener of the command ``pid``, which then goes on; None if it failed before (``Launch.outcome`` tells).

    Raises TracerError if there can be none here.
    """
    number = code.number()
    if number == -errno.EBUSY:
        code.abandon()
        raise TracerError(
            "another supervisor already takes the notifications of this process (a container, or sbx itself)",
            "use --tracer ptrace",
        )
    if number < 0:
        code.abandon()
        raise TracerError(f"seccomp refused a listener: {os.strerror(-number)}", "use --tracer ptrace")
    if number == 0:
        code.abandon()
        return None
    try:
        listener = Listener(borrow(pid, number))
    except OSError as problem:
        code.abandon()
        raise not_permitted(problem.errno or errno.EPERM) from None
    keeper.hold(number)
    wake_synchronously(listener.fd)
    code.taken()
    return listener


class Course:
    """How a command goes on after its start, as its keeper tells.

    ``status``: as a shell has it, once it is known. ``lingering``: labels of what outlived the command and was ended.
    """

    def __init__(self, pid: int, keeper: Keeper, relay: SignalRelay) -> None:
        self._pid = pid
        self._keeper = keeper
        self._relay = relay
        self._deadline: float | None = None
        self.status = 128 + signal.SIGKILL
        self.lingering: tuple[str, ...] = ()

    @property
    def ending(self) -> bool:
        """Whether the command has ended, and what it left behind has still time to."""
        return self._deadline is not None

    def hear(self) -> bool:
        """Follow what the keeper says; False at the end of everything."""
        for report in self._keeper.reports():
            if report is None:
                return False
            if report.said is Said.SIGNALLED:
                self._relay.seen(report.value)
            elif report.said is Said.STOPPED and is_stopped(self._pid):  # else both were, and were continued
                Foreground.follow_stop(report.value)
            elif report.said is Said.ENDED:
                self.status = exit_status(report.value)
                self._deadline = time.monotonic() + descendants.LINGER_SECONDS
        return True

    def end_what_lingers(self, labels: Callable[[], Iterable[str]]) -> None:
        """When its time is over, have the keeper kill what is left; ``labels`` says of what programs that is."""
        if self._deadline is None or time.monotonic() < self._deadline:
            return
        self.lingering = tuple(sorted(set(labels())))
        self._keeper.kill()
        self._deadline = None
