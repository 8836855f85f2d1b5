"""Signals and job control: the traced command must behave as if it were started by the shell itself.

sbx and the command share a process group, so the terminal's signals reach the command directly; sbx stays out of
their way, and stops when the command stops, so that the shell gets its prompt back.
"""

import contextlib
import os
import signal
import threading
import time
from types import TracebackType

GRACE_SECONDS = 0.2
"""A signal that goes to the whole process group reaches the command, too. If it has not been delivered one this long
after us, it was sent to us alone and is passed on."""

_SI_KERNEL = 0x80  # asm-generic/siginfo.h: not sent by a process


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
    """While active, signals meant for the command reach it once and do not end sbx.

    They are held back from this thread and taken by one that learns who sent them; other threads must be started
    while it is active. ``interrupted`` tells afterwards whether one that asks to end was received.
    """

    _KEYS = frozenset({signal.SIGINT, signal.SIGQUIT})
    _ENDING = frozenset({signal.SIGTERM, signal.SIGHUP})
    _OTHERS = frozenset({signal.SIGUSR1, signal.SIGUSR2})
    _OVER = signal.SIGRTMIN  # wakes the thread at the end

    def __init__(self, pid: int) -> None:
        self._pid = pid
        # What was ignored when we started (nohup) the command ignores, too: it inherited that.
        taken = (self._KEYS | self._ENDING | self._OTHERS) - {s for s in signal.Signals if _ignored(s)}
        self._taken = frozenset(taken | {self._OVER})
        self._delivered: dict[int, float] = {}
        self._delivery = threading.Condition()
        self._over = False
        self._asked = 0
        self._thread = threading.Thread(target=self._take, name="signal relay", daemon=True)
        self.interrupted = False

    def __enter__(self) -> "SignalRelay":
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._taken)
        # Ctrl-Z is for the command; we stop when it has stopped.
        self._suspend = signal.signal(signal.SIGTSTP, signal.SIG_IGN)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._delivery:
            self._over = True
            self._delivery.notify()
        signal.pthread_kill(self._thread.ident or 0, self._OVER)
        self._thread.join()
        # What arrived together with the command's end waits behind what woke the thread (signals sent to one thread
        # come first); let through now, it would end sbx instead.
        while (late := signal.sigtimedwait(self._taken, 0)) is not None:
            self._note(late.si_signo)
        signal.signal(signal.SIGTSTP, self._suspend)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def seen(self, number: int) -> None:
        """A traced task is being delivered ``number``."""
        with self._delivery:
            self._delivered[number] = time.monotonic()
            self._delivery.notify()

    def _take(self) -> None:
        while True:
            received = signal.sigwaitinfo(self._taken)
            if received.si_signo == self._OVER:
                return
            self._received(received.si_signo, received.si_code == _SI_KERNEL)

    def _note(self, number: int) -> None:
        self.interrupted = self.interrupted or number in self._KEYS | self._ENDING

    def _received(self, number: int, by_kernel: bool) -> None:
        self._note(number)
        if number in self._KEYS and by_kernel:
            return  # a key on the terminal: it went to the whole group
        began = time.monotonic()
        with self._delivery:
            # It may have been delivered to the command a moment before it was to us.
            if self._delivery.wait_for(lambda: self._over or self._was_delivered(number, began), GRACE_SECONDS):
                return
        if number in self._ENDING:
            self._asked += 1
            if self._asked > 1:
                number = signal.SIGKILL  # asked twice: the command does not listen
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, number)

    def _was_delivered(self, number: int, about: float) -> bool:
        return self._delivered.get(number, -1.0) > about - GRACE_SECONDS


def _ignored(number: signal.Signals) -> bool:
    return signal.getsignal(number) == signal.SIG_IGN


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped by a signal."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] == b"T"
    except OSError:
        return False
