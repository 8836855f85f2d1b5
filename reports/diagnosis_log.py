"""What a log says, as a person reads it, and as a document with stable keys."""

import errno
import os
from collections.abc import Iterator
from typing import Any

from learner.diagnosis.logs.reader import Entry, Log, grant
from learner.diagnosis.logs.table import SHAPES
from learner.diagnosis.machine import Host
from learner.names import to_text
from learner.policy import Grant, NetworkGrant
from learner.profile import grant_toml, network_toml
from learner.sensitive import Catalogue
from learner.variables import Variables
from learner.words import verb

_SHOWN = 5


def lines(log: Log, variables: Variables) -> Iterator[str]:
    """The likeliest cause first, what this machine knows of it, and what would mend it."""
    if not log.entries:
        yield f"no cause found: none of {log.read} lines is of a shape that is known here:"
        yield "  " + "; ".join(dict.fromkeys(shape.title for shape in SHAPES))
        return
    first = log.entries[0]
    for number, entry in enumerate(log.entries[:_SHOWN]):
        yield f"{'also' if number else 'cause'}: {said(entry)}"
        if not number:
            yield from (f"  {line}" for line in _links(entry, variables))
    if len(log.entries) > _SHOWN or log.more:
        yield f"also: {len(log.entries) - _SHOWN + log.more} more (--json has them)"
    proposed = fix_of(first, variables)
    if proposed and _is_probe(first):
        yield "fix: none: nothing is there, so no grant can help"
    elif proposed:
        reason = _sensitive(first, variables)
        if reason:
            yield f"fix: think twice: it is sensitive ({reason})"
        yield "fix: this grant would admit it, if it is the sandbox that refuses it:"
        yield from proposed.rstrip("\n").split("\n")
    else:
        yield "fix: the log does not tell enough for a grant: `sbx diagnose -- COMMAND` sees it happen"


def said(entry: Entry) -> str:
    """One entry in a line."""
    message = entry.message
    what = to_text(message.path) or "something that is not named"
    why = f": {os.strerror(message.errno)}" if message.errno else ""
    times = f", {entry.times} times" if entry.times > 1 else ""
    return f"{verb(message.operation)} {what}{why} (line {entry.line}{times}; {message.shape}; {message.certainty})"


def fix_of(entry: Entry, variables: Variables) -> str:
    """The grant (TOML) that would admit it, "" if the log does not tell enough for one."""
    found = grant(entry.message, variables.home)
    if found is None:
        return ""
    return network_toml(found, variables) if isinstance(found, NetworkGrant) else grant_toml(found, variables)


def document(log: Log, variables: Variables) -> dict[str, Any]:
    """The same with stable keys, for JSON."""
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
                "fix": fix_of(entry, variables),
            }
            for entry in log.entries
        ],
    }


def _links(entry: Entry, variables: Variables) -> list[str]:
    """What this machine knows of the path: it may be another one, so it is only shown."""
    path = entry.message.path
    if not path.startswith("/"):
        return []
    host = Host()
    told = [f"here {variables.contract(link)} is a symlink to {to_text(text)}" for link, text in host.links(path)]
    there = bool(host.mode(host.real(path)))
    if entry.message.errno == errno.ENOENT:
        told.append("here it exists, so it was hidden" if there else "it does not exist here either")
    return told


def _is_probe(entry: Entry) -> bool:
    """Whether a path was not found and is not on this machine either."""
    message, host = entry.message, Host()
    exists = bool(host.mode(host.real(message.path)))
    return message.errno == errno.ENOENT and message.path.startswith("/") and not exists


def _sensitive(entry: Entry, variables: Variables) -> str:
    """Why the object is a sensitive one, "" if it is not."""
    found = grant(entry.message, variables.home)
    if not isinstance(found, Grant):
        return ""
    known = Catalogue(variables.home).match(entry.message.path, found.rights)
    return known.reason if known else ""
