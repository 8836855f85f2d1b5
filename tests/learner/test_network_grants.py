import errno

import pytest
from accesses import HOME, PROGRAMS, access, socket

from learner.access import Access, Kind
from learner.network import network_grants
from learner.policy import NetworkAction
from tracers.events import Family, Operation, Transport

CONNECT, BIND = NetworkAction.CONNECT, NetworkAction.BIND


def granted(*accesses: Access) -> list[tuple[NetworkAction, str, int, Transport, bool]]:
    return [(g.action, g.host, g.port, g.transport, g.abstract) for g in network_grants(accesses, PROGRAMS)]


def test_a_connection() -> None:
    [grant] = network_grants([socket(Operation.CONNECT, "192.0.2.1", 443)], PROGRAMS)
    assert (grant.action, grant.host, grant.port, grant.transport) == (CONNECT, "192.0.2.1", 443, Transport.TCP)
    [witness] = grant.witnesses
    assert (witness.program, witness.operations, witness.objects) == ("vibe", (Operation.CONNECT,), 1)
    assert witness.example == "192.0.2.1:443/tcp"


@pytest.mark.parametrize("code", [errno.EINPROGRESS, errno.ECONNREFUSED, errno.ENETUNREACH])
def test_attempts_that_left_count(code: int) -> None:
    assert granted(socket(Operation.CONNECT, "192.0.2.1", 443, outcome=code))


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EAFNOSUPPORT])
def test_attempts_that_did_not_leave_do_not(code: int) -> None:
    assert granted(socket(Operation.CONNECT, "192.0.2.1", 443, outcome=code)) == []


def test_connecting_a_datagram_socket_sends_nothing() -> None:
    assert granted(socket(Operation.CONNECT, "192.0.2.1", 443, Transport.UDP)) == []


def test_dns() -> None:
    asked = socket(Operation.SEND, "192.0.2.53", 53, Transport.UDP)
    name = Access(Operation.RESOLVE, "example.org", Kind.SOCKET, 0, 1, "sendto")
    assert granted(socket(Operation.CONNECT, "192.0.2.53", 53, Transport.UDP), asked, name) == [
        (CONNECT, "192.0.2.53", 53, Transport.UDP, False)
    ]


def test_an_own_port_that_the_kernel_chose_is_zero() -> None:
    assert granted(
        socket(Operation.BIND, "127.0.0.1", 0),
        socket(Operation.LISTEN, "127.0.0.1", 43210),
        socket(Operation.CONNECT, "127.0.0.1", 43210),
    ) == [(BIND, "127.0.0.1", 0, Transport.TCP, False), (CONNECT, "127.0.0.1", 0, Transport.TCP, False)]


def test_a_port_that_was_asked_for_stays() -> None:
    assert granted(
        socket(Operation.BIND, "127.0.0.1", 8080),
        socket(Operation.LISTEN, "127.0.0.1", 8080),
        socket(Operation.BIND, "0.0.0.0", 0, Transport.UDP),  # another socket's
        socket(Operation.CONNECT, "127.0.0.1", 8080),
    ) == [
        (BIND, "0.0.0.0", 0, Transport.UDP, False),
        (BIND, "127.0.0.1", 8080, Transport.TCP, False),
        (CONNECT, "127.0.0.1", 8080, Transport.TCP, False),
    ]


def test_abstract_sockets() -> None:
    name = {"transport": Transport.OTHER, "family": Family.ABSTRACT}
    assert granted(
        socket(Operation.CONNECT, "/tmp/.X11-unix/X0", **name),  # type: ignore[arg-type]
        socket(Operation.SEND, "log", **name),  # type: ignore[arg-type]
        socket(Operation.BIND, "own", **name),  # type: ignore[arg-type]
        socket(Operation.LISTEN, "own", **name),  # type: ignore[arg-type]
    ) == [
        (CONNECT, "/tmp/.X11-unix/X0", 0, Transport.OTHER, True),
        (CONNECT, "log", 0, Transport.OTHER, True),
    ]


@pytest.mark.parametrize("family", [Family.NETLINK, Family.OTHER])
@pytest.mark.parametrize("operation", [Operation.BIND, Operation.CONNECT, Operation.SEND])
def test_netlink_is_not_the_network(family: Family, operation: Operation) -> None:
    assert granted(socket(operation, "0", 0, Transport.OTHER, family)) == []


def test_paths_are_no_endpoints() -> None:
    assert granted(access(Operation.CONNECT, HOME + "/agent.sock", Kind.SOCKET)) == []


def test_order_does_not_matter() -> None:
    run = [socket(Operation.CONNECT, "192.0.2.1", port) for port in (443, 80, 22)]
    assert granted(*run) == granted(*run[::-1])
    assert [grant[2] for grant in granted(*run)] == [22, 80, 443]
