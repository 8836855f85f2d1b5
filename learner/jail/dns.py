"""DNS as far as the jail answers it: one question in, one short answer out (RFC 1035, 4). Pure.

dnspython would do, but takes 60 ms to load (measured) where the program's first lookup waits; it checks this in tests.
"""

import enum
import struct
from typing import NamedTuple

PORT = 53
TTL_SECONDS = 60
_HEADER = struct.Struct("!6H")
_END = struct.Struct("!HH")
_RECORD = struct.Struct("!HHHIH")
_RESPONSE, _RECURSION_DESIRED, _RECURSION_AVAILABLE = 0x8000, 0x0100, 0x0080
_OPCODE = 0x7800
_IN, _ANY_CLASS = 1, 255
_POINTER_TO_QUESTION = 0xC00C
_MAX_LABEL, _MAX_WIRE = 63, 255


class Type(enum.IntEnum):
    """Record types that are told apart."""

    A = 1
    PTR = 12
    AAAA = 28


class Code(enum.IntEnum):
    """Response codes (RFC 1035, 4.1.1)."""

    OK = 0
    FORMAT = 1
    SERVER = 2
    NO_NAME = 3
    NOT_IMPLEMENTED = 4


class Question(NamedTuple):
    """``name`` is in lower case without final dot; ``wire`` the question section as it was, ``flags`` the header's."""

    ident: int
    flags: int
    name: str
    type: int
    wire: bytes


class Malformed(ValueError):  # noqa: N818 - reads as what the message is
    """No question that can be answered. ``answer``: what to send back all the same, empty for nothing."""

    def __init__(self, answer: bytes = b"") -> None:
        super().__init__("malformed DNS message")
        self.answer = answer


def parse(message: bytes) -> Question:
    """The one question of a query. Raises Malformed."""
    if len(message) < _HEADER.size:
        raise Malformed
    ident, flags, count, *_ = _HEADER.unpack_from(message)
    if flags & _RESPONSE:
        raise Malformed  # answering answers makes loops
    if flags & _OPCODE:
        raise Malformed(_header(ident, flags, Code.NOT_IMPLEMENTED, 0, 0))
    bad = Malformed(_header(ident, flags, Code.FORMAT, 0, 0))
    if count != 1:
        raise bad
    labels: list[str] = []
    at = _HEADER.size
    while True:
        if at >= len(message):
            raise bad
        size = message[at]
        if size == 0:
            break
        # A first name has nothing to point back to, so a compressed one (two top bits set) is no name.
        if size > _MAX_LABEL or at + 1 + size - _HEADER.size > _MAX_WIRE - 1:
            raise bad
        label = message[at + 1 : at + 1 + size]
        if len(label) < size:
            raise bad
        labels.append(_text(label))
        at += 1 + size
    if at + 1 + _END.size > len(message):
        raise bad
    kind, group = _END.unpack_from(message, at + 1)
    if group not in (_IN, _ANY_CLASS):
        raise Malformed(_header(ident, flags, Code.NOT_IMPLEMENTED, 0, 0))
    return Question(ident, flags, ".".join(labels), kind, message[_HEADER.size : at + 1 + _END.size])


def _text(label: bytes) -> str:
    """A label in lower case; bytes that no host name has are written so that they match nothing."""
    return "".join(chr(b) if 0x21 <= b < 0x7F and b not in b".\\" else f"\\{b:03d}" for b in label.lower())


def _header(ident: int, flags: int, code: Code, questions: int, answers: int) -> bytes:
    said = _RESPONSE | _RECURSION_AVAILABLE | flags & (_OPCODE | _RECURSION_DESIRED) | code
    return _HEADER.pack(ident, said, questions, answers, 0, 0)


def failure(question: Question, code: Code) -> bytes:
    """The answer that says ``code`` and nothing more; with OK: the name exists, but has no such record."""
    return _header(question.ident, question.flags, code, 1, 0) + question.wire


def found(question: Question, data: bytes) -> bytes:
    """The answer with one record of the type that was asked for. ``data``: its content on the wire."""
    record = _RECORD.pack(_POINTER_TO_QUESTION, question.type, _IN, TTL_SECONDS, len(data)) + data
    return _header(question.ident, question.flags, Code.OK, 1, 1) + question.wire + record


def encode_name(name: str) -> bytes:
    """A host name on the wire."""
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
