r"""The text of ``strace -f -yy -X raw -o``, taken apart. Pure: bytes in, values out.

With ``-X raw`` flags, modes and address families are numbers, so no table of constants is needed here.
What strace quotes is quoted C-like (``\n``, ``\"``, ``\377``, ``\x7f``); in the names it puts behind
descriptors (``3</path>``) it escapes ``<`` and ``>`` as well, so that those brackets can be trusted.
"""

import errno
import ipaddress
import re
import socket
import sys
from typing import NamedTuple

from tracers.events import Memory

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_NOTE = rb'(?<=[0-9])<(?:/[^<>]*+(?:<[^<>]*+>)?+>|(?:[^<>"-]++|->|-|' + _STRING + rb"|<[^<>]*+>)*+>)"
_TOKEN = re.compile(_STRING + rb"|" + _NOTE + rb'|/\*.*?\*/|[][{}(),"]')
_HEAD = re.compile(rb"([a-z_][a-z0-9_]*)\(")
_WHOLE_STRING = re.compile(rb"(@?)" + _STRING + rb"(\.\.\.)?$")
_ESCAPE = re.compile(rb"\\(?:x([0-9a-f]{2})|([0-7]{1,3})|(.))")
_NUMBER = re.compile(rb"-?(?:0x[0-9a-f]+|0[0-7]+|0|[1-9][0-9]*)")
_OCTAL = re.compile(rb"0[0-7]+$")
_DESCRIPTOR = re.compile(rb"(-?[0-9]+)<(.*)>(\(deleted\))?$")
_SOCKET_NAME = re.compile(rb"([A-Za-z0-9-]+):\[(.*)\]$")
_FAILURE = re.compile(rb"-1 (?:(E[A-Z0-9]+)|\(errno ([0-9]+)\))")
_INTERRUPTED = (b"? ERESTARTSYS", b"? ERESTARTNOHAND", b"? ERESTART_RESTARTBLOCK")
RUN_AGAIN = b"? ERESTARTNOINTR"
"""A result that no program sees: the kernel runs the call again."""
_LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"v": b"\v", b"f": b"\f"}
_MAX_ERRNO = 4095
_OPENING, _CLOSING, _COMMA, _QUOTE = b"[{(", b")}]", ord(","), ord('"')


class Call(NamedTuple):
    """One whole call as text: its arguments still escaped, ``result`` all that follows the equals sign."""

    name: str
    args: tuple[bytes, ...]
    result: bytes


class Descriptor(NamedTuple):
    """A descriptor argument: its number, the name strace gives it (None: none) and what that names.

    ``device`` is true of a character or block device, ``deleted`` if the name no longer leads to the object.
    """

    number: int
    name: bytes | None = None
    device: bool = False
    deleted: bool = False

    @property
    def path(self) -> bytes | None:
        """The absolute path of the object, None if it is no file."""
        return self.name if self.name is not None and self.name.startswith(b"/") else None


class SocketName(NamedTuple):
    """A socket by its name: ``tcp``, ``udp`` or ``other``, and both ends as ``struct sockaddr`` bytes."""

    transport: str
    local: bytes | None = None
    peer: bytes | None = None


def _split(text: bytes, start: int) -> tuple[list[bytes], int] | None:
    """The comma-separated parts from ``start`` up to the closing bracket, and where that bracket ends."""
    parts: list[bytes] = []
    depth = 0
    for token in _TOKEN.finditer(text, start):
        at, end = token.span()
        mark = text[at]
        if mark == _COMMA:
            if depth == 0:
                parts.append(text[start:at].strip())
                start = end
        elif mark in _OPENING:
            depth += 1
        elif mark in _CLOSING:
            if depth == 0:
                last = text[start:at].strip()
                if last or parts:
                    parts.append(last)
                return parts, end
            depth -= 1
        elif mark == _QUOTE and end - at == 1:
            return None  # a string that does not end
    return None


def split_call(text: bytes) -> Call | None:
    """The call in one line (without its pid), None if the line is not a whole call."""
    head = _HEAD.match(text)
    if head is None or (split := _split(text, head.end())) is None:
        return None
    tail = text[split[1] :].lstrip()
    if not tail.startswith(b"= "):
        return None
    return Call(head[1].decode("ascii"), tuple(split[0]), tail[2:].strip())


def elements(text: bytes) -> list[bytes]:
    """Elements of a ``[list]`` or ``{structure}``; [] for anything else, such as a bare pointer."""
    if not text.startswith((b"[", b"{")):
        return []
    split = _split(text, 1)
    return split[0] if split else []


def members(text: bytes) -> dict[bytes, bytes]:
    """Named members of a ``{structure}``; what has no name is left out."""
    named = (element.partition(b"=") for element in elements(text))
    return {name: value for name, equals, value in named if equals}


def unescape(raw: bytes) -> bytes:
    """The bytes behind strace's C-like escapes."""
    return _ESCAPE.sub(_unescape_one, raw) if b"\\" in raw else raw


def _unescape_one(match: re.Match[bytes]) -> bytes:
    hexadecimal, octal, letter = match.groups()
    if hexadecimal is not None:
        return bytes((int(hexadecimal, 16),))
    if octal is not None:
        return bytes((int(octal, 8) & 0xFF,))
    return _LETTERS.get(letter, letter)


def string(argument: bytes) -> bytes | Memory | None:
    """A string argument: its bytes, unreadable (a pointer, or cut short), or None for NULL."""
    if argument == b"NULL":
        return None
    whole = _WHOLE_STRING.match(argument)
    if whole is None or whole[1] or whole[2]:
        return Memory.UNREADABLE
    return unescape(argument[1:-1])


def prefix(argument: bytes) -> bytes:
    """A string argument, or as much of it as was printed; empty for what is no string."""
    whole = _WHOLE_STRING.match(argument)
    return unescape(argument[len(whole[1]) + 1 : argument.rindex(b'"')]) if whole else b""


def number(argument: bytes) -> int:
    """A numeric argument (decimal, ``0x``, octal, several joined by ``|``); 0 for what is not a number."""
    value = 0
    for part in argument.partition(b"<")[0].split(b"|"):
        match = _NUMBER.match(part)
        if match is not None:
            value |= int(match[0], 8 if _OCTAL.match(match[0]) else 0)
    return value


def descriptor(argument: bytes) -> Descriptor | None:
    """A descriptor argument or result, None if it is not one."""
    match = _DESCRIPTOR.match(argument)
    if match is None:
        bare = _NUMBER.match(argument)
        return Descriptor(int(bare[0], 0)) if bare else None
    name, device = match[2], False
    if name.startswith(b"/"):
        name, device_mark, _ = name.partition(b"<")
        device = bool(device_mark)
    return Descriptor(int(match[1]), unescape(name), device, match[3] is not None)


def result(text: bytes) -> int | None:
    """The return value, ``-errno``, or None where strace knows none (``?``) or prints a bogus one.

    A call that a signal interrupted is EINTR: the program sees that, or the kernel runs the call again.
    """
    if text.startswith(_INTERRUPTED):
        return -errno.EINTR
    failure = _FAILURE.match(text)
    if failure is not None:
        code = getattr(errno, failure[1].decode("ascii"), 0) if failure[1] else int(failure[2])
        return -code if 0 < code <= _MAX_ERRNO else None
    match = _NUMBER.match(text)
    return int(match[0], 0) if match and text != b"-1" else None


def address(text: bytes) -> bytes | None:
    """The ``struct sockaddr`` bytes that a ``{sa_family=…}`` argument stands for, None if it is none."""
    named = members(text)
    if b"sa_family" not in named:
        return None
    family = number(named[b"sa_family"])
    head = (family & 0xFFFF).to_bytes(2, sys.byteorder)
    if family == socket.AF_UNIX:
        path = named.get(b"sun_path", b"")
        return head + (b"\0" if path.startswith(b"@") else b"") + prefix(path)
    if family == socket.AF_INET:
        return head + prefix(named.get(b"sin_port", b"")) + prefix(named.get(b"sin_addr", b"")) + bytes(8)
    if family == socket.AF_INET6:
        fields = (prefix(named.get(key, b"")) for key in (b"sin6_port", b"sin6_flowinfo", b"sin6_addr"))
        return head + b"".join(fields) + bytes(4)
    return head


def socket_name(name: bytes) -> SocketName | None:
    """What a descriptor's name (``TCP:[1.2.3.4:5->6.7.8.9:10]``) says, None if it is no socket's."""
    match = _SOCKET_NAME.match(name)
    if match is None or not match[1].removesuffix(b"v6").isupper():
        return None
    protocol = match[1].removesuffix(b"v6")
    transport = {b"TCP": "tcp", b"MPTCP": "tcp", b"UDP": "udp"}.get(protocol, "other")
    if transport == "other":
        return SocketName(transport)
    local, _, peer = match[2].partition(b"->")
    return SocketName(transport, _endpoint(local), _endpoint(peer))


def _endpoint(text: bytes) -> bytes | None:
    host, colon, port = text.decode("ascii", "replace").rpartition(":")
    if not colon or not port.isdigit() or int(port) > 0xFFFF:
        return None  # an inode number: the socket has no address yet
    try:
        ip = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
    number_bytes = int(port).to_bytes(2, "big")
    if ip.version == 4:
        return socket.AF_INET.to_bytes(2, sys.byteorder) + number_bytes + ip.packed + bytes(8)
    return socket.AF_INET6.to_bytes(2, sys.byteorder) + number_bytes + bytes(4) + ip.packed + bytes(4)
