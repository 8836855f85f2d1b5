"""Paths in formats that hold UTF-8: which can be written at all, and as what string."""

import json
import re
from collections.abc import Iterable

NO_UTF8 = "the format holds UTF-8 only, and this name is none"


_HIDDEN = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
"""What shows on no screen, or changes what is shown around it, and JSON would leave as it is."""


def is_utf8(text: str) -> bool:
    """Whether ``text`` has bytes of its own in UTF-8, rather than bytes that are no text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def dumps(value: object, indent: int | None = None) -> str:
    """``value`` as JSON in which every character that stands in it can be seen."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return _HIDDEN.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def json_file(value: object) -> bytes:
    """``value`` as a file of JSON."""
    return dumps(value, indent=2).encode() + b"\n"


def toml(text: str) -> str:
    """``text`` as a basic string of TOML 1.0. Raises ValueError if it is not UTF-8."""
    if not is_utf8(text):
        raise ValueError(f"{text!r} is not UTF-8")
    return dumps(text)


def toml_list(words: Iterable[str]) -> str:
    """An array of strings on one line."""
    return "[" + ", ".join(map(toml, words)) + "]"


def comments(lines: Iterable[str], sign: str = "#") -> str:
    """``lines`` (printable, as of :func:`learner.targets.target.remarks`) as comments, each on a line of its own."""
    return "".join(f"{sign} {line}\n" for line in lines)
