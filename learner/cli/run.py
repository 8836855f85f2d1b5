"""``sbx run``: the everyday command. Imports little: it stands before every start of the program."""

import os
import signal

import click

from learner import temporary
from learner.cli.options import chosen, enforcer_options, prepared, show_choice, show_launch, words_after_dashes
from learner.cli.profiles import PROFILE, open_profile
from learner.command import find
from learner.enforcers.choice import Choice
from learner.enforcers.enforcer import Confinement
from learner.errors import InputFileError, LaunchError, MachineError, SbxError
from learner.launch import ensure_directories, execute
from learner.places import is_within
from learner.profile import Profile
from learner.variables import Variables
from tracers.tracer import Command, exit_status


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("-v", "--verbose", is_flag=True, help="Say how the command is confined and how it ended.")
@enforcer_options
@click.argument("profile", type=PROFILE, metavar="NAME|FILE")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND [ARG]...]")
def run(verbose: bool, enforcer: str, require: tuple[str, ...], profile: str, command: tuple[str, ...]) -> int:
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
    choice, confinement = _prepare(found, enforcer, require)
    if choice.reason and not verbose:
        click.echo(f"sbx: held by {choice.enforcer.name} alone: {choice.reason} (see `sbx doctor`)", err=True)
    if not verbose and not confinement.supervised:
        execute(target, confinement)
    if verbose:
        for gap in confinement.gaps:
            click.echo(f"sbx: gap: {gap.item}: {gap.reason}", err=True)
        show_choice(choice, confinement)
        show_launch(target, found.policy, choice.enforcer.name)
    status, how = _watched(target, confinement)
    if verbose:
        click.echo(f"sbx: {how}", err=True)
    return status


def _prepare(found: Profile, enforcer: str, require: tuple[str, ...]) -> tuple[Choice, Confinement]:
    try:
        ensure_directories(found.policy)
        choice = chosen(enforcer, require)
        return choice, prepared(choice, found.policy, require)
    except InputFileError:
        raise
    except MachineError as problem:
        raise LaunchError(str(problem), problem.remedy) from None


def _watched(target: Command, confinement: Confinement) -> tuple[int, str]:
    """Run in a child, to be able to tell how it ended: the status, and in words."""
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
    if not os.WIFSIGNALED(waited):
        try:
            confinement.check()
        except MachineError as problem:
            raise LaunchError(str(problem), problem.remedy) from None
    return status, how
