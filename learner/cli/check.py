"""``sbx check``: does a profile still fit what the command does?"""

import sys
from pathlib import Path
from typing import Any, NamedTuple

import click

from learner import temporary
from learner.cli.options import chosen, emit_json, enforcer_options, words_after_dashes
from learner.cli.profiles import PROFILE, kept_trace, open_profile
from learner.command import find
from learner.drift import Drift
from learner.drift import check as check_drift
from learner.enforcers.choice import Choice, EnforcerName
from learner.errors import MachineError
from learner.jail.permission import obstacle
from learner.jail.rules import needs_names
from learner.names import to_text
from learner.trace import read_trace
from learner.variables import Variables
from reports.difference_words import Report

_MOST = 5
"""Refusals that are listed."""


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--allow-unused", is_flag=True, help="What this run did not need is shown, but is no drift.")
@click.option("--follow", is_flag=True, help="Run again with what was refused granted, to see what comes after it.")
@click.option("--trace", "trace_file", metavar="FILE", type=click.Path(path_type=Path), help="Its trace.")
@click.option("--json", "json_file", metavar="FILE|-", help="Write the result with stable keys here.")
@click.option("-v", "--verbose", is_flag=True, help="Leave nothing out.")
@enforcer_options
@click.argument("profile", type=PROFILE, metavar="NAME|FILE")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND [ARG]...]")
def check(
    allow_unused: bool,
    follow: bool,
    trace_file: Path | None,
    json_file: str | None,
    verbose: bool,
    enforcer: str,
    require: tuple[str, ...],
    profile: str,
    command: tuple[str, ...],
) -> int:
    """Run COMMAND (default: the profile's own) confined and traced, and say where the profile no longer fits.

    Shown are the accesses that were refused and programs that were not started before (+), and what the profile has
    and this run did not need (-). The profile stays as it is: `sbx learn --update` adds to it. A program that is
    refused something may stop there: --follow goes on.

    \b
      sbx check vibe -- vibe -p "…"     did the same version begin to do something else?

    Exit status: 0 it fits, 1 it does not, 125 to 127 the command could not be run. The command's own exit status is
    shown, and is no drift.
    """
    seen = watched(profile, command, _chosen(enforcer, require), require, trace_file, follow=follow)
    difference = seen.drift.difference
    if json_file:
        emit_json(json_file, _record(seen))
    show(seen, verbose=verbose)
    return 1 if difference.added or (difference.removed and not allow_unused) else 0


class Watched(NamedTuple):
    """A confined run, and the report of it."""

    drift: Drift
    report: Report


def watched(
    profile: str,
    command: tuple[str, ...],
    choice: Choice,
    require: tuple[str, ...],
    trace_file: Path | None = None,
    *,
    follow: bool = False,
) -> Watched:
    """Run the command that ``command`` (what follows the profile's name) says, confined and traced. Raises SbxError."""
    here = Variables.here()
    found = open_profile(profile, here)
    target = find(words_after_dashes(command) or (found.command,))
    variables = here.with_program(target.file)
    if not variables.prefix:  # a wrapper such as env: what it starts is the profile's program all the same
        variables = variables._replace(prefix=found.prefix)
    temporary.use(variables.temporary)
    if choice.enforcer.hides:
        click.echo(
            f"sbx: {choice.enforcer.name} hides what is not granted: what was then not tried is not seen", err=True
        )
    named = sys.platform != "darwin" and needs_names(found.policy)  # its sandbox knows no hosts at all
    problem = obstacle() if named else None
    if named:
        why = f"cannot be told apart by name: {problem[0]}" if problem else "are told apart by name"
        click.echo(f"sbx: hosts {why}; held are their ports", err=True)
    drift = check_drift(
        target,
        found,
        choice.enforcer,
        variables,
        read_trace(trace_file) if trace_file is not None else kept_trace(found.name),
        follow=follow,
        require=require,
        names=named and problem is None,
        on_round=lambda number: click.echo(f"sbx: confined run {number}", err=True) if number > 1 else None,
    )
    return Watched(drift, Report(drift.difference, f"{found.name} (profile)", "this run", profile, drift.variables))


def show(seen: Watched, *, verbose: bool) -> None:
    """Print it on standard error: standard output is the command's."""
    from rich.console import Console

    from reports.difference_console import show as show_difference

    drift, report = seen
    unused = len(drift.difference.removed)
    stopped = bool(drift.denied and drift.status)
    if stopped and not verbose:  # it got no further, so that nearly all of the profile would be listed
        report = report._replace(difference=report.difference._replace(removed=()))
    out = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    show_difference(report, verbose=verbose, console=out)
    how = "was interrupted" if drift.interrupted else f"ended with {drift.status}"
    shown = _refusals(drift)
    for line in shown if verbose else shown[:_MOST]:
        click.echo(f"  refused  {line}", err=True)
    click.echo(f"sbx: {len(drift.denied)} refused; the command {how}", err=True)
    if drift.lost:
        click.echo(f"sbx: {drift.lost} records were lost: more may have been refused, and more been needed", err=True)
    if unused and (drift.denied or drift.status):
        listed = f" ({unused} grants and programs without use: -v lists them)" if stopped and not verbose else ""
        click.echo(f"sbx: it may have needed more of the profile, had nothing been refused{listed}", err=True)


def _record(seen: Watched) -> dict[str, Any]:
    from reports.difference_json import record

    drift = seen.drift
    end = {"status": drift.status, "interrupted": drift.interrupted, "denied": _refusals(drift), "lost": drift.lost}
    return record(seen.report) | end


def _refusals(drift: Drift) -> list[str]:
    """Each refusal on a line: ``connect 127.0.0.1:80/tcp (vibe)``."""
    return [f"{d.access.operation} {to_text(d.access.object)} ({to_text(d.program)})" for d in drift.denied]


def _chosen(enforcer: str, require: tuple[str, ...]) -> Choice:
    """By default Landlock: it refuses, where stronger ones hide, and what is hidden is often not even tried."""
    if EnforcerName(enforcer) is EnforcerName.AUTO and not require:
        try:
            return chosen(EnforcerName.LANDLOCK, require)
        except MachineError:
            pass  # what else there is, then
    return chosen(enforcer, require)
