"""From accesses to endpoints to network grants, by host name where the trace tells which name an address was."""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from learner.access import Access, Meaning
from learner.policy import NetworkAction, NetworkGrant, Witness
from tracers.events import Endpoint, Family, Operation, Transport
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
    A port that the program itself got from the ephemeral range is granted as port 0. What was reached by a name
    (:func:`names_of`) is granted by that name, anything else by its address.
    """
    found: dict[Reached, dict[str, set[tuple[Operation, str]]]] = {}
    for reached, access in endpoints(accesses):
        label = programs[access.program].label
        found.setdefault(reached, {}).setdefault(label, set()).add((access.operation, _example(reached, access)))
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
    accesses = tuple(accesses)
    records = [(a, a.endpoint) for a in accesses if a.endpoint is not None and needs_network(a)]
    asked = {end.port for a, end in records if a.operation is Operation.BIND}
    own = {end.port for a, end in records if a.operation is Operation.LISTEN} - asked
    names = names_of(accesses)
    for access, end in records:
        if access.operation is Operation.LISTEN:
            continue
        action = NetworkAction.BIND if access.operation is Operation.BIND else NetworkAction.CONNECT
        port = 0 if end.port in own else end.port
        named: Iterable[str] = ()
        if access.operation is Operation.CONNECT and end.transport is Transport.TCP:
            known = names.get((ANY_PROGRAM, end.address)) or names.get((access.program, end.address))
            named = known or ()
        for host in sorted(named) or (end.address,):
            yield Reached(action, host, port, end.transport, end.family is Family.ABSTRACT), access


ANY_PROGRAM = -1
"""Stands for every program in :func:`names_of`."""


def names_of(accesses: Iterable[Access]) -> Mapping[tuple[int, str], frozenset[str]]:
    """(program, address) to the host names that the address stood for.

    An answer that was seen (a RESOLVE whose ``peer`` is the address) holds for every program. Where none was, a
    program that asked for one name only meant that name by every address elsewhere that it connected to.
    """
    answers: dict[tuple[int, str], set[str]] = {}
    asked: dict[int, set[str]] = {}
    reached: dict[int, set[str]] = {}
    for access in accesses:
        if access.operation is Operation.RESOLVE and access.peer:
            answers.setdefault((ANY_PROGRAM, access.peer), set()).add(access.object)
        elif access.operation is Operation.RESOLVE:
            asked.setdefault(access.program, set()).add(access.object)
        elif access.operation is Operation.CONNECT and access.endpoint and _is_elsewhere(access.endpoint):
            reached.setdefault(access.program, set()).add(access.endpoint.address)
    for program, every in asked.items():
        names = {n for n in every if not any(n.startswith(other + ".") for other in every)}  # a search domain added
        for address in reached.get(program, ()) if len(names) == 1 else ():
            if (ANY_PROGRAM, address) not in answers:
                answers[program, address] = names
    return {key: frozenset(names) for key, names in answers.items()}


def _is_elsewhere(end: Endpoint) -> bool:
    """Whether an endpoint is one that DNS is asked for: TCP, not on this machine, no name server."""
    if end.transport is not Transport.TCP or end.port in (0, _DNS_PORT):
        return False
    try:
        address = ipaddress.ip_address(end.address.partition("%")[0])
    except ValueError:
        return False
    return not (address.is_loopback or address.is_link_local or address.is_unspecified)


_DNS_PORT = 53


def _example(reached: Reached, access: Access) -> str:
    """The endpoint as the grant names it."""
    if access.endpoint is None or reached.host == access.endpoint.address:
        return access.object
    return f"{reached.host}:{access.endpoint.port}/{reached.transport}"


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
