"""Socket addresses as the kernel takes them: ``struct sockaddr_*`` bytes to endpoints and paths."""

import ipaddress
import socket
import struct
import sys

from tracers.events import Endpoint, Family, Transport

_NATIVE = sys.byteorder
_TRANSPORTS = {
    socket.IPPROTO_TCP: Transport.TCP,
    socket.IPPROTO_UDP: Transport.UDP,
    262: Transport.TCP,  # IPPROTO_MPTCP, linux/in.h: another way to the same TCP port
}


def transport(protocol: int) -> Transport:
    """Transport of an ``SO_PROTOCOL`` number."""
    return _TRANSPORTS.get(protocol, Transport.OTHER)


def abstract_name(raw: bytes) -> str:
    """Name of an abstract unix socket as text; bytes that are not printable ASCII become ``\\xNN``."""
    return "".join(chr(b) if 0x20 < b < 0x7F and b != 0x5C else f"\\x{b:02x}" for b in raw)


def sockaddr(raw: bytes, over: str = "") -> Endpoint | bytes | None:
    """What an address points at: an endpoint, the path of a unix socket, or None for an empty address.

    ``raw`` is the address as passed, cut to its length argument; ``over`` the transport where it is known.
    Layouts: unix(7), ip(7), ipv6(7), netlink(7).
    """
    if len(raw) < 2:
        return None
    family = int.from_bytes(raw[:2], _NATIVE)
    carrier = Transport(over) if over else Transport.UNKNOWN
    if family == socket.AF_UNIX:
        path = raw[2:]
        if not path:
            return None  # autobind, or an unnamed socket
        if path[0] == 0:
            return Endpoint(Family.ABSTRACT, abstract_name(path[1:]))
        return path.split(b"\0", 1)[0]
    if family == socket.AF_INET and len(raw) >= 8:
        (port,) = struct.unpack_from("!H", raw, 2)
        return Endpoint(Family.INET, str(ipaddress.IPv4Address(raw[4:8])), port, carrier)
    if family == socket.AF_INET6 and len(raw) >= 24:
        (port,) = struct.unpack_from("!H", raw, 2)
        address = ipaddress.IPv6Address(raw[8:24])
        mapped = address.ipv4_mapped
        return Endpoint(Family.INET6, str(mapped or address), port, carrier)
    if family == socket.AF_NETLINK:
        return Endpoint(Family.NETLINK, "netlink")
    if family == socket.AF_UNSPEC:
        return None  # connect(AF_UNSPEC) dissolves an association
    return Endpoint(Family.OTHER, f"family {family}")
