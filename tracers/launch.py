"""Starting a command so that it is under trace, confined and filtered before its first instruction.

The order matters: the child waits until it is seized, restricts itself, installs the filter, execs.
A filter without a tracer would answer every traced call with ENOSYS.
"""

import contextlib
import errno
import os
import signal
import time
from collections.abc import Callable

from tracers.filters import Filter
from tracers.tracer import Command, TracerError

_CONFINE_FAILED = b"confine:"


class Launch:
    """A forked child that waits. ``pid`` is its process id; ``fork`` forks it as fork(2) does.

    ``released``: when it was let go on, by the monotonic clock.
    """

    def __init__(self, command: Command, code: Filter, fork: Callable[[], int] = os.fork) -> None:
        self._gate_read, self._gate_write = os.pipe()
        self._report_read, report_write = os.pipe()
        self.released = 0.0
        self.pid = fork()
        if self.pid == 0:
            os.close(self._gate_write)
            os.close(self._report_read)
            _child(command, code, self._gate_read, report_write)
        os.close(self._gate_read)
        os.close(report_write)

    def release(self) -> None:
        """Let the child go on to its exec."""
        self.released = time.monotonic()
        os.write(self._gate_write, b"x")
        os.close(self._gate_write)

    def abort(self) -> None:
        """End a child that was never released."""
        os.close(self._gate_write)
        os.close(self._report_read)
        with contextlib.suppress(ChildProcessError):  # another forked it
            os.waitpid(self.pid, 0)

    def outcome(self) -> int:
        """0 if the command was exec'd, else the errno of its exec. Raises TracerError if confining failed."""
        with os.fdopen(self._report_read, "rb") as report:
            said = report.read()
        if said.startswith(_CONFINE_FAILED):
            reason = said[len(_CONFINE_FAILED) :].decode(errors="replace")
            raise TracerError(f"the command could not be confined: {reason}", "see `sbx doctor`")
        return int(said) if said else 0


def _child(command: Command, code: Filter, gate: int, report: int) -> None:
    """Never returns."""
    try:
        # Python ignores these; a program expects their defaults, as from a shell.
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(ignored, signal.SIG_DFL)
        if not os.read(gate, 1):
            os._exit(127)
        try:
            if command.confine is not None:
                command.confine()
            code.install()
        except Exception as failure:  # noqa: BLE001 - whatever it was, the parent must hear of it
            os.write(report, _CONFINE_FAILED + str(failure).encode(errors="replace")[:4000])
            os._exit(127)
        report_exec_failure(command, report)
    finally:
        os._exit(127)


def report_exec_failure(command: Command, report: int) -> None:
    """Exec ``command``; on failure write the errno to the close-on-exec descriptor ``report`` and return."""
    file = os.fsencode(command.file)
    argv = [os.fsencode(word) for word in command.argv]
    try:
        os.execv(file, argv)
    except OSError as failure:
        code = failure.errno or errno.EIO
        if code == errno.ENOEXEC:
            # A script without a first line: shells and execvp(3) hand it to sh.
            try:
                os.execv("/bin/sh", [b"sh", file, *argv[1:]])
            except OSError as second:
                code = second.errno or errno.EIO
        os.write(report, str(code).encode())
