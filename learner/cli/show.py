"""``sbx show``: what a profile grants, and why."""

import json

import click

from learner.cli.profiles import PROFILE, open_profile
from learner.variables import Variables


@click.command()
@click.argument("profile", type=PROFILE, metavar="NAME|FILE")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead.")
def show(profile: str, as_json: bool) -> None:
    """Show what a profile grants, by directory, with the programs that need each grant.

    NAME is one that `sbx list` shows; a FILE has a / in it or ends in .toml. `dir/**` is a grant on
    everything in dir.
    """
    variables = Variables.here()
    opened = open_profile(profile, variables)
    if as_json:
        from reports.profile_json import profile_record

        click.echo(json.dumps(profile_record(opened, variables), indent=2, ensure_ascii=False))
        return
    from reports.console import grants_tree, make_console

    make_console().print(grants_tree(opened, variables))
