"""From what the macOS sandbox reported to a trace: the sink of the live tracer, and of saved logs.

Its paths are the kernel's own, resolved, and come after the fact; so nothing is walked here. What kind of thing a path
names is looked up on the Mac itself. Elsewhere it is concluded from the log: what has names beneath it is a directory.
"""

import os
from collections.abc import Callable, Container

import msgspec

from learner import census
from learner.access import Access, Kind
from learner.places import ancestors
from learner.recorder import endpoint_text
from learner.resolver import kind_of
from learner.trace import DARWIN, End, Header, Trace, TraceWriter, sort_key, write_trace
from tracers.events import Endpoint, Event, Opaque, Operation, PathTarget
from tracers.programs import ProgramTable
from tracers.tracer import TraceEnd

_OF_DIRECTORY = {
    Operation.READ: Operation.LIST,
    Operation.CREATE: Operation.MKDIR,
    Operation.REMOVE: Operation.RMDIR,
}
Look = Callable[[str], tuple[Kind, str]]
"""What a path names, and where it leads if it is a symlink."""


def look_here(path: str) -> tuple[Kind, str]:
    """A :data:`Look` at this machine."""
    try:
        kind = kind_of(os.lstat(path).st_mode)
        return kind, os.readlink(path) if kind is Kind.SYMLINK else ""
    except (OSError, ValueError):
        return Kind.ABSENT, ""


class ReportRecorder:
    """Keeps each distinct access once. ``look``: None where the paths are not of this machine."""

    def __init__(
        self, header: Header, programs: ProgramTable, writer: TraceWriter | None = None, look: Look | None = None
    ) -> None:
        self._header = msgspec.structs.replace(header, platform=DARWIN)
        self._programs = programs
        self._writer = writer
        self._look = look
        self._accesses: dict[Access, None] = {}

    def event(self, event: Event) -> bool:
        """See :class:`tracers.events.Sink`."""
        name, kind, end = self._object(event)
        access = Access(event.operation, name, kind, event.outcome, event.program, event.call, endpoint=end)
        self._accesses[access] = None
        return True

    def forget(self) -> None:
        """See :class:`tracers.events.Sink`."""

    def links(self) -> Container[str]:
        """See :class:`tracers.events.Sink`."""
        return ()

    @property
    def in_order(self) -> tuple[Access, ...]:
        """Each distinct access, in the order in which it was first reported."""
        return tuple(self._accesses)

    def finish(self, end: TraceEnd) -> Trace:
        """The trace of a run that ended, or of a log."""
        kinds, targets = self._kinds()
        accesses = {_settled(access, kinds) for access in self._accesses}
        places = self._header.variables.places
        last = End(
            end.status, end.calls, end.lost, end.unfinished, round(end.seconds, 3), end.interrupted, notes=end.notes
        )
        trace = Trace(
            self._header,
            self._programs.all(),
            tuple(sorted(accesses, key=sort_key)),
            dict(sorted(targets.items())),
            {},
            last,
            beside=census.take(accesses, places) if self._look else {},
            helpers=census.helpers(accesses, places) if self._look else {},
        )
        if self._writer is not None:
            write_trace(trace, self._writer)
            self._writer.close()
        return trace

    def _object(self, event: Event) -> tuple[str, Kind, Endpoint | None]:
        target = event.target
        if isinstance(target, Endpoint):
            return endpoint_text(target), Kind.SOCKET, target
        if isinstance(target, PathTarget) and target.opened is not None:
            return os.fsdecode(target.opened), Kind.ABSENT, None
        name = target.text if isinstance(target, Opaque) else ""
        return f"{event.call} {name}".rstrip(), Kind.OPAQUE, None

    def _kinds(self) -> tuple[dict[str, Kind], dict[str, str]]:
        """What each path names, and where the symlinks among them lead."""
        paths = {a.object for a in self._accesses if a.kind is Kind.ABSENT}
        above = {directory for path in paths for directory in ancestors(path)}
        kinds = dict.fromkeys(paths & above, Kind.DIRECTORY)
        targets = {}
        for path in paths if self._look else ():
            kind, target = self._look(path) if self._look else (Kind.ABSENT, "")
            if kind is not Kind.ABSENT:
                kinds[path] = kind
            if target:
                targets[path] = target
        return kinds, targets


def _settled(access: Access, kinds: dict[str, Kind]) -> Access:
    """``access`` with the kind of its object; a file where nothing tells it."""
    if access.kind is not Kind.ABSENT:
        return access
    operation = access.operation
    made_socket = operation in (Operation.CONNECT, Operation.BIND)
    kind = kinds.get(access.object, Kind.SOCKET if made_socket else Kind.FILE)
    if kind is Kind.DIRECTORY:
        operation = _OF_DIRECTORY.get(operation, operation)
    elif kind is Kind.SYMLINK and operation is Operation.CREATE:
        operation = Operation.SYMLINK
    return msgspec.structs.replace(access, operation=operation, kind=kind)
