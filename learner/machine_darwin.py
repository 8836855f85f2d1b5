"""What a Mac can trace and enforce: the sandbox is there, and the log shows what it reports."""

from learner.machine import Capability, State
from tracers.events import Event
from tracers.seatbelt import SeatbeltTracer, Tools
from tracers.tracer import Command, TracerError


def on_darwin(tools: Tools | None = None) -> list[Capability]:
    """By watching `true` as a command is watched: it takes sandbox-exec, the log, and the right to read it."""
    name = "seatbelt tracer"
    try:
        tracer = SeatbeltTracer(tools=tools)
        end = tracer.run(Command("/usr/bin/true", ("true",)), _Nowhere())
    except TracerError as problem:
        return [Capability(name, State.NO, str(problem), problem.remedy, True)]
    state = State.LIMITED if end.lost else State.YES
    detail = f"watched `true`: {end.calls} reports, {end.lost} lost" if end.calls else "the log shows nothing of `true`"
    return [Capability(name, state if end.calls else State.NO, detail, "; ".join(end.notes), True)]


class _Nowhere:
    """A sink that keeps nothing."""

    def event(self, _event: Event) -> bool:
        """See :class:`tracers.events.Sink`."""
        return True

    def forget(self) -> None:
        """See :class:`tracers.events.Sink`."""

    def links(self) -> tuple[str, ...]:
        """See :class:`tracers.events.Sink`."""
        return ()
