"""Commands run in a network jail whose outside is a table: a made-up Internet on this machine's loopback."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, NoReturn

import msgspec
from children import in_child

from learner.jail.attempts import Attempt
from learner.jail.jail import Jail
from learner.jail.permission import obstacle
from learner.jail.supervisor import run
from learner.policy import NetworkAction, NetworkGrant, Policy
from tracers.events import Transport

PYTHON = "/usr/bin/python3"
"""One that every user may execute, unlike that of a virtual environment in root's home."""


def network_policy(*hosts: tuple[str, int], bind: tuple[int, ...] = ()) -> Policy:
    """A policy that grants TCP to (host, port), and listening on ports of 127.0.0.1."""
    grants = [NetworkGrant(NetworkAction.CONNECT, host, port, Transport.TCP, ()) for host, port in hosts]
    grants += [NetworkGrant(NetworkAction.BIND, "127.0.0.1", port, Transport.TCP, ()) for port in bind]
    return Policy(network=tuple(grants))


class Jailed(NamedTuple):
    """What a jailed command wrote, how it ended, what it tried, and what was dialled for it."""

    out: str
    status: int
    attempts: tuple[Attempt, ...]
    dialled: list[tuple[str, int]]

    def tried(self, host: str, port: int) -> Attempt:
        """The one attempt at (host, port)."""
        [found] = [a for a in self.attempts if (a.host, a.port) == (host, port)]
        return found


def jailed(
    argv: Sequence[str],
    policy: Policy,
    internet: Mapping[tuple[str, int], int] | None = None,
    *,
    user: int | None = None,
    learning: bool = False,
    env: Mapping[str, str] | None = None,
    cwd: str = "/",
) -> Jailed:
    """Run ``argv`` in a jail. ``internet``: (name, port) to the loopback port that plays it; None: the real way out."""
    table = dict(internet or {})

    def work() -> Any:
        os.chdir(cwd)
        out_read, out_write = os.pipe()
        dialled_read, dialled_write = os.pipe()

        def way(host: str, port: int) -> socket.socket:
            os.write(dialled_write, f"{host} {port}\n".encode())
            if (host, port) not in table:
                raise ConnectionRefusedError
            return socket.create_connection(("127.0.0.1", table[host, port]), 5)

        jail = Jail.prepare(policy, learning=learning, way=way) if internet is not None else Jail.prepare(policy)

        def become() -> NoReturn:
            os.dup2(out_write, 1)
            os.dup2(out_write, 2)
            jail.enter()
            os.execvpe(argv[0], list(argv), {**os.environ, **(env or {})})

        said: list[bytes] = []

        def read() -> None:
            with os.fdopen(out_read, "rb") as stream:
                said.append(stream.read())

        # The reader must not be a thread while the supervisor is forked from this process: start it afterwards.
        reader = threading.Thread(target=read)
        original = jail.close

        def forked() -> None:
            original()
            os.close(out_write)
            os.close(dialled_write)
            reader.start()

        jail.close = forked  # type: ignore[method-assign]
        ended = run(jail, become)
        reader.join()
        with os.fdopen(dialled_read) as stream:
            dialled = [line.split() for line in stream]
        attempts = msgspec.to_builtins(ended.attempts)
        return [said[0].decode(errors="replace"), ended.wait_status, attempts, dialled]

    out, status, attempts, dialled = in_child(work, user)
    return Jailed(
        out,
        os.waitstatus_to_exitcode(status),
        tuple(msgspec.convert(a, Attempt) for a in attempts),
        [(host, int(port)) for host, port in dialled],
    )


def jails_work() -> bool:
    """Whether this machine permits jails."""
    return bool(in_child(lambda: obstacle() is None))


@contextmanager
def serving(handler: Callable[..., BaseHTTPRequestHandler], address: str = "127.0.0.1") -> Iterator[int]:
    """An HTTP server on loopback; gives its port."""

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in address else socket.AF_INET

    with Server((address, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class Hello(BaseHTTPRequestHandler):
    """Says hello, and which host it was asked as."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = f"hello from {self.headers['Host']} {self.path}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Be quiet."""


def files(directory: str) -> Callable[..., BaseHTTPRequestHandler]:
    """A handler that serves the files of a directory."""

    class Files(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=directory)

        def log_message(self, *_words: object) -> None:
            """Be quiet."""

    return Files


@contextmanager
def udp_listener() -> Iterator[socket.socket]:
    """A UDP socket on loopback."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(0.3)
        yield listener
