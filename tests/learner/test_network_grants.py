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


def asked(name: str, program: int = 1, answer: str | None = None) -> Access:
    return Access(Operation.RESOLVE, name, Kind.SOCKET, 0, program, "sendto", peer=answer)


def hosts(*accesses: Access) -> list[tuple[str, int]]:
    return [(g.host, g.port) for g in network_grants(accesses, PROGRAMS) if g.action is CONNECT]


def test_an_answer_tells_the_name_of_an_address() -> None:
    reached = socket(Operation.CONNECT, "198.18.0.2", 443)
    [grant] = network_grants([reached, asked("api.test", 0, "198.18.0.2"), asked("b.test", 0, "198.18.0.3")], PROGRAMS)
    assert (grant.host, grant.port) == ("api.test", 443)
    assert grant.witnesses[0].example == "api.test:443/tcp"


def test_an_address_of_two_names_is_granted_as_both() -> None:
    reached = socket(Operation.CONNECT, "192.0.2.1", 443)
    answers = [asked(name, 0, "192.0.2.1") for name in ("b.test", "a.test")]
    assert hosts(reached, *answers) == [("a.test", 443), ("b.test", 443)]


def test_a_program_that_asked_for_one_name_meant_it() -> None:
    reached = [socket(Operation.CONNECT, address, 443) for address in ("192.0.2.1", "2001:db8::1")]
    assert hosts(*reached, asked("api.test"), asked("api.test.corp.test")) == [("api.test", 443)]
    assert hosts(*reached, asked("api.test", program=2)) == [("192.0.2.1", 443), ("2001:db8::1", 443)]
    assert hosts(*reached, asked("api.test"), asked("b.test")) == [("192.0.2.1", 443), ("2001:db8::1", 443)]


@pytest.mark.parametrize(
    ("address", "port", "transport"),
    [
        ("127.0.0.1", 8080, Transport.TCP),
        ("::1", 8080, Transport.TCP),
        ("169.254.169.254", 80, Transport.TCP),
        ("192.0.2.53", 53, Transport.TCP),
    ],
)
def test_what_dns_is_not_asked_for_stays_an_address(address: str, port: int, transport: Transport) -> None:
    assert hosts(socket(Operation.CONNECT, address, port, transport), asked("api.test")) == [(address, port)]


def test_a_literal_wins_over_a_guess_when_answers_are_known() -> None:
    first, second = (socket(Operation.CONNECT, address, 443) for address in ("198.18.0.2", "192.0.2.9"))
    assert hosts(first, second, asked("api.test", 0, "198.18.0.2")) == [("192.0.2.9", 443), ("api.test", 443)]
