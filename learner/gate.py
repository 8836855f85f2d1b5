"""Which changes a build is to fail on. Pure."""

import enum
from collections.abc import Iterable

from learner.change import Change, Kind, Severity


class Gate(enum.StrEnum):
    """What ``--fail-on`` takes."""

    SENSITIVE = "sensitive"
    """Sensitive objects: granted, or used without being granted."""
    WRITE = "write"
    """Changes outside of the project and the private directory for temporary files, or to something sensitive."""
    EXEC = "exec"
    """Programs that were not started before, and what may newly be executed."""
    NETWORK = "network"
    """Endpoints, and unix sockets."""
    ANY = "any"
    """Whatever was added."""


_KINDS = {
    Gate.WRITE: (Kind.WRITE,),
    Gate.EXEC: (Kind.RUN, Kind.EXECUTE),
    Gate.NETWORK: (Kind.CONNECT, Kind.BIND),
}


def closed(gate: Gate, change: Change) -> bool:
    """Whether a gate does not let a change pass."""
    if gate is Gate.ANY:
        return True
    if gate is Gate.SENSITIVE:
        return change.severity is Severity.SENSITIVE
    return change.severity is not Severity.OWN and change.kind in _KINDS[gate]


def failing(gates: Iterable[Gate], added: Iterable[Change]) -> tuple[Change, ...]:
    """The changes that one of ``gates`` does not let pass, in their order."""
    gates = tuple(gates)
    return tuple(change for change in added if any(closed(gate, change) for gate in gates))
