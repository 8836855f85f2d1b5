"""From accesses to endpoints to network grants."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from learner.access import Access, Meaning
from learner.policy import NetworkAction, NetworkGrant, Witness
from tracers.events import Family, Operation, Transport
from tracers.programs import Program


class Reached(NamedTuple):
    """An endpoint as a grant names it (:class:`learner.policy.NetworkGrant`)."""

    action: NetworkAction
    host: str
    port: int
    transport: Transport
    abstract: bool


def network_grants(accesses: Iterable[Access], programs: tuple[Program, ...]) -> tuple[NetworkGrant, ...]:
    """Grants for the endpoints that were reached or taken.

    Connecting a datagram socket sends nothing (getaddrinfo sorts addresses that way), so only sending counts there.
    A port that the program itself got from the ephemeral range is granted as port 0.
    """
    found: dict[Reached, dict[str, set[tuple[Operation, str]]]] = {}
    for reached, access in endpoints(accesses):
        label = programs[access.program].label
        found.setdefault(reached, {}).setdefault(label, set()).add((access.operation, access.object))
    return tuple(
        NetworkGrant(
            action,
            host,
            port,
            transport,
            tuple(
                Witness(
                    label,
                    tuple(sorted({o for o, _ in uses})),
                    min(e for _, e in uses),
                    len({e for _, e in uses}),
                )
                for label, uses in sorted(users.items())
            ),
            abstract,
        )
        for (action, host, port, transport, abstract), users in sorted(found.items())
    )


def endpoints(accesses: Iterable[Access]) -> Iterator[tuple[Reached, Access]]:
    """What each access that takes a network grant reached or took."""
    records = [(a, a.endpoint) for a in accesses if a.endpoint is not None and needs_network(a)]
    asked = {end.port for a, end in records if a.operation is Operation.BIND}
    own = {end.port for a, end in records if a.operation is Operation.LISTEN} - asked
    for access, end in records:
        if access.operation is Operation.LISTEN:
            continue
        action = NetworkAction.BIND if access.operation is Operation.BIND else NetworkAction.CONNECT
        port = 0 if end.port in own else end.port
        yield Reached(action, end.address, port, end.transport, end.family is Family.ABSTRACT), access


def needs_network(access: Access) -> bool:
    """Whether an access to an endpoint takes a network grant."""
    end = access.endpoint
    if end is None or access.meaning is not Meaning.DONE or end.family in (Family.NETLINK, Family.OTHER):
        return False
    if end.family is Family.ABSTRACT:
        return access.operation in (Operation.CONNECT, Operation.SEND)
    if access.operation is Operation.CONNECT:
        return end.transport is not Transport.UDP and end.port != 0
    return access.operation in (Operation.SEND, Operation.BIND, Operation.LISTEN)
