"""Hosts and ports that are not granted. Everything is on loopback, or in a network namespace without a way out."""

import errno
import fcntl
import os
import socket
import struct
from contextlib import suppress

from learner.escapes.escape import ABSENT, UNREACHED, Escape, Family, Ground, Void, Who
from learner.policy import NetworkAction, Policy
from tracers.events import Transport

METADATA = "169.254.169.254"
"""Where clouds answer with credentials; link-local (RFC 3927). Here an address of the test's own loopback."""
ELSEWHERE = "203.0.113.7"
"""A host far away: for documentation only (RFC 5737). Here an address of the test's own loopback."""
_MPTCP = 262  # IPPROTO_MPTCP, linux/in.h
_SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCSIFFLAGS, _IFF_UP = 0x8916, 0x891C, 0x8914, 1  # linux/sockios.h, linux/if.h
_NET = UNREACHED | ABSENT
NESTED_PORTS = {METADATA: 80, ELSEWHERE: 443}
_DNS = 53


def bring_up() -> int:
    """In a new network namespace: loopback with the addresses above, and services on them that last as long.

    Returns the descriptor of the name server's socket. Raises OSError.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
        for number, address in enumerate((METADATA, ELSEWHERE)):
            name = f"lo:{number}".encode()
            for request, value in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, "255.255.255.255")):
                sockaddr = struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(value))
                fcntl.ioctl(any_socket, request, struct.pack("16s16s8x", name, sockaddr))
    for where, port in NESTED_PORTS.items():
        socket.create_server((where, port)).detach()
    resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    resolver.bind((ELSEWHERE, _DNS))
    resolver.setblocking(False)
    return resolver.detach()


def _granted(policy: Policy, port: int) -> bool:
    """Whether a policy admits TCP to ``port`` of every host, or an ephemeral port of the program's own."""
    return any(
        n.action is NetworkAction.CONNECT and n.transport is Transport.TCP and not n.abstract and n.port in (0, port)
        for n in policy.network
    )


def _tcp(family: socket.AddressFamily, host: str, port: int, protocol: int = 0) -> None:
    with socket.socket(family, socket.SOCK_STREAM, protocol) as own:
        own.settimeout(1)
        own.connect((host, port))


def _unlisted_port(ground: Ground, family: socket.AddressFamily, host: str, port: int) -> None:
    if not port:
        raise Void("there is no listener of this kind")
    if _granted(ground.shared.policy, port):
        raise Void("the policy grants it")
    _tcp(family, host, port)


def _elsewhere(ground: Ground, host: str) -> None:
    """To a host that no grant names, at a port that some grant may name."""
    network = ground.shared.policy.network
    if any(n.anywhere for n in network) or any(n.host == host for n in network):
        raise Void("the policy grants it")
    _tcp(socket.AF_INET, host, NESTED_PORTS[host])


def _fast_open(ground: Ground) -> None:
    """Connect by sending (MSG_FASTOPEN, tcp(7)): no connect call is made."""
    if _granted(ground.shared.policy, ground.shared.tcp):
        raise Void("the policy grants it")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as own:
        own.sendto(b"x", socket.MSG_FASTOPEN, ("127.0.0.1", ground.shared.tcp))


def _mptcp(ground: Ground) -> None:
    if not ground.shared.mptcp:
        raise Void("this kernel has no MPTCP")
    if _granted(ground.shared.policy, ground.shared.mptcp):
        raise Void("the policy grants it")
    _tcp(socket.AF_INET, "127.0.0.1", ground.shared.mptcp, _MPTCP)


def _bind(ground: Ground) -> None:
    """Be a server that is not granted."""
    if any(n.action is NetworkAction.BIND and n.port == 0 for n in ground.shared.policy.network):
        raise Void("the policy grants it")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as own:
        own.bind(("127.0.0.1", 0))
        own.listen()
    with suppress(PermissionError):
        # ECONNREFUSED: where the listener outside is not to be found, nobody outside finds the server either.
        _tcp(socket.AF_INET, "127.0.0.1", ground.shared.tcp)


def _udp(ground: Ground) -> None:
    port, receiver = ground.shared.udp
    if any(n.transport is Transport.UDP and n.port in (0, port) for n in ground.shared.policy.network):
        raise Void("the policy grants it")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.sendto(ground.token, ("127.0.0.1", port))
    _arrived(ground, receiver)


def _arrived(ground: Ground, receiver: int) -> None:
    """What was sent over loopback is there at once."""
    with socket.socket(fileno=os.dup(receiver)) as listener:
        data = b""
        with suppress(BlockingIOError):
            while ground.token not in data:
                data = listener.recv(2048, socket.MSG_DONTWAIT)
    ground.found(data)


def _dns(ground: Ground) -> None:
    """A secret as the name in a question to a name server of somebody's own (RFC 1035, section 4.1)."""
    label = ground.token.hex().encode()[:60]
    name = bytes([len(label)]) + label + b"\x07example\x03org\0"
    question = struct.pack(">6H", 1, 0x0100, 1, 0, 0, 0) + name + struct.pack(">2H", 1, 1)
    if any(n.transport is Transport.UDP and n.anywhere for n in ground.shared.policy.network):
        raise Void("the policy grants it")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.connect((ELSEWHERE, _DNS))
        own.send(question)
        own.setblocking(False)
        with suppress(BlockingIOError):  # ECONNREFUSED: nobody of that address listens in this namespace
            own.recv(1)
    with socket.socket(fileno=os.dup(ground.shared.resolver)) as listener, suppress(BlockingIOError):
        if label in listener.recv(2048, socket.MSG_DONTWAIT):
            return
    raise OSError(errno.ENODATA, "it did not arrive")


def _own_pair(_ground: Ground) -> None:
    """Sockets between one's own processes."""
    one, other = socket.socketpair()
    one.send(b"x")
    if other.recv(1) != b"x":
        raise OSError(errno.EIO, "lost")
    one.close()
    other.close()


_N = Family.NETWORK
_OTHER = ("other sockets",)
_INET, _INET6 = socket.AF_INET, socket.AF_INET6
ESCAPES = (
    Escape(
        "TCP to a port that is not granted",
        _N,
        lambda g: _unlisted_port(g, _INET, "127.0.0.1", g.shared.tcp),
        _NET,
        ("TCP",),
        twin=_own_pair,
    ),
    Escape("TCP over IPv6", _N, lambda g: _unlisted_port(g, _INET6, "::1", g.shared.tcp6), _NET, ("TCP",)),
    Escape(
        "TCP over IPv6 to an IPv4 address",
        _N,
        lambda g: _unlisted_port(g, _INET6, "::ffff:127.0.0.1", g.shared.tcp),
        _NET,
        ("TCP",),
    ),
    Escape("TCP by Fast Open", _N, _fast_open, _NET, ("TCP", "TCP Fast Open")),
    Escape("Multipath TCP", _N, _mptcp, _NET, _OTHER),
    Escape("a server of its own that is not granted", _N, _bind, _NET, ("TCP",)),
    Escape(
        "TCP to a host that is not granted, by its address",
        _N,
        lambda g: _elsewhere(g, ELSEWHERE),
        _NET,
        ("TCP", "hosts"),
        nested=True,
    ),
    Escape(
        f"the clouds' metadata service ({METADATA})",
        _N,
        lambda g: _elsewhere(g, METADATA),
        _NET,
        ("TCP", "hosts"),
        nested=True,
    ),
    Escape("UDP to a port that is not granted", _N, _udp, _NET, ("UDP",)),
    Escape("a secret in a DNS question", _N, _dns, _NET, ("UDP",), nested=True),
    Escape(
        "a raw socket",
        _N,
        lambda _: socket.socket(_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close(),
        _NET,
        _OTHER,
        Who.ROOT,
    ),
    Escape(
        "a packet socket",
        _N,
        lambda _: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
        _NET,
        _OTHER,
        Who.ROOT,
    ),
    Escape(
        "list the machine's sockets (netlink)",
        _N,
        lambda _: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4).close(),
        _NET,
        _OTHER,
    ),
)
