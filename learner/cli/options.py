"""What several commands' options have in common."""

import os
import shlex
import sys
from collections.abc import Callable
from typing import Any

import click
import msgspec

from learner.enforcers.choice import Choice, EnforcerName, check_items, choose, demand, open_items
from learner.enforcers.enforcer import Confinement
from learner.errors import SbxError
from learner.names import to_text
from learner.policy import Policy
from learner.store import write_atomically
from tracers.choice import AUTO, Chosen
from tracers.choice import choose as choose_tracer
from tracers.tracer import Command, TracerName

TRACERS = click.Choice([AUTO, *(name.value for name in TracerName)])
VERIFICATIONS = click.Choice(["replay", "live", "off"])


def chosen_tracer(name: str) -> Chosen:
    """What ``--tracer`` names."""
    return choose_tracer() if name == AUTO else Chosen(TracerName(name), "")


def allowed_paths(given: tuple[str, ...]) -> frozenset[str]:
    """The objects behind ``--allow-sensitive`` paths, links resolved."""
    return frozenset(os.path.realpath(os.path.expanduser(path)) for path in given)


def words_after_dashes(words: tuple[str, ...]) -> tuple[str, ...]:
    """The command that follows a profile's name: click leaves the ``--`` between them to us."""
    return words[1:] if words[:1] == ("--",) else words


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
