"""Which results of a confined run are denials: refusals by the enforcer, told apart from the machine's own."""

import errno
import os
from typing import NamedTuple

import msgspec

from learner.access import Access, Kind, Meaning
from learner.enforcers.enforcer import Enforcer
from learner.needs import CREATING, Need, needs
from learner.network import needs_network
from learner.places import is_within
from learner.policy import NO_RIGHT, NetworkAction, NetworkGrant, Policy, Right
from learner.ports import ephemeral_ports
from learner.resolver import kind_of
from learner.seatbelt.services import covers, name_of
from learner.trace import Trace
from tracers.events import Endpoint, Family, Operation

_MADE = {
    Operation.CREATE: Kind.FILE,
    Operation.MKDIR: Kind.DIRECTORY,
    Operation.SYMLINK: Kind.SYMLINK,
    Operation.BIND: Kind.SOCKET,
}
ACCESS_MODES = {
    Right.READ: os.R_OK,
    Right.LIST: os.R_OK,
    Right.EXEC: os.X_OK,
    Right.WRITE: os.W_OK,
    Right.TRUNCATE: os.W_OK,
    Right.ATTRIBUTES: os.F_OK,
    Right.IOCTL: os.F_OK,
    Right.CONNECT: os.W_OK,
}
"""What access(2) must say for a right; every other one changes a directory."""

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
    forbidden = {(a.operation, a.object) for a in learned.accesses if refused(a)} - allowed
    moved = {a.peer: a.kind for a in trace.accesses if a.operation is Operation.RENAME_FROM and a.peer}
    found: dict[tuple[str, str, str], Denial] = {}
    for seen in trace.accesses:
        access = _settled((_found(seen) if enforcer.hides else None) or seen, moved)
        if not refused(access) or (access.operation, access.object) in forbidden:
            continue  # what was refused without an enforcer is refused by the machine itself
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


def _found(access: Access) -> Access | None:
    """An access that found nothing, as it would have been where nothing is hidden; None if there is nothing either.

    What some enforcers do not grant is not there, so the program only hears ENOENT.
    """
    if access.outcome not in (errno.ENOENT, errno.ENOTDIR) or not access.object.startswith("/"):
        return None
    real = os.path.realpath(access.object)
    try:
        kind = kind_of(os.lstat(real).st_mode)
    except OSError:
        made = access.operation in CREATING and os.path.isdir(os.path.dirname(real))
        return msgspec.structs.replace(access, object=real, outcome=errno.EACCES) if made else None
    return msgspec.structs.replace(access, object=real, kind=kind, outcome=errno.EACCES)


def _settled(access: Access, moved: dict[str, Kind]) -> Access:
    """A refused access that would have made something, with the kind of what it would have made."""
    if access.kind is not Kind.ABSENT:
        return access
    kind = moved.get(access.object) if access.operation is Operation.RENAME_TO else _MADE.get(access.operation)
    return msgspec.structs.replace(access, kind=kind) if kind else access


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
        return None if any(_admits(n, action, end) for n in policy.network) else NO_RIGHT
    if access.operation is Operation.MKDIR and any(
        g.ensure and is_within(g.path, access.object) for g in policy.grants
    ):
        return None  # the launch makes it
    if access.operation is Operation.SERVICE or access.call in _LOOKS:
        return _missing_on_macos(access, policy)
    lacking = NO_RIGHT
    for need in needs(done):
        if _permitted(need):
            lacking |= enforcer.mediates(need.right & ~policy.rights_on(need.path))
    return lacking or None


_LOOKS = frozenset({"file-read-metadata", "file-read-xattr", "file-test-existence"})
"""What the sandbox of macOS calls looking at a path, which needs no right but may be refused."""


def _missing_on_macos(access: Access, policy: Policy) -> Right | None:
    if access.operation is Operation.SERVICE:
        granted = any(covers(grant, access.call, name_of(access)) for grant in policy.services)
        return None if granted else NO_RIGHT
    return None if access.object in policy.probes else NO_RIGHT


def _admits(grant: NetworkGrant, action: NetworkAction, end: Endpoint) -> bool:
    if grant.abstract or end.family is Family.ABSTRACT:
        return grant.abstract and end.family is Family.ABSTRACT
    own = grant.port == 0 and action is NetworkAction.CONNECT and end.port in ephemeral_ports()
    return grant.action is action and grant.transport is end.transport and (own or grant.port == end.port)


def _permitted(need: Need) -> bool:
    """Whether plain file permissions, asked from outside of the enforcer, let ``need`` pass."""
    mode = 0
    for right in need.right:
        mode |= ACCESS_MODES.get(right, os.W_OK | os.X_OK)
    try:
        os.stat(need.path)
    except PermissionError:
        return False
    except OSError:
        return True  # gone since then
    return os.access(need.path, mode, effective_ids=True)
