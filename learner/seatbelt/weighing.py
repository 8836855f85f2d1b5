"""How much it matters that a program may use a service of macOS, on the scale of everything else. Pure."""

import re

from learner.change import Kind, Severity
from learner.places import Map, Place
from learner.policy import Right, ServiceGrant
from learner.seatbelt.services import FILTERS, acts_outside
from learner.sensitive import Catalogue

_KINDS = {
    "dynamic-code-generation": Kind.EXECUTE,
    "file-lock": Kind.READ,
    "file-search": Kind.READ,
    "iokit-get-properties": Kind.READ,
    "iokit-open": Kind.CONNECT,
    "iokit-open-service": Kind.CONNECT,
    "iokit-open-user-client": Kind.CONNECT,
    "ipc-sysv-sem": Kind.CONNECT,
    "ipc-sysv-shm": Kind.CONNECT,
    "mach-lookup": Kind.CONNECT,
    "mach-register": Kind.BIND,
    "mach-task-name": Kind.READ,
    "nvram-get": Kind.READ,
    "process-codesigning-status-get": Kind.READ,
    "process-fork": Kind.EXECUTE,
    "pseudo-tty": Kind.CONNECT,
    "sysctl-read": Kind.READ,
    "system-info": Kind.READ,
    "system-socket": Kind.CONNECT,
    "user-preference-read": Kind.READ,
}
"""What a service is like; everything else may change something, and what talks to other programs reaches them."""
_SEVERITIES = {
    Kind.READ: Severity.SYSTEM,
    Kind.CONNECT: Severity.HOST,
    Kind.BIND: Severity.HOST,
    Kind.EXECUTE: Severity.EXECUTABLE,
    Kind.WRITE: Severity.OUTSIDE,
}
_OF_THE_USER = frozenset({"user-preference-read"})
_NUMBER = re.compile(r"(?<=[._-])\d{2,}(?=[._-]|v\d|\Z)")


def kind_of(operation: str) -> Kind:
    """What kind of thing a service lets a program do."""
    if operation.startswith("ipc-posix-"):
        return Kind.CONNECT
    return _KINDS.get(operation, Kind.WRITE)


def weigh(grant: ServiceGrant, places: Map, catalogue: Catalogue) -> tuple[Severity, str]:
    """How much a service matters, and why it is sensitive if it is."""
    reason = acts_outside(grant.operation, grant.name)
    if reason:
        return Severity.SENSITIVE, reason
    kind = kind_of(grant.operation)
    severity = _SEVERITIES[kind]
    if FILTERS.get(grant.operation) == "literal" and grant.name.startswith("/"):
        entry = catalogue.match(grant.name, Right.READ if kind is Kind.READ else Right.WRITE | Right.READ)
        if entry is not None:
            return Severity.SENSITIVE, entry.reason
        return at_place(grant.name, severity, places), ""
    return (Severity.HOME if grant.operation in _OF_THE_USER else severity), ""


def at_place(path: str, elsewhere: Severity, places: Map) -> Severity:
    """How much something harmless matters that is done to ``path``."""
    place, _ = places.locate(path)
    if place in (Place.PROJECT, Place.TEMPORARY):
        return Severity.OWN
    at_home = place in (Place.HOME, Place.CACHE, Place.FOREIGN)
    return Severity.HOME if at_home and elsewhere < Severity.HOME else elsewhere


def without_number(name: str) -> str:
    """The name of a service without numbers that are other ones in the next run, such as a process id."""
    return _NUMBER.sub("*", name)
