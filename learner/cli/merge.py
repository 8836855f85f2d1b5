"""``sbx merge``: several profiles become one."""

import os

import click

from learner.cli.profiles import PROFILE, open_profile
from learner.errors import UsageError
from learner.merging import merge as merge_policies
from learner.names import to_text
from learner.profile import Profile, dumps
from learner.store import check_name, name_for, profile_path, write_atomically
from learner.variables import Variables


@click.command()
@click.option("-o", "--output", metavar="FILE", help="Write the merged profile here.")
@click.option("-n", "--name", help="Store the merged profile under this name.")
@click.argument("profiles", nargs=-1, required=True, type=PROFILE, metavar="PROFILE PROFILE...")
def merge(output: str | None, name: str | None, profiles: tuple[str, ...]) -> None:
    """Join profiles into one that grants what any of them grants.

    For a command that was learned in several projects, on several machines or by several people. The profiles
    stay as they are; their order does not matter, except that the first one's command is the one to run. A grant
    below a wider one keeps only the rights that the wider one lacks, and goes if there are none.

    \b
      sbx merge -n vibe vibe ~/from-ada/vibe.toml    take in what a colleague's vibe needed
      sbx merge -o team.toml one.toml two.toml       write a new file
    """
    if (output is None) == (name is None):
        raise UsageError("where should the merged profile go?", "give either -o FILE or -n NAME")
    if len(profiles) < 2:
        raise UsageError("one profile is nothing to merge", "name two or more; `sbx list` shows those that exist")
    target = output if output is not None else profile_path(check_name(name or ""))
    variables = Variables.here()
    opened = [open_profile(profile, variables) for profile in profiles]
    platforms = sorted({profile.platform for profile in opened})
    if len(platforms) > 1:
        raise UsageError(f"these are for different platforms: {to_text(', '.join(platforms))}", "merge those of one")
    first = opened[0]
    merged = Profile(
        name=name or name_for(os.path.basename(target).removesuffix(".toml")),
        command=first.command,
        policy=merge_policies(profile.policy for profile in opened),
        partial=any(profile.partial for profile in opened),
        platform=first.platform,
        prefix=first.prefix,
    )
    write_atomically(target, dumps(merged, variables).encode())
    commands = sorted({to_text(profile.command) for profile in opened})
    if len(commands) > 1:
        click.echo(f"sbx: of several commands ({', '.join(commands)}): {to_text(first.command)} is kept", err=True)
    click.echo(
        f"sbx: {to_text(target)}: {len(merged.policy.grants)} grants, {len(merged.policy.network)} on the network, "
        f"from {len(opened)} profiles",
        err=True,
    )
