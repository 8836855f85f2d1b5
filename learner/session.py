"""Runs of a command under trace, and the policy that follows from them."""

import os
import platform
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from learner import census, derivation
from learner.access import Access
from learner.denials import Denial, as_done, denials, missing
from learner.derivation import DEFAULT, Derived, Scale, add_found
from learner.enforcers.enforcer import Confinement, Enforcer
from learner.errors import MachineError, SbxError
from learner.floor import Floor
from learner.launch import ensure_directories
from learner.places import ancestors
from learner.policy import Policy
from learner.recorder import Recorder
from learner.trace import DARWIN, Header, Trace, TraceWriter, merge
from learner.variables import Variables
from learner.volatile import changing_names
from learner.wants import ABOVE
from tracers.choice import Chosen
from tracers.tracer import Command, TraceEnd, Tracer, TracerError, TracerName, tracer_names

if TYPE_CHECKING:
    from learner.seatbelt.recording import ReportRecorder

MAX_ROUNDS = 6
"""Confined runs of one live verification: each repairs what the one before was denied."""


def tracer_of(confinement: Confinement, *, admitted: bool = False) -> Tracer:
    """What watches a confined run: where the sandbox itself tells, what it tells of this one.

    ``admitted``: not only what is refused. To be called before the confinement wraps a command.
    """
    from learner.enforcers.seatbelt import SeatbeltConfinement

    if not isinstance(confinement, SeatbeltConfinement):
        return make_tracer(TracerName.PTRACE)
    from tracers.seatbelt import SeatbeltTracer

    if admitted:
        confinement.report()
    try:
        return SeatbeltTracer(enforced=confinement.tag, tools=confinement.tools)
    except TracerError as problem:
        raise MachineError(str(problem), problem.remedy) from None


def _recorder(tracer: Tracer, header: Header, writer: TraceWriter | None) -> "Recorder | ReportRecorder":
    if tracer.name is not TracerName.SEATBELT:
        return Recorder(header, tracer.programs, writer)
    from learner.seatbelt.recording import ReportRecorder, look_here

    return ReportRecorder(header, tracer.programs, writer, look_here if sys.platform == DARWIN else None)


def make_tracer(name: TracerName, floor: Floor | None = None) -> Tracer:
    """A tracer for one run. ``floor``: what is masked meanwhile, for the one that has to do it itself.

    Raises MachineError if it cannot work here.
    """
    if name not in tracer_names():
        raise MachineError(f"the {name} tracer is not of this system", f"use --tracer {tracer_names()[0]}")
    try:
        if name is TracerName.SEATBELT:
            from tracers.seatbelt import SeatbeltTracer

            if floor is not None:
                from learner.enforcers.seatbelt import masked_by

                return SeatbeltTracer(lambda tag: masked_by(floor, tag, report=True))
            from learner.seatbelt.emit import watching

            return SeatbeltTracer(watching)
        if name is TracerName.STRACE:
            from tracers.strace import StraceTracer

            return StraceTracer()
        if name is TracerName.EBPF:
            from tracers.bpf_loading import begin

            begin()  # takes as long as importing what follows
            from tracers.ebpf import EbpfTracer

            return EbpfTracer()
        if name is TracerName.NOTIFY:
            from tracers.notify import NotifyTracer

            return NotifyTracer()
        from tracers.ptrace import PtraceTracer

        return PtraceTracer()
    except TracerError as problem:
        raise MachineError(str(problem), problem.remedy) from None


class Run(NamedTuple):
    """One traced run. ``file_problem``: why its trace file is incomplete, empty if it is whole.

    ``in_order``: the accesses in the order of first sight.
    """

    trace: Trace
    end: TraceEnd
    file_problem: str = ""
    in_order: tuple[Access, ...] = ()


def record(
    command: Command,
    tracer: Tracer,
    variables: Variables,
    file: Path | None = None,
    floor: Floor | None = None,
    note: str = "",
) -> Run:
    """Run ``command`` under ``tracer``; the trace also goes to ``file`` while it is made.

    ``floor``: what is masked meanwhile; whatever else confines the command is up to ``command.confine``.
    ``note``: something to say in the trace besides the tracer's own notes.
    Raises MachineError if tracing or masking is not permitted, SbxError if the trace file cannot be written.
    """
    header = Header(
        command=os.path.basename(command.argv[0]),
        cwd=os.getcwd(),
        project=variables.project,
        home=variables.home,
        temporary=variables.temporary,
        prefix=variables.prefix,
        xdg=variables.xdg,
        uid=os.getuid(),
        tracer=tracer.name,
        kernel=platform.release(),
        started=round(time.time(), 3),
        masked=tuple(floor.masks) if floor is not None else (),
        environment=tuple(sorted(name for name in os.environ if name.isascii() and name.isidentifier())),
    )
    if floor is not None and tracer.name is not TracerName.SEATBELT:  # whose sandbox cannot be nested, see make_tracer
        from learner.enforcers.floor import prepare as prepare_floor

        command = prepare_floor(floor).wrap(command)
    try:
        writer = TraceWriter(file) if file is not None else None
    except OSError as problem:
        raise SbxError(f"{problem.filename}: {problem.strerror}", "name another place with --trace FILE") from None
    recorder = _recorder(tracer, header, writer)
    try:
        end = tracer.run(command, recorder)
    except TracerError as problem:
        raise MachineError(str(problem), problem.remedy) from None
    if note:
        end = msgspec.structs.replace(end, notes=tuple(sorted({*end.notes, note})))
    trace = recorder.finish(end)
    return Run(trace, end, writer.problem if writer else "", recorder.in_order)


def repeat(
    command: Command,
    tracer: Chosen,
    variables: Variables,
    file: Path | None,
    times: int,
    on_run: Callable[[int], None],
    *,
    names: bool = False,
    floor: Floor | None = None,
) -> tuple[Run, ...]:
    """Run ``command`` ``times`` times as :func:`record` does; the first run's trace goes to ``file``.

    ``names``: in a network jail, so that every host is known by its name. ``floor``: as of
    :func:`record`. ``on_run`` is called with the number of each
    run before it starts. A run that was interrupted, or could not be started, is the last one. Raises as
    :func:`record`.
    """
    runs: list[Run] = []
    while len(runs) < times and not (runs and (runs[-1].end.interrupted or runs[-1].end.launch_errno)):
        on_run(len(runs) + 1)
        source = make_tracer(tracer.name, floor)
        if names:
            from learner.jail.watched import WatchedTracer

            source = WatchedTracer(source)
        runs.append(record(command, source, variables, None if runs else file, floor, tracer.reason))
    return tuple(runs)


def union(traces: Iterable[Trace]) -> Trace:
    """Whole runs of one command as one trace, which knows the names that changed between them."""
    runs = tuple(traces)
    merged = merge(runs)
    changing = changing_names([run.accesses for run in runs]) | {*merged.header.changing}
    header = msgspec.structs.replace(merged.header, changing=tuple(sorted(changing)))
    return msgspec.structs.replace(merged, header=header)


def derive(trace: Trace, allowed: frozenset[str], scale: Scale = DEFAULT) -> Derived:
    """The policy for a trace (or several, merged).

    What lies beside the objects is looked up now for a trace that was cut short before it was recorded.
    """
    places, changing = trace.header.variables.places, frozenset(trace.header.changing)
    beside = trace.beside
    if not beside and not trace.header.is_foreign:
        beside = census.take(trace.accesses, places)
    masked = dict(trace.header.masked)
    found = derivation.derive(
        places, trace.programs, trace.accesses, beside, allowed, changing, trace.helpers, scale, masked
    )
    if trace.header.platform == DARWIN:
        from learner.seatbelt.complete import complete

        return complete(found, trace)
    return found


class Live(NamedTuple):
    """A live verification. ``repaired``: denials that led to new grants; ``denied``: those left.

    ``status`` is the last confined run's, ``expected`` the recorded one's. ``lost``: records of the last confined run,
    among which a denial may have been.
    """

    rounds: int
    status: int
    expected: int
    repaired: tuple[Denial, ...]
    denied: tuple[Denial, ...]
    cover: Derived
    trace: Trace
    lost: int = 0

    @property
    def unwanted(self) -> tuple[Denial, ...]:
        """Denials of what the recorded run was allowed, except of objects that were left out on purpose."""
        left_out = {use.path for use in self.cover.sensitive if not use.granted}
        if any(gap.item == ABOVE for gap in self.cover.gaps):
            left_out |= {*ancestors(self.trace.header.project)}
        return tuple(d for d in self.denied if d.recorded and d.access.object not in left_out)

    @property
    def holds(self) -> bool:
        """Whether the command ended as recorded, all was seen, and nothing was denied against our wish."""
        return self.status == self.expected and not self.unwanted and not self.lost


def live(
    command: Command,
    learned: Trace,
    found: Derived,
    enforcer: Enforcer,
    variables: Variables,
    allowed: frozenset[str],
    on_round: Callable[[int], None] = lambda _round: None,
) -> Live:
    """Run ``command`` confined and traced until nothing more is denied than can be granted.

    ``on_round`` is called with the number of each run before it starts.
    """
    expected = learned.end.status if learned.end else 0
    start = found.policy  # perhaps edited by hand: a repair only ever adds to it
    repaired: list[Denial] = []
    seen: set[Policy] = {found.policy}
    for number in range(1, MAX_ROUNDS + 1):
        on_round(number)
        ensure_directories(found.policy)
        confinement = enforcer.prepare(found.policy)
        try:
            run = record(
                confinement.wrap(command),
                tracer_of(confinement),
                variables,
            )
            confinement.check()
        finally:
            confinement.close()
        left = denials(run.trace, found.policy, enforcer, learned)
        grown = merge([learned, _wanted(run.trace, left)])
        better = add_found(start, derive(grown, allowed))
        if not left or run.end.interrupted or better.policy in seen or number == MAX_ROUNDS:
            return Live(number, run.end.status, expected, tuple(repaired), left, found, learned, run.end.lost)
        repaired += [d for d in left if missing(d.access, better.policy, enforcer) is None]
        learned, found = grown, better
        seen.add(found.policy)
    raise AssertionError("unreachable")


def _wanted(trace: Trace, left: tuple[Denial, ...]) -> Trace:
    """A trace that holds only what was denied, as if it had been allowed."""
    return msgspec.structs.replace(trace, accesses=tuple(as_done(d.access) for d in left))
