"""Signals and job control: the traced command must behave as if it were started by the shell itself.

sbx and the command share a process group, so the terminal's signals reach the command directly; sbx stays out of
their way, and stops when the command stops, so that the shell gets its prompt back.
"""

import contextlib
import os
import signal
import threading
from types import FrameType, TracebackType

INTERRUPT_GRACE_SECONDS = 0.2
"""A terminal interrupts the whole group at once. If the command has not seen a SIGINT this long after us, it was
sent to us alone and is passed on."""


class Foreground:
    """The controlling terminal, as far as it concerns stopping."""

    @staticmethod
    def owned() -> bool:
        """Whether this process group has the controlling terminal in the foreground."""
        try:
            terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            return os.tcgetpgrp(terminal) == os.getpgrp()
        except OSError:
            return False
        finally:
            os.close(terminal)

    @classmethod
    def follow_stop(cls, stop_signal: int) -> None:
        """Stop as the command did, if a shell with job control is there to continue us."""
        if stop_signal in (signal.SIGTTIN, signal.SIGTTOU) or cls.owned():
            os.kill(os.getpid(), signal.SIGSTOP)


class SignalRelay:
    """While active, signals meant for the command reach it and do not end sbx.

    ``interrupted`` tells afterwards whether one that asks to end was received.
    """

    _PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
    _ENDING = (signal.SIGTERM, signal.SIGHUP)
    _LEFT_TO_THE_COMMAND = (signal.SIGTSTP,)

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before: dict[signal.Signals, object] = {}
        self._awaited: set[int] = set()
        self._asked = 0
        self.interrupted = False

    def __enter__(self) -> "SignalRelay":
        for number in self._PASSED_ON:
            self._install(number, self._pass_on)
        for number in (signal.SIGINT, signal.SIGQUIT):
            self._install(number, self._from_terminal)
        for number in self._LEFT_TO_THE_COMMAND:
            self._install(number, signal.SIG_IGN)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._awaited.clear()
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]

    def seen(self, number: int) -> None:
        """A traced task is being delivered ``number``."""
        self._awaited.discard(number)

    def _install(self, number: signal.Signals, handler: object) -> None:
        if signal.getsignal(number) == signal.SIG_IGN:
            return  # started with it ignored (nohup): the command inherited that, and so do we
        self._before[number] = signal.signal(number, handler)  # type: ignore[arg-type]

    def _send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, number)

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        if number in self._ENDING:
            self.interrupted = True
            self._asked += 1
            if self._asked > 1:
                number = signal.SIGKILL  # asked twice: the command does not listen
        self._send(number)

    def _from_terminal(self, number: int, _frame: FrameType | None) -> None:
        self.interrupted = True
        self._awaited.add(number)
        # A thread, because the loop blocks in waitpid; it lives for this moment only.
        timer = threading.Timer(INTERRUPT_GRACE_SECONDS, self._grace_over)
        timer.daemon = True
        timer.start()

    def _grace_over(self) -> None:
        while self._awaited:
            self._send(self._awaited.pop())
