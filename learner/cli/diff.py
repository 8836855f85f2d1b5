"""``sbx diff``: what one profile, version or trace lets happen that another does not."""

import click

from learner.cli.options import emit_json
from learner.cli.profiles import PROFILE
from learner.difference import compare
from learner.errors import UsageError
from learner.gate import Gate, failing
from learner.names import to_text
from learner.sides import accept as accept_changes
from learner.sides import accepted_file, open_sides, read_accepted, with_accepted
from learner.store import write_atomically
from learner.variables import Variables
from reports.difference_words import Report

_FORMATS = ("console", "markdown", "json", "sarif")


@click.command()
@click.option("--format", "form", type=click.Choice(_FORMATS), default="console", show_default=True)
@click.option(
    "--fail-on",
    "gates",
    type=click.Choice([gate.value for gate in Gate]),
    multiple=True,
    help="Exit with 1 if something of this kind was added; may be given several times.",
)
@click.option("--accept", is_flag=True, help="Record all that was added as reviewed: it is not shown again.")
@click.option(
    "--accepted",
    "accepted_in",
    metavar="FILE",
    help="Where reviewed changes are recorded (default: OLD's file with the ending .accepted).",
)
@click.option("--exact", is_flag=True, help="Tell names apart that differ only in a version or hash.")
@click.option("-o", "--output", metavar="FILE", default="-", help="Write the report here instead of standard output.")
@click.option("-v", "--verbose", is_flag=True, help="Leave nothing out on the console.")
@click.argument("old", type=PROFILE)
@click.argument("new", type=PROFILE)
def diff(
    form: str,
    gates: tuple[str, ...],
    accept: bool,
    accepted_in: str | None,
    exact: bool,
    output: str,
    verbose: bool,
    old: str,
    new: str,
) -> int:
    """Show what NEW lets a program do, or did, that OLD does not, and what is gone.

    OLD and NEW are each a profile's name or file, NAME@VERSION (see `sbx show --history NAME`), or a trace (a file
    that ends in .jsonl). What is covered counts, not how it is written; names that differ only in a version, a hash or
    the place of installation are the same name.

    \b
      sbx diff vibe@2.18 vibe                        what the new version touches that the old one did not
      sbx diff vibe.toml new.toml --fail-on write    in CI: see docs/ci.md
      sbx diff vibe.toml new.toml --accept           these changes were reviewed

    Exit status: 0, or 1 if --fail-on found something.
    """
    here = Variables.here()
    before, after = open_sides(old, new, here)
    for given, opened in ((old, before), (new, after)):
        if opened.partial:
            click.echo(
                f"sbx: {to_text(given)} was recorded in part: what it lacks may only not have been seen", err=True
            )
    file = accepted_in or accepted_file(before.file)
    accepted = read_accepted(file, after.side)
    whole = compare(before.side, after.side, exact=exact)
    rest = whole
    if accepted is not None:
        known = with_accepted(before.side, accepted, after.side.variables)
        rest = whole._replace(added=compare(known, after.side, exact=exact).added)
    if accept:
        if output != "-" or gates:
            raise UsageError("--accept writes no report and fails on nothing", "leave out --output and --fail-on")
        number = accept_changes(file, accepted, rest, after.side, after.profile.name if after.profile else "accepted")
        where = (
            f"{number} changes accepted in {to_text(file)}" if number else "nothing was added, so nothing is accepted"
        )
        click.echo(f"sbx: {where}", err=True)
        return 0
    stopped = failing([Gate(gate) for gate in gates], rest.added)
    accepted_before = len(whole.added) - len(rest.added)
    report = Report(rest, old, new, after.file, after.side.variables, accepted_before, stopped)
    _emit(report, form, output, verbose=verbose)
    return 1 if stopped else 0


def _emit(report: Report, form: str, output: str, *, verbose: bool) -> None:
    if form == "json":
        from reports.difference_json import record

        emit_json(output, record(report))
    elif form == "sarif":
        from reports.difference_sarif import sarif

        emit_json(output, sarif(report))
    elif form == "markdown":
        from reports.difference_markdown import markdown

        _write(output, markdown(report))
    else:
        from io import StringIO

        from rich.console import Console

        from reports.difference_console import show

        if output == "-":
            show(report, verbose=verbose)
            return
        text = StringIO()
        show(report, verbose=verbose, console=Console(file=text, highlight=False, markup=False, soft_wrap=True))
        _write(output, text.getvalue())


def _write(output: str, text: str) -> None:
    if output == "-":
        click.echo(text, nl=False)
    else:
        write_atomically(output, text.encode())
