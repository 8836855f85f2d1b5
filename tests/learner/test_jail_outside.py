"""Dialling out, and relaying: on loopback, without namespaces."""

import errno
import socket
import threading
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.jail.loop import READ, Loop
from learner.jail.outside import Dialler, connect, is_elsewhere, join
from learner.jail.relay import REFUSE_SECONDS, Relay, refuse


def leads_to(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(_host: str, port: int, **_hints: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr("learner.jail.outside.socket.getaddrinfo", answers)


def test_a_name_that_leads_to_this_machine_is_no_grant_of_its_services(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        connect("127.0.0.1", port).close()  # granted as an address, it is reached
        leads_to("127.0.0.1", monkeypatch)
        with pytest.raises(OSError) as caught:
            connect("rebind.test", port)
        assert caught.value.errno == errno.EACCES
        # An address of this machine that is not loopback is told by both ends being the same.
        monkeypatch.setattr("learner.jail.outside.is_elsewhere", lambda _address: True)
        with pytest.raises(OSError) as caught:
            connect("rebind.test", port)
        assert caught.value.errno == errno.EACCES


@pytest.mark.parametrize(
    ("address", "elsewhere"),
    [
        ("192.0.2.1", True),
        ("10.0.0.1", True),
        ("2001:db8::1", True),
        ("127.8.8.8", False),
        ("0.0.0.0", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("::ffff:127.0.0.1", False),
    ],
)
def test_addresses_of_this_machine_and_its_link(address: str, elsewhere: bool) -> None:
    assert is_elsewhere(address) is elsewhere


def test_a_dial_that_fails_resets() -> None:
    loop = Loop()
    ours, theirs = tcp_pair()

    def nowhere(_host: str, _port: int) -> socket.socket:
        raise OSError(errno.ECONNREFUSED, "no")

    join(loop, Dialler(loop, nowhere), theirs, "a.test", 1)
    watch_end(loop, ours)
    loop.run()
    with pytest.raises(ConnectionResetError):
        ours.recv(1)


def watch_end(loop: Loop, end: socket.socket) -> None:
    loop.watch(end, READ, lambda _events: loop.stop())


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    return ours, theirs


@settings(max_examples=15, deadline=None)
@given(st.binary(max_size=400_000), st.binary(max_size=400_000), st.binary(max_size=100))
def test_what_goes_in_comes_out(request: bytes, response: bytes, first: bytes) -> None:
    client, inside = tcp_pair()
    outside, server = tcp_pair()
    loop = Loop()
    Relay(loop, inside, outside, first)
    heard: dict[str, bytes] = {}

    def talk(end: socket.socket, say: bytes, name: str) -> None:
        sender = threading.Thread(target=lambda: (end.sendall(say), end.shutdown(socket.SHUT_WR)))
        sender.start()
        heard[name] = b"".join(iter(lambda: end.recv(65536), b""))
        sender.join()
        end.close()

    talkers = [
        threading.Thread(target=talk, args=(client, request, "client")),
        threading.Thread(target=talk, args=(server, response, "server")),
    ]
    done, over = socket.socketpair()
    loop.watch(over, READ, lambda _events: loop.stop())
    serving = threading.Thread(target=loop.run)
    for thread in (*talkers, serving):
        thread.start()
    for thread in talkers:
        thread.join()
    done.close()
    serving.join()
    over.close()
    assert heard == {"client": response, "server": first + request}


def test_a_reset_is_passed_on() -> None:
    client, inside = tcp_pair()
    outside, server = tcp_pair()
    loop = Loop()
    Relay(loop, inside, outside)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    server.close()
    watch_end(loop, client)
    loop.run()
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_a_refusal_waits_for_the_client_but_not_for_long() -> None:
    for says, least, most in ((b"hello", 0.0, REFUSE_SECONDS / 2), (b"", REFUSE_SECONDS, 10 * REFUSE_SECONDS)):
        loop = Loop()
        ours, theirs = tcp_pair()
        if says:
            ours.sendall(says)
        refuse(loop, theirs)
        watch_end(loop, ours)
        began = time.monotonic()
        loop.run()
        assert least <= time.monotonic() - began < most
        with pytest.raises(ConnectionResetError):
            ours.recv(1)
        ours.close()


def test_timers_come_in_their_order() -> None:
    loop, seen = Loop(), []
    for delay in (0.03, 0.01, 0.02):
        loop.after(delay, lambda delay=delay: seen.append(delay))
    loop.after(0.04, loop.stop)
    loop.run()
    assert seen == [0.01, 0.02, 0.03]
