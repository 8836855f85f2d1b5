"""The process between sbx and a supervised command: it outlives sbx, and lets nothing outlive the trace.

A listener ties the command to nobody: were sbx killed, its calls would be answered ENOSYS, and it would run on. So the
command is forked from a *keeper*, which is the parent of all that the command leaves behind (a subreaper), holds the
listener as well, and kills everything when sbx is gone or asks for it. It is also a witness: a signal that reaches it
went to the whole process group, the command included.
"""

import contextlib
import ctypes
import enum
import os
import select
import signal
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tracers.listener import borrow
from tracers.offspring import descendants

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_PAUSE_SECONDS = 0.01
_REPORT = struct.Struct("=Bi")
_KILL, _HOLD = b"k", b"h"
_WITNESSED = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_IGNORED = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGPIPE)


class Said(enum.IntEnum):
    """What a keeper reports of the command."""

    STARTED = 1
    """Its process id."""
    SIGNALLED = 2
    """A signal went to its process group."""
    STOPPED = 3
    """It was stopped by a signal."""
    ENDED = 4
    """Its wait status."""


class Report(NamedTuple):
    """One report; ``value`` as :class:`Said` has it."""

    said: Said
    value: int


class Keeper:
    """Our end. :attr:`fd` is readable when there are :meth:`reports`; its end is the end of everything traced."""

    def __init__(self) -> None:
        self.pid = 0
        self.fd = self._orders = -1

    def fork(self) -> int:
        """Fork the keeper, and from it the command: 0 in the command's process, its process id in ours."""
        report_read, report_write = os.pipe()
        order_read, order_write = os.pipe()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        self.pid = os.fork()
        if self.pid == 0:
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
            keeper = os.getpid()
            command = os.fork()
            if command == 0:
                for fd in (report_read, report_write, order_read, order_write):
                    os.close(fd)
                ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                if os.getppid() != keeper:
                    os._exit(127)
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
                return 0
            try:
                os.write(report_write, _REPORT.pack(Said.STARTED, command))  # before all that takes time
                _keep(command, report_write, order_read)
            finally:
                os._exit(0)
        os.close(report_write)
        os.close(order_read)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.fd, self._orders = report_read, order_write
        started = os.read(report_read, _REPORT.size)
        os.set_blocking(report_read, False)
        return _REPORT.unpack(started)[1] if started else 0

    def reports(self) -> Iterator[Report | None]:
        """What came since the last time; None where the keeper has ended, and with it everything traced."""
        while True:
            try:
                data = os.read(self.fd, _REPORT.size)  # written at once, so never half
            except BlockingIOError:
                return
            if not data:
                yield None
                return
            said, value = _REPORT.unpack(data)
            yield Report(Said(said), value)

    def hold(self, listener: int) -> None:
        """Have it take the command's descriptor ``listener`` as well, before the command closes it."""
        self._order(_HOLD + struct.pack("=i", listener))
        os.set_blocking(self.fd, True)
        os.read(self.fd, _REPORT.size)  # that it has
        os.set_blocking(self.fd, False)

    def kill(self) -> None:
        """Have it kill all that is left, and what that forks meanwhile."""
        self._order(_KILL)

    def end(self) -> None:
        """Kill all that is left, and wait for the end of it."""
        if self.fd < 0:
            return
        os.close(self._orders)
        os.close(self.fd)
        self.fd = -1
        os.waitpid(self.pid, 0)

    def _order(self, order: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(self._orders, order)


def _keep(command: int, reports: int, orders: int) -> None:
    """The keeper: until no descendant is left."""
    came, comes = os.pipe()
    # Below them is nothing that it needs: an open terminal or pipe would keep their readers waiting.
    reports, orders, came, comes = _only(reports, orders, came, comes)
    os.set_blocking(comes, False)
    os.set_blocking(came, False)
    signal.set_wakeup_fd(comes, warn_on_full_buffer=False)
    for number in (*_WITNESSED, signal.SIGCHLD):
        signal.signal(number, _nothing)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*_WITNESSED, signal.SIGCHLD})

    def report(said: Said, value: int) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(reports, _REPORT.pack(said, value))

    poll = select.poll()
    poll.register(came, select.POLLIN)
    poll.register(orders, select.POLLIN)
    killing = False
    while _reap(command, report):
        if killing:
            _kill_all()
        for fd, _ in poll.poll(_PAUSE_SECONDS * 1000 if killing else None):
            if fd == came:
                with contextlib.suppress(BlockingIOError):
                    for came_in in os.read(came, 512):
                        if came_in != signal.SIGCHLD:
                            report(Said.SIGNALLED, came_in)
                continue
            order = os.read(orders, 1)
            if order == _HOLD:
                listener = struct.unpack("=i", os.read(orders, 4))[0]
                with contextlib.suppress(OSError):
                    borrow(command, listener)
                report(Said.STARTED, command)
                continue
            if not order:
                poll.unregister(orders)  # sbx is gone
            killing = True
    os.close(reports)  # the end of this process takes longer than it says


def _nothing(_number: int, _frame: object) -> None:
    """The wake-up descriptor has it."""


def _only(*wanted: int) -> list[int]:
    """Copies of descriptors, and no other open."""
    highest = 1 + max(wanted)
    copies = [os.dup2(fd, highest + n, inheritable=False) for n, fd in enumerate(wanted)]
    os.closerange(0, highest)
    os.closerange(highest + len(copies), os.sysconf("SC_OPEN_MAX"))
    return copies


def _reap(command: int, report: Callable[[Said, int], None]) -> bool:
    """Collect what has ended or stopped; False if no child is left."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
        if pid == command:
            stopped = os.WIFSTOPPED(status)
            report(Said.STOPPED if stopped else Said.ENDED, os.WSTOPSIG(status) if stopped else status)


def _kill_all() -> None:
    for pid in descendants():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
