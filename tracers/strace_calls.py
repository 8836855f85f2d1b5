"""From strace's text of a call to the :class:`~tracers.calls.RawCall` that every tracer fills."""

from collections.abc import Iterator

import msgspec

from tracers.calls import AT_FDCWD, SHAPES, RawCall, as_openat
from tracers.events import Endpoint
from tracers.seccomp import DATAGRAM_MAX, DATAGRAM_MIN, SKIPPED_IOCTLS
from tracers.sockets import sockaddr
from tracers.strace_text import (
    Call,
    Descriptor,
    SocketName,
    address,
    descriptor,
    elements,
    members,
    number,
    prefix,
    result,
    socket_name,
    string,
)
from tracers.words import KEPT_BACK, plain_word

OPENS = frozenset({"open", "openat", "openat2", "creat"})
"""Calls that return a descriptor of the object they name."""

_ON_DESCRIPTOR = frozenset({"ftruncate", "ftruncate64", "ioctl"})
_EXECS = frozenset({"execve", "execveat"})
_NAMES_SOCKET = frozenset({"connect", "bind"})
_SENDS = frozenset({"sendto", "sendmsg", "sendmmsg"})
_ARGUMENTS = 6


def raw_calls(call: Call, cwd: bytes) -> list[RawCall]:
    """What ``call`` did, with relative names starting at ``cwd`` unless it has a descriptor for that.

    One record, but sendmmsg gives one for each message, and none comes of a call without an outcome or of one
    that no tracer reports (an ioctl on what is no device, data on a stream). ``existed`` is left unknown.
    Raises IndexError if the call lacks arguments that it must have.
    """
    outcome = result(call.result)
    shape = SHAPES.get(call.name)
    if outcome is None or shape is None:
        return []
    numbers = [number(argument) for argument in call.args]
    numbers += [0] * (_ARGUMENTS - len(numbers))
    raw = RawCall(call.name, tuple(numbers), outcome, text={}, base={}, data={})
    for path in shape.paths:
        text = string(call.args[path.at])
        if text is None:
            continue
        raw.text[path.at] = text
        if isinstance(text, bytes) and not text.startswith(b"/"):
            raw.base[path.at] = cwd if path.dirfd is None else _directory(call.args[path.dirfd], cwd)
    if call.name == "openat2":
        raw = _as_openat(call, raw, cwd)
    elif call.name in _EXECS:
        raw.word = _first_word(call.args[shape.paths[0].at + 1])
    if call.name in OPENS and outcome >= 0:
        raw.opened = _path(descriptor(call.result))
    elif call.name in _ON_DESCRIPTOR:
        raw.opened = _path(descriptor(call.args[0]))
        return [raw] if _concerns_file(raw) else []
    elif call.name in _NAMES_SOCKET:
        where = address(call.args[1])
        _socket(raw, 1, where, _socket_of(call), cwd)
        return [raw]
    elif call.name in _SENDS:
        return list(_sends(call, raw, cwd))
    elif call.name == "listen":
        over = _socket_of(call)
        raw.transport, raw.peer = over.transport, _endpoint(over.local, over.transport)
    return [raw]


def _as_openat(call: Call, raw: RawCall, cwd: bytes) -> RawCall:
    how = members(call.args[2])
    path, flags = as_openat(raw.text.get(1), number(how.get(b"flags", b"")), number(how.get(b"resolve", b"")))
    raw = msgspec.structs.replace(raw, args=(*raw.args[:2], flags, *raw.args[3:]))
    if path is not None and path != raw.text[1]:
        raw.text[1], raw.base[1] = path, _directory(call.args[0], cwd)
    return raw


def _first_word(argv: bytes) -> str:
    if not argv.startswith(b"["):  # a null pointer is no argument, any other could not be followed
        return "" if argv == b"NULL" else KEPT_BACK
    words = elements(argv)[1:2]
    if not words:
        return ""
    text = string(words[0])
    return plain_word(text) if isinstance(text, bytes) else KEPT_BACK


def _path(found: Descriptor | None) -> bytes | None:
    """What the kernel calls the object: a name that leads nowhere any more ends as there."""
    if found is None or found.path is None:
        return None
    return found.path + b" (deleted)" if found.deleted else found.path


def _directory(argument: bytes, cwd: bytes) -> bytes:
    found = descriptor(argument)
    if found is None:
        return b""
    return _path(found) or (cwd if found.number == AT_FDCWD else b"")


def _concerns_file(raw: RawCall) -> bool:
    if raw.opened is None or raw.name != "ioctl":
        return raw.opened is not None and not raw.opened.endswith(b" (deleted)")
    return raw.opened.startswith(b"/dev/") and raw.args[1] not in SKIPPED_IOCTLS


def _socket_of(call: Call) -> SocketName:
    found = descriptor(call.args[0])
    return (socket_name(found.name) if found and found.name else None) or SocketName("")


def _endpoint(raw: bytes | None, transport: str) -> Endpoint | None:
    found = sockaddr(raw, transport) if raw is not None else None
    return found if isinstance(found, Endpoint) else None


def _socket(raw: RawCall, index: int, where: bytes | None, over: SocketName, cwd: bytes) -> None:
    raw.transport = over.transport
    if where is not None:
        raw.data[index] = where
        if isinstance(sockaddr(where), bytes):
            raw.base[index] = cwd


def _messages(call: Call) -> Iterator[tuple[bytes | None, bytes]]:
    """(address, payload) of each message that a send call carries."""
    if call.name == "sendto":
        yield address(call.args[4]), prefix(call.args[1])
        return
    headers = [call.args[1]]
    if call.name == "sendmmsg":
        headers = [members(vector).get(b"msg_hdr", b"") for vector in elements(call.args[1])]
    for header in headers:
        fields = members(header)
        pieces = (members(piece).get(b"iov_base", b"") for piece in elements(fields.get(b"msg_iov", b"")))
        yield address(fields.get(b"msg_name", b"")), b"".join(prefix(piece) for piece in pieces)


def _may_be_datagram(size: int) -> bool:
    return DATAGRAM_MIN <= size <= DATAGRAM_MAX


def _sends(call: Call, raw: RawCall, cwd: bytes) -> Iterator[RawCall]:
    over = _socket_of(call)
    for where, payload in _messages(call):
        if where is None and call.name == "sendto" and not _may_be_datagram(number(call.args[2])):
            continue
        if isinstance(sockaddr(where or b""), bytes) or over.transport == "udp":
            one = RawCall(raw.name, raw.args, raw.result, text={}, base={}, data={1: payload})
            _socket(one, 4, where, over, cwd)
            if where is None:
                one.peer = _endpoint(over.peer, over.transport)
            yield one
