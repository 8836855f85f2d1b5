"""``sbx export``: a profile in the format of another sandbox."""

import sys

import click

from learner.cli.options import list_option, words_after_dashes
from learner.cli.profiles import PROFILE, open_profile
from learner.errors import SbxError, UsageError
from learner.names import to_text
from learner.store import write_atomically
from learner.variables import Variables


@click.command()
@click.argument("profile", type=PROFILE, metavar="NAME|FILE")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("--to", "target_name", metavar="TARGET", help="The format; `sbx export --list` shows those there are.")
@click.option("-o", "--output", metavar="FILE", help="Write there (0600, or 0700 for a program) instead of printing.")
@click.option("--strict", is_flag=True, help="Write nothing if the format cannot say all of the policy.")
@list_option("learner.targets.table:TARGETS")
def export(profile: str, command: tuple[str, ...], target_name: str | None, output: str | None, strict: bool) -> None:
    """Write a profile in the format of another sandbox, for this machine, account and project.

    \b
    sbx export vibe --to bwrap -o vibe-bwrap && ./vibe-bwrap
    sbx export vibe --to nono -o vibe.json

    What the format cannot say is printed, and stands in the file as comments where it can hold any.
    """
    from learner.targets.request import request_for
    from learner.targets.table import find

    if target_name is None:
        raise UsageError("to which format?", "--to TARGET; `sbx export --list` shows those there are")
    target = find(target_name)
    variables = Variables.here()
    opened = open_profile(profile, variables)
    words = words_after_dashes(command) or (opened.command,)
    written = target.export(request_for(opened, words, variables))
    for gap in written.gaps:
        click.echo(f"sbx: gap: {gap.item}: {gap.reason}", err=True)
    if strict and written.gaps:
        raise SbxError(
            f"{target_name} cannot say all of {to_text(opened.name)}: nothing was written", "leave out --strict"
        )
    if output is None:
        sys.stdout.buffer.write(written.data)
        return
    write_atomically(output, written.data, 0o700 if target.executable else 0o600)
    click.echo(f"sbx: wrote {to_text(output)}", err=True)
