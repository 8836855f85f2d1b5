"""The proxy that takes the place of a jail: what it lets through, and what Landlock holds beside it."""

import errno
import os
import shutil
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from capability import require
from children import in_child
from hypothesis import given, settings
from hypothesis import strategies as st
from jailed import Hello, serving

from learner.enforcers.landlock import LandlockEnforcer
from learner.jail.attempts import Attempt, Ledger, Way
from learner.jail.loop import Loop
from learner.jail.proxy import Proxy, gaps, through
from learner.jail.rules import Rules
from learner.policy import NetworkAction, NetworkGrant, Policy
from tracers.events import Transport

pytestmark = pytest.mark.kernel


class Served:
    """A proxy in a thread of this process."""

    def __init__(self, internet: dict[tuple[str, int], int], *grants: tuple[str, int]) -> None:
        import threading

        def way(host: str, port: int) -> socket.socket:
            if (host, port) not in internet:
                raise ConnectionRefusedError
            return socket.create_connection(("127.0.0.1", internet[host, port]), 5)

        self.proxy = Proxy(Rules(grants), way)
        self.loop, self.ledger = Loop(), Ledger()
        self.proxy.attend(self.loop, self.ledger)
        self.over, self._stop = socket.socketpair()
        self.loop.watch(self._stop, 1, lambda _events: self.loop.stop())
        self.thread = threading.Thread(target=self.loop.run)
        self.thread.start()

    def stop(self) -> None:
        self.over.close()
        self.thread.join()
        self._stop.close()
        self.proxy.close()

    def url(self) -> str:
        return self.proxy.environment["http_proxy"]

    def say(self, *parts: bytes) -> bytes:
        """What comes back for bytes that are sent as they are."""
        with socket.create_connection(("127.0.0.1", self.proxy.port), 10) as client:
            try:
                for part in parts:
                    client.sendall(part)
                client.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: client.recv(4096), b""))
            except OSError as problem:  # it may have hung up before everything was said
                assert problem.errno in (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN), problem
                return b""


@pytest.fixture
def served() -> Iterator[Served]:
    with serving(Hello) as port:
        found = Served({("api.test", 80): port, ("api.test", 443): port, ("evil.test", 80): port}, ("api.test", 80))
        try:
            yield found
        finally:
            found.stop()


def curl(*words: str) -> tuple[int, str]:
    require(shutil.which("curl"), "curl")
    env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "20", *words], capture_output=True, text=True, check=False, env=env
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("way", [("--proxy",), ("-p", "--proxy"), ("--socks",)])
def test_granted_and_not(way: tuple[str, ...], served: Served) -> None:
    url = served.url()
    words = [*way[:-1], "--proxy", url.replace("http:", "socks5h:") if way == ("--socks",) else url]
    assert curl(*words, "http://api.test/x") == (0, "hello from api.test /x\n")
    for host in ("http://evil.test/", "http://api.test:443/", "http://127.0.0.1/"):
        status, said = curl(*words, host)
        assert "hello" not in said
        assert status or "is not granted" in said
    refused = {(a.host, a.port) for a in served.ledger.attempts() if not a.allowed}
    assert refused == {("evil.test", 80), ("api.test", 443), ("127.0.0.1", 80)}
    programs = {a.program for a in served.ledger.attempts()}
    assert programs == {"curl"}


def test_others_on_this_machine_cannot_use_it(served: Served) -> None:
    stranger = f"http://127.0.0.1:{served.proxy.port}"
    assert "serves one program only" in curl("--proxy", stranger, "http://api.test/")[1]
    assert curl("--proxy", stranger.replace("http:", "socks5h:"), "http://api.test/")[0]
    assert curl("--proxy", f"http://sbx:wrong@127.0.0.1:{served.proxy.port}", "http://api.test/")[1].startswith("this")
    wrong = f"socks5h://sbx:wrong@127.0.0.1:{served.proxy.port}"
    assert curl("--proxy", wrong, "http://api.test/")[0]
    assert served.ledger.attempts() == ()


def test_slow_and_hostile_clients(served: Served) -> None:
    password = urlsplit(served.url()).password or ""
    login = b"Proxy-Authorization: Basic " + b64encode(f"sbx:{password}".encode()) + b"\r\n"
    whole = b"GET http://api.test/ HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n" + login + b"\r\n"
    assert b"hello from api.test" in served.say(*(whole[i : i + 7] for i in range(0, len(whole), 7)))
    for bad in (
        b"GET / HTTP/1.1\r\n" + login + b"\r\n",
        b"CONNECT api.test:0 HTTP/1.1\r\n" + login + b"\r\n",
        b"CONNECT api.test:99999 HTTP/1.1\r\n" + login + b"\r\n",
        b"CONNECT [::1 HTTP/1.1\r\n" + login + b"\r\n",
        b"GET http://api.test@evil.test/ HTTP/1.1\r\n" + login + b"\r\n",
        b"\r\n\r\n",
        b"x" * 40000,
        b"\x05\x01\x00",
        b"\x05\xff",
    ):
        assert b"hello" not in served.say(bad)
    assert b"hello from api.test" in served.say(whole)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=4))
def test_any_bytes(parts: list[bytes]) -> None:
    found = Served({})
    try:
        assert not found.say(*parts).startswith(b"HTTP/1.1 2")
    finally:
        found.stop()


def test_landlock_holds_ports_beside_it(user: int) -> None:
    """A direct connection to another port is refused; one to the proxy's works, as the stated gap says."""
    from capability import require as need

    from learner.enforcers.landlock import abi

    need(abi() >= 4, "Landlock ABI 4")
    grant = NetworkGrant(NetworkAction.CONNECT, "api.test", 443, Transport.TCP, ())
    with socket.create_server(("127.0.0.1", 0)) as granted, socket.create_server(("127.0.0.1", 0)) as other:
        port, elsewhere = granted.getsockname()[1], other.getsockname()[1]
        policy = through(Policy(network=(grant,)), port)

        def work() -> Any:
            found = []
            for confined in (False, True):
                if confined:
                    LandlockEnforcer().prepare(policy).apply()
                for number in (port, elsewhere):
                    with socket.socket() as client:
                        found.append(client.connect_ex(("127.0.0.1", number)))
            return found

        assert in_child(work, user) == [0, 0, 0, errno.EACCES]
    assert {g.item for g in gaps(port)} == {"hosts", "names", "proxy"}


def test_sbx_run_through_a_proxy(scratch: Path) -> None:
    require(shutil.which("curl"), "curl")
    with serving(Hello) as port:
        profile = scratch / "t.toml"
        profile.write_text(
            'version = 1\nname = "t"\ncommand = "sh"\n'
            '[[grant]]\npath = "/"\nscope = "tree"\nrights = ["read", "list", "exec", "write"]\n'
            f'[[network]]\naction = "connect"\nhost = "127.0.0.1"\nport = {port}\ntransport = "tcp"\n'
        )
        script = (
            f"curl -sS --noproxy '' http://127.0.0.1:{port}/; curl -sS http://evil.test/; curl -sS https://evil.test/"
        )
        words = [sys.executable, "-m", "learner", "run", "--network", "proxy", "t.toml", "--", "/bin/sh", "-c", script]
        done = subprocess.run(words, cwd=scratch, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == f"hello from 127.0.0.1:{port} /\nsbx: evil.test:80 is not granted\n"
    assert "sbx: refused: evil.test:443 (curl, pid " in done.stderr
    assert "CONNECT tunnel failed" in done.stderr or "403" in done.stderr


def test_attempts_in_words() -> None:
    assert str(Attempt("::1", 80, Way.CONNECT, False, "curl", 7)) == "[::1]:80 (curl, pid 7)"
    assert str(Attempt("a.test", 0, Way.NAME, False)) == "a.test (a process that could not be found in time)"
