"""1-minimal: for each grant, a recorded access that the enforcer refuses when that one grant is left out.

Which accesses only one grant gives follows from the policy; the kernel is asked about those alone, in one confined
child for each grant left out. A grant is dropped only if the policy *and* the kernel give without it all that was
recorded: what one enforcer admits by its own coarseness (Landlock knows no hosts, and no single directories), the
policy must still say for another. What cannot be asked without side effects is kept, and said to be unproved.

Grants only ever go, and less never admits more: what was refused once is refused of the result, too.
"""

import ipaddress
import os
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from learner import probe
from learner.access import Access
from learner.enforcers.enforcer import Enforcer
from learner.names import to_text
from learner.needs import Need, needs
from learner.network import Reached, endpoints
from learner.places import ancestors
from learner.policy import NO_RIGHT, Grant, NetworkGrant, Policy, Right, Scope, ServiceGrant, Witness, right_names
from learner.probe import Probe
from learner.replay import path_probe, port_probe
from tracers.events import Operation
from tracers.programs import LAUNCHER

_FEW = 8
"""Probes of a first try: mostly the very first is refused, and a tree may have ten thousand."""

AnyGrant = Grant | NetworkGrant | ServiceGrant


class Proof(NamedTuple):
    """``grant`` is needed: ``refused`` is a recorded access, of ``programs``, that is refused without it."""

    grant: AnyGrant
    refused: Probe
    programs: tuple[str, ...]


class Unproved(NamedTuple):
    """``grant`` is kept although nothing that could be tried is refused without it; ``reason`` says why."""

    grant: AnyGrant
    reason: str


class Minimal(NamedTuple):
    """``policy`` without ``dropped``; each grant in it is ``proved`` or ``unproved``. In the order of the policy.

    ``spare``: rights within kept grants that no recorded access takes. They stay, as a grant is the unit.
    """

    policy: Policy
    proved: tuple[Proof, ...]
    dropped: tuple[AnyGrant, ...]
    unproved: tuple[Unproved, ...]
    spare: int


class Demand(NamedTuple):
    """One right on one object (or one endpoint) that was used, and the grants, by number, that give it.

    ``probe`` is None where none can tell, for the reason in ``obstacle``.
    """

    givers: frozenset[int]
    probe: Probe | None = None
    obstacle: str = ""
    right: Right = NO_RIGHT
    programs: tuple[str, ...] = ()


def minimal(accesses: Sequence[tuple[Access, str]], policy: Policy, enforcer: Enforcer) -> Minimal:
    """Drop what no access (each with its program's label) needs, one grant after the other.

    Raises :class:`learner.probe.NoAnswer`, MachineError.
    """
    grants = _grants(policy)
    wanted = _controlled(demands(accesses, policy, enforcer))
    search = _Search(policy, wanted, frozenset(access.object for access, _ in accesses), enforcer)
    verdicts = search.run()
    kept = [number for number in range(len(grants)) if verdicts[number] is not None]
    used: dict[int, Right] = defaultdict(lambda: NO_RIGHT)
    for demand in wanted:
        for number in demand.givers:
            used[number] |= demand.right
    return Minimal(
        policy=_only(policy, frozenset(kept)),
        proved=tuple(v for v in verdicts if isinstance(v, Proof)),
        dropped=tuple(g for g, v in zip(grants, verdicts, strict=True) if v is None),
        unproved=tuple(v for v in verdicts if isinstance(v, Unproved)),
        spare=sum(len(g.rights & ~used[n]) for n in kept if isinstance(g := grants[n], Grant)),
    )


def demands(accesses: Sequence[tuple[Access, str]], policy: Policy, enforcer: Enforcer) -> list[Demand]:
    """What was recorded and is granted, each right on each object once. Reads only what kind of object is there."""
    givers = _Givers(policy)
    found: dict[tuple[str, Right] | Reached | str, Demand] = {}
    programs: dict[tuple[str, Right] | Reached | str, set[str]] = defaultdict(set)
    ensured = {grant.path: number for number, grant in enumerate(policy.grants) if grant.ensure}
    for access, label in accesses:
        for need in needs(access):
            if access.operation is Operation.MKDIR and access.object in ensured:
                numbers = givers.of(need.path, Right.MKDIR) | {ensured[access.object]}
                found[access.object] = Demand(numbers, obstacle="a launch makes it in the program's place")
                programs[access.object].add(label)
                continue
            by_right = {right: givers.of(need.path, right) for right in need.right}
            if not all(by_right.values()):
                continue  # left out on purpose, or missing: replay tells
            for right, numbers in by_right.items():
                if (need.path, right) not in found:
                    one = path_probe(need, right)
                    obstacle = "" if one else _obstacle(need, right, enforcer)
                    found[need.path, right] = Demand(numbers, one, obstacle, right)
                programs[need.path, right].add(label)
    labels = dict(accesses)
    for reached, access in endpoints(labels):
        numbers = frozenset(
            number for number, one in enumerate(policy.network, len(policy.grants)) if _gives(one, reached)
        )
        if numbers and reached not in found:
            one = port_probe(NetworkGrant(*reached[:4], (), reached.abstract))
            found[reached] = Demand(numbers, one, "" if one else "only TCP to a single port can be tried")
        programs[reached].add(labels[access])
    return [demand._replace(programs=tuple(sorted(programs[key]))) for key, demand in found.items()]


def _gives(grant: NetworkGrant, reached: Reached) -> bool:
    named = Reached(grant.action, grant.host, grant.port, grant.transport, grant.abstract)
    return named == reached or (_any_host(grant.host) and named._replace(host=reached.host) == reached)


def _any_host(host: str) -> bool:
    """Whether a grant's host may be any address: a name (addresses are what is recorded), or all of them."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return True


def _obstacle(need: Need, right: Right, enforcer: Enforcer) -> str:
    words = ", ".join(right_names(right))
    if not enforcer.mediates(right):
        return f"{enforcer.name} does not see {words}"
    if not os.path.lexists(need.path):
        return "what needs it is gone"
    return f"{words} cannot be tried without side effects"


class _Givers:
    """Which grants give a right on a path: there may be ten thousand of them, asked ten thousand times."""

    def __init__(self, policy: Policy) -> None:
        self._grants = policy.grants
        self._at: dict[str, list[int]] = defaultdict(list)
        for number, grant in enumerate(policy.grants):
            self._at[grant.path].append(number)

    def of(self, path: str, right: Right) -> frozenset[int]:
        return frozenset(
            number
            for above in {path, *ancestors(path), "/"}
            for number in self._at.get(above, ())
            if right in self._grants[number].rights and self._grants[number].covers(path)
        )


def _controlled(wanted: list[Demand]) -> list[Demand]:
    """Without the probes that do not even get through unconfined: their refusal would say nothing."""
    probes = sorted({d.probe for d in wanted if d.probe is not None})
    codes = probe.run(probes, None) if probes else []
    void = {one for one, code in zip(probes, codes, strict=True) if code in (*probe.REFUSALS, -1)}
    why = "it does not work unconfined either"
    return [d._replace(probe=None, obstacle=why) if d.probe in void else d for d in wanted]


class _Search:
    def __init__(self, policy: Policy, wanted: list[Demand], recorded: frozenset[str], enforcer: Enforcer) -> None:
        self._policy = policy
        self._grants = grants = _grants(policy)
        self._recorded = recorded
        self._enforcer = enforcer
        self._left = frozenset(range(len(grants)))
        self._standing = frozenset(n for n, g in enumerate(grants) if _stands(g))
        self._of: dict[int, list[Demand]] = defaultdict(list)
        for demand in wanted:
            for number in demand.givers:
                self._of[number].append(demand)

    def run(self) -> list[Proof | Unproved | None]:
        """The verdict on each grant; None: it goes."""
        verdicts: list[Proof | Unproved | None] = [None] * len(self._grants)
        open_ones = sorted(self._left, key=lambda n: width(self._grants[n]))
        while open_ones:
            before = self._left
            for number in open_ones:
                verdicts[number] = self._judge(number)
                if verdicts[number] is None:
                    self._left -= {number}
            # What another grant gave as well may be provable now that the other one is gone.
            open_ones = [n for n in open_ones if isinstance(verdicts[n], Unproved)] if self._left != before else []
        return verdicts

    def _judge(self, number: int) -> Proof | Unproved | None:
        grant = self._grants[number]
        others = self._left - {number}
        covered = self._of[number]
        alone = [d for d in covered if not d.givers & others]
        asked = alone or covered
        refused, silent = self._ask(asked, others)
        if refused is not None:
            programs = {p for d in asked if d.probe == refused for p in d.programs}
            return Proof(grant, refused, tuple(sorted(programs)))
        if alone:
            admitted = sorted(d.probe for d in alone if d.probe is not None)
            if admitted and not silent:
                which = f"{admitted[0].act} {to_text(admitted[0].path)}"
                return Unproved(grant, f"{self._enforcer.name} admits {which} without it")
            return Unproved(grant, _obstacles(alone))
        if any(self._is_foreign(witness, grant) for witness in grant.witnesses):
            return Unproved(grant, "nothing in this recording shows its use")
        if covered and (silent or not any(d.probe for d in covered)):
            return Unproved(grant, _obstacles(covered))
        # What cannot be asked counts as admitted where another grant gives it whose rule the enforcer could make.
        doubtful = [d for d in covered if d.probe is None and not d.givers & others & self._standing]
        return Unproved(grant, _obstacles(doubtful)) if doubtful else None

    def _is_foreign(self, witness: Witness, grant: AnyGrant) -> bool:
        """Whether a witness's example comes from another recording than this one."""
        own = isinstance(grant, Grant) and witness.example == grant.path
        return not own and witness.example not in self._recorded and witness.program != LAUNCHER

    def _ask(self, asked: list[Demand], others: frozenset[int]) -> tuple[Probe | None, bool]:
        """The first probe that is refused when only ``others`` are granted, and whether one gave no answer."""
        probes = sorted({d.probe for d in asked if d.probe is not None})
        if not probes:
            return None, False
        silent = False
        confinement = self._enforcer.prepare(_only(self._policy, others))
        try:
            for batch in (probes[:_FEW], probes[_FEW:]):
                for one, code in zip(batch, probe.run(batch, confinement) if batch else (), strict=True):
                    if code in probe.REFUSALS:
                        return one, silent
                    silent = silent or code == -1
        finally:
            confinement.close()
        return None, silent


def _stands(grant: AnyGrant) -> bool:
    """Whether a rule for ``grant`` has something to stand on."""
    return not isinstance(grant, Grant) or os.path.exists(grant.path)


def width(grant: AnyGrant) -> tuple[bool, int, int, str]:
    """Orders the grants that open most before the others: of two that do for each other, the wider one goes."""
    if isinstance(grant, ServiceGrant):
        return (bool(grant.name), 0, 0, grant.name)
    if isinstance(grant, NetworkGrant):
        return (not _any_host(grant.host), 0, 0, grant.host)
    return (grant.scope is Scope.FILE, len(ancestors(grant.path)), -len(grant.rights), grant.path)


def _obstacles(undecided: list[Demand]) -> str:
    return "; ".join(sorted({d.obstacle or "no answer" for d in undecided}))


def _grants(policy: Policy) -> tuple[AnyGrant, ...]:
    """The grants of ``policy``, by number."""
    return (*policy.grants, *policy.network)


def _only(policy: Policy, kept: frozenset[int]) -> Policy:
    """``policy`` with no other grants than those whose numbers are ``kept``."""
    chosen = [g for n, g in enumerate(_grants(policy)) if n in kept]
    return msgspec.structs.replace(
        policy,
        grants=tuple(g for g in chosen if isinstance(g, Grant)),
        network=tuple(g for g in chosen if isinstance(g, NetworkGrant)),
    )
