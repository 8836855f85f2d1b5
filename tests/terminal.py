"""A person at a terminal, for tests: starts a program on a pseudo-terminal, types, waits for what appears."""

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self


class Terminal:
    """A program that leads a session on its own terminal; a context manager that ends it."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        self.seen = b""
        self._read_to = 0
        self._status: int | None = None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.execvpe(argv[0], list(argv), dict(os.environ if env is None else env))
            finally:
                os._exit(127)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Closing the master hangs the session up; the leader is ours to end for certain.
        os.close(self.fd)
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def type(self, keys: str) -> None:
        """Press keys; control characters as Python writes them."""
        os.write(self.fd, keys.encode())

    def resize(self, rows: int, columns: int) -> None:
        """Change the window's size, as dragging its corner does."""
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def echoes(self) -> bool:
        """Whether the terminal is in its usual line mode: full-screen programs switch the echo off."""
        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)

    def expect(self, text: str, timeout: float = 20) -> str:
        """Wait until ``text`` appears after what was expected before; what came up to its end."""
        wanted = text.encode()
        deadline = time.monotonic() + timeout
        while (at := self.seen.find(wanted, self._read_to)) < 0:
            ready, _, _ = select.select([self.fd], [], [], max(0, deadline - time.monotonic()))
            try:
                data = os.read(self.fd, 65536) if ready else b""
            except OSError:  # EIO: nobody has the other end open any more
                data = b""
            if not data:
                raise AssertionError(
                    f"{text!r} did not appear after {self.seen[: self._read_to]!r}: {self.seen[self._read_to :]!r}"
                )
            self.seen += data
        before, self._read_to = self._read_to, at + len(wanted)
        return self.seen[before : self._read_to].decode(errors="backslashreplace")

    def wait(self, timeout: float = 20) -> int:
        """The exit status of the program that was started, or 128 + the signal that ended it."""
        deadline = time.monotonic() + timeout
        while self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                self._status = code if code >= 0 else 128 - code
            elif time.monotonic() > deadline:
                raise AssertionError(f"still running after {timeout} s; it said {self.seen!r}")
            else:
                time.sleep(0.01)
        return self._status
