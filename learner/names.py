"""File names as text, without loss.

Inside sbx a path is a ``str`` as :func:`os.fsdecode` gives it (undecodable bytes are lone surrogates). In files and on
screens it is *plain text*: printable, valid UTF-8, reversible.
"""

import os
import re

_ESCAPE = re.compile(r"\\x([0-9a-f]{2})|\\\\")
_HIDDEN = re.compile("[\\\\\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def to_text(path: str) -> str:
    """``path`` with backslashes doubled and every byte that is no visible character as ``\\xNN``."""
    return _HIDDEN.sub(_escape, path)


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    if character == "\\":
        return "\\\\"
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))


def from_text(text: str) -> str:
    """The path that :func:`to_text` wrote. Raises ValueError for a stray backslash or a NUL."""
    raw = bytearray()
    at = 0
    for match in _ESCAPE.finditer(text):
        raw += os.fsencode(text[at : match.start()])
        raw += b"\\" if match.group(1) is None else bytes([int(match.group(1), 16)])
        at = match.end()
    raw += os.fsencode(text[at:])
    rest = _ESCAPE.sub("", text)
    if "\\" in rest:
        raise ValueError(f"stray backslash in {text!r}: write it twice, or as \\xNN")
    if 0 in raw:
        raise ValueError(f"NUL byte in {text!r}")
    return os.fsdecode(bytes(raw))
