"""What a policy needs on macOS beside grants on paths and endpoints: services, and paths that are looked at."""

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from learner.access import Access, Meaning
from learner.change import Kind
from learner.derivation import Derived
from learner.gaps import Gap
from learner.places import Map, ancestors
from learner.policy import Policy, Right, ServiceGrant, Witness
from learner.seatbelt.services import FILTERS, UNGRANTABLE, acts_outside, is_own, name_of
from learner.seatbelt.weighing import kind_of
from learner.trace import Trace
from learner.volatile import lasting_part
from learner.words import service
from tracers.events import Operation


def complete(found: Derived, trace: Trace) -> Derived:
    """``found`` with the services that were used, the symlinks and the probes of ``trace``; what cannot be granted is a
    gap, and so is each service by which a program acts outside of the sandbox.
    """
    services, gaps = _services(trace)
    places = trace.header.variables.places
    links = tuple(sorted({*found.policy.links, *trace.links}))
    policy = msgspec.structs.replace(found.policy, services=services, links=links)
    probes, passing = _probes(trace.accesses, policy, places)
    gaps |= passing | _somewhere(trace)
    policy = msgspec.structs.replace(policy, probes=probes)
    return found._replace(policy=policy, gaps=tuple(sorted({*found.gaps, *gaps})))


def shown(policy: Policy) -> frozenset[str]:
    """The paths that may be looked at because something is granted, linked or looked at there or beneath."""
    paths = [*(grant.path for grant in policy.grants), *policy.links, *policy.probes]
    return frozenset(paths).union(*(ancestors(path) for path in paths))


def lookers(trace: Trace) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """By path, sorted, the labels of the programs that looked at it."""
    found: dict[str, set[str]] = defaultdict(set)
    for access in trace.accesses:
        if access.operation in (Operation.STAT, Operation.GETXATTR):
            found[access.object].add(trace.programs[access.program].label)
    return tuple((path, tuple(sorted(labels))) for path, labels in sorted(found.items()))


def _services(trace: Trace) -> tuple[tuple[ServiceGrant, ...], set[Gap]]:
    users: dict[tuple[str, str], set[str]] = defaultdict(set)
    refused: dict[tuple[str, str], set[str]] = defaultdict(set)
    for access in trace.accesses:
        if access.operation is not Operation.SERVICE or is_own(access.call):
            continue
        asked = users if access.meaning is Meaning.DONE else refused
        asked[access.call, name_of(access)].add(trace.programs[access.program].label)
    granted, gaps = [], set()
    for (operation, name), labels in refused.items():
        why = UNGRANTABLE.get(operation, "")
        if trace.header.masked and (outside := acts_outside(operation, name)):
            why = f"it was masked ({outside})"
        if why and (operation, name) not in users:
            gap = f"not granted: {service(ServiceGrant(operation, name))}"
            gaps.add(Gap(gap, f"{', '.join(sorted(labels))} asked for it; {why}"))
    for (operation, name), labels in sorted(users.items()):
        witnesses = tuple(Witness(label, (Operation.SERVICE,), name or operation) for label in sorted(labels))
        grant = ServiceGrant(operation, name, witnesses)
        if operation not in FILTERS:
            reason = UNGRANTABLE.get(operation, "sbx knows no rule for it")
            gaps.add(Gap(f"not granted: {service(grant)}", f"{', '.join(sorted(labels))} asked for it; {reason}"))
            continue
        if FILTERS[operation] and not name and kind_of(operation) is not Kind.READ:
            reason = "the log does not say what for, and all of it is too much: name it by hand"
            gaps.add(Gap(f"not granted: {service(grant)}", f"{', '.join(sorted(labels))} asked for it; {reason}"))
            continue
        granted.append(grant)
        if outside := acts_outside(operation, name):
            gaps.add(Gap(f"acts outside: {service(grant)}", outside))
    return tuple(granted), gaps


def _somewhere(trace: Trace) -> set[Gap]:
    """What was connected to without its port being told, so that nothing less than all ports could be granted."""
    found: dict[str, set[str]] = defaultdict(set)
    for access in trace.accesses:
        if access.operation is Operation.CONNECT and access.endpoint is not None and access.endpoint.port == 0:
            found[access.object].add(trace.programs[access.program].label)
    reason = "asked for it; the log does not say which port: name it by hand"
    return {Gap(f"not granted: connect {end}", f"{', '.join(sorted(by))} {reason}") for end, by in found.items()}


def _probes(accesses: Iterable[Access], policy: Policy, places: Map) -> tuple[tuple[str, ...], set[Gap]]:
    """The paths that were looked at, without those that the grants show anyway."""
    done = [access for access in accesses if access.meaning is Meaning.DONE]
    attributes = {access.object for access in done if access.operation is Operation.GETXATTR}
    found, gaps = set(), set()
    for path in attributes | ({access.object for access in done if access.operation is Operation.STAT} - shown(policy)):
        if policy.rights_on(path) & Right.READ:
            continue
        lasting = lasting_part(path) if places.is_state(path) else path
        if lasting == path:
            found.add(path)
        elif not policy.rights_on(path):
            gaps.add(Gap(f"looks in {lasting}", "the names that were looked at there will be others the next time"))
    needless = {above for path in found for above in ancestors(path)}
    return tuple(sorted(found - (needless - attributes))), gaps
