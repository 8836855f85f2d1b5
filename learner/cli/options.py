"""What several commands' options have in common."""

import importlib
import os
import shlex
import sys
from collections.abc import Callable
from typing import Any

import click
import msgspec

from learner.enforcers.choice import Choice, EnforcerName, check_items, choose, demand, open_items
from learner.enforcers.enforcer import Confinement
from learner.errors import SbxError, UsageError
from learner.names import to_text
from learner.policy import Policy
from learner.store import write_atomically
from tracers.choice import AUTO, Chosen
from tracers.choice import choose as choose_tracer
from tracers.tracer import Command, TracerName

TRACERS = click.Choice([AUTO, *(name.value for name in TracerName)])
VERIFICATIONS = click.Choice(["replay", "live", "off"])


def chosen_tracer(name: str, *, seeing: bool) -> Chosen:
    """What ``--tracer`` names; ``seeing``: outcomes must be seen."""
    return choose_tracer(seeing=seeing) if name == AUTO else Chosen(TracerName(name), "")


def allowed_paths(given: tuple[str, ...]) -> frozenset[str]:
    """The objects behind ``--allow-sensitive`` paths, links resolved."""
    return frozenset(os.path.realpath(os.path.expanduser(path)) for path in given)


def words_after_dashes(words: tuple[str, ...]) -> tuple[str, ...]:
    """The command that follows a profile's name: click leaves the ``--`` between them to us.

    Raises UsageError for an option there: nobody means to run a command of that name.
    """
    if words[:1] == ("--",):
        return words[1:]
    if words and words[0].startswith("-"):
        raise UsageError(
            f"{to_text(words[0])} stands after the profile", "options stand before it; a command follows after --"
        )
    return words


def enforcer_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--enforcer`` and ``--require``, for every command that enforces."""
    named = click.option(
        "--enforcer",
        type=click.Choice([name.value for name in EnforcerName]),
        default=EnforcerName.AUTO.value,
        show_default=True,
        help="What holds the policy. auto: the strongest that this machine can do.",
    )
    required = click.option(
        "--require",
        metavar="ITEM",
        multiple=True,
        help="Refuse unless this is held: the name of a gap, such as `unix sockets by path`.",
    )
    return named(required(function))


def log_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--from-log`` and what goes with it."""
    options = (
        click.option(
            "--from-log",
            "logs",
            metavar="FILE|DIR",
            multiple=True,
            help="Learn from a saved log of the macOS sandbox instead of a run; on any machine. See docs/macos.md.",
        ),
        click.option(
            "--log-only",
            "only",
            metavar="TAG|PROCESS",
            multiple=True,
            help="With --from-log: only what was reported with this tag, or of processes of this name.",
        ),
        click.option(
            "--log-home", metavar="DIR", help="With --from-log: the home directory in it (default: the one most named)."
        ),
        click.option("--log-project", metavar="DIR", help="With --from-log: the project's directory in it."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def chosen(enforcer: str, require: tuple[str, ...], *, ports: bool = True) -> Choice:
    """What ``--enforcer`` picks. Raises UsageError for an unknown ``--require``, MachineError."""
    check_items(require)
    return choose(EnforcerName(enforcer), ports=ports)


def prepared(choice: Choice, policy: Policy, require: tuple[str, ...]) -> Confinement:
    """A confinement that holds what is required. Raises MachineError."""
    confinement = choice.enforcer.prepare(policy)
    try:
        demand(confinement, choice.enforcer, require)
    except BaseException:
        confinement.close()
        raise
    return confinement


def show_choice(choice: Choice, confinement: Confinement) -> None:
    """Say on standard error what holds the policy, and what stays open."""
    why = f" (not layered: {choice.reason})" if choice.reason else ""
    open_ones = open_items(confinement.gaps)
    click.echo(f"sbx: {choice.enforcer.name}{why}, {confinement.strength}; open: {open_ones}", err=True)


def show_launch(target: Command, policy: Policy, enforcer: str) -> None:
    """Say on standard error exactly what is started, and under what."""
    held = f"{enforcer}, {len(policy.grants)} path and {len(policy.network)} network grants"
    words = " ".join(shlex.quote(to_text(word)) for word in target.argv)
    click.echo(f"sbx: {held}\nsbx: exec {to_text(target.file)} as {words}", err=True)


def emit_json(where: str, document: object) -> None:
    """Write a document to a file (0600, whole or not at all), or to standard output for ``-``."""
    data = msgspec.json.format(msgspec.json.encode(document, order="deterministic"), indent=2) + b"\n"
    if where != "-":
        write_atomically(where, data)
        return
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as problem:
        raise SbxError(f"standard output: {to_text(problem.strerror or '')}", "use --json FILE") from None


def list_option(place: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--list``: prints the table of formats at ``place`` (``module:attribute``), and ends."""

    def show(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
        if not wanted or context.resilient_parsing:
            return
        module, _, attribute = place.partition(":")
        lines = getattr(importlib.import_module(module), attribute)
        width = max(map(len, lines))
        for name, line in sorted(lines.items()):
            click.echo(f"{name:{width}}  {line.about}")
        context.exit()

    return click.option(
        "--list", is_flag=True, is_eager=True, expose_value=False, callback=show, help="List the formats."
    )
