"""The few netlink messages that set up a network namespace (netlink(7), rtnetlink(7)).

pyroute2 would do, but importing any part of it takes 105 to 130 ms (measured, 0.9.7), more than the rest of a launch.
"""

import os
import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_REQUEST, _ACK, _EXCL, _CREATE = 1, 4, 0x200, 0x400  # linux/netlink.h
NESTED = 0x8000  # NLA_F_NESTED
_ERROR = 2  # NLMSG_ERROR

NEW_LINK, NEW_ADDRESS, NEW_ROUTE = 16, 20, 24  # linux/rtnetlink.h
_IFF_UP = 1
_MAIN_TABLE, _PROTOCOL_STATIC, _SCOPE_HOST, _TYPE_LOCAL = 254, 4, 254, 2
_RTA_OUT, _RTA_SOURCE = 4, 7
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_IFA_NODAD = 2
LOOPBACK_INDEX = 1
"""``lo`` is the first interface of every network namespace."""


class Message(NamedTuple):
    """``kind`` and flags of the header; the payload behind it."""

    kind: int
    payload: bytes
    flags: int = _REQUEST | _ACK


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    return _ATTRIBUTE.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | NESTED, b"".join(attributes))


def encode(messages: Sequence[Message]) -> bytes:
    """The messages as one datagram, numbered from 1."""
    return b"".join(
        _HEADER.pack(_HEADER.size + len(m.payload), m.kind, m.flags, number, 0) + m.payload
        for number, m in enumerate(messages, 1)
    )


def exchange(protocol: int, messages: Sequence[Message]) -> None:
    """Send messages of one netlink protocol and wait until each that asks for it is acknowledged. Raises OSError."""
    waiting = sum(1 for m in messages if m.flags & _ACK)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol) as kernel:
        kernel.settimeout(5.0)
        kernel.bind((0, 0))
        kernel.send(encode(messages))
        while waiting > 0:
            data = kernel.recv(65536)
            while len(data) >= _HEADER.size:
                size, kind, *_ = _HEADER.unpack_from(data)
                if kind == _ERROR:
                    (code,) = struct.unpack_from("=i", data, _HEADER.size)
                    if code:
                        raise OSError(-code, os.strerror(-code))
                    waiting -= 1
                data = data[(size + 3) & ~3 or len(data) :]


def loopback_up() -> Message:
    """Switch ``lo`` on; the kernel then gives it 127.0.0.1 and ::1."""
    return Message(NEW_LINK, struct.pack("=BxHiII", socket.AF_UNSPEC, 0, LOOPBACK_INDEX, _IFF_UP, _IFF_UP))


def add_address(packed: bytes, prefix: int) -> Message:
    """Give ``lo`` an address (4 or 16 bytes)."""
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    body = struct.pack("=BBBBI", family, prefix, _IFA_NODAD if family == socket.AF_INET6 else 0, 0, LOOPBACK_INDEX)
    body += attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)
    return Message(NEW_ADDRESS, body, _REQUEST | _ACK | _CREATE | _EXCL)


def everything_local(source: bytes) -> Message:
    """Route every address of a family to ``lo``, as one of our own; connections then come from ``source``."""
    family = socket.AF_INET if len(source) == 4 else socket.AF_INET6
    body = struct.pack("=8BI", family, 0, 0, 0, _MAIN_TABLE, _PROTOCOL_STATIC, _SCOPE_HOST, _TYPE_LOCAL, 0)
    body += attribute(_RTA_OUT, struct.pack("=i", LOOPBACK_INDEX)) + attribute(_RTA_SOURCE, source)
    return Message(NEW_ROUTE, body, _REQUEST | _ACK | _CREATE | _EXCL)
