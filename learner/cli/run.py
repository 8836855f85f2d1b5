"""``sbx run``: the everyday command. Imports little: it stands before every start of the program."""

import os
import signal
from collections.abc import Callable
from typing import NoReturn

import click

from learner import limits as limiting
from learner import temporary
from learner.cli import ground as grounds
from learner.cli.ground import DashedCommand, Ground, Unconfined, ground_options
from learner.cli.network import die_of, is_served, network_option, serve
from learner.cli.options import allowed_paths, chosen, enforcer_options, prepared, show_choice, show_launch
from learner.cli.profiles import PROFILE
from learner.command import find
from learner.diagnosis.hint import hint, is_failure
from learner.enforcers.enforcer import Confinement
from learner.errors import (
    InputFileError,
    LaunchError,
    MachineError,
    NotExecutable,
    NotFound,
    SbxError,
    UsageError,
)
from learner.launch import ensure_directories, execute
from learner.places import is_within
from learner.policy import Policy
from learner.variables import Variables
from learner.watch import Ended, watch
from tracers.tracer import Command


@click.command(cls=DashedCommand, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@ground_options
@click.option(
    "--limit",
    "limit",
    metavar="ITEM=VALUE,...",
    multiple=True,
    help="Limit what the command may use up: " + ", ".join(limiting.KINDS) + "; as in time=300s,memory=2G,procs=200.",
)
@click.option(
    "--protect",
    is_flag=True,
    help="Confine nothing (level none), but mask what is sensitive on this machine: keys, tokens, agents' sockets, …",
)
@click.option(
    "--allow-sensitive",
    "allow",
    metavar="PATH",
    multiple=True,
    help="With --protect: do not mask this, nor what is in it.",
)
@click.option(
    "--watch",
    "drift",
    is_flag=True,
    help="Trace it as well, and say at the end where the profile no longer fits (see `sbx check`).",
)
@click.option("-v", "--verbose", is_flag=True, help="Say how the command is confined and how it ended.")
@enforcer_options
@network_option
@click.argument("profile", type=PROFILE, required=False, metavar="[NAME|FILE]")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND [ARG]...]")
def run(
    verbose: bool,
    level: str | None,
    settings: str | None,
    limit: tuple[str, ...],
    protect: bool,
    allow: tuple[str, ...],
    drift: bool,
    enforcer: str,
    require: tuple[str, ...],
    network: str,
    profile: str | None,
    command: tuple[str, ...],
) -> int:
    """Run COMMAND (default: the profile's own) confined to a learned profile, to a level, or to both together.

    \b
      sbx run vibe                            the command that was learned
      sbx run vibe -- vibe -p "…"             with arguments
      sbx run ./vibe.toml -- vibe             with a profile from a file
      sbx run --level standard -- make test   any command, without a profile: see docs/levels.md
      sbx run --protect -- vibe               nothing but your keys, tokens and the like out of reach
      sbx run --limit time=300s,memory=2G vibe
      sbx run --watch vibe                    and say what it was refused, and what it no longer needs

    Exit status: the command's own (128 + the signal that killed it); 124 if its time was over; 125 if the confinement
    could not be set up, 126 or 127 if the command could not be run.
    """
    if drift:
        if profile is None or level or settings or limit or protect or allow or network not in ("auto", "ports"):
            raise UsageError("--watch goes with a profile alone, and its ports", "leave out the other options")
        return _drifting(profile, command, enforcer, require, verbose=verbose)
    variables = Variables.here()
    limits = limiting.parse(limit)
    if protect:
        level = grounds.level_under_protection(profile, level, settings, require)
    elif allow:
        raise UsageError("--allow-sensitive needs --protect", "a profile grants it: sbx learn --allow-sensitive PATH")
    ground = grounds.find_ground(profile, level, settings, command, variables)
    target = find(ground.words)
    if protect:
        ground = grounds.protected(ground, target, variables, allowed_paths(allow))
    ground = grounds.admitting(ground, target)
    if any(is_within(grant.path, variables.temporary) for grant in ground.profile.policy.grants):
        temporary.use(variables.temporary)
    grounds.enter(ground)
    policy = ground.profile.policy
    held = limiting.hold(limits)
    for gap in held.unmet:
        click.echo(f"sbx: not limited: {gap.item}: {gap.reason}", err=True)

    def prepare(policy: Policy, ports: bool = True) -> Confinement:
        made = _prepare(ground, policy, enforcer, require, target if verbose else None, ports=ports)
        return limiting.Limited(made, held)

    def describe(confinement: Confinement) -> None:
        grounds.show(ground, confinement, *held.gaps)

    said = _hint(ground, profile, level, settings)

    def advise(status: int, killed_by: int) -> None:
        if said and is_failure(status, killed_by):
            click.echo(said, err=True)

    if ground.confined and is_served(policy, network):
        if not held.watched:
            serve(target, policy, network, prepare, describe, verbose, advise)
        return _watched(
            lambda: serve(target, policy, network, prepare, describe, verbose, advise), held, verbose=verbose
        ).status
    limited = prepare(policy)
    if verbose:
        describe(limited)
    # To a person at a terminal it is worth a process that waits, to be told where to look if it fails.
    stays = verbose or held.watched or limited.supervised
    advises = bool(said) and os.isatty(2)
    try:
        if not stays and not advises:
            execute(target, limited)
        ended = _watched(lambda: execute(target, limited), held, limited.check, verbose=verbose)
    except (NotExecutable, NotFound) as problem:
        problem.remedy = "\n".join([problem.remedy, said] if said else [problem.remedy])
        raise
    advise(ended.status, ended.killed_by)
    if ended.killed_by and not stays:
        die_of(ended.killed_by)
    return ended.status


def _drifting(profile: str, command: tuple[str, ...], enforcer: str, require: tuple[str, ...], *, verbose: bool) -> int:
    """Run it traced. The exit status is the command's own."""
    from learner.cli.check import show, watched  # what a tracer takes is only loaded for this

    try:
        seen = watched(profile, command, chosen(enforcer, require), require)
    except (InputFileError, LaunchError):
        raise
    except MachineError as problem:
        raise LaunchError(str(problem), problem.remedy) from None
    show(seen, verbose=verbose)
    return seen.drift.status


def _hint(ground: Ground, profile: str | None, level: str | None, settings: str | None) -> str:
    """How to find out why it failed, "" where nothing is confined. Made before anything is confined: it may import."""
    return hint(profile, level, settings, ground.words) if ground.confined else ""


def _prepare(
    ground: Ground, policy: Policy, enforcer: str, require: tuple[str, ...], shown: Command | None, *, ports: bool
) -> Confinement:
    """The confinement of files; ``shown``: the command whose launch is to be described."""
    if not ground.confined and ground.floor is None:
        return Unconfined()
    try:
        if ground.floor is not None:
            from learner.enforcers.floor import prepare as prepare_floor

            return prepare_floor(ground.floor)
        ensure_directories(policy)
        choice = chosen(enforcer, require, ports=ports)
        confinement = prepared(choice, policy, require)
    except InputFileError:
        raise
    except MachineError as problem:
        raise LaunchError(str(problem), problem.remedy) from None
    if shown is not None:
        show_choice(choice, confinement)
        show_launch(shown, policy, choice.enforcer.name)
    elif choice.reason:
        click.echo(f"sbx: held by {choice.enforcer.name} alone: {choice.reason} (see `sbx doctor`)", err=True)
    return confinement


def _watched(
    become: Callable[[], NoReturn], held: limiting.Held, check: Callable[[], None] = lambda: None, *, verbose: bool
) -> Ended:
    """Run in a child, to be able to end it in time, and to tell how it ended. ``check``: whether it began at all."""

    def start() -> NoReturn:
        try:
            become()
        except SbxError as problem:
            click.echo(f"sbx: {problem}\n     {problem.remedy}", err=True)
            os._exit(problem.status)

    ended = watch(start, held)
    if ended.timed_out:
        click.echo(f"sbx: the time is over ({held.limits.time} s): the command was ended", err=True)
    if ended.survivors:
        pids = ", ".join(map(str, ended.survivors))
        click.echo(f"sbx: these processes could not be ended: {pids}", err=True)
    if not ended.killed_by and not ended.timed_out:
        try:
            check()
        except MachineError as problem:
            raise LaunchError(str(problem), problem.remedy) from None
    if verbose:
        how = f"killed by {signal.Signals(ended.killed_by).name}" if ended.killed_by else f"exit status {ended.status}"
        click.echo(f"sbx: {how}", err=True)
    return ended
