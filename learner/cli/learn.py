"""``sbx learn``: watch a command, write its profile, prove it."""

import os
import sys
import time
from pathlib import Path

import click

from learner import temporary
from learner.cli.options import (
    TRACERS,
    VERIFICATIONS,
    allowed_paths,
    chosen_tracer,
    emit_json,
    enforcer_options,
    log_options,
)
from learner.cli.sources import floor_for, from_logs, from_runs, from_traces
from learner.command import find
from learner.derivation import Scale
from learner.enforcers.choice import check_items
from learner.errors import MachineError, UsageError
from learner.profile import load
from learner.store import check_name, name_for, profile_path, trace_path, write_atomically
from learner.trace import encode_trace
from learner.variables import Variables
from tracers.choice import AUTO


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
@log_options
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
    logs: tuple[str, ...],
    only: tuple[str, ...],
    log_home: str | None,
    log_project: str | None,
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
      sbx learn --from-log mac.log -- vibe   learn from a Mac's log, on any machine
      sbx run vibe                           from then on

    Exit status: 0 learned and verified, 1 there are findings to read, 2 usage, 3 this machine cannot (see
    `sbx doctor`), 4 a bad input file, 126 or 127 the command could not be run.
    """
    if not logs and (only or log_home or log_project):
        raise UsageError("--log-only, --log-home and --log-project are about a log", "give it with --from-log FILE")
    if sys.platform == "darwin" and names:
        raise MachineError(
            "--names takes a network jail, which macOS cannot make: its sandbox knows no hosts",
            "leave it out: a port that was used is granted on every host (docs/macos.md)",
        )
    source = from_logs(logs, only, log_home, log_project, command, sources or update) if logs else None
    target = find(command) if not logs and (command or not sources) else None
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
    ran = target if not sources else None
    by = chosen_tracer(tracer, seeing=protect) if ran else None
    floor = floor_for(ran, by, variables, allowed) if protect else None
    source = source or (from_traces(sources, target, runs, variables) if sources else None)
    if source is not None:
        variables = source.trace.header.variables
    typed = target.argv[0] if target else source.trace.header.command if source else ""
    file = output or profile_path(name or name_for(typed))
    # Read before the run: a profile that cannot be used must not cost a session.
    existing = load(file, variables) if update and os.path.lexists(file) else None
    if source is None:
        assert target is not None and by is not None
        kept = trace_file or Path(trace_path(name or (existing.name if existing else name_for(typed))))
        source = from_runs(target, by, variables, kept, runs, existing is not None, names, floor)
    elif logs:
        write_atomically(str(trace_file or trace_path(name or name_for(typed))), encode_trace(source.trace))
    seconds["run"] = round(time.monotonic() - started, 3)
    # Imported here: whoever waits for the command to start should not wait for what comes after it.
    from learner.cli.conclusion import Subject, Wishes, conclude
    from learner.findings import findings

    wishes = Wishes(allowed, Scale(granularity, max_grants or 0), verify, minimal, enforcer, require, asked, verbose)
    subject = Subject(
        name=name or name_for(typed),
        typed=typed,
        file=file,
        stored=output is None,
        existing=existing,
        # A trace may be of other files than those that are here now.
        target=ran,
        floor=floor,
    )
    result = conclude(source, subject, wishes, variables, seconds)
    if json_file:
        from reports.summary import summary

        emit_json(json_file, summary(result))
    from reports.learned import show

    show(result, verbose=verbose)
    return 1 if findings(result) else 0
