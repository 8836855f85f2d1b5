"""Changes in words, for every presenter. Each text is one printable line."""

from typing import NamedTuple

from learner import words
from learner.change import Change, Difference, Kind, Severity, User
from learner.names import to_text
from learner.policy import Scope
from learner.variables import Variables
from tracers.programs import LAUNCHER

HEADINGS = {
    Severity.SENSITIVE: "sensitive",
    Severity.OUTSIDE: "changes outside of the project",
    Severity.EXECUTABLE: "programs",
    Severity.HOST: "network, sockets and services",
    Severity.HOME: "reading in the home directory",
    Severity.SYSTEM: "reading elsewhere",
    Severity.OWN: "in the project, or its own temporary files",
}
_VERBS = {
    Kind.RUN: "runs",
    Kind.EXECUTE: "may execute",
    Kind.WRITE: "may change",
    Kind.CONNECT: "may connect to",
    Kind.BIND: "may listen on",
    Kind.READ: "may read",
    Kind.LOOK: "may look at",
}
_CHAINS = 3
_LONGEST = 160
"""Characters of a line, so that an odd name does not fill a screen."""


class Report(NamedTuple):
    """What the presenters are given. ``old``, ``new``: as the user wrote them.

    ``accepted``: how many changes are left out because they were accepted. ``failing``: those that a gate stops.
    """

    difference: Difference
    old: str
    new: str
    file: str
    variables: Variables
    accepted: int = 0
    failing: tuple[Change, ...] = ()


def verb(change: Change) -> str:
    """What may be done, such as ``may read``."""
    if change.service is not None:
        return "may use"
    return _VERBS[change.kind] if change.granted else f"used, and was not granted to {change.kind},"


def what(change: Change, variables: Variables) -> str:
    """The object, tree or endpoint: portable text."""
    if change.endpoint is not None:
        return words.endpoint(change.endpoint)
    if change.service is not None:
        return words.service(change.service, variables)
    path = variables.contract(change.path)
    return path if change.scope is Scope.FILE else path.removesuffix("/") + "/**"


def details(change: Change, variables: Variables) -> str:
    """Rights, amount and exceptions, such as ``write create; 3 objects, such as $HOME/.x/y``; may be empty."""
    found = []
    if change.rights and change.kind is Kind.WRITE:
        found.append(words.rights_phrase(change.rights))
    if change.objects > 1:
        most = max(change.users, key=lambda user: user.objects)
        found.append(f"{most.objects} objects, such as {variables.contract(most.example)}")
    if change.beside:
        found.append(f"{change.beside} or more exist beside")
    if change.but:
        found.append(f"but what was granted within it before ({len(change.but)})")
    if change.reason:
        found.append(change.reason)
    return shorten("; ".join(found))


def chains(change: Change) -> tuple[str, ...]:
    """How the programs came about that need it, such as ``vibe → gcc → collect2``; several, sorted."""
    users = [user for user in change.users if user.chain != (LAUNCHER,)]
    return tuple(sorted({_chain(user) for user in users}))


def by(change: Change) -> str:
    """The chains on one line; the last ones are only counted."""
    found = chains(change)
    more = [f"{len(found) - _CHAINS} more"] if len(found) > _CHAINS else []
    return shorten("; ".join([*found[:_CHAINS], *more]))


def sentence(change: Change, variables: Variables) -> str:
    """All of it: ``may change $HOME/.x/** (write create), by vibe → sh``."""
    more, users = details(change, variables), by(change)
    text = f"{verb(change)} {what(change, variables)}"
    return text + (f" ({more})" if more else "") + (f", by {users}" if users else "")


def summary(report: Report) -> str:
    """Numbers in a line."""
    found = report.difference
    text = f"{len(found.added)} added, {len(found.removed)} gone" if found.added or found.removed else "no difference"
    return text + (f", {report.accepted} accepted earlier" if report.accepted else "")


def shorten(text: str) -> str:
    """A line of bearable length."""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _chain(user: User) -> str:
    return " → ".join(to_text(label) for label in user.chain)
