"""The fallback without namespaces: a proxy on loopback that the program is asked to use by its environment.

It decides by host name as the jail does. What does not ask it is stopped only as far as Landlock can: TCP to other
ports than the proxy's.
"""

import os
import secrets
import socket
import struct
from base64 import b64encode

import msgspec

from learner.gaps import Gap
from learner.jail.attempts import Attempt, Ledger, Way
from learner.jail.loop import READ, Loop
from learner.jail.outside import Connect, Dialler, connect
from learner.jail.owner import owner
from learner.jail.relay import Relay, abort
from learner.jail.rules import Rules, host_name, literal
from learner.policy import NetworkAction, NetworkGrant, Policy
from tracers.events import Transport

_MAX_HEAD = 16384
_MAX_WAITING = 256
_HOP_HEADERS = (b"proxy-", b"connection:", b"keep-alive:")
_SOCKS, _CONNECT, _NAME, _IPV4, _IPV6 = 5, 1, 3, 1, 4  # RFC 1928
_SOCKS_OK, _SOCKS_REFUSED, _SOCKS_UNREACHABLE, _SOCKS_UNSUPPORTED = 0, 2, 4, 7
_BY_PASSWORD, _NO_METHOD = 2, 255  # RFC 1929
_USER = "sbx"


class Proxy:
    """HTTP (CONNECT and absolute form) and SOCKS5 on one port of 127.0.0.1, for whoever knows its password."""

    def __init__(self, rules: Rules, way: Connect = connect) -> None:
        self._rules = rules
        self._way = way
        self._password = secrets.token_urlsafe(16)
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(128)
        self.port: int = self._listener.getsockname()[1]
        self._waiting = 0

    @property
    def environment(self) -> dict[str, str]:
        """What makes well-behaved programs use it; HTTP libraries, curl, git, pip, npm and Node 24 read these."""
        login = f"{_USER}:{self._password}@127.0.0.1:{self.port}"
        found = {"NODE_USE_ENV_PROXY": "1"}
        for name, value in (
            ("http_proxy", f"http://{login}"),
            ("https_proxy", f"http://{login}"),
            ("all_proxy", f"socks5h://{login}"),
            ("no_proxy", "localhost,127.0.0.1,::1"),
        ):
            found |= {name: value, name.upper(): value}
        return found

    def enter(self, *, limit: bool = True) -> None:
        """In the program's process: there is nothing to enter or to give up, and the listener is not the program's."""
        self._listener.close()

    def close(self) -> None:
        """In sbx: the supervisor has the listener."""
        self._listener.close()

    def ledger(self) -> Ledger:
        """An empty ledger."""
        return Ledger()

    def attend(self, loop: Loop, ledger: Ledger) -> None:
        """Serve as part of ``loop``."""
        self._loop, self._ledger, self._dialler = loop, ledger, Dialler(loop, self._way)
        self._listener.setblocking(False)
        loop.watch(self._listener, READ, lambda _events: self._accept())

    def _accept(self) -> None:
        try:
            connection, peer = self._listener.accept()
        except OSError:
            return
        if self._waiting >= _MAX_WAITING:
            abort(connection)
            return
        self._waiting += 1
        _Client(self, self._loop, connection, peer[1])

    # --- what clients ask

    def said_hello(self) -> None:
        """A client has made its wish known, or gone."""
        self._waiting -= 1

    def knows(self, user: str, password: str) -> bool:
        """Whether these are the program's."""
        return secrets.compare_digest(f"{user}:{password}".encode(), f"{_USER}:{self._password}".encode())

    def authorization(self) -> bytes:
        """The value of the header Proxy-Authorization."""
        return b"Basic " + b64encode(f"{_USER}:{self._password}".encode())

    def allows(self, host: str, port: int, own_port: int) -> bool:
        """Decide, and keep what was decided."""
        allowed = self._rules.allows(host, port)
        if self._ledger.new(host, port, Way.CONNECT, allowed):
            who = owner(os.getpid(), "tcp", own_port)
            self._ledger.add(Attempt(host, port, Way.CONNECT, allowed, who.program, who.pid))
        return allowed

    def dial(self, client: "_Client", host: str, port: int) -> None:
        """Connect on a client's behalf."""
        self._dialler.dial(host, port, client.dialled)


class _Client:
    """One connection to the proxy until it is relayed or refused."""

    def __init__(self, proxy: Proxy, loop: Loop, connection: socket.socket, own_port: int) -> None:
        self._proxy, self._loop, self._socket, self._port = proxy, loop, connection, own_port
        self._held = b""
        self._step = self._first
        self._first_words = b""
        self._yes, self._no = b"", b""
        connection.setblocking(False)
        loop.watch(connection, READ, self._ready)

    def _ready(self, _events: int) -> None:
        try:
            data = self._socket.recv(_MAX_HEAD)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._held += data
        if not data or len(self._held) > _MAX_HEAD:
            self._end(b"")
            return
        try:
            while self._step():
                pass
        except (ValueError, IndexError, struct.error):
            self._end(_refusal(400, "not a request that a proxy understands"))

    def _take(self, size: int) -> bytes | None:
        """The next ``size`` bytes, None if they are not here yet."""
        if len(self._held) < size:
            return None
        taken, self._held = self._held[:size], self._held[size:]
        return taken

    def _first(self) -> bool:
        self._step = self._greeting if self._held[0] == _SOCKS else self._request
        return True

    # --- HTTP

    def _request(self) -> bool:
        head, end, rest = self._held.partition(b"\r\n\r\n")
        if not end:
            return False
        line, *headers = head.split(b"\r\n")
        method, target, version = line.split(b" ")
        given = [h.partition(b":")[2].strip() for h in headers if h.lower().startswith(b"proxy-authorization:")]
        if given != [self._proxy.authorization()]:
            self._end(_refusal(407, "this proxy serves one program only", b"Proxy-Authenticate: Basic realm=sbx\r\n"))
            return False
        self._held = rest
        if method == b"CONNECT":
            self._yes = b"HTTP/1.1 200 Connection established\r\n\r\n"
            place = target
        else:
            scheme, _, after = target.partition(b"://")
            place, slash, path = after.partition(b"/")
            if scheme.lower() != b"http" or b"@" in place:
                raise ValueError
            kept = [h for h in headers if not h.lower().startswith(_HOP_HEADERS)]
            self._first_words = b"\r\n".join(
                [b" ".join((method, slash + path or b"/", version)), b"Connection: close", *kept, b"", b""]
            )
        host, port = _place(place.decode("ascii"), 443 if method == b"CONNECT" else 80)
        self._no = _refusal(502, f"{host}:{port} cannot be reached")
        self._decide(host, port, _refusal(403, f"sbx: {host}:{port} is not granted"))
        return False

    # --- SOCKS5

    def _greeting(self) -> bool:
        if len(self._held) < 2 or len(self._held) < 2 + self._held[1]:
            return False
        methods = self._take(2 + self._held[1]) or b""
        if _BY_PASSWORD not in methods[2:]:
            self._end(bytes([_SOCKS, _NO_METHOD]))
            return False
        self._socket.send(bytes([_SOCKS, _BY_PASSWORD]))
        self._step = self._login
        return True

    def _login(self) -> bool:
        if len(self._held) < 2 or len(self._held) < (start := 2 + self._held[1]) + 1:
            return False
        if len(self._held) < (end := start + 1 + self._held[start]):
            return False
        user, password = self._held[2:start].decode(), self._held[start + 1 : end].decode()
        self._held = self._held[end:]
        if not self._proxy.knows(user, password):
            self._end(b"\1\1")
            return False
        self._socket.send(b"\1\0")
        self._step = self._wish
        return True

    def _wish(self) -> bool:
        if len(self._held) < 5:
            return False
        version, command, _, kind, size = self._held[:5]
        length = {_IPV4: 4, _IPV6: 16, _NAME: 1 + size}.get(kind)
        if version != _SOCKS or command != _CONNECT or length is None:
            self._end(_socks(_SOCKS_UNSUPPORTED))
            return False
        wish = self._take(4 + length + 2)
        if wish is None:
            return False
        raw, port = wish[4:-2], int.from_bytes(wish[-2:], "big")
        host = raw[1:].decode("ascii") if kind == _NAME else socket.inet_ntop(_FAMILIES[kind], raw)
        self._yes, self._no = _socks(_SOCKS_OK), _socks(_SOCKS_UNREACHABLE)
        self._decide(literal(host) or host_name(host) or "", port, _socks(_SOCKS_REFUSED))
        return False

    # --- the end of asking

    def _decide(self, host: str, port: int, refusal: bytes) -> None:
        if not host or not self._proxy.allows(host, port, self._port):
            self._end(refusal)
            return
        self._loop.forget(self._socket)  # what it says meanwhile waits in the kernel
        self._proxy.dial(self, host, port)

    def dialled(self, outside: socket.socket | None) -> None:
        """The other end is there, or (None) cannot be reached."""
        if outside is None:
            self._end(self._no)
            return
        self._proxy.said_hello()
        try:
            self._socket.send(self._yes)
        except OSError:
            abort(outside)
            self._socket.close()
            return
        Relay(self._loop, self._socket, outside, self._first_words + self._held)

    def _end(self, last: bytes) -> None:
        self._proxy.said_hello()
        self._loop.forget(self._socket)
        try:
            if last:
                self._socket.send(last)
        except OSError:
            pass
        self._socket.close()


_FAMILIES = {_IPV4: socket.AF_INET, _IPV6: socket.AF_INET6}


def _place(text: str, default: int) -> tuple[str, int]:
    """(canonical host, port) of ``host[:port]``. Raises ValueError."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        host, _, port = text.partition(":")
    found = literal(host) or host_name(host)
    number = int(port) if port else default
    if found is None or not 0 < number < 65536:
        raise ValueError(text)
    return found, number


def _refusal(code: int, why: str, header: bytes = b"") -> bytes:
    body = f"{why}\n".encode()
    size = str(len(body)).encode()
    return (
        f"HTTP/1.1 {code} {why}\r\n".encode()
        + header
        + b"Content-Type: text/plain\r\nConnection: close\r\nContent-Length: "
        + size
        + b"\r\n\r\n"
        + body
    )


def _socks(code: int) -> bytes:
    return bytes([_SOCKS, code, 0, _IPV4]) + bytes(6)


def through(policy: Policy, port: int) -> Policy:
    """``policy`` for an enforcer that knows ports only: every outgoing TCP grant but loopback's is the proxy's."""
    kept = [
        n
        for n in policy.network
        if n.abstract or n.transport is not Transport.TCP or n.action is NetworkAction.BIND or _is_loopback(n.host)
    ]
    own = NetworkGrant(NetworkAction.CONNECT, "127.0.0.1", port, Transport.TCP, ())
    return msgspec.structs.replace(policy, network=(*kept, own))


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def gaps(port: int) -> tuple[Gap, ...]:
    """What a proxy leaves open."""
    return (
        Gap("proxy", "programs that ignore the proxy variables cannot connect (Node before 24, raw sockets)"),
        Gap("hosts", f"past the proxy, TCP to port {port} and to granted loopback ports is open on every host"),
        Gap("names", "DNS is open: a program can ask for any name, and send data in names"),
    )
