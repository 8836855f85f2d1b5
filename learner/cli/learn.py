"""``sbx learn``: watch a command, write its profile, prove it."""

import time
from pathlib import Path
from typing import NamedTuple

import click

from learner.cli.options import TRACERS, VERIFICATIONS, allowed_paths, emit_json
from learner.cli.verification import check
from learner.command import find
from learner.cover import Cover
from learner.errors import NotExecutable, NotFound, SbxError
from learner.exposure import with_exposure
from learner.findings import Result, findings
from learner.names import to_text
from learner.places import Map
from learner.profile import Profile, dumps
from learner.session import Run, derive, make_tracer, record
from learner.store import check_name, name_for, profile_path, trace_path, write_atomically
from learner.surface import surface
from learner.trace import Trace, merge, read_trace
from learner.variables import Variables
from tracers.tracer import Command, TracerName


class _Source(NamedTuple):
    """Where the accesses come from: a run of ``command``, or traces of earlier ones."""

    trace: Trace
    command: Command | None
    problems: tuple[str, ...]


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("-o", "--output", metavar="FILE", help="Write the profile here instead of among the stored ones.")
@click.option("-n", "--name", help="Name of the profile (default: the command's).")
@click.option("--tracer", type=TRACERS, default=TracerName.PTRACE.value, show_default=True, help="How to watch.")
@click.option(
    "--verify",
    type=VERIFICATIONS,
    default="replay",
    show_default=True,
    help="replay: try each learned access under the kernel's enforcement. live: run the command again, confined, "
    "and repair what is denied.",
)
@click.option("--trace", "trace_file", metavar="FILE", type=click.Path(path_type=Path), help="Keep the trace here.")
@click.option(
    "--from-trace",
    "sources",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Learn from a kept trace instead of a run; may be given several times.",
)
@click.option(
    "--allow-sensitive",
    "allow",
    metavar="PATH",
    multiple=True,
    help="Grant this sensitive object all the same.",
)
@click.option("--json", "json_file", metavar="FILE|-", help="Write a summary with stable keys here.")
@click.option("-v", "--verbose", is_flag=True, help="Say more.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND [ARG]...")
def learn(
    output: str | None,
    name: str | None,
    tracer: str,
    verify: str,
    trace_file: Path | None,
    sources: tuple[Path, ...],
    allow: tuple[str, ...],
    json_file: str | None,
    verbose: bool,
    command: tuple[str, ...],
) -> int:
    """Run COMMAND once, watch what it touches, and write the smallest policy under which it still works.

    The command runs as always: its input, output and terminal are its own. What sbx has to say comes afterwards, on
    standard error. Nothing is confined while learning.

    \b
      sbx learn -- vibe                      learn an interactive session
      sbx learn --verify live -- vibe -p …   and run it again, confined, until nothing is denied
      sbx run vibe                           from then on

    Exit status: 0 learned and verified, 1 there are findings to read, 2 usage, 3 this machine cannot (see
    `sbx doctor`), 4 a bad input file, 126 or 127 the command could not be run.
    """
    variables = Variables.here()
    allowed = allowed_paths(allow)
    seconds: dict[str, float] = {}
    started = time.monotonic()
    if name is not None:
        check_name(name)
    source = (
        _from_traces(sources, command)
        if sources
        else _from_run(command, TracerName(tracer), variables, trace_file, name)
    )
    seconds["run"] = round(time.monotonic() - started, 3)
    if source.trace.header.project != variables.project:
        variables = Variables(source.trace.header.project, variables.home)

    started = time.monotonic()
    found = derive(source.trace, allowed)
    seconds["policy"] = round(time.monotonic() - started, 3)
    started = time.monotonic()
    checked = check(verify, source.trace, found, variables, source.command, allowed)
    seconds["verify"] = round(time.monotonic() - started, 3)
    if checked.live is not None:
        found = checked.live.cover
    found = with_exposure(found, Map(variables.project, variables.home))

    profile = _profile(name, source, found)
    target = output or profile_path(profile.name)
    write_atomically(target, dumps(profile, variables).encode())
    result = Result(
        profile=target,
        trace=source.trace,
        cover=found,
        verification=checked,
        surface=surface(found.policy, source.trace.accesses),
        seconds=seconds,
        problems=source.problems,
    )
    if json_file:
        from reports.summary import summary

        emit_json(json_file, summary(result))
    from reports.learned import show

    show(result, verbose=verbose)
    return 1 if findings(result) else 0


def _from_run(
    words: tuple[str, ...],
    tracer: TracerName,
    variables: Variables,
    trace_file: Path | None,
    name: str | None,
) -> _Source:
    command = find(words)
    kept = trace_file or Path(trace_path(name or name_for(words[0])))
    run = record(command, make_tracer(tracer), variables, kept)
    if run.end.launch_errno:
        raise _launch_failure(words[0], run)
    problems = (f"the trace is incomplete: {to_text(str(kept))}: {run.file_problem}",) if run.file_problem else ()
    return _Source(run.trace, command, problems)


def _from_traces(files: tuple[Path, ...], words: tuple[str, ...]) -> _Source:
    return _Source(merge(read_trace(file) for file in files), find(words) if words else None, ())


def _profile(name: str | None, source: _Source, found: Cover) -> Profile:
    typed = source.command.argv[0] if source.command else source.trace.header.command
    end = source.trace.end
    return Profile(
        name=name or name_for(typed),
        command=typed,
        policy=found.policy,
        partial=end is None or end.interrupted or bool(source.trace.skipped),
    )


def _launch_failure(name: str, run: Run) -> SbxError:
    """Why the command could not be exec'd although it is there: usually its interpreter is not."""
    import errno
    import os

    from learner.interpreters import interpreters

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
