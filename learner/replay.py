"""Replay: each learned access performed again under the real enforcer. No re-run of the program, no side effects."""

import os
import stat
from typing import NamedTuple

from learner import probe
from learner.access import UNNAMED, Access, Kind
from learner.enforcers.enforcer import Enforcer
from learner.names import to_text
from learner.needs import Need, needs
from learner.places import of_any_process
from learner.policy import NetworkAction, NetworkGrant, Policy, Right
from learner.probe import Act, Probe
from tracers.events import Transport

ACTS = {
    Right.READ: Act.READ,
    Right.LIST: Act.LIST,
    Right.EXEC: Act.EXEC,
    Right.WRITE: Act.WRITE,
    Right.CREATE: Act.CREATE,
    Right.MKDIR: Act.MKDIR,
    Right.SYMLINK: Act.SYMLINK,
    Right.SOCKET: Act.SOCKET,
    Right.FIFO: Act.FIFO,
    Right.REMOVE: Act.REMOVE,
    Right.RMDIR: Act.RMDIR,
}
"""How each right is tried that can be tried without side effects."""
HARMLESS_DEVICES = frozenset({"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"})
"""Opening any other device may do something (a printer, a watchdog), so it is not tried."""


class Refusal(NamedTuple):
    """A learned access that the enforcer refused although the policy should admit it."""

    act: Act
    path: str
    errno: int
    programs: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.act} {to_text(self.path)}: {os.strerror(self.errno)} ({', '.join(self.programs)})"


class Replay(NamedTuple):
    """``admitted``/``tried``: numbers of distinct probes; ``untried``: objects that are gone or unsafe to touch."""

    tried: int
    admitted: int
    untried: int
    refused: tuple[Refusal, ...]


def plan(accesses: list[tuple[Access, str]], policy: Policy) -> tuple[dict[Probe, set[str]], int]:
    """The probes for accesses (each with its program's label), and how many accesses cannot be tried.

    Only what the policy grants is planned: what was left out on purpose is reported elsewhere.
    """
    planned: dict[Probe, set[str]] = {}
    untried = 0
    for access, label in accesses:
        found = _probes(access, policy)
        if not found and needs(access):
            untried += 1
        for one in found:
            planned.setdefault(one, set()).add(label)
    for grant in policy.network:
        port = port_probe(grant)
        if port is not None:
            planned.setdefault(port, set()).update(w.program for w in grant.witnesses)
    return planned, untried


def _probes(access: Access, policy: Policy) -> list[Probe]:
    granted = [need for need in needs(access) if not need.right & ~policy.rights_on(need.path)]
    tried = [path_probe(need, right) for need in granted for right in need.right]
    return [one for one in tried if one is not None]


def path_probe(need: Need, right: Right) -> Probe | None:
    """The probe that takes ``right`` (one of ``need``'s) as the access did; None if none is possible and harmless."""
    act = ACTS.get(right)
    if act is None or need.path.endswith("/" + UNNAMED) or not possible(act, need.path, need.access.kind):
        return None
    return Probe(act, need.path)


def port_probe(grant: NetworkGrant) -> Probe | None:
    """The probe that takes ``grant``; None if it is not for a TCP port of its own."""
    if grant.transport is not Transport.TCP or grant.abstract or not grant.port:
        return None
    act = Act.CONNECT_TCP if grant.action is NetworkAction.CONNECT else Act.BIND_TCP
    return Probe(act, grant.host, grant.port)


def possible(act: Act, path: str, kind: Kind) -> bool:
    """Whether an act on a path means the same now as it did, and cannot do harm."""
    if of_any_process(path) != path:
        return False  # another process by now, or another one to whoever tries
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return False
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        return path in HARMLESS_DEVICES
    if act is Act.WRITE:
        return stat.S_ISREG(mode) and not path.startswith(("/proc/", "/sys/"))
    if act in (Act.READ, Act.EXEC):
        return stat.S_ISREG(mode)
    return stat.S_ISDIR(mode) and (act is Act.LIST or kind is not Kind.OPAQUE)


def replay(accesses: list[tuple[Access, str]], policy: Policy, enforcer: Enforcer) -> Replay:
    """Try every learned access under ``enforcer``. Raises :class:`learner.probe.NoAnswer`, MachineError."""
    planned, untried = plan(accesses, policy)
    probes = sorted(planned)
    confinement = enforcer.prepare(policy)
    try:
        results = probe.run(probes, confinement)
    finally:
        confinement.close()
    refused = []
    answered = 0
    doubtful = [p for p, code in zip(probes, results, strict=True) if code in probe.REFUSALS]
    # Plain file permissions refuse as well: what fails unconfined too says nothing about the policy.
    control = dict(zip(doubtful, probe.run(doubtful, None), strict=True)) if doubtful else {}
    for one, code in zip(probes, results, strict=True):
        if code == -1 or (one in control and control[one] in probe.REFUSALS):
            untried += 1
            continue
        answered += 1
        if code in probe.REFUSALS:
            refused.append(Refusal(one.act, one.path, code, tuple(sorted(planned[one]))))
    return Replay(answered, answered - len(refused), untried, tuple(refused))
