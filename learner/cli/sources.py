"""Where ``sbx learn`` takes its accesses from: runs of a command, kept traces, or a Mac's saved logs."""

import errno
import os
from pathlib import Path
from typing import NamedTuple

import click

from learner.errors import NotExecutable, NotFound, SbxError, UsageError
from learner.floor import Floor, find_floor
from learner.interpreters import interpreters
from learner.names import to_text
from learner.rebase import rebase
from learner.session import Run, repeat, union
from learner.store import write_atomically
from learner.trace import Trace, encode_trace, merge, read_trace
from learner.variables import Variables
from tracers.choice import SEEING, Chosen
from tracers.tracer import Command, TracerName


class Source(NamedTuple):
    """``command``: what was run, or is to be run to verify; None without one. ``problems``: a sentence each."""

    trace: Trace
    command: Command | None
    problems: tuple[str, ...]


def floor_for(target: Command | None, tracer: Chosen | None, variables: Variables, allowed: frozenset[str]) -> Floor:
    """What --protect masks while ``target`` runs. Raises UsageError where nothing runs, or the tracer cannot do it."""
    if target is None or tracer is None:
        raise UsageError("--protect is about a run, and none takes place", "leave out --protect or --from-trace")
    if tracer.name not in SEEING:
        raise UsageError(f"{tracer.name} does not see what the masks refuse", "use --tracer ptrace")
    if tracer.name is TracerName.STRACE:
        raise UsageError("strace cannot mask anything for the command that it starts", "use --tracer ptrace")
    kept = (os.getcwd(), target.file, os.path.realpath(target.file), variables.prefix)
    return find_floor(variables, allowed, kept)


def from_runs(
    command: Command,
    tracer: Chosen,
    variables: Variables,
    kept: Path,
    times: int,
    update: bool,
    names: bool,
    floor: Floor | None,
) -> Source:
    """Run the command; the traces of all runs end up in ``kept``, with what it held before an update."""
    earlier, problems = _earlier(kept, variables) if update else (None, [])
    # A file that holds an earlier trace is not touched until there is something to put in its place.
    runs = repeat(
        command,
        tracer,
        variables,
        None if earlier else kept,
        times,
        lambda n: _announce(n, times),
        names=names,
        floor=floor,
    )
    for run in runs:
        if run.end.launch_errno:
            raise _launch_failure(command.argv[0], run)
    shown = to_text(str(kept))
    problems += [f"the trace is incomplete: {shown}: {run.file_problem}" for run in runs if run.file_problem]
    if len(runs) < times:
        problems.append(f"of {times} runs {len(runs)} took place, because the last was interrupted")
    trace = union(run.trace for run in runs)
    if earlier or len(runs) > 1:
        try:
            write_atomically(str(kept), encode_trace(merge([earlier, trace]) if earlier else trace))
        except SbxError as problem:
            problems.append(f"the trace could not be kept: {problem}")
    return Source(trace, command, tuple(problems))


def _announce(number: int, times: int) -> None:
    if number > 1:
        click.echo(f"sbx: run {number} of {times}", err=True)


def _earlier(kept: Path, variables: Variables) -> tuple[Trace | None, list[str]]:
    """The trace that an update adds to, if it is of this project and home: paths of another would be foreign to it."""
    if not kept.is_file():
        return None, []
    try:
        trace = read_trace(kept)
    except SbxError as problem:
        return None, [f"the earlier trace was replaced: {problem}"]
    same = (trace.header.project, trace.header.home) == (variables.project, variables.home)
    return (trace, []) if same else (None, [])


def from_traces(files: tuple[Path, ...], command: Command | None, runs: int, here: Variables) -> Source:
    """The traces as one: in the first one's project if they are this account's, else as if they had been made here."""
    if runs > 1:
        raise UsageError("--runs and --from-trace exclude each other", "give either a number of runs, or traces")
    traces = [read_trace(file) for file in files]
    first = min(traces, key=lambda trace: trace.header.started).header.variables
    base = first if first.home == here.home else here
    return Source(union(rebase(trace, base) for trace in traces), command, ())


def from_logs(
    logs: tuple[str, ...],
    only: tuple[str, ...],
    home: str | None,
    project: str | None,
    command: tuple[str, ...],
    other: object,
) -> Source:
    """The saved logs as a trace."""
    if other:
        raise UsageError("--from-log makes a profile of its own", "use no --from-trace or --update; `sbx merge` joins")
    from learner.seatbelt.logs import learn_from

    saved = learn_from(logs, only, home or "", project or "", command[0] if command else "")
    return Source(saved.trace, None, saved.problems)


def _launch_failure(name: str, run: Run) -> SbxError:
    """Why the command could not be exec'd although it is there: usually its interpreter is not."""
    shown = to_text(name)
    reason = os.strerror(run.end.launch_errno)
    for access in run.trace.accesses:
        for interpreter in interpreters(access.object):
            if not os.path.exists(interpreter.path):
                return NotFound(
                    f"{shown}: its interpreter {to_text(interpreter.path)} does not exist",
                    "install the command again",
                )
    if run.end.launch_errno == errno.ENOENT:
        return NotFound(f"{shown}: {reason}", "check the command")
    return NotExecutable(f"{shown}: {reason}", "check the command")
