"""Where events become accesses: the sink of every tracer."""

import errno
import os
import time
from collections.abc import Container
from typing import NamedTuple

from learner import census
from learner.access import UNNAMED, Access, Kind
from learner.failures import Failures
from learner.interpreters import MAX_DEPTH, Interpreter, Via, interpreters
from learner.names import to_text
from learner.resolver import Resolver, jail, kind_of
from learner.subcommands import Subcommand, kept
from learner.trace import End, Header, Trace, TraceWriter, sort_key
from tracers.events import Endpoint, Event, Family, HostTarget, Memory, Opaque, Operation, PathTarget
from tracers.programs import ProgramTable
from tracers.tracer import TraceEnd

_LOOKUPS = frozenset({Operation.STAT, Operation.READLINK, Operation.READ, Operation.LIST, Operation.WRITE})
"""They fail with ENOENT because of their object, and of nothing else."""

FLUSH_SECONDS = 1.0
"""How much of a trace can be missing from its file if sbx itself is killed."""


class _Object(NamedTuple):
    name: str
    kind: Kind
    links: tuple[str, ...] = ()
    lasting: bool = True


def endpoint_text(endpoint: Endpoint) -> str:
    """``host:port/transport``, brackets around IPv6; an abstract socket is ``@name``."""
    if endpoint.family is Family.ABSTRACT:
        return f"@{endpoint.address}"
    host = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
    return f"{host}:{endpoint.port}/{endpoint.transport}"


class Recorder:
    """Resolves events while their process waits, and keeps each distinct access once."""

    def __init__(self, header: Header, programs: ProgramTable, writer: TraceWriter | None = None) -> None:
        self._header = header
        self._programs = programs
        self._writer = writer
        self._resolver = Resolver()
        self._accesses: dict[Access, None] = {}  # in the order of first sight
        self._interpreted: dict[str, tuple[Interpreter, ...]] = {}
        self._subcommands: set[Subcommand] = set()
        self._places = header.variables.places
        self._failures = Failures(self._places)
        self._unreadable = 0
        self._programs_written = 0
        self._links_written: set[str] = set()
        self._flushed = time.monotonic()
        if writer is not None:
            writer.header(header)
            writer.flush()  # from here on the file is a trace, whatever becomes of us

    # --- the Sink protocol

    def event(self, event: Event) -> bool:
        """See :class:`tracers.events.Sink`."""
        found = self._object(event)
        if found is None:
            # EFAULT and the like: the call failed on the same memory that we could not read, so nothing is missing.
            self._unreadable += event.outcome == 0
            return True
        self._record(event, found)
        if event.operation is Operation.EXEC and event.outcome == 0 and found.kind is not Kind.OPAQUE:
            self._interpret(event, found.name)
            self._keep_subcommand(event)
        return found.lasting

    def forget(self) -> None:
        """See :class:`tracers.events.Sink`."""
        self._resolver.forget()

    def links(self) -> Container[str]:
        """See :class:`tracers.events.Sink`."""
        return self._resolver.link_names

    # --- the result

    @property
    def in_order(self) -> tuple[Access, ...]:
        """Each distinct access, in the order in which it was first seen."""
        return tuple(self._accesses)

    def finish(self, end: TraceEnd) -> Trace:
        """The trace of a run that ended; its file is completed and closed."""
        last = End(
            status=end.status,
            calls=end.calls,
            lost=end.lost + self._unreadable,
            unfinished=end.unfinished,
            seconds=round(end.seconds, 3),
            interrupted=end.interrupted,
            lingering=end.lingering,
            notes=end.notes,
            failures=self._failures.lines if end.status else (),
            deduced=end.deduced,
        )
        beside, helpers = census.take(self._accesses, self._places), census.helpers(self._accesses, self._places)
        if self._writer is not None:
            self._write_programs()
            for path, seen in sorted(beside.items()):
                self._writer.beside(path, seen)
            for path, directories in sorted(helpers.items()):
                self._writer.helpers(path, directories)
            self._writer.end(last)
            self._writer.close()
        return Trace(
            self._header,
            self._programs.all(),
            tuple(sorted(self._accesses, key=sort_key)),
            dict(sorted(self._resolver.targets.items())),
            dict(sorted(self._interpreted.items())),
            last,
            beside=beside,
            helpers=helpers,
            subcommands=tuple(sorted(self._subcommands)),
        )

    # --- resolving

    def _object(self, event: Event) -> _Object | None:
        target = event.target
        if isinstance(target, Endpoint):
            return _Object(endpoint_text(target), Kind.SOCKET)
        if isinstance(target, HostTarget):
            return _Object(target.host, Kind.SOCKET)
        if isinstance(target, Opaque):
            return _Object(target.text, Kind.OPAQUE, lasting=event.operation is not Operation.EXEC)
        found = self._path(event, target)
        if found is None:
            return None
        if event.operation is Operation.CREATE and event.mode:
            return found._replace(name=f"{found.name}/{UNNAMED}", kind=Kind.FILE)
        if event.mode:
            return found._replace(kind=kind_of(event.mode))
        if event.outcome == errno.ENOENT and event.operation in _LOOKUPS and found.kind is not Kind.OPAQUE:
            return found._replace(kind=Kind.ABSENT)  # somebody may have made it since
        if event.operation is Operation.RENAME_FROM and event.outcome == 0 and event.peer is not None:
            moved = self._path(event, event.peer)
            return found._replace(kind=moved.kind if moved else Kind.ABSENT)
        return found

    def _path(self, event: Event, target: PathTarget) -> _Object | None:
        if isinstance(target.path, Memory):
            return None
        if not target.path:
            return None  # the empty string is no path: ENOENT for everybody (path_resolution(7))
        path = os.fsdecode(target.path)
        if path.startswith("/"):
            path = jail(event.root) + path
        else:
            base = os.fsdecode(target.base)
            if not base.startswith("/"):
                return None
            path = f"{base}/{path}"
        opened = None if target.opened is None else os.fsdecode(target.opened)
        found = self._resolver.resolve(path, follow=target.follow, pid=event.pid, root=event.root, opened=opened)
        return _Object(found.path, found.kind, found.links, found.lasting)

    # --- keeping

    def _record(self, event: Event, found: _Object) -> None:
        operation = event.operation
        if operation is Operation.READ and found.kind is Kind.DIRECTORY:
            operation = Operation.LIST
        peer = (event.target.address or None) if isinstance(event.target, HostTarget) else None
        if event.peer is not None:
            other = self._path(event, event.peer)
            peer = other.name if other else None
        self._keep(
            Access(
                operation=operation,
                object=found.name,
                kind=found.kind,
                outcome=event.outcome,
                program=event.program,
                call=event.call,
                links=found.links,
                existed=event.existed,
                peer=peer,
                endpoint=event.target if isinstance(event.target, Endpoint) else None,
            )
        )

    def _keep(self, access: Access) -> None:
        known = len(self._accesses)
        self._accesses[access] = None  # hashed once
        if len(self._accesses) == known:
            return
        if access.outcome:
            self._failures.note(access, self._programs[access.program].label)
        if self._writer is None:
            return
        if self._programs_written < len(self._programs):
            self._write_programs()
        for link in access.links:
            if link not in self._links_written:
                self._links_written.add(link)
                self._writer.link(link, self._resolver.targets[link])
        self._writer.access(access)
        now = time.monotonic()
        if now - self._flushed > FLUSH_SECONDS:
            self._flushed = now
            self._writer.flush()

    def _keep_subcommand(self, event: Event) -> None:
        if not isinstance(event.target, PathTarget) or not isinstance(event.target.path, bytes):
            return
        found = kept(event.program, os.path.basename(os.fsdecode(event.target.path)), event.word)
        if found is None or found in self._subcommands:
            return
        self._subcommands.add(found)
        if self._writer is not None:
            self._write_programs()
            self._writer.subcommand(found)

    def _write_programs(self) -> None:
        if self._writer is None:
            return
        for index in range(self._programs_written, len(self._programs)):
            self._writer.program(self._programs[index])
        self._programs_written = len(self._programs)

    def _interpret(self, event: Event, path: str) -> None:
        """Record what the kernel opened to run ``path``: its interpreter, that one's loader, and so on."""
        for _ in range(MAX_DEPTH):
            if path in self._interpreted:
                found = self._interpreted[path]
            else:
                found = self._interpreted[path] = interpreters(self._resolver.place(path, event.pid, event.root))
                if self._writer is not None and found:
                    self._writer.interpreted(path, found)
            by_kernel = [i for i in found if i.via is not Via.ENV]
            if not by_kernel:
                return
            named = jail(event.root) + by_kernel[0].path
            resolved = self._resolver.resolve(named, follow=True, pid=event.pid, root=event.root)
            self._keep(
                Access(
                    operation=Operation.EXEC,
                    object=resolved.path,
                    kind=resolved.kind,
                    outcome=0,
                    program=event.program,
                    call=f"interpreter of {to_text(path)}",
                    links=resolved.links,
                )
            )
            path = resolved.path
