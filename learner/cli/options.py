"""What several commands' options have in common."""

import os
import shlex
import sys

import click
import msgspec

from learner.enforcers.landlock import abi
from learner.errors import SbxError
from learner.names import to_text
from learner.policy import Policy
from learner.store import write_atomically
from tracers.tracer import Command, TracerName

TRACERS = click.Choice([name.value for name in TracerName])
VERIFICATIONS = click.Choice(["replay", "live", "off"])


def allowed_paths(given: tuple[str, ...]) -> frozenset[str]:
    """The objects behind ``--allow-sensitive`` paths, links resolved."""
    return frozenset(os.path.realpath(os.path.expanduser(path)) for path in given)


def words_after_dashes(words: tuple[str, ...]) -> tuple[str, ...]:
    """The command that follows a profile's name: click leaves the ``--`` between them to us."""
    return words[1:] if words[:1] == ("--",) else words


def show_launch(target: Command, policy: Policy) -> None:
    """Say on standard error exactly what is started, and under what."""
    held = f"landlock ABI {abi()}, {len(policy.grants)} path and {len(policy.network)} network grants"
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
