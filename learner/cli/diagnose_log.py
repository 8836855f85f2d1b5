"""``sbx diagnose --log``: causes from a log, without running anything."""

import errno
import os
import sys
from typing import Any, BinaryIO

import click

from learner.cli.options import emit_json
from learner.diagnosis.logs.reader import Entry, Log, grant, read_log
from learner.diagnosis.logs.table import SHAPES
from learner.errors import InputFileError
from learner.names import to_text
from learner.policy import Grant, NetworkGrant
from learner.profile import grant_toml, network_toml
from learner.variables import Variables
from learner.words import verb

_SHOWN = 5
_FOUND, _NOTHING = 0, 1


def show_log(where: str, json_file: str | None) -> int:
    """Read the log (``-``: standard input), print what it says, and return the exit status."""
    if where == "-":
        log = read_log(sys.stdin.buffer)
    else:
        try:
            with open(where, "rb") as stream:
                log = _read(stream, where)
        except OSError as problem:
            raise InputFileError(f"{to_text(where)}: {problem.strerror}", "name a log, or - for the input") from None
    variables = Variables.here()
    if json_file:
        emit_json(json_file, _document(log, variables))
    if not log.entries:
        click.echo(f"no cause found: none of {log.read} lines is of a shape that is known here:", err=True)
        click.echo("  " + "; ".join(dict.fromkeys(shape.title for shape in SHAPES)), err=True)
        return _NOTHING
    for number, entry in enumerate(log.entries[:_SHOWN]):
        click.echo(f"{'also' if number else 'cause'}: {_said(entry)}", err=True)
        if not number:
            for line in _links(entry, variables):
                click.echo(f"  {line}", err=True)
    if len(log.entries) > _SHOWN or log.more:
        click.echo(f"also: {len(log.entries) - _SHOWN + log.more} more (--json has them)", err=True)
    proposed = _toml(log.entries[0], variables)
    if proposed and _is_probe(log.entries[0]):
        click.echo("fix: none: nothing is there, so no grant can help", err=True)
    elif proposed:
        reason = _sensitive(log.entries[0], variables)
        if reason:
            click.echo(f"fix: think twice: it is sensitive ({reason})", err=True)
        click.echo("fix: this grant would admit it, if it is the sandbox that refuses it:", err=True)
        click.echo(proposed, nl=False, err=True)
    else:
        click.echo("fix: the log does not tell enough for a grant: `sbx diagnose -- COMMAND` sees it happen", err=True)
    return _FOUND


def _read(stream: BinaryIO, where: str) -> Log:
    try:
        return read_log(stream)
    except IsADirectoryError:
        raise InputFileError(f"{to_text(where)} is a directory", "name a log, or - for the input") from None


def _said(entry: Entry) -> str:
    message = entry.message
    what = to_text(message.path) or "something that is not named"
    why = f": {os.strerror(message.errno)}" if message.errno else ""
    times = f", {entry.times} times" if entry.times > 1 else ""
    return f"{verb(message.operation)} {what}{why} (line {entry.line}{times}; {message.shape}; {message.certainty})"


def _links(entry: Entry, variables: Variables) -> list[str]:
    """What this machine knows of the path: it may be another one, so it is only shown."""
    path = entry.message.path
    if not path.startswith("/"):
        return []
    from learner.diagnosis.machine import Host

    host = Host()
    told = [f"here {variables.contract(link)} is a symlink to {to_text(text)}" for link, text in host.links(path)]
    there = bool(host.mode(host.real(path)))
    if entry.message.errno == errno.ENOENT:
        told.append("here it exists, so it was hidden" if there else "it does not exist here either")
    return told


def _is_probe(entry: Entry) -> bool:
    """Whether a path was not found and is not on this machine either."""
    from learner.diagnosis.machine import Host

    message, host = entry.message, Host()
    exists = bool(host.mode(host.real(message.path)))
    return message.errno == errno.ENOENT and message.path.startswith("/") and not exists


def _sensitive(entry: Entry, variables: Variables) -> str:
    """Why the object is a sensitive one, "" if it is not."""
    found = grant(entry.message, variables.home)
    if not isinstance(found, Grant):
        return ""
    from learner.sensitive import Catalogue

    known = Catalogue(variables.home).match(entry.message.path, found.rights)
    return known.reason if known else ""


def _toml(entry: Entry, variables: Variables) -> str:
    found = grant(entry.message, variables.home)
    if found is None:
        return ""
    return network_toml(found, variables) if isinstance(found, NetworkGrant) else grant_toml(found, variables)


def _document(log: Log, variables: Variables) -> dict[str, Any]:
    return {
        "lines": log.read,
        "more": log.more,
        "messages": [
            {
                "operation": entry.message.operation.value,
                "path": to_text(entry.message.path),
                "errno": errno.errorcode.get(entry.message.errno, "") if entry.message.errno else "",
                "certainty": entry.message.certainty.value,
                "shape": entry.message.shape,
                "line": entry.line,
                "times": entry.times,
                "fix": _toml(entry, variables),
            }
            for entry in log.entries
        ],
    }
