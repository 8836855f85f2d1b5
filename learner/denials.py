"""Which results of a confined run are denials: refusals by the enforcer, told apart from the machine's own."""

import errno
from typing import NamedTuple

import msgspec

from learner.access import Access, Meaning
from learner.cover import needs_network
from learner.enforcers.enforcer import Enforcer
from learner.needs import needs
from learner.policy import NO_RIGHT, NetworkAction, Policy, Right
from learner.trace import Trace
from tracers.events import Family, Operation

_MOVING = frozenset({Operation.RENAME_FROM, Operation.RENAME_TO, Operation.LINK_FROM, Operation.LINK_TO})


class Denial(NamedTuple):
    """An access that enforcement refused. ``missing``: the rights that would have admitted it, NO_RIGHT for sockets.

    ``recorded``: whether the learned run was allowed the same operation on the same object.
    """

    access: Access
    program: str
    missing: Right
    recorded: bool


def denials(trace: Trace, policy: Policy, enforcer: Enforcer, learned: Trace) -> tuple[Denial, ...]:
    """The denials of a run that was confined to ``policy`` by ``enforcer``, sorted, one for each program and object."""
    allowed = {(a.operation, a.object) for a in learned.accesses if a.meaning is Meaning.DONE}
    found: dict[tuple[str, str, str], Denial] = {}
    for access in trace.accesses:
        if not refused(access):
            continue
        lacking = missing(access, policy, enforcer)
        if lacking is None:
            continue
        label = trace.programs[access.program].label
        recorded = (access.operation, access.object) in allowed
        found.setdefault((access.object, access.operation, label), Denial(access, label, lacking, recorded))
    return tuple(found[key] for key in sorted(found))


def refused(access: Access) -> bool:
    """Whether an access failed in one of the ways in which an enforcer refuses."""
    if access.meaning is Meaning.REFUSED:
        return True
    return access.outcome == errno.EXDEV and access.operation in _MOVING


def as_done(access: Access) -> Access:
    """A refused access as it would have been without the enforcer."""
    return msgspec.structs.replace(access, outcome=0)


def missing(access: Access, policy: Policy, enforcer: Enforcer) -> Right | None:
    """The rights that the policy lacks for an access, None if the enforcer is not who refused it."""
    done = as_done(access)
    end = access.endpoint
    if end is not None:
        if not needs_network(done) or not enforcer.gates(done):
            return None
        action = NetworkAction.BIND if access.operation is Operation.BIND else NetworkAction.CONNECT
        if end.family is Family.ABSTRACT:
            granted = any(n.abstract for n in policy.network)
        else:
            granted = any(n.action is action and n.port in (end.port, 0) for n in policy.network if not n.abstract)
        return None if granted else NO_RIGHT
    lacking = NO_RIGHT
    for need in needs(done):
        lacking |= enforcer.mediates(need.right & ~policy.rights_on(need.path))
    return lacking or None
