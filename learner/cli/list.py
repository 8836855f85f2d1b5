"""``sbx list``: the profiles there are."""

import click

from learner.errors import InputFileError
from learner.names import to_text
from learner.profile import load
from learner.store import profile_directory, profile_files
from learner.variables import Variables


@click.command("list")
def list_profiles() -> None:
    """List your profiles: name, command, number of grants, file.

    A file that cannot be used is listed with the reason. Profiles are plain files: copy, edit or remove them.
    """
    variables = Variables.here()
    rows = [(name, _summary(path, variables), to_text(path)) for name, path in profile_files()]
    if not rows:
        click.echo(f"no profiles in {to_text(profile_directory())} yet; `sbx learn -- COMMAND` makes one", err=True)
    width = max((len(name) for name, _, _ in rows), default=0)
    for name, summary, path in rows:
        click.echo(f"{name:{width}}  {summary}")
        click.echo(f"{'':{width}}  {path}")


def _summary(path: str, variables: Variables) -> str:
    try:
        profile = load(path, variables)
    except InputFileError as error:
        return f"cannot be used: {error}"
    policy = profile.policy
    partial = ", partial" if profile.partial else ""
    command = variables.contract(profile.command)
    return f"runs {command}: {len(policy.grants)} grants, {len(policy.network)} on the network{partial}"
