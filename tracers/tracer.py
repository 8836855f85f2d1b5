"""The one shape every tracer has, and what it needs to start a command."""

import enum
import errno
import os
import sys
from collections.abc import Callable
from typing import Protocol

import msgspec

from tracers.events import Sink
from tracers.programs import ProgramTable


class TracerName(enum.StrEnum):
    """The sources of events: Linux has several, macOS the log of its own sandbox."""

    NOTIFY = "notify"
    PTRACE = "ptrace"
    STRACE = "strace"
    EBPF = "ebpf"
    SEATBELT = "seatbelt"


def tracer_names() -> tuple[TracerName, ...]:
    """The tracers that are of this system, whether they work on this machine or not."""
    if sys.platform == "darwin":
        return (TracerName.SEATBELT,)
    return tuple(name for name in TracerName if name is not TracerName.SEATBELT)


class TracerError(Exception):
    """The tracer could not be started here. ``remedy`` is one sentence that says what to do about it."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class Command(msgspec.Struct, frozen=True):
    """What to run: the file to exec (absolute, already looked up on PATH) and its argument list.

    ``confine`` is called in the child after it is under trace and before it execs; what it does
    (restricting itself) is no business of the tracer. An exception of it aborts the launch.
    """

    file: str
    argv: tuple[str, ...]
    confine: Callable[[], None] | None = None


class TraceEnd(msgspec.Struct, frozen=True):
    """How a traced command ended.

    ``status``: its exit status, or 128 + the signal that killed it. ``launch_errno``: why exec failed, 0 if
    it did not. ``calls``: traced calls seen. ``lost``: records that could not be read or understood.
    ``unfinished``: calls whose process died inside them. ``seconds``: from the launch of the command until it and
    everything that it started had ended. ``lingering``: labels of the programs that outlived
    the command and were ended with the trace. ``interrupted``: the trace was cut short.
    ``notes``: things that a reader of the trace should know, one sentence each. ``deduced``: outcomes were not seen,
    but told from the state of the file system while each call waited.
    """

    status: int
    launch_errno: int = 0
    calls: int = 0
    lost: int = 0
    unfinished: int = 0
    seconds: float = 0.0
    lingering: tuple[str, ...] = ()
    interrupted: bool = False
    notes: tuple[str, ...] = ()
    deduced: bool = False


class Tracer(Protocol):
    """Runs a command to its end and sends what it attempts to a sink."""

    name: TracerName
    programs: ProgramTable

    def run(self, command: Command, sink: Sink) -> TraceEnd:
        """Run ``command``. Its stdin, stdout, stderr, environment and terminal are the caller's own.

        Raises :class:`TracerError` if this machine does not let us trace.
        """
        ...


NOT_FOUND, NOT_EXECUTABLE = 127, 126


def launch_status(code: int) -> int:
    """The status a shell would report for a command whose exec failed with the errno ``code``."""
    return NOT_FOUND if code == errno.ENOENT else NOT_EXECUTABLE


def exit_status(wait_status: int) -> int:
    """The status a shell would report for a ``waitpid`` status: the code, or 128 + the signal."""
    if os.WIFSIGNALED(wait_status):
        return 128 + os.WTERMSIG(wait_status)
    return os.WEXITSTATUS(wait_status)
