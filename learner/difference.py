"""What one policy lets a program do that another does not: by what they cover, not by how their grants are written.

:func:`compare` is exact: what all that was added gives together (:meth:`learner.change.Change.gives`) is, on every
path, what the new policy grants there and the old one does not. A grant that moved under a wider one is no change, and
what the old policy granted within a newly granted tree is excepted from it. Versions in names are folded first
(:mod:`learner.folding`). That a launch makes a directory (``ensure``) is no right, and not compared.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from learner.agent import Agent, Ran
from learner.change import RIGHTS, Change, Difference, Kind, Severity, Side, User, Versions
from learner.folding import Folding, without_version
from learner.jail.groups import GROUPS, PREFIX
from learner.merging import merge
from learner.places import Map, Place, ancestors, is_temporary, is_within
from learner.policy import (
    ALWAYS,
    NO_RIGHT,
    Grant,
    NetworkAction,
    NetworkGrant,
    Policy,
    Right,
    Scope,
    ServiceGrant,
    Witness,
)
from learner.seatbelt.services import covers
from learner.seatbelt.weighing import at_place, kind_of, weigh, without_number
from learner.sensitive import Catalogue
from learner.words import service
from tracers.events import Operation
from tracers.programs import LAUNCHER


def compare(old: Side, new: Side, *, exact: bool = False, ports: bool = False) -> Difference:
    """What changed from ``old`` to ``new``. ``exact``: without folding names; ``ports``: nor ephemeral ports.

    The paths of ``old`` are taken as they would be in ``new``'s project, home and prefix.
    """
    places = new.variables.places
    folding = Folding(places, exact=exact)
    one, other = (_View(side.moved(new.variables), folding, ports=ports) for side in (old, new))
    return Difference(_added(one, other, places), _added(other, one, places), _versions(old.agent, new.agent))


class _View:
    """One side, folded, and made quick to ask. Rights are numbers here: flags are slow by the thousand."""

    def __init__(self, side: Side, folding: Folding, *, ports: bool) -> None:
        moved = [
            msgspec.structs.replace(grant, path=folding.path(grant.path), ensure=False) for grant in side.policy.grants
        ]
        network = side.policy.network if ports else tuple(_endpoint(n) for n in side.policy.network)
        joined = merge([Policy(tuple(moved), network, services=side.policy.services)])
        self.grants = joined.grants
        self.network = joined.network
        self.services = {self._service(s, folding): s for s in joined.services}
        looked = (*side.policy.probes, *(side.policy.links if side.mac else ()))
        self.looked = {folding.path(path) for path in looked}
        self.probes = {folding.path(path) for path in side.policy.probes}
        self._lookers = {folding.path(path): labels for path, labels in side.looked}
        self._shown: frozenset[str] | None = None
        self.left_out = {folding.path(use.path): use for use in side.left_out}
        self.ran = {folding.path(ran.path): ran for ran in side.ran}
        self.recorded = side.recorded
        self.beside = [(folding.path(path), objects) for path, objects in side.beside]
        named = {ran.name for ran in side.ran}
        for witnesses in [g.witnesses for g in side.policy.grants] + [n.witnesses for n in side.policy.network]:
            named |= {witness.program for witness in witnesses}
        self.labels = frozenset(map(without_version, named - {LAUNCHER}))
        self._parents: dict[str, set[str]] = defaultdict(set)
        for ran in side.ran:
            self._parents[ran.name] |= {*ran.by}
        self._known: dict[str, tuple[str, ...]] = {}
        every = (*ALWAYS, *self.grants)
        self._trees: dict[str, int] = defaultdict(int)
        self._singles: dict[str, int] = defaultdict(int)
        for grant in every:
            (self._trees if grant.scope is Scope.TREE else self._singles)[grant.path] |= grant.rights.value
        self._sorted = sorted(every, key=lambda grant: grant.path)
        self._paths = [grant.path for grant in self._sorted]

    def _service(self, grant: ServiceGrant, folding: Folding) -> tuple[str, str]:
        if grant.name.startswith("/"):
            return grant.operation, folding.path(grant.name)
        return grant.operation, grant.name if folding.exact else without_number(without_version(grant.name))

    def uses(self, operation: str, name: str) -> bool:
        """Whether a service may be used, its name folded."""
        return any(covers(ServiceGrant(known, of), operation, name) for known, of in self.services)

    def may_look(self, path: str, *, attributes: bool) -> bool:
        """Whether a path may be looked at; ``attributes``: and those be read that are kept with it."""
        if path in self.probes or self.rights(path, Scope.FILE) & Right.READ.value:
            return True
        if attributes:
            return False
        if self._shown is None:
            above = (a for p in (*self._paths, *self.looked) for a in ancestors(p))
            self._shown = frozenset((*self._paths, *self.looked, *above))
        return path in self._shown

    def rights(self, path: str, scope: Scope) -> int:
        """What is granted on an object, or on all of a tree."""
        found = self._trees.get(path, 0) | (self._singles.get(path, 0) if scope is Scope.FILE else 0)
        for above in ancestors(path):
            found |= self._trees.get(above, 0)
        return found

    def within(self, path: str) -> list[Grant]:
        """The grants on parts of the tree of ``path``."""
        start = "" if path == "/" else path
        first, last = bisect_left(self._paths, start + "/"), bisect_left(self._paths, start + "0")  # "0" follows "/"
        here = bisect_left(self._paths, path)
        found = self._sorted[first:last]
        while path != "/" and here < len(self._paths) and self._paths[here] == path:
            found.append(self._sorted[here])
            here += 1
        return found

    def users(self, witnesses: Iterable[Witness], kind: Kind) -> tuple[User, ...]:
        """Who needed a grant, for this kind of thing if that can be told."""
        of_kind = [w for w in witnesses if any(_kind(operation) is kind for operation in w.operations)]
        return tuple(
            User(self.chain(w.program), w.operations, w.example, w.objects) for w in sorted(of_kind or witnesses)
        )

    def lookers(self, path: str) -> tuple[User, ...]:
        """Who looked at a path, as far as that is recorded."""
        return tuple(User(self.chain(label), (Operation.STAT,), path) for label in self._lookers.get(path, ()))

    def chain(self, label: str) -> tuple[str, ...]:
        """The shortest way from the first program to this one."""
        found = self._known.get(label)
        if found is None:
            found = (label,)
            ways: list[tuple[str, ...]] = [(label,)]
            seen = {label}
            while ways:
                found = ways.pop(0)
                above = sorted(self._parents.get(found[0], set()) - {LAUNCHER})
                if not above:
                    break
                for parent in above:
                    if parent not in seen:
                        seen.add(parent)
                        ways.append((parent, *found))
            self._known[label] = found
        return found


def _added(old: _View, new: _View, places: Map) -> tuple[Change, ...]:
    catalogue = Catalogue(places.home)
    found: list[Change] = []
    for grant in new.grants:
        rights = grant.rights.value & ~old.rights(grant.path, grant.scope)
        if rights:
            inner = [g for g in old.within(grant.path) if g.rights.value & rights] if grant.scope is Scope.TREE else []
            found += _openings(grant, Right(rights), inner, new, places, catalogue)
    for endpoint in new.network:
        if not any(reaches(known, endpoint) for known in old.network):
            kind = Kind.BIND if endpoint.action is NetworkAction.BIND else Kind.CONNECT
            users = new.users(endpoint.witnesses, kind)
            found.append(Change(Severity.HOST, kind, endpoint.host, Scope.FILE, NO_RIGHT, users, endpoint=endpoint))
    found += _services(old, new, places, catalogue)
    found += _looks(old, new, places)
    found += _programs(old, new)
    for path, use in new.left_out.items():
        rights = use.rights.value & ~old.rights(path, Scope.FILE)
        known = old.left_out.get(path)
        if rights & ~(known.rights.value if known else 0):
            users = tuple(User(new.chain(program)) for program in use.programs)
            right, severity = Right(rights), Severity.SENSITIVE
            kind = next(kind for kind, all_ in RIGHTS.items() if right & all_)
            found.append(Change(severity, kind, path, Scope.FILE, right, users, use.reason, granted=False))
    return tuple(sorted(found, key=order))


def _services(old: _View, new: _View, places: Map, catalogue: Catalogue) -> list[Change]:
    found = []
    for (operation, name), grant in new.services.items():
        wider = any(one != grant and covers(one, operation, grant.name) for one in new.services.values())
        if wider or old.uses(operation, name):
            continue
        kind = kind_of(operation)
        severity, reason = weigh(grant, places, catalogue)
        users = new.users(grant.witnesses, kind)
        found.append(Change(severity, kind, service(grant), Scope.FILE, NO_RIGHT, users, reason, service=grant))
    return found


def _looks(old: _View, new: _View, places: Map) -> list[Change]:
    """The paths that may newly be looked at, by macOS, beside those that something is granted on."""
    return [
        Change(at_place(path, Severity.SYSTEM, places), Kind.LOOK, path, Scope.FILE, NO_RIGHT, new.lookers(path))
        for path in sorted(new.looked)
        if not old.may_look(path, attributes=path in new.probes)
    ]


def _openings(
    grant: Grant, rights: Right, inner: list[Grant], new: _View, places: Map, catalogue: Catalogue
) -> list[Change]:
    """The changes, one for each kind, by which ``grant`` newly gives ``rights``."""
    found = []
    for kind, of_kind in RIGHTS.items():
        some = rights & of_kind
        if some:
            but = tuple(g for g in inner if g.rights & some)
            severity, reason = _judge(kind, grant, some, places, catalogue)
            users = new.users(grant.witnesses, kind)
            beside = 0
            if grant.scope is Scope.TREE:
                beside = sum(objects for path, objects in new.beside if is_within(path, grant.path))
            found.append(Change(severity, kind, grant.path, grant.scope, some, users, reason, but, beside=beside))
    return found


def _judge(kind: Kind, grant: Grant, rights: Right, places: Map, catalogue: Catalogue) -> tuple[Severity, str]:
    entry = catalogue.match(grant.path, rights)
    if entry is not None:
        return Severity.SENSITIVE, entry.reason
    place, _ = places.locate(grant.path)
    whole = grant.scope is Scope.TREE and kind in (Kind.READ, Kind.WRITE)
    if whole and (is_within(places.home, grant.path) or _holds_secrets(grant.path, place, places)):
        return Severity.SENSITIVE, "all of a directory in which every program keeps its own"
    if kind is Kind.EXECUTE:
        return Severity.EXECUTABLE, ""
    if kind is Kind.CONNECT:
        return Severity.HOST, ""
    if place in (Place.PROJECT, Place.TEMPORARY):
        return Severity.OWN, ""
    if kind is Kind.WRITE:
        return Severity.OUTSIDE, ""
    return Severity.HOME if place in (Place.HOME, Place.CACHE, Place.FOREIGN) else Severity.SYSTEM, ""


def _holds_secrets(path: str, place: Place, places: Map) -> bool:
    common = place in (Place.HOME, Place.CACHE, Place.FOREIGN, Place.OTHER, Place.DEVICES)
    return common and places.is_shared(path) and not is_temporary(path)


def _programs(old: _View, new: _View) -> list[Change]:
    """The programs that were started, and were not before; by path if both sides know that, else by their names."""
    if old.recorded and new.recorded:
        some = {path: ran for path, ran in new.ran.items() if path not in old.ran}
    else:
        some = {
            path: ran
            for path, ran in new.ran.items()
            if without_version(ran.name) not in old.labels and not ran.interpreter
        }
        if not new.recorded:
            some |= {label: Ran(label, label) for label in new.labels - old.labels}
    found = []
    for path, ran in sorted(some.items()):
        users = tuple(User((*new.chain(parent), ran.name)) for parent in sorted({*ran.by} - {LAUNCHER}))
        found.append(Change(Severity.EXECUTABLE, Kind.RUN, path, Scope.FILE, NO_RIGHT, users))
    return found


def _versions(old: Agent | None, new: Agent | None) -> tuple[Versions, ...]:
    if old is None or new is None:
        return ()
    before, after = _described(old), _described(new)
    return tuple(
        Versions(name, before[name], after[name])
        for name in sorted(before.keys() & after.keys())
        if before[name] != after[name]
    )


def _described(agent: Agent) -> dict[str, str]:
    described = [(ran.name, ran.described) for ran in agent.ran] + [(agent.name, agent.described)]
    return {name: text for name, text in described if text}


_EPHEMERAL = 32768
"""Ports from here on are given out by the kernel (ip(7), ip_local_port_range): on loopback they say nothing."""


def _endpoint(grant: NetworkGrant) -> NetworkGrant:
    """An endpoint with what changes from run to run folded: port 0 stands for any ephemeral one on loopback."""
    loopback = grant.host == "::1" or grant.host.startswith("127.")
    port = 0 if loopback and grant.port >= _EPHEMERAL else grant.port
    return msgspec.structs.replace(grant, port=port)


def reaches(grant: NetworkGrant, other: NetworkGrant) -> bool:
    """Whether ``grant`` allows all that ``other`` does."""
    if grant.action is not other.action or grant.abstract is not other.abstract:
        return False
    if grant.anywhere:
        return True
    if grant.transport is not other.transport or grant.port != other.port:
        return False
    if grant.abstract:
        return grant.host == other.host
    known = _hosts(grant)
    return all(host in known or any(host.endswith(k[1:]) for k in known if k[:2] == "*.") for host in _hosts(other))


def _hosts(grant: NetworkGrant) -> tuple[str, ...]:
    """The host of a grant, or those of its group."""
    return GROUPS.get(grant.host.removeprefix(PREFIX), ()) if grant.host.startswith(PREFIX) else (grant.host,)


_READING = frozenset(
    {Operation.READ, Operation.LIST, Operation.STAT, Operation.READLINK, Operation.CHDIR, Operation.GETXATTR}
)


def _kind(operation: Operation) -> Kind:
    """The kind that an operation is of, nearly: for telling who needed what."""
    if operation in _READING:
        return Kind.READ
    if operation is Operation.EXEC:
        return Kind.EXECUTE
    if operation in (Operation.CONNECT, Operation.SEND, Operation.RESOLVE):
        return Kind.CONNECT
    return Kind.BIND if operation in (Operation.BIND, Operation.LISTEN) else Kind.WRITE


_KIND_ORDER: Mapping[Kind, int] = {kind: number for number, kind in enumerate(Kind)}


def order(change: Change) -> tuple[object, ...]:
    """The most severe first; total, so that two reports can be compared."""
    end = change.endpoint
    network = (end.port, end.transport, end.abstract) if end else ()
    return -change.severity, _KIND_ORDER[change.kind], change.path, change.scope, network, change.granted
