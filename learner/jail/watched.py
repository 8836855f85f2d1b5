"""Learning inside a jail: the same tracer, and beside its events exactly which name each address stood for.

A trace alone shows names asked for and addresses connected to; in a jail every name has an address of its own.
"""

import contextlib
import os
from collections.abc import Callable

import msgspec

from learner import kinship
from learner.errors import LaunchError
from learner.jail.attempts import Attempt
from learner.jail.jail import Jail
from learner.jail.permission import obstacle
from learner.policy import Policy
from tracers.events import Event, HostTarget, Operation, Sink
from tracers.tracer import Command, TraceEnd, Tracer, TracerError


class WatchedTracer:
    """A tracer whose commands run in a jail that allows everything; see :class:`tracers.tracer.Tracer`."""

    def __init__(self, inner: Tracer, make: Callable[[], Jail] | None = None) -> None:
        self._inner = inner
        self._make = make or (lambda: Jail.prepare(Policy(), learning=True))
        self.name = inner.name
        self.programs = inner.programs

    def run(self, command: Command, sink: Sink) -> TraceEnd:
        """See :class:`~tracers.tracer.Tracer`. Raises TracerError if no jail can be made here."""
        problem = obstacle()
        if problem is not None:
            raise TracerError(*problem)
        jail = self._make()
        over_read, over_write = os.pipe()
        report_read, report_write = os.pipe()
        # Forked twice: a tracer waits for all of its children, so the filter must be none.
        pid = os.fork()
        if pid == 0:
            try:
                if os.fork():
                    os._exit(0)
                os.close(over_write)
                os.close(report_read)
                kinship.ignore_keys()
                jail.serve(over_read, lambda attempts, names: _report(report_write, attempts, names))
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        os.close(over_read)
        os.close(report_write)
        inner = command.confine

        def confine() -> None:
            try:
                jail.enter()
            except LaunchError as failure:
                raise OSError(0, f"{failure}: {failure.remedy}") from None
            if inner is not None:
                inner()

        try:
            end = self._inner.run(msgspec.structs.replace(command, confine=confine), sink)
        finally:
            jail.close()
            os.close(over_write)
            with os.fdopen(report_read, "rb") as stream:
                said = stream.read()
        for address, name in sorted(msgspec.json.decode(said or b"{}", type=dict[str, str]).items()):
            sink.event(Event(0, os.getpid(), "answer", Operation.RESOLVE, HostTarget(name, address)))
        return end


def _report(where: int, _attempts: tuple[Attempt, ...], names: dict[str, str]) -> None:
    with contextlib.suppress(OSError), os.fdopen(where, "wb") as stream:
        stream.write(msgspec.json.encode(names))
