"""The filter: serves a jail's sockets from the outside, and decides on every name and connection."""

import contextlib
import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Callable, Mapping

from learner.jail import dns
from learner.jail.addresses import Names, answer
from learner.jail.attempts import Attempt, Ledger, Way
from learner.jail.loop import READ, Loop
from learner.jail.namespace import Door
from learner.jail.outside import Dialler, join
from learner.jail.owner import Owner
from learner.jail.relay import abort, refuse
from learner.jail.rules import Rules, literal

_SO_ORIGINAL_DST = 80  # linux/netfilter_ipv4.h; IP6T_SO_ORIGINAL_DST has the same number
_DATAGRAMS_AT_ONCE = 64
_DATAGRAM = 4096
_MAX_DNS_STREAMS = 64
_BACKLOG_PAUSE = (errno.EMFILE, errno.ENFILE)

FindOwner = Callable[[str, int], Owner]
"""(``tcp`` or ``udp``, local port in the jail) to the process that holds that socket."""


class Filter:
    """Serves one jail. ``hosts``: addresses of a hosts(5) file to their names."""

    def __init__(
        self,
        loop: Loop,
        rules: Rules,
        ledger: Ledger,
        dialler: Dialler,
        hosts: Mapping[str, tuple[str, ...]],
        find_owner: FindOwner = lambda _protocol, _port: Owner(),
    ) -> None:
        self._loop = loop
        self._rules = rules
        self._ledger = ledger
        self._dialler = dialler
        self._hosts = hosts
        self.find_owner = find_owner
        self.names = Names()
        self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._dns_streams = 0

    def open(self, door: Door, listener: socket.socket) -> None:
        """Serve a socket of the jail."""
        listener.setblocking(False)
        if door.kind is socket.SOCK_DGRAM:
            self._loop.watch(listener, READ, lambda _events: self._datagrams(listener))
        else:
            self._loop.watch(listener, READ, lambda _events: self._accept(door, listener))

    # --- names

    def reply(self, message: bytes, protocol: str, port: int) -> bytes:
        """The answer to a DNS message from local ``port`` of the jail, empty for none. Nothing is forwarded."""
        try:
            question = dns.parse(message)
        except dns.Malformed as problem:
            return problem.answer
        said, allowed = answer(question, self._rules, self.names)
        # An allowed name needs no note before it is connected to.
        if not allowed and question.name:
            self._note(question.name, 0, Way.NAME, False, protocol, port)
        return said

    def _datagrams(self, listener: socket.socket) -> None:
        for _ in range(_DATAGRAMS_AT_ONCE):
            try:
                message, sender = listener.recvfrom(_DATAGRAM)
                said = self.reply(message, "udp", sender[1])
                if said:
                    listener.sendto(said, sender)
            except BlockingIOError:
                return
            except OSError:
                continue  # the other end of an earlier answer has gone

    def _dns_stream(self, connection: socket.socket, port: int) -> None:
        """DNS over TCP: messages behind their length (RFC 1035, 4.2.2)."""
        if self._dns_streams >= _MAX_DNS_STREAMS:
            abort(connection)
            return
        self._dns_streams += 1
        held = bytearray()

        def end() -> None:
            self._dns_streams -= 1
            self._loop.forget(connection)
            connection.close()

        def ready(_events: int) -> None:
            try:
                data = connection.recv(_DATAGRAM)
                held.extend(data)
                while len(held) >= 2 and len(held) >= 2 + (size := int.from_bytes(held[:2], "big")):
                    said = self.reply(bytes(held[2 : 2 + size]), "tcp", port)
                    del held[: 2 + size]
                    connection.sendall(len(said).to_bytes(2, "big") + said)
            except OSError:
                end()
                return
            if not data:
                end()

        connection.setblocking(False)
        self._loop.watch(connection, READ, ready)

    # --- connections

    def _accept(self, door: Door, listener: socket.socket) -> None:
        try:
            connection, peer = listener.accept()
        except OSError as problem:
            if problem.errno in _BACKLOG_PAUSE:
                self._shed(listener)
            return
        if door.port == dns.PORT and door.address:
            self._dns_stream(connection, peer[1])
            return
        host, port = (door.address, door.port) if door.address else _destination(connection)
        self.decide(connection, host, port, peer[1])

    def decide(self, connection: socket.socket, address: str, port: int, own_port: int) -> None:
        """Join a connection from the jail's ``own_port`` with where it wants to, or reset it."""
        name = self.names.name(address)
        host = name or self._known_by(address, port)
        allowed = bool(host) and self._rules.allows(host, port)
        self._note(host or address, port, Way.CONNECT, allowed, "tcp", own_port)
        if not allowed:
            refuse(self._loop, connection)
        else:
            # What came as an address goes to that address, whatever name the grant has for it.
            join(self._loop, self._dialler, connection, name or address, port)

    def _known_by(self, address: str, port: int) -> str:
        """The name of a literal address that a hosts(5) file gives and that is allowed, else the address itself."""
        if not literal(address) or ipaddress.ip_address(address).is_loopback:
            return address
        if self._rules.learning or not self._rules.allows(address, port):
            for name in self._hosts.get(address, ()):
                if self._rules.allows(name, port):
                    return name
        return address

    def _shed(self, listener: socket.socket) -> None:
        """Out of descriptors: give one waiting connection up, or the loop would turn around it for ever."""
        os.close(self._spare)
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            abort(connection)
        self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _note(self, host: str, port: int, way: Way, allowed: bool, protocol: str, own_port: int) -> None:
        if not self._ledger.new(host, port, way, allowed):
            return
        # The process waits for our answer, so it is still there: looking for it first is what makes this work.
        who = self.find_owner(protocol, own_port) if not allowed or self._rules.learning else Owner()
        self._ledger.add(Attempt(host, port, way, allowed, who.program, who.pid))


def _destination(connection: socket.socket) -> tuple[str, int]:
    """Where a redirected connection was going, ``("", 0)`` if the kernel does not know."""
    try:
        if connection.family == socket.AF_INET:
            raw = connection.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, 16)
            port, packed = struct.unpack_from("!2xH4s", raw)
            return socket.inet_ntop(socket.AF_INET, packed), port
        raw = connection.getsockopt(socket.IPPROTO_IPV6, _SO_ORIGINAL_DST, 28)
        port, packed = struct.unpack_from("!2xH4x16s", raw)
    except OSError:
        return "", 0
    return literal(socket.inet_ntop(socket.AF_INET6, packed)) or "", port
