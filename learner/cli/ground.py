"""What a command is to be confined to: a learned profile, a level, VibeCoding's settings, or some of each together."""

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click
import msgspec

from learner.cli.options import words_after_dashes
from learner.cli.profiles import open_profile
from learner.enforcers.enforcer import Confinement, Strength
from learner.errors import UsageError
from learner.gaps import Gap
from learner.levels import MEANING, Level
from learner.names import to_text
from learner.policy import Grant, Policy
from learner.profile import Profile
from learner.variables import Variables
from tracers.tracer import Command

if TYPE_CHECKING:
    from learner.floor import Floor

_F = TypeVar("_F", bound=Callable[..., Any])
_NO_PROFILE = "--"


class Ground(NamedTuple):
    """``unmet``: what was wished for and is not held, always shown. ``gaps``: what else is open, shown on demand.

    ``environment`` holds variables to set, ``description`` says what the level is, empty without one.
    """

    profile: Profile
    words: tuple[str, ...]
    confined: bool = True
    description: str = ""
    unmet: tuple[Gap, ...] = ()
    gaps: tuple[Gap, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    floor: "Floor | None" = None
    """What is masked although nothing is confined."""


class Unconfined:
    """The confinement of level ``none``: there is none."""

    strength = Strength.NONE
    supervised = False
    gaps: tuple[Gap, ...] = (Gap("everything", "level none confines nothing"),)

    def wrap(self, command: Command) -> Command:
        """The command itself."""
        return msgspec.structs.replace(command, confine=self.apply)

    def apply(self) -> None:
        """Do nothing."""

    def check(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class DashedCommand(click.Command):
    """A command that can tell ``[NAME] -- WORDS`` with a name from the same without one.

    click drops the ``--`` that ends the options, so it is given two of them.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click's; the parameter ``profile`` is None where ``--`` came first."""
        at = args.index(_NO_PROFILE) if _NO_PROFILE in args else len(args)
        rest = super().parse_args(ctx, [*args[:at], *args[at : at + 1], *args[at:]])
        words = list(ctx.params.get("command") or ())
        if ctx.params.get("profile") == _NO_PROFILE:
            ctx.params["profile"] = None
        elif _NO_PROFILE in words:
            words.remove(_NO_PROFILE)
        ctx.params["command"] = tuple(words)
        return rest


def ground_options(function: _F) -> _F:
    """The options ``--level`` and ``--settings``."""
    words = "; ".join(f"{level}: {meaning}" for level, meaning in MEANING.items())
    for option in (
        click.option(
            "--settings",
            metavar="FILE",
            help="Take level, network, devices and binds from VibeCoding's settings.json.",
        ),
        click.option(
            "--level",
            type=click.Choice([level.value for level in Level]),
            help=f"Grant this much to any command, beneath what the profile grants if one is named ({words}).",
        ),
    ):
        function = option(function)
    return function


def find_ground(
    name: str | None, level_name: str | None, settings: str | None, command: tuple[str, ...], variables: Variables
) -> Ground:
    """What the options and words of a command line mean. Raises UsageError or InputFileError."""
    words = words_after_dashes(command) if name is not None else command
    if level_name is None and settings is None:
        if name is None:
            raise UsageError("which profile, or which level?", "as in: sbx run vibe, sbx run --level standard -- make")
        profile = open_profile(name, variables)
        return Ground(profile, words or (profile.command,), unmet=_of_another_system(profile))
    return _at_level(name, level_name, settings, words, variables)


def _of_another_system(profile: Profile) -> tuple[Gap, ...]:
    if profile.platform == sys.platform:
        return ()
    reason = f"it was learned on {to_text(profile.platform)}: what the command needs here is not in it"
    return (Gap("this system", reason),)


def _at_level(
    name: str | None, level_name: str | None, settings: str | None, words: tuple[str, ...], variables: Variables
) -> Ground:
    # Imported here: `sbx run NAME` needs none of it, and json is slow to import.
    from learner import levels
    from learner.merging import merge

    level, network, devices = Level(level_name or Level.STANDARD), False, False
    binds: tuple[Grant, ...] = ()
    unmet: tuple[Gap, ...] = ()
    if settings is not None:
        from learner import vibecoding

        sandbox, unmet = vibecoding.load(settings, variables.home)
        if not sandbox.enabled and level_name is None:
            raise UsageError(
                f"{to_text(settings)}: sandbox.enabled is not true, so nothing would be confined",
                "set it there, or say which level: --level standard, --level none",
            )
        level = Level(level_name) if level_name else sandbox.level or level
        network, devices = sandbox.allow_network, sandbox.allow_devices
        binds, missing = vibecoding.bind_grants(sandbox.extra_binds, level, variables.places)
        unmet = tuple(sorted((*unmet, *missing)))
    if name is None and not words:
        raise UsageError("no command was given", f"put it after --, as in: sbx run --level {level} -- make")
    description = levels.describe(level, network=network, devices=devices)
    if level is Level.NONE:
        if name is not None:
            raise UsageError("level none confines nothing, so no profile can hold", "leave out one of them")
        empty = Profile(name=f"level-{level}", command=words[0], policy=Policy())
        return Ground(empty, words, confined=False, description=description, unmet=Unconfined.gaps)
    places = variables.places
    levels.check_project(places)
    base = levels.base(level, places, network=network, devices=devices)
    policy = merge((base.policy, Policy(binds)))
    environment: dict[str, str] = {}
    if name is None:
        profile = Profile(name=f"level-{level}", command=words[0], policy=policy)
        environment = levels.environment(places)
    else:
        learned = open_profile(name, variables)
        profile = msgspec.structs.replace(learned, policy=merge((policy, learned.policy)))
        words = words or (learned.command,)
    return Ground(
        profile,
        words,
        description=description,
        unmet=unmet,
        gaps=base.gaps,
        environment=tuple(sorted(environment.items())),
    )


def level_under_protection(
    name: str | None, level: str | None, settings: str | None, require: tuple[str, ...] = ()
) -> str:
    """The level of a run with ``--protect``. Raises UsageError if something else is to confine it."""
    if name is not None or settings is not None or level not in (None, Level.NONE):
        raise UsageError(
            "--protect is for a command that nothing else confines",
            "leave it out: a profile or a level grants only what it names",
        )
    if require:
        raise UsageError(f"--protect confines nothing, so it does not hold {require[0]!r}", "leave out one of them")
    return Level.NONE


def protected(ground: Ground, target: Command, variables: Variables, allowed: frozenset[str]) -> Ground:
    """``ground`` with sensitive places masked, except for what is ``allowed``."""
    from learner.floor import find_floor

    program = variables.with_program(target.file)
    floor = find_floor(program, allowed, (os.getcwd(), target.file, os.path.realpath(target.file), program.prefix))
    rest = Gap("everything else", "only sensitive places are masked")
    said = f"{len(floor.masks)} sensitive places are masked, nothing else is confined"
    return ground._replace(unmet=(rest, *floor.unmet), floor=floor, description=said)


def admitting(ground: Ground, target: Command) -> Ground:
    """``ground`` with what it takes to start ``target`` at a level, wherever the file is."""
    if not ground.confined or not ground.description:
        return ground
    from learner import levels
    from learner.merging import merge

    policy = merge((ground.profile.policy, Policy(levels.for_command(target.file, ground.profile.policy))))
    return ground._replace(profile=msgspec.structs.replace(ground.profile, policy=policy))


def enter(ground: Ground) -> None:
    """Set the variables of ``ground``, and say what is not held as it was wished for."""
    os.environ.update(ground.environment)
    for gap in ground.unmet:
        click.echo(f"sbx: not held: {gap.item}: {gap.reason}", err=True)


def show(ground: Ground, confinement: Confinement, *more: Gap) -> None:
    """What ``-v`` says of gaps and level."""
    for gap in (*confinement.gaps, *ground.gaps, *more):
        click.echo(f"sbx: gap: {gap.item}: {gap.reason}", err=True)
    if ground.description:
        click.echo(f"sbx: {ground.description}", err=True)
