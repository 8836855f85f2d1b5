"""Verifying a policy for macOS by the judge: each recorded access, canaries, and each grant left out in turn.

It needs no Mac and has no side effects. What it cannot tell is whether the kernel of a Mac decides as the judge does:
that is what docs/macos-checklist.md is for.
"""

import errno
from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from learner.access import Access, Kind, Meaning
from learner.canaries import Canary, Outcome, Verdict
from learner.gaps import Gap
from learner.minimal import AnyGrant, Minimal, Proof, Unproved, width
from learner.needs import needs
from learner.places import Map
from learner.policy import NO_RIGHT, Grant, NetworkGrant, Policy, Right, ServiceGrant
from learner.probe import Act, Probe
from learner.replay import Refusal, Replay
from learner.seatbelt.complete import shown
from learner.seatbelt.emit import emit, text
from learner.seatbelt.evaluate import Judge, Request
from learner.seatbelt.services import FILTERS, REACHES, SAME, covers, is_own, name_of
from learner.sensitive import CATALOGUE, Concern
from tracers.events import Endpoint, Family, Operation, Transport
from tracers.programs import LAUNCHER
from tracers.seatbelt_calls import canonical

NAME = "the judge of SBPL"
GAP = Gap("the kernel of a Mac", "replay and canaries were decided by sbx's own judge of SBPL, not by macOS")
_ACTS = {
    "file-map-executable": Act.READ,
    "file-read*": Act.READ,
    "file-read-data": Act.READ,
    "file-write-create": Act.CREATE,
    "file-write-data": Act.WRITE,
    "file-write-unlink": Act.REMOVE,
    "network-bind": Act.BIND_TCP,
    "network-inbound": Act.BIND_TCP,
    "network-outbound": Act.CONNECT_TCP,
    "process-exec": Act.EXEC,
    "process-exec*": Act.EXEC,
    "process-exec-interpreter": Act.EXEC,
}
_OPERATIONS = {Act.READ: "file-read-data", Act.LIST: "file-read-data", Act.WRITE: "file-write-data"}
_PORT = 9
"""The service `discard` (RFC 863): nothing is learned that uses it."""


def request(access: Access) -> Request | None:
    """What the sandbox was asked at ``access``; None if it was not asked, or the log does not say about what."""
    if access.meaning is not Meaning.DONE:
        return None
    if access.operation is Operation.SERVICE:
        if is_own(access.call):
            return Request(access.call, name=SAME)
        if access.call not in FILTERS:
            return None
        at_path = FILTERS[access.call] == "literal"
        name = name_of(access)
        return Request(access.call, name) if at_path else Request(access.call, name=name)
    if access.endpoint is not None:
        return Request(access.call, endpoint=access.endpoint)
    return Request(access.call, access.object, access.kind) if access.object.startswith("/") else None


def judge(policy: Policy, denied: Iterable[str] = ()) -> Judge:
    """``policy`` written as a profile, and read back."""
    return Judge(text(emit(policy, denied)))


def replay(accesses: Sequence[tuple[Access, str]], policy: Policy, denied: Iterable[str] = ()) -> Replay:
    """Each access (with its program's label) put to the judge. What the policy leaves out on purpose is not asked."""
    decide, seen = judge(policy, denied), shown(policy)
    asked: dict[Request, set[str]] = defaultdict(set)
    untried = 0
    for access, label in accesses:
        wanted = request(access)
        if wanted is None or not _is_granted(access, policy, seen):
            untried += access.meaning is Meaning.DONE
            continue
        asked[wanted].add(label)
    refused = [_refusal(one, labels) for one, labels in asked.items() if not decide.admits(one)]
    return Replay(len(asked), len(asked) - len(refused), untried, tuple(sorted(refused)))


def _is_granted(access: Access, policy: Policy, seen: frozenset[str]) -> bool:
    """Whether the policy means to admit an access: sensitive objects, for one, are left out of it."""
    if access.operation is Operation.GETXATTR:
        return access.object in policy.probes or bool(policy.rights_on(access.object) & Right.READ)
    if access.operation is Operation.STAT:
        return access.object in seen or bool(policy.rights_on(access.object) & Right.READ)
    if access.operation is Operation.SERVICE:
        return is_own(access.call) or any(covers(g, access.call, name_of(access)) for g in policy.services)
    if access.operation is Operation.CONNECT and access.endpoint is not None and access.endpoint.port == 0:
        return False  # a port that the log does not tell
    return all(not need.right & ~policy.rights_on(need.path) for need in needs(access))


def _refusal(one: Request, labels: set[str]) -> Refusal:
    act = _ACTS.get(one.operation, Act.LOOKUP)
    if one.path and act is Act.CONNECT_TCP:
        act = Act.CONNECT_UNIX
    return Refusal(act, _object(one), errno.EPERM, tuple(sorted(labels)))


def _object(one: Request) -> str:
    if one.endpoint is not None:
        return f"{one.endpoint.address}:{one.endpoint.port}"
    return one.path or f"{one.operation} {one.name}".rstrip()


def canaries(policy: Policy, places: Map, denied: Iterable[str] = ()) -> tuple[Outcome, ...]:
    """Everything that must be refused, put to the judge, also as on a volume that folds case."""
    denied = tuple(denied)
    profile = text(emit(policy, denied))
    judges = (Judge(profile), Judge(profile, fold=True))
    outcomes = []
    for canary, asked in _canaries(policy, places):
        through = any(one.admits(asked) for one in judges)
        outcomes.append(Outcome(canary, Verdict.THROUGH if through else Verdict.REFUSED, False))
    return tuple(outcomes)


def _canaries(policy: Policy, places: Map) -> Iterable[tuple[Canary, Request]]:
    for name, act, path, right in _paths(places):
        if not policy.rights_on(path) & right:
            yield Canary(name, Probe(act, path), right), Request(_OPERATIONS.get(act, "file-write-create"), path)
    hidden = f"{places.home}/.sbx-canary/secret"
    if hidden not in policy.probes and not policy.rights_on(hidden):
        yield (
            Canary("stat a file in the home directory", Probe(Act.STAT, hidden), NO_RIGHT),
            Request("file-read-metadata", hidden),
        )
    if not any(end.port in (0, _PORT) for end in policy.network):
        end = Endpoint(Family.INET, "192.0.2.1", _PORT, Transport.TCP)  # RFC 5737: nobody's
        yield (
            Canary("TCP to a port that is not granted", Probe(Act.CONNECT_TCP, end.address, _PORT), NO_RIGHT),
            Request("network-outbound", endpoint=end),
        )
    for socket in ("/private/var/run/docker.sock", "/private/tmp/.sbx-canary.sock"):
        if not policy.rights_on(socket) & Right.CONNECT:
            yield (
                Canary("a unix socket outside", Probe(Act.CONNECT_UNIX, socket), Right.CONNECT),
                Request("network-outbound", socket, Kind.SOCKET),
            )
    used = {grant.name for grant in policy.services if grant.operation == "mach-lookup"}
    for name in () if "" in used else sorted({*REACHES} - used):
        canary = Canary(f"reach {REACHES[name].partition(':')[0]}", Probe(Act.LOOKUP, name), NO_RIGHT)
        yield canary, Request("mach-lookup", name=name)
    program = "/usr/bin/osascript"
    if not policy.rights_on(program) & Right.EXEC:
        yield Canary("drive other programs", Probe(Act.EXEC, program), Right.EXEC), Request("process-exec*", program)


def _paths(places: Map) -> Iterable[tuple[str, Act, str, Right]]:
    for entry in CATALOGUE:
        pattern = entry.pattern.removesuffix("/**")
        if "*" in pattern or entry.concern is not Concern.ANY or not pattern.startswith(("~/", "/")):
            continue
        path = canonical(pattern.replace("~", places.home, 1) if pattern.startswith("~/") else pattern)
        within = f"{path}/.sbx-canary" if entry.pattern.endswith("/**") else path
        yield entry.reason, Act.READ, within, Right.READ
    beside = f"{places.home}/.sbx-canary"
    other = f"{places.project.rpartition('/')[0]}/.sbx-canary/secret"
    yield "read a file in the home directory", Act.READ, f"{beside}/secret", Right.READ
    yield "list the home directory", Act.LIST, places.home, Right.LIST
    yield "overwrite a file in the home directory", Act.WRITE, f"{beside}/secret", Right.WRITE
    yield "read another project", Act.READ, other, Right.READ
    yield "overwrite another project", Act.WRITE, other, Right.WRITE
    for directory in (places.home, "/private/etc", "/private/tmp", "/usr/local/bin", "/Applications"):
        yield f"make a file in {directory}", Act.CREATE, f"{directory}/.sbx-canary", Right.CREATE


def minimal(accesses: Sequence[tuple[Access, str]], policy: Policy, denied: Iterable[str] = ()) -> Minimal:
    """Drop each grant without which the judge admits all that the policy admits; what is left is 1-minimal."""
    denied = tuple(denied)
    before = judge(policy, denied)
    wanted: dict[Request, set[str]] = defaultdict(set)
    for access, label in accesses:
        asked = request(access)
        if asked is not None and before.admits(asked):
            wanted[asked].add(label)
    grants: tuple[AnyGrant, ...] = (*policy.grants, *policy.network, *policy.services)
    left = frozenset(range(len(grants)))
    verdicts: dict[int, Proof | Unproved] = {}
    for number in sorted(left, key=lambda n: width(grants[n])):
        grant = grants[number]
        fewer = judge(_only(policy, grants, left - {number}), denied)
        refused = next((one for one in wanted if _concerns(grant, one) and not fewer.admits(one)), None)
        if refused is not None:
            probe = Probe(_ACTS.get(refused.operation, Act.LOOKUP), _object(refused))
            verdicts[number] = Proof(grant, probe, tuple(sorted(wanted[refused])))
        elif any(witness.program == LAUNCHER for witness in grant.witnesses):
            verdicts[number] = Unproved(grant, "a launch needs it, not the program")
        else:
            left -= {number}
    kept = sorted(left)
    return Minimal(
        policy=_only(policy, grants, left),
        proved=tuple(v for n in kept if isinstance(v := verdicts[n], Proof)),
        dropped=tuple(grant for n, grant in enumerate(grants) if n not in left),
        unproved=tuple(v for n in kept if isinstance(v := verdicts[n], Unproved)),
        spare=0,
    )


def _only(policy: Policy, grants: tuple[AnyGrant, ...], kept: frozenset[int]) -> Policy:
    """``policy`` with no other grants than those whose numbers are ``kept``."""
    chosen = [grant for number, grant in enumerate(grants) if number in kept]
    return msgspec.structs.replace(
        policy,
        grants=tuple(g for g in chosen if isinstance(g, Grant)),
        network=tuple(g for g in chosen if isinstance(g, NetworkGrant)),
        services=tuple(g for g in chosen if isinstance(g, ServiceGrant)),
    )


def _concerns(grant: AnyGrant, asked: Request) -> bool:
    """Whether leaving ``grant`` out can change the answer: looking at a path hangs on every grant beneath it."""
    if isinstance(grant, Grant):
        return bool(asked.path) and (
            grant.covers(asked.path) or asked.path == grant.path or grant.path.startswith(asked.path.rstrip("/") + "/")
        )
    return asked.endpoint is not None if isinstance(grant, NetworkGrant) else not asked.endpoint
