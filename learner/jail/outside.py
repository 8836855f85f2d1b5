"""Dialling out of the jail, from the network that sbx itself is in."""

import contextlib
import errno
import ipaddress
import os
import socket
import threading
from collections import deque
from collections.abc import Callable

from learner.jail.loop import READ, Loop
from learner.jail.relay import Relay, refuse
from learner.jail.rules import literal

CONNECT_SECONDS = 10.0
"""Patience with each address of a host."""

MAX_DIALLING = 256
"""Connections being made at one time; more are reset."""

Connect = Callable[[str, int], socket.socket]
"""(host, port) to a connected socket. Raises OSError."""


def connect(host: str, port: int) -> socket.socket:
    """Connect to a name or address, trying each of its addresses in turn. Raises OSError.

    A *name* leads to no service of this machine or its link: whoever owns the name could point it at one.
    """
    if literal(host) is not None:
        return socket.create_connection((host, port), CONNECT_SECONDS)
    problem: OSError = OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if not is_elsewhere(str(address[0])):
            problem = OSError(errno.EACCES, "the name stands for an address of this machine or its link")
            continue
        attempt = socket.socket(family, kind, protocol)
        attempt.settimeout(CONNECT_SECONDS)
        try:
            attempt.connect(address)
            if attempt.getpeername()[0] == attempt.getsockname()[0]:
                raise OSError(errno.EACCES, "the name stands for this machine")
        except OSError as failure:
            attempt.close()
            problem = failure
        else:
            return attempt
    raise problem


def is_elsewhere(address: str) -> bool:
    """Whether an address is a host's on some network: not loopback, not link-local (metadata services), no group's."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return not (found.is_loopback or found.is_link_local or found.is_unspecified or found.is_multicast)


class Dialler:
    """Dials in threads, and hands each socket back in the loop's own."""

    def __init__(self, loop: Loop, way: Connect = connect) -> None:
        self._way = way
        self._done: deque[tuple[Callable[[socket.socket | None], None], socket.socket | None]] = deque()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._dialling = 0
        loop.watch(self._wake_read, READ, self._deliver)

    def dial(self, host: str, port: int, then: Callable[[socket.socket | None], None]) -> None:
        """Call ``then`` with the connected socket, or None if it could not be."""
        if self._dialling >= MAX_DIALLING:
            then(None)
            return
        self._dialling += 1
        threading.Thread(target=self._run, args=(host, port, then), daemon=True).start()

    def _run(self, host: str, port: int, then: Callable[[socket.socket | None], None]) -> None:
        made = None
        try:
            made = self._way(host, port)
        except (OSError, UnicodeError):  # a name that IDNA does not know is a UnicodeError of getaddrinfo's
            pass
        finally:
            self._done.append((then, made))
            with contextlib.suppress(OSError):  # full: it is awake anyway
                self._wake_write.send(b"x")

    def _deliver(self, _events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake_read.recv(4096)
        while self._done:
            then, made = self._done.popleft()
            self._dialling -= 1
            then(made)


def join(loop: Loop, dialler: Dialler, inside: socket.socket, host: str, port: int) -> None:
    """Connect ``inside`` with (host, port); it is reset if that cannot be reached."""

    def reached(outside: socket.socket | None) -> None:
        if outside is None:
            refuse(loop, inside)
        else:
            Relay(loop, inside, outside)

    dialler.dial(host, port, reached)
