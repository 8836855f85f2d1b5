"""Paths in formats that hold UTF-8: which can be written at all, and as what string."""

import json
from collections.abc import Iterable

from learner.gaps import Gap
from learner.names import to_text

NO_UTF8 = "the format holds UTF-8 only, and this name is none: it is left out"


def is_utf8(text: str) -> bool:
    """Whether ``text`` has bytes of its own in UTF-8, rather than bytes that are no text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def toml(text: str) -> str:
    """``text`` as a basic string of TOML 1.0, and of JSON too. Raises ValueError if it is not UTF-8."""
    if not is_utf8(text):
        raise ValueError(f"{text!r} is not UTF-8")
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_list(words: Iterable[str]) -> str:
    """An array of strings on one line."""
    return "[" + ", ".join(map(toml, words)) + "]"


def comments(lines: Iterable[str], sign: str = "#") -> str:
    """``lines`` (printable, as of :func:`learner.targets.target.remarks`) as comments, each on a line of its own."""
    return "".join(f"{sign} {line}\n" for line in lines)


def left_out(paths: Iterable[str], reason: str) -> tuple[Gap, ...]:
    """The gaps for what cannot stand in a format."""
    return tuple(Gap(to_text(path), reason) for path in sorted(set(paths)))
