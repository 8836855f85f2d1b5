"""``sbx import``: another sandbox's configuration becomes a profile."""

import os
import sys

import click

from learner.cli.options import list_option
from learner.errors import UsageError
from learner.names import to_text
from learner.store import check_name, name_for, profile_path, write_atomically
from learner.variables import Variables


@click.command("import")
@click.argument("file", type=click.Path(), metavar="FILE")
@click.option("--from", "source", metavar="FORMAT", help="The format; `sbx import --list` shows those there are.")
@click.option("-o", "--output", metavar="PROFILE", help="Write there (a name, or a .toml file) instead of printing.")
@click.option("--name", help="The profile's name (default: what the file says, else the file's own name).")
@click.option("--command", "command_name", metavar="COMMAND", help="What it is to run (default: as the file says).")
@list_option("learner.targets.importing:READERS")
def import_(file: str, source: str | None, output: str | None, name: str | None, command_name: str | None) -> None:
    """Read what another sandbox grants, for this machine, account and project, as a profile.

    \b
    sbx import ~/.config/nono/profiles/vibe.json --from nono -o vibe
    sbx import ~/.srt-settings.json --from srt --name claude

    It never grants more than the file does. What a profile cannot say is left out, and printed.
    """
    from learner.profile import Profile, dumps
    from learner.targets.importing import find
    from learner.targets.settling import read_text, settle

    if source is None:
        raise UsageError("from which format?", "--from FORMAT; `sbx import --list` shows those there are")
    reader = find(source)
    variables = Variables.here()
    found = reader.read(read_text(file), to_text(file), variables)
    policy, gaps = settle(found)
    for gap in gaps:
        click.echo(f"sbx: gap: {gap.item}: {gap.reason}", err=True)
    given = check_name(name) if name else name_for(found.name or os.path.splitext(os.path.basename(file))[0])
    command = command_name or found.command or given
    if not policy.grants and not policy.network:
        click.echo("sbx: nothing in it grants anything", err=True)
    text = dumps(Profile(given, command, policy), variables)
    if output is None:
        sys.stdout.write(text)
        return
    target = profile_path(output)
    write_atomically(target, text.encode())
    click.echo(f"sbx: wrote {to_text(target)}: {len(policy.grants)} grants", err=True)
