"""A jail: one object that the program's process enters and that the supervisor serves."""

import json
import os
import socket
import struct
from collections.abc import Callable

from learner.gaps import Gap
from learner.jail import namespace, privileges
from learner.jail.addresses import ResolvConf
from learner.jail.attempts import Attempt, Ledger
from learner.jail.filter import Filter
from learner.jail.loop import READ, Loop
from learner.jail.namespace import Door
from learner.jail.outside import Connect, Dialler, connect
from learner.jail.owner import owner
from learner.jail.permission import NotPermitted, refusal
from learner.jail.rules import Rules, gaps, own_ports, reversed_hosts
from learner.policy import Policy

_MAX_DESCRIPTORS = 250  # one message carries at most SCM_MAX_FD (253) of them, unix(7)
_LABELS = 1 << 16


class Jail:
    """The network of one launch: see :mod:`learner.jail` for the order of steps.

    Made in sbx before it forks; afterwards each process calls the one method that is its own. ``gaps``: what the
    policy grants and a jail does not give.
    """

    def __init__(
        self,
        rules: Rules,
        resolv: ResolvConf,
        loopback: tuple[tuple[str, int], ...] = (),
        known: tuple[Gap, ...] = (),
        way: Connect = connect,
    ) -> None:
        """``loopback``: services of this machine that are reachable inside. ``way``: how to dial out."""
        self.gaps = known
        self._rules = rules
        self._resolv = resolv
        self._loopback = loopback
        self._way = way
        self._inside, self._outside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    @classmethod
    def prepare(cls, policy: Policy, *, learning: bool = False, way: Connect = connect) -> "Jail":
        """The jail for a policy. Raises InputFileError for a grant whose host is none.

        ``learning``: everything is allowed, and each connection is kept as an attempt; services of this machine are
        those that listen on loopback now.
        """
        rules = Rules.of(policy, learning=learning)
        own = own_ports(policy)
        wanted = listening() if learning else tuple((a, p) for a, p in rules.loopback() if p and p not in own)
        known = () if learning else gaps(policy)
        return cls(rules, ResolvConf.here(), wanted, known, way)

    def enter(self, *, limit: bool = True) -> None:
        """In the program's process: shut it in. Raises :class:`learner.jail.permission.NotPermitted`.

        ``limit``: give the capabilities of the new user namespace up at the next exec; False if a program follows that
        still has to make mounts, and then gives them up itself.
        """
        self._outside.close()
        try:
            namespace.separate(namespace.BYPASSES)
            namespace.network(self._resolv.servers)
            if limit:
                privileges.limit()
            found = namespace.doors(self._resolv.servers, self._loopback)
        except OSError as problem:
            raise NotPermitted(*refusal(problem)) from None
        for start in range(0, len(found), _MAX_DESCRIPTORS):
            part = found[start : start + _MAX_DESCRIPTORS]
            labels = [[int(door.kind), door.address, door.port] for door, _ in part]
            message_ = json.dumps([os.getpid(), labels]).encode()
            socket.send_fds(self._inside, [message_], [listener.fileno() for _, listener in part])
        for _, listener in found:
            listener.close()
        self._inside.close()

    def attend(self, loop: Loop, ledger: Ledger) -> Filter:
        """In the supervisor: serve the jail as part of ``loop``."""
        self._inside.close()
        served = Filter(loop, self._rules, ledger, Dialler(loop, self._way), reversed_hosts(_hosts()))
        self._outside.setblocking(False)

        def arrived(_events: int) -> None:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._outside, _LABELS, _MAX_DESCRIPTORS)
            except OSError:
                data, descriptors = b"", []
            if not data:
                loop.forget(self._outside)
                self._outside.close()
                return
            jailed, labels = json.loads(data)
            served.find_owner = lambda protocol, port: owner(jailed, protocol, port)
            for (kind, address, port), descriptor in zip(labels, descriptors, strict=True):
                served.open(Door(socket.SocketKind(kind), address, port), socket.socket(fileno=descriptor))

        loop.watch(self._outside, READ, arrived)
        return served

    def serve(self, over: int, report: Callable[[tuple[Attempt, ...], dict[str, str]], None]) -> None:
        """In a filter process of its own: serve until the descriptor ``over`` is closed at its other end.

        ``report`` takes, at the end, the attempts and which made-up address stood for which name.
        """
        loop, ledger = Loop(), self.ledger()
        served = self.attend(loop, ledger)
        loop.watch(over, READ, lambda _events: loop.stop())
        loop.run()
        report(ledger.attempts(), served.names.all())

    def ledger(self) -> Ledger:
        """An empty ledger that knows this machine's search domains."""
        return Ledger(self._resolv.search)

    def close(self) -> None:
        """In sbx, after the forks: the socket pair belongs to the others."""
        self._inside.close()
        self._outside.close()


def _hosts() -> str:
    try:
        with open("/etc/hosts", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def listening() -> tuple[tuple[str, int], ...]:
    """Where services of this machine listen on loopback or everywhere, as (loopback address, port), sorted.

    No program could bind these ports unconfined either, so letting them in takes nothing from it.
    """
    found = set()
    for table, loopback in (("tcp", "127.0.0.1"), ("tcp6", "::1")):
        try:
            with open(f"/proc/self/net/{table}") as file:
                rows = [line.split() for line in file][1:]
        except OSError:
            continue
        for row in rows:
            address, _, port = row[1].partition(":")
            if row[3] == "0A":  # TCP_LISTEN
                words = struct.unpack(f"={len(address) // 8}I", bytes.fromhex(address))
                packed = b"".join(word.to_bytes(4, "big") for word in words)
                text = socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)
                if text in (loopback, "0.0.0.0", "::"):  # noqa: S104 - what others bound to
                    found.add((loopback, int(port, 16)))
                    if text == "::":
                        found.add(("127.0.0.1", int(port, 16)))
    return tuple(sorted(found))
