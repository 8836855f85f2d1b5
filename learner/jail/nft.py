"""The jail's nftables rules: TCP that leaves loopback goes to our listener, UDP that leaves it is refused.

Numbers and layouts: linux/netfilter/nfnetlink.h, nf_tables.h, netfilter.h. Checked against pyroute2's encoder in tests.
"""

import ipaddress
import socket
import struct
from collections.abc import Iterable

from learner.jail.netlink import Message, attribute, nested

PROTOCOL = 12
"""NETLINK_NETFILTER."""

TABLE = "sbx"
_SUBSYSTEM = 10  # NFNL_SUBSYS_NFTABLES
_BEGIN, _END = 0x10, 0x11  # NFNL_MSG_BATCH_BEGIN, _END
_NEW_TABLE, _NEW_CHAIN, _NEW_RULE = 0, 3, 6
_FAMILY = 1  # NFPROTO_INET: both IPv4 and IPv6, NAT since Linux 5.2
_REQUEST, _ACK, _CREATE, _APPEND = 1, 4, 0x400, 0x800
_HOOK_OUTPUT = 3  # NF_INET_LOCAL_OUT
_NAT_PRIORITY, _FILTER_PRIORITY = -100, 0  # NF_IP_PRI_NAT_DST, NF_IP_PRI_FILTER
_DROP, _ACCEPT = 0, 1
_REGISTER, _VERDICT = 1, 0
_META_FAMILY, _META_PROTOCOL = 15, 16  # NFT_META_NFPROTO, _L4PROTO
_BASE_NETWORK = 1
_DESTINATION = {4: 16, 16: 24}  # offsets in the IPv4 and IPv6 headers, by the size of an address


def _be32(value: int) -> bytes:
    return struct.pack("!i", value)


def _name(text: str) -> bytes:
    return text.encode() + b"\0"


def _message(kind: int, *attributes: bytes, flags: int = _REQUEST | _ACK | _CREATE) -> Message:
    return Message(_SUBSYSTEM << 8 | kind, struct.pack("!BBH", _FAMILY, 0, 0) + b"".join(attributes), flags)


def _batch(kind: int) -> Message:
    return Message(kind, struct.pack("!BBH", 0, 0, _SUBSYSTEM), _REQUEST)


def _chain(name: str, kind: str, priority: int) -> Message:
    hook = nested(4, attribute(1, _be32(_HOOK_OUTPUT)), attribute(2, _be32(priority)))
    policy = attribute(5, _be32(_ACCEPT))
    return _message(
        _NEW_CHAIN, attribute(1, _name(TABLE)), attribute(3, _name(name)), hook, policy, attribute(7, _name(kind))
    )


def _expression(name: str, *attributes: bytes) -> bytes:
    return nested(1, attribute(1, _name(name)), nested(2, *attributes))


def _value(data: bytes) -> bytes:
    return attribute(1, data)


def _equals(data: bytes) -> bytes:
    return _expression("cmp", attribute(1, _be32(_REGISTER)), attribute(2, _be32(0)), nested(3, _value(data)))


def _meta(key: int, data: bytes) -> bytes:
    return _expression("meta", attribute(2, _be32(key)), attribute(1, _be32(_REGISTER))) + _equals(data)


def _protocol(number: int) -> bytes:
    return _meta(_META_PROTOCOL, bytes([number]))


def _to(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bytes:
    """Matches a destination in ``network``."""
    packed = network.network_address.packed
    size = len(packed)
    mask = network.netmask.packed
    load = _expression(
        "payload",
        attribute(1, _be32(_REGISTER)),
        attribute(2, _be32(_BASE_NETWORK)),
        attribute(3, _be32(_DESTINATION[size])),
        attribute(4, _be32(size)),
    )
    masked = _expression(
        "bitwise",
        attribute(1, _be32(_REGISTER)),
        attribute(2, _be32(_REGISTER)),
        attribute(3, _be32(size)),
        nested(4, _value(mask)),
        nested(5, _value(bytes(size))),
    )
    family = socket.AF_INET if size == 4 else socket.AF_INET6
    return _meta(_META_FAMILY, bytes([2 if family == socket.AF_INET else 10])) + load + masked + _equals(packed)


def _verdict(code: int) -> bytes:
    return _expression("immediate", attribute(1, _be32(_VERDICT)), nested(2, nested(2, attribute(1, _be32(code)))))


def _redirect(port: int) -> bytes:
    return _expression(
        "immediate", attribute(1, _be32(_REGISTER)), nested(2, _value(struct.pack("!H", port)))
    ) + _expression("redir", attribute(1, _be32(_REGISTER)))


def _rule(chain: str, *expressions: bytes) -> Message:
    return _message(
        _NEW_RULE,
        attribute(1, _name(TABLE)),
        attribute(2, _name(chain)),
        nested(4, *expressions),
        flags=_REQUEST | _ACK | _CREATE | _APPEND,
    )


def ruleset(listener: int, servers: Iterable[str]) -> tuple[Message, ...]:
    """All of it as one batch, which the kernel takes as a whole or not at all.

    ``listener``: the port to which TCP is redirected, on 127.0.0.1 and ::1. ``servers``: name servers that the jail
    itself plays, on addresses of its own.
    """
    stays = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1"), *map(ipaddress.ip_network, servers)]
    tcp, udp = _protocol(socket.IPPROTO_TCP), _protocol(socket.IPPROTO_UDP)
    return (
        _batch(_BEGIN),
        _message(_NEW_TABLE, attribute(1, _name(TABLE))),
        _chain("redirect", "nat", _NAT_PRIORITY),
        *(_rule("redirect", tcp, _to(network), _verdict(_ACCEPT)) for network in stays),
        _rule("redirect", tcp, _redirect(listener)),
        _chain("refuse", "filter", _FILTER_PRIORITY),
        *(_rule("refuse", udp, _to(network), _verdict(_ACCEPT)) for network in stays),
        _rule("refuse", udp, _verdict(_DROP)),
        _batch(_END),
    )
