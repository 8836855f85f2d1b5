"""``sbx run``: the everyday command. Imports little: it stands before every start of the program."""

import os
import signal

import click

from learner import temporary
from learner.cli.network import network_option, supervised
from learner.cli.options import show_launch, words_after_dashes
from learner.cli.profiles import PROFILE, open_profile
from learner.command import find
from learner.enforcers.enforcer import Confinement
from learner.enforcers.landlock import LandlockEnforcer
from learner.errors import InputFileError, LaunchError, MachineError, SbxError
from learner.launch import ensure_directories, execute
from learner.places import is_within
from learner.policy import Policy
from learner.profile import Profile
from learner.variables import Variables
from tracers.tracer import Command, exit_status


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@network_option
@click.option("-v", "--verbose", is_flag=True, help="Say how the command is confined and how it ended.")
@click.argument("profile", type=PROFILE, metavar="NAME|FILE")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND [ARG]...]")
def run(network: str, verbose: bool, profile: str, command: tuple[str, ...]) -> int:
    """Run COMMAND (default: the profile's own) confined to a learned profile.

    \b
      sbx run vibe                     the command that was learned
      sbx run vibe -- vibe -p "…"      with arguments
      sbx run ./vibe.toml -- vibe      with a profile from a file

    Exit status: the command's own (128 + the signal that killed it); 125 if the confinement could not be set up,
    126 or 127 if the command could not be run.
    """
    variables = Variables.here()
    found = open_profile(profile, variables)
    target = find(words_after_dashes(command) or (found.command,))
    if any(is_within(grant.path, variables.temporary) for grant in found.policy.grants):
        temporary.use(variables.temporary)
    supervised(target, found.policy, network, _prepare, verbose)
    confinement = _prepare(found.policy)
    if not verbose:
        execute(target, confinement)
    return _watched(target, found, confinement)


def _prepare(policy: Policy, ports: bool = True) -> Confinement:
    try:
        ensure_directories(policy)
        return LandlockEnforcer(ports=ports).prepare(policy)
    except InputFileError:
        raise
    except MachineError as problem:
        raise LaunchError(str(problem), problem.remedy) from None


def _watched(target: Command, found: Profile, confinement: Confinement) -> int:
    """Run in a child, to be able to tell how it ended."""
    for gap in confinement.gaps:
        click.echo(f"sbx: gap: {gap.item}: {gap.reason}", err=True)
    show_launch(target, found.policy)
    pid = os.fork()
    if pid == 0:
        try:
            execute(target, confinement)
        except SbxError as problem:
            click.echo(f"sbx: {problem}\n     {problem.remedy}", err=True)
            os._exit(problem.status)
    for number in (signal.SIGINT, signal.SIGQUIT):  # the terminal sends them to the command as well
        signal.signal(number, signal.SIG_IGN)
    _, waited = os.waitpid(pid, 0)
    status = exit_status(waited)
    how = f"killed by {signal.Signals(status - 128).name}" if os.WIFSIGNALED(waited) else f"exit status {status}"
    click.echo(f"sbx: {how}", err=True)
    return status
