"""``sbx learn``: watch a command, write its profile, prove it."""

import errno
import os
import time
from pathlib import Path
from typing import NamedTuple

import click
import msgspec

from learner import history, temporary
from learner.agent_version import ask, find_agent
from learner.audit.brokers import brokers
from learner.cli.options import TRACERS, VERIFICATIONS, allowed_paths, chosen_tracer, emit_json, enforcer_options
from learner.cli.verification import check
from learner.command import find
from learner.derivation import Derived, Scale, add_found
from learner.enforcers.choice import check_items
from learner.errors import InputFileError, NotExecutable, NotFound, SbxError, UsageError
from learner.exposure import with_exposure
from learner.findings import Result, findings
from learner.floor import Floor, find_floor
from learner.interpreters import interpreters
from learner.merging import news
from learner.names import to_text
from learner.profile import Profile, dumps, load, loads
from learner.rebase import rebase
from learner.session import Run, derive, repeat, union
from learner.store import check_name, name_for, profile_path, trace_path, write_atomically
from learner.surface import surface
from learner.trace import Trace, encode_trace, merge, read_trace
from learner.variables import Variables
from tracers.choice import AUTO, Chosen
from tracers.tracer import Command, TracerName


class _Source(NamedTuple):
    """Where the accesses come from: runs of ``command``, or traces of earlier ones."""

    trace: Trace
    command: Command | None
    problems: tuple[str, ...]


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("-o", "--output", metavar="FILE", help="Write the profile here instead of among the stored ones.")
@click.option("-n", "--name", help="Name of the profile (default: the command's).")
@click.option("--tracer", type=TRACERS, default=AUTO, show_default=True, help="How to watch; auto is the fastest here.")
@click.option(
    "--verify",
    type=VERIFICATIONS,
    default="replay",
    show_default=True,
    help="replay: try each learned access under the kernel's enforcement. live: run the command again, confined, "
    "and repair what is denied.",
)
@click.option(
    "--runs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Run the command this many times and learn from all runs; names that differ between them are then known "
    "to change.",
)
@click.option(
    "--update",
    is_flag=True,
    help="Add to the profile that is there, and print what is new, instead of writing it anew. Nothing is removed "
    "from it, so what you edited stays.",
)
@click.option(
    "--names",
    is_flag=True,
    help="Run the command in a network jail that allows everything, so that each host is known by its name.",
)
@click.option(
    "--protect",
    is_flag=True,
    help="Mask what is sensitive on this machine while the command runs: keys, tokens, agents' sockets, … It sees that "
    "they are refused, and what it tried is reported.",
)
@click.option(
    "--ask-version",
    "asked",
    is_flag=True,
    help="Where no installed package tells the version, run the command (and its interpreter) once more with "
    "--version: confined to what was learned, without network, for 5 s at most.",
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
    help="Grant this sensitive object all the same, and do not mask it.",
)
@click.option(
    "--granularity",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="What one more grant costs against what a wider one opens in excess: 0.1 for many narrow grants, 10 for few "
    "wide ones.",
)
@click.option(
    "--max-grants",
    type=click.IntRange(min=1),
    metavar="N",
    help="Widen until there are at most N grants on paths.",
)
@click.option(
    "--minimal", is_flag=True, help="Drop each grant without which nothing that was learned is refused by the kernel."
)
@enforcer_options
@click.option("--json", "json_file", metavar="FILE|-", help="Write a summary with stable keys here.")
@click.option("-v", "--verbose", is_flag=True, help="Say more.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND [ARG]...")
def learn(
    output: str | None,
    name: str | None,
    tracer: str,
    verify: str,
    runs: int,
    update: bool,
    names: bool,
    protect: bool,
    asked: bool,
    trace_file: Path | None,
    sources: tuple[Path, ...],
    allow: tuple[str, ...],
    granularity: float,
    max_grants: int | None,
    minimal: bool,
    enforcer: str,
    require: tuple[str, ...],
    json_file: str | None,
    verbose: bool,
    command: tuple[str, ...],
) -> int:
    """Run COMMAND, watch what it touches, and write the smallest policy under which it still works.

    The command runs as always: its input, output and terminal are its own. What sbx has to say comes afterwards, on
    standard error. Nothing is confined while learning; with --protect what is sensitive is out of reach.

    \b
      sbx learn -- vibe                      learn an interactive session
      sbx learn --verify live -- vibe -p …   and run it again, confined, until nothing is denied
      sbx learn --runs 2 -- vibe -p …        watch it twice: names that change from run to run show
      sbx learn --protect -- vibe            keep your keys and tokens from it while it is watched
      sbx learn --update -- vibe             later: add what another session needs
      sbx run vibe                           from then on

    Exit status: 0 learned and verified, 1 there are findings to read, 2 usage, 3 this machine cannot (see
    `sbx doctor`), 4 a bad input file, 126 or 127 the command could not be run.
    """
    target = find(command) if command or not sources else None
    variables = Variables.here(target.file if target else "")
    allowed = allowed_paths(allow)
    check_items(require)
    seconds: dict[str, float] = {}
    started = time.monotonic()
    if name is not None:
        check_name(name)
    if minimal and verify == "off":
        raise UsageError("--minimal asks the kernel, which --verify off forbids", "leave one of them out")
    if target is not None:
        temporary.use(variables.temporary)
    by = chosen_tracer(tracer)
    floor = _floor(protect, by, target if not sources else None, variables, allowed)
    source = _from_traces(sources, target, runs, variables) if sources else None
    if source is not None:
        variables = source.trace.header.variables
    typed = target.argv[0] if target else source.trace.header.command if source else ""
    file = output or profile_path(name or name_for(typed))
    # Read before the run: a profile that cannot be used must not cost a session.
    existing = load(file, variables) if update and os.path.lexists(file) else None
    if source is None:
        assert target is not None
        kept = trace_file or Path(trace_path(name or (existing.name if existing else name_for(typed))))
        source = _from_runs(target, by, variables, kept, runs, existing is not None, names, floor)
    seconds["run"] = round(time.monotonic() - started, 3)

    started = time.monotonic()
    found = derive(source.trace, allowed, Scale(granularity, max_grants or 0))
    if existing is not None:
        found = add_found(existing.policy, found)
    seconds["policy"] = round(time.monotonic() - started, 3)
    started = time.monotonic()
    checked = check(
        verify,
        source.trace,
        found,
        variables,
        source.command,
        allowed,
        minimize=minimal,
        verbose=verbose,
        by=enforcer,
        require=require,
    )
    seconds["verify"] = round(time.monotonic() - started, 3)
    if checked.live is not None:
        found = checked.live.cover
    if checked.minimal is not None:
        found = found._replace(policy=checked.minimal.policy)
    found = with_exposure(found, variables.places)
    if floor is not None:
        found = found._replace(gaps=tuple(sorted({*found.gaps, *floor.unmet, *floor.gaps})))

    profile = _profile(name or name_for(typed), typed, source.trace, found, existing)
    started = time.monotonic()
    if target is not None and not sources:  # a trace may be of other files than those that are here now
        agent = find_agent(source.trace, target.file)
        profile = msgspec.structs.replace(profile, agent=ask(agent, source.trace, found.policy) if asked else agent)
    seconds["versions"] = round(time.monotonic() - started, 3)
    text = dumps(profile, variables)
    problems = () if output is not None else _keep(name or name_for(typed), file, profile, text, variables)
    write_atomically(file, text.encode())
    result = Result(
        profile=file,
        trace=source.trace,
        cover=found,
        verification=checked,
        surface=surface(found.policy, source.trace.accesses),
        brokers=brokers(found.policy, source.trace.accesses, os.environ),
        seconds=seconds,
        problems=(*source.problems, *problems),
        news=news(existing.policy, found.policy) if existing else None,
    )
    if json_file:
        from reports.summary import summary

        emit_json(json_file, summary(result))
    from reports.learned import show

    show(result, verbose=verbose)
    return 1 if findings(result) else 0


def _floor(
    protect: bool, tracer: Chosen, target: Command | None, variables: Variables, allowed: frozenset[str]
) -> Floor | None:
    """What --protect masks, None without it."""
    if not protect:
        return None
    if target is None:
        raise UsageError("--protect is about a run, and none takes place", "leave out --protect or --from-trace")
    if tracer.name is TracerName.STRACE:
        raise UsageError("strace cannot mask anything for the command that it starts", "use --tracer ptrace")
    kept = (os.getcwd(), target.file, os.path.realpath(target.file), variables.prefix)
    return find_floor(variables, allowed, kept)


def _from_runs(
    command: Command,
    tracer: Chosen,
    variables: Variables,
    kept: Path,
    times: int,
    update: bool,
    names: bool,
    floor: Floor | None,
) -> _Source:
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
    return _Source(trace, command, tuple(problems))


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


def _from_traces(files: tuple[Path, ...], command: Command | None, runs: int, here: Variables) -> _Source:
    """The traces as one: in the first one's project if they are this account's, else as if they had been made here."""
    if runs > 1:
        raise UsageError("--runs and --from-trace exclude each other", "give either a number of runs, or traces")
    traces = [read_trace(file) for file in files]
    first = min(traces, key=lambda trace: trace.header.started).header.variables
    base = first if first.home == here.home else here
    return _Source(union(rebase(trace, base) for trace in traces), command, ())


def _profile(name: str, typed: str, trace: Trace, found: Derived, existing: Profile | None) -> Profile:
    partial = trace.end is None or trace.end.interrupted or bool(trace.skipped)
    if existing is not None:
        # One recording that was seen to its end suffices.
        return msgspec.structs.replace(existing, policy=found.policy, partial=existing.partial and partial)
    return Profile(name, typed, found.policy, partial, prefix=trace.header.prefix)


def _keep(name: str, file: str, profile: Profile, text: str, variables: Variables) -> tuple[str, ...]:
    """Keep what is about to be replaced, and what replaces it, each as the profile of its version.

    What goes wrong is returned: it must not cost the session that was learned from.
    """
    try:
        with open(file, encoding="utf-8") as stream:
            before = stream.read()
        old: Profile | None = loads(before, to_text(file), variables)
    except (OSError, ValueError, InputFileError):
        old, before = None, ""  # there is none, or none that could be read again
    try:
        if old is not None:
            history.keep(name, old, before)
        history.keep(name, profile, text)
    except SbxError as problem:
        return (f"this version could not be kept: {problem}",)
    return ()


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
