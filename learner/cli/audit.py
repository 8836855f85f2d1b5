"""``sbx audit``: what an agent's own configuration, and the project, leave open; and how to mend it."""

import os
import sys
from pathlib import Path

import click

from learner.audit import agents, edits
from learner.audit.audit import Report, configurations, directory, joined
from learner.audit.context import Context
from learner.audit.finding import Edit
from learner.cli.profiles import PROFILE, kept_trace, open_profile
from learner.errors import InputFileError, UsageError
from learner.names import to_text
from learner.profile import Profile
from learner.store import trace_path
from learner.trace import read_trace
from learner.variables import Variables

FORMATS = ("console", "json", "sarif", "markdown")


@click.command()
@click.option("--project", metavar="DIR", type=click.Path(), help="Audit the project in DIR as well.")
@click.option("--profile", type=PROFILE, help="Say what this profile's policy holds of what is found; name brokers.")
@click.option(
    "--approvals", type=PROFILE, metavar="NAME", help="Suggest approval lists from the trace of NAME instead."
)
@click.option("--fix", is_flag=True, help="Make the edits that mend what is found, after showing them.")
@click.option("--yes", is_flag=True, help="With --fix: do not ask.")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="console", show_default=True, help="How to print it."
)
@click.argument("files", nargs=-1, type=click.Path(), metavar="[FILE]...")
def audit(
    project: str | None,
    profile: str | None,
    approvals: str | None,
    fix: bool,
    yes: bool,
    form: str,
    files: tuple[str, ...],
) -> int:
    """Audit an agent's own configuration: FILEs, or those of Vibe and VibeCoding in your home and this project.

    --fix changes no more than what a finding says: comments, order and unknown keys stay. What needs a decision
    of yours is left to you, and stays a finding.

    Exit status: 0 nothing found, 1 there are findings, 4 a file cannot be used.
    """
    if yes and not fix:
        raise UsageError("--yes goes with --fix", "add --fix, or leave --yes out")
    variables = Variables.here()
    if approvals is not None:
        if files or project or profile or fix:
            raise UsageError("--approvals stands alone", "run the audit as a second command")
        return _approvals(approvals, form)
    context = _context(variables, project)
    found = _look(context, project, files)
    if fix and _fix(found.edits, ask=not yes):
        found = _look(context, project, files)
    opened = open_profile(profile, variables) if profile is not None else None
    _show(found, opened, variables, context, form)
    return 1 if found.findings else 0


def _context(variables: Variables, project: str | None) -> Context:
    root = os.path.realpath(project) if project is not None else variables.project
    if not Variables(root, variables.home).places.has_project:
        root = ""
    return Context(variables.home, root, dict(os.environ))


def _look(context: Context, project: str | None, files: tuple[str, ...]) -> Report:
    for path in files:
        if not os.path.exists(path):
            raise InputFileError(f"{to_text(path)}: no such file", "name a configuration file that exists")
    sources = tuple(agents.recognised(path, context) for path in files)
    if not files:
        sources = agents.sources(context)
    reports = [configurations(sources, context)]
    if project is not None:
        reports.append(directory(project, context))
    return joined(reports)


def _fix(todo: tuple[Edit, ...], *, ask: bool) -> bool:
    """Make the edits. Everything but the question goes to standard error: standard output is the report's."""
    changed = edits.changes(todo)
    if not changed:
        click.echo("sbx: nothing that an edit could mend", err=True)
        return False
    for change in changed:
        real = os.path.realpath(change.path)
        if real != os.path.abspath(change.path):
            click.echo(f"sbx: {to_text(change.path)} is a link to {to_text(real)}, which is edited", err=True)
        click.echo(edits.difference(change), err=True, nl=False)
        for refusal in change.refused:
            click.echo(f"sbx: {refusal}", err=True)
        if change.mode is not None:
            click.echo(f"chmod {change.mode:o} {to_text(real)}", err=True)
    if not any(change.after != change.before or change.mode is not None for change in changed):
        return False
    if ask and not _agreed():
        click.echo("sbx: nothing was changed", err=True)
        return False
    for change in changed:
        edits.apply(change)
        click.echo(f"sbx: {to_text(change.path)} was changed", err=True)
    return True


def _agreed() -> bool:
    try:
        return click.confirm("Make these edits?", err=True)
    except click.Abort:
        if sys.stdin is not None and sys.stdin.isatty():
            raise
        click.echo("", err=True)
        raise UsageError("there is nobody to ask whether to make these edits", "add --yes to make them") from None


def _show(found: Report, opened: Profile | None, variables: Variables, context: Context, form: str) -> None:
    from reports.audit import Shown

    shown = Shown(found, variables)
    if opened is not None:
        from learner.audit.brokers import brokers
        from learner.audit.layers import by_configuration, by_policy
        from learner.audit.user import vibe_tables

        places = variables._replace(prefix=opened.prefix).places
        trace = kept_trace(opened.name)
        shown = shown._replace(
            profile=opened.name,
            together=(
                *by_policy(found.findings, opened.policy, places),
                *by_configuration(opened.policy, places, vibe_tables(context)),
            ),
            brokers=brokers(opened.policy, trace.accesses if trace else (), context.environ),
        )
    if form == "sarif":
        from reports.audit_sarif import sarif

        _json(sarif(shown))
    elif form == "json":
        from reports.audit import record

        _json(record(shown))
    elif form == "markdown":
        from reports.audit import markdown

        click.echo(markdown(shown), nl=False)
    else:
        from reports.audit import console
        from reports.console import make_console

        out = make_console()
        out.soft_wrap = True
        console(shown, out)


def _approvals(name: str, form: str) -> int:
    from learner.audit.approvals import approvals
    from reports.audit_approvals import record, text

    path = Path(name) if "/" in name or name.endswith(".jsonl") else Path(trace_path(name))
    if not path.exists():
        raise InputFileError(
            f"no trace of {to_text(name)} is kept on this machine",
            f"`sbx learn -n {to_text(name)} -- COMMAND` makes one",
        )
    if form == "sarif":
        raise UsageError("approvals have no SARIF form", "use --format console, json or markdown")
    found = approvals([read_trace(path)])
    if form == "json":
        _json(record(found))
    else:
        click.echo(text(found, markdown=form == "markdown"), nl=False)
    return 0


def _json(document: object) -> None:
    import json

    click.echo(json.dumps(document, indent=2, ensure_ascii=False))
