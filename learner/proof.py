"""Asking the enforcer whether it does what the policy says: each claim tried under confinement, and beside it.

A claim that the enforcer does not keep is *explained* by a gap that the enforcer returned, or *disputed*: then one of
the two is wrong, and that is a bug of ours. What cannot be tried without doing harm, or says nothing because the
machine itself refuses it as well, is *untried*, and the reason is told.
"""

import contextlib
import enum
import errno
import os
import socket
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from learner import probe
from learner.enforcers.enforcer import Confinement, Enforcer
from learner.explain import EndpointExplanation, Explanation, giving
from learner.gaps import Gap
from learner.names import to_text
from learner.places import is_within
from learner.policy import DIRECTORY_RIGHTS, NO_RIGHT, NetworkAction, NetworkGrant, Policy, Right, Scope
from learner.probe import REFUSALS, Act, Probe
from learner.replay import ACTS, HARMLESS_DEVICES
from tracers.events import Transport

_ACTS = ACTS | {
    Right.TRUNCATE: Act.TRUNCATE,
    Right.ATTRIBUTES: Act.ATTRIBUTES,
    Right.IOCTL: Act.IOCTL,
    Right.CONNECT: Act.FIND_UNIX,
}
_OPENING = frozenset({Act.READ, Act.LIST, Act.WRITE})
_NETWORK_ACTS = {
    (NetworkAction.CONNECT, Transport.TCP): Act.CONNECT_TCP,
    (NetworkAction.BIND, Transport.TCP): Act.BIND_TCP,
    (NetworkAction.CONNECT, Transport.UDP): Act.SEND_UDP,
}
_LOOPBACK = ("127.0.0.1", "::1")


class Verdict(enum.StrEnum):
    """What came of asking."""

    AGREED = "agreed"
    EXPLAINED = "explained"
    """The enforcer does otherwise, and says so by a gap."""
    DISPUTED = "disputed"
    """The enforcer does otherwise, and nothing explains it."""
    UNTRIED = "untried"


class Claim(NamedTuple):
    """That a policy admits ``right`` on the object at ``path`` (for endpoints: ``endpoint``), or that it does not.

    ``named``: the name to try it by, if another than ``path``; ``links``: the symlinks on the way from it.
    """

    admitted: bool
    path: str
    right: Right = NO_RIGHT
    endpoint: NetworkGrant | None = None
    named: str = ""
    links: tuple[str, ...] = ()


class Proof(NamedTuple):
    """``enforced``: whether the enforcer admits it, None if it was not tried. ``errno``: what it said, 0 for yes.

    ``reason``: the gap that explains it, or why it was not tried. ``hidden``: the symlink on the way that is not there.
    """

    claim: Claim
    verdict: Verdict
    enforced: bool | None = None
    errno: int = 0
    reason: str = ""
    hidden: str = ""


def of_path(found: Explanation) -> Claim:
    """The claim that an explanation makes of an object."""
    return Claim(not found.missing, found.path, found.needed)


def of_endpoint(found: EndpointExplanation) -> Claim:
    """The claim that an explanation makes of an endpoint."""
    return Claim(not found.missing, found.wanted.host, endpoint=found.wanted)


def prove(claims: Sequence[Claim], policy: Policy, enforcer: Enforcer) -> tuple[Proof, ...]:
    """Try every claim under ``enforcer``, all in one confined child, and unconfined for comparison.

    Raises :class:`learner.probe.NoAnswer`, MachineError.
    """
    planned = [_plan(claim) for claim in claims]
    probes = list(dict.fromkeys(one for one in planned if isinstance(one, Probe)))
    with _listeners(probes):
        controls = dict(zip(probes, probe.run(probes, None), strict=True))
        confinement = enforcer.prepare(policy)
        try:
            confined = dict(zip(probes, probe.run(probes, confinement), strict=True))
        finally:
            confinement.close()
    return tuple(
        Proof(claim, Verdict.UNTRIED, reason=one)
        if isinstance(one, str)
        else _judge(claim, one, controls[one], confined[one], policy, confinement)
        for claim, one in zip(claims, planned, strict=True)
    )


# --- what to try


def _plan(claim: Claim) -> Probe | str:
    """The probe for a claim, or why there is none."""
    if claim.endpoint is not None:
        return _network_probe(claim.endpoint)
    act = _ACTS.get(claim.right)
    name = claim.named or claim.path
    if act is None:
        return "there is no way to try it that leaves nothing behind"
    if is_within(claim.path, "/proc"):
        return "/proc is another one for each process"
    try:
        found = os.stat(name)
    except OSError as problem:
        return f"it cannot be tried here: {problem.strerror}"
    if not _harmless(act, claim.path, found.st_mode):
        return "trying it might do something to what is there"
    return Probe(act, name, probe.identity(found) if act in _OPENING else 0)


def _harmless(act: Act, path: str, mode: int) -> bool:
    if act is Act.ATTRIBUTES:
        return True
    if act is Act.FIND_UNIX:
        return stat.S_ISSOCK(mode)
    if path in HARMLESS_DEVICES:
        return act in (Act.READ, Act.WRITE, Act.IOCTL)
    if act in (Act.READ, Act.WRITE, Act.EXEC, Act.TRUNCATE):
        return stat.S_ISREG(mode) and not (act in (Act.WRITE, Act.TRUNCATE) and is_within(path, "/sys"))
    return act is not Act.IOCTL and stat.S_ISDIR(mode)


def _network_probe(end: NetworkGrant) -> Probe | str:
    if end.abstract:
        return Probe(Act.CONNECT_ABSTRACT, end.host)
    act = _NETWORK_ACTS.get((end.action, end.transport))
    if act is None or (act is not Act.BIND_TCP and not end.port):
        return "there is no way to try it that leaves nothing behind"
    # Where rules are by port the host does not matter, and nothing leaves this machine.
    return Probe(act, _LOOPBACK[":" in end.host], end.port)


@contextmanager
def _listeners(probes: Sequence[Probe]) -> Iterator[None]:
    """Somebody behind each port that is to be connected to: only what reaches this machine's own network hears him."""
    with contextlib.ExitStack() as stack:
        for one in probes:
            if one.act is Act.CONNECT_TCP:
                with contextlib.suppress(OSError):
                    family = socket.AF_INET6 if ":" in one.path else socket.AF_INET
                    listener = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
                    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    listener.bind((one.path, one.number))
                    listener.listen(64)
        yield


# --- what came of it


def _judge(claim: Claim, one: Probe, control: int, code: int, policy: Policy, held: Confinement) -> Proof:
    if -1 in (control, code):
        return Proof(
            claim, Verdict.UNTRIED, reason="it cannot be tried here: nothing of ours could be made to try it on"
        )
    if control in REFUSALS:
        reason = f"this machine refuses it without a sandbox, too: {os.strerror(control)}"
        return Proof(claim, Verdict.UNTRIED, errno=control, reason=reason)
    unreached = one.act is Act.CONNECT_TCP and control == 0 and code != 0
    enforced = not (code in REFUSALS or code == probe.OTHER_OBJECT or unreached)
    if one.act is Act.CONNECT_ABSTRACT and code == errno.ECONNREFUSED == control:
        return Proof(claim, Verdict.UNTRIED, errno=code, reason="nobody listens there")
    said = 0 if enforced else code
    if enforced == claim.admitted:
        return Proof(claim, Verdict.AGREED, enforced, said)
    hidden = "" if enforced else _hidden_link(claim, policy)
    if hidden:
        reason = f"{to_text(hidden)}, a symlink on the way, is hidden: neither it nor its directory is granted"
        return Proof(claim, Verdict.EXPLAINED, enforced, said, reason, hidden)
    gap = _excess(claim, policy, held.gaps) if enforced else _shortfall(claim, policy, held.gaps, code)
    if gap is None:
        return Proof(claim, Verdict.DISPUTED, enforced, said)
    return Proof(claim, Verdict.EXPLAINED, enforced, said, f"{gap.item}: {gap.reason}")


def _excess(claim: Claim, policy: Policy, gaps: tuple[Gap, ...]) -> Gap | None:
    """The gap by which something is open that is not granted."""
    items: list[str] = []
    if claim.endpoint is not None:
        items += _open_network(claim.endpoint, policy)
    else:
        singles = [g for g in policy.grants if g.scope is Scope.FILE and is_within(claim.path, g.path)]
        if any(g.rights & claim.right & DIRECTORY_RIGHTS for g in singles):
            items.append("single directories")
        if policy.admitting(claim.path, ~NO_RIGHT):
            items.append("kinds of rights")
        items += _BY_RIGHT.get(claim.right, ())
    return _named(items, gaps)


_BY_RIGHT: dict[Right, tuple[str, ...]] = {
    Right.ATTRIBUTES: ("attributes", "attributes in granted trees"),
    Right.CONNECT: ("unix sockets by path", "unix sockets in granted trees"),
    Right.TRUNCATE: ("truncation",),
    Right.IOCTL: ("device ioctls",),
}


def _open_network(end: NetworkGrant, policy: Policy) -> list[str]:
    if end.abstract:
        return ["abstract sockets", "abstract unix sockets and signals"]
    if end.transport is Transport.UDP:
        return ["UDP", "hosts"]
    same = [n for n in policy.network if (n.action, n.transport, n.abstract) == (end.action, end.transport, False)]
    items = ["TCP", "servers"] if end.action is NetworkAction.BIND else ["TCP"]
    if any(n.port == end.port for n in same):
        items.append("hosts")
    if any(n.port == 0 for n in same):
        items.append("own ports")
    return items


def _shortfall(claim: Claim, policy: Policy, gaps: tuple[Gap, ...], code: int) -> Gap | None:
    """The gap by which something is closed that is granted."""
    on_it = [g for g in policy.grants if g.covers(claim.path) and g.rights & giving(claim.right)]
    items = [to_text(grant.path) for grant in on_it]
    if claim.right is Right.LIST and code == probe.OTHER_OBJECT:
        items.append("single directories")
    if os.geteuid() == 0:
        items.append("root")
    return _named(items, gaps)


def _hidden_link(claim: Claim, policy: Policy) -> str:
    """The first symlink on the way of which the policy does not say that it is to be there."""
    return next((link for link in claim.links if link not in policy.links and not policy.rights_on(link)), "")


def _named(items: Sequence[str], gaps: tuple[Gap, ...]) -> Gap | None:
    return next((gap for item in items for gap in gaps if gap.item == item), None)
