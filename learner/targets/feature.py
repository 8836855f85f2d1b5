"""What a policy can say, and a format may not be able to: the rows of the table in docs/targets.md."""

import enum
import ipaddress
from collections.abc import Iterable, Mapping

from learner.gaps import Gap
from learner.policy import CHANGES, DIRECTORY_RIGHTS, Grant, NetworkAction, Policy, Right, Scope
from learner.words import endpoint, place, service
from tracers.events import Transport


class Feature(enum.StrEnum):
    """Something that a policy says."""

    SINGLE_OBJECTS = "single objects"
    EXECUTE_APART = "execute apart from read"
    LIST_APART = "list apart from read"
    CHANGES_APART = "create, write, remove apart"
    ATTRIBUTES = "attributes apart from write"
    IOCTL = "device control"
    UNIX_SOCKETS = "unix sockets"
    ABSTRACT_SOCKETS = "abstract sockets"
    HOSTS = "hosts"
    PORTS = "ports"
    LISTEN = "listening"
    UDP = "UDP"
    LINKS = "symlinks"
    ENSURE = "directories made at launch"
    DENIALS = "denials below a grant"
    HIDING = "what is not granted is not seen"


_ALL_CHANGES = CHANGES & ~(Right.ATTRIBUTES | Right.MOVE | Right.DEVICE | Right.FIFO | Right.SOCKET | Right.SYMLINK)


def used(policy: Policy, denied: Iterable[str] = ()) -> Mapping[Feature, tuple[str, ...]]:
    """The features that ``policy`` makes use of, each with what does, in words. ``denied``: paths to be refused
    although a grant covers them."""
    found: dict[Feature, list[str]] = {}
    for grant in policy.grants:
        for feature in _on_path(grant):
            found.setdefault(feature, []).append(place(grant))
    for end in policy.network:
        if end.abstract:
            found.setdefault(Feature.ABSTRACT_SOCKETS, []).append(endpoint(end))
            continue
        if end.anywhere:
            continue
        found.setdefault(Feature.LISTEN if end.action is NetworkAction.BIND else Feature.HOSTS, []).append(
            endpoint(end)
        )
        if end.port:
            found.setdefault(Feature.PORTS, []).append(endpoint(end))
        if end.transport is Transport.UDP:
            found.setdefault(Feature.UDP, []).append(endpoint(end))
    if policy.links:
        found[Feature.LINKS] = list(policy.links)
    if more := sorted(denied):
        found[Feature.DENIALS] = more
    return {feature: tuple(dict.fromkeys(found[feature])) for feature in Feature if feature in found}


def missing(
    policy: Policy, lacks: Mapping[Feature, str], denied: Iterable[str] = (), *, services: bool = False
) -> tuple[Gap, ...]:
    """A gap for each feature that ``policy`` uses and that ``lacks`` gives a reason against; and for hiding, always.

    ``services``: whether the format has words for what only macOS controls.
    """
    uses = used(policy, denied)
    found = [
        Gap(f"{feature.value} ({_some(uses[feature])})", lacks[feature])
        for feature in Feature
        if feature in {*uses} & {*lacks}
    ]
    if Feature.HIDING in lacks:
        found.append(Gap(Feature.HIDING.value, lacks[Feature.HIDING]))
    if policy.services and not services:
        names = _some(tuple(map(service, policy.services)))
        found.append(Gap(f"services of macOS ({names})", "nothing here says so: they are as that sandbox has them"))
    return tuple(found)


def alone(grant: Grant) -> bool:
    """Whether ``grant`` is on a directory without what it holds: a format that shows it would open all of that."""
    return grant.scope is Scope.FILE and bool(grant.rights & DIRECTORY_RIGHTS)


def is_name(host: str) -> bool:
    """Whether the host of a network grant is a name, rather than an address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False


def _on_path(grant: Grant) -> Iterable[Feature]:
    rights = grant.rights
    if grant.scope is Scope.FILE:
        yield Feature.SINGLE_OBJECTS
    if (Right.EXEC in rights) != (Right.READ in rights):
        yield Feature.EXECUTE_APART
    if grant.scope is Scope.TREE and (Right.LIST in rights) != (Right.READ in rights):
        yield Feature.LIST_APART
    if changes := rights & CHANGES & ~Right.ATTRIBUTES:
        whole = _ALL_CHANGES if grant.scope is Scope.TREE else Right.WRITE | Right.TRUNCATE
        if whole & ~changes:
            yield Feature.CHANGES_APART
    if (Right.ATTRIBUTES in rights) != (Right.WRITE in rights):
        yield Feature.ATTRIBUTES
    if Right.IOCTL in rights:
        yield Feature.IOCTL
    if Right.CONNECT in rights:
        yield Feature.UNIX_SOCKETS
    if grant.ensure:
        yield Feature.ENSURE


def _some(words: tuple[str, ...], most: int = 3) -> str:
    more = f", … {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more
