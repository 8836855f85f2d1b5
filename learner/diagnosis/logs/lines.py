"""From the bytes of a log to plain lines: without colours, time stamps and prefixes, each of a bounded length."""

import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

LONGEST = 4 << 10
"""Bytes of one line that are looked at; the rest of a longer one is skipped, so that memory stays constant."""

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_PREFIXES = (
    re.compile(r"\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?\]?\s+"),
    re.compile(r"\[?\d\d:\d\d:\d\d(?:[.,]\d+)?\]?\s+"),
    re.compile(r"(?:##\[\w+\]|::(?:error|warning|debug)[^:]*::)\s*"),
    re.compile(r"[\w@./-]+\s+\|\s+"),
    re.compile(r"(?:ERROR|WARN(?:ING)?|INFO|DEBUG|TRACE|FATAL)\b:?\s+"),
)
"""CI services' and loggers' time stamps, GitHub's commands, docker compose's names, levels."""


def lines(stream: BinaryIO) -> Iterator[str]:
    """The lines of ``stream``, one at a time, as printable text."""
    while raw := stream.readline(LONGEST):
        if not raw.endswith(b"\n") and len(raw) >= LONGEST:
            while (rest := stream.readline(LONGEST)) and not rest.endswith(b"\n"):
                pass
        yield plain(raw.decode("utf-8", "replace"))


UNFINISHED = 1024
"""Calls of strace that are remembered until they are resumed."""
_BEGUN = re.compile(
    r"^(?P<who>(?:\[pid +\d+\]|\d+)? ?)(?P<time>[\d.:]+ )?(?P<call>\w+)\((?P<args>.*?),? *<unfinished \.\.\.>$"
)
_RESUMED = re.compile(r"^(?P<who>(?:\[pid +\d+\]|\d+)? ?)(?:[\d.:]+ )?<\.\.\. (?P<call>\w+) resumed>,? ?(?P<rest>.*)$")


def whole(some: Iterable[str]) -> Iterator[str]:
    """Lines in which a call that strace told in two parts stands where it ended; one line for each line."""
    begun: dict[tuple[str, str], str] = {}
    for line in some:
        if "<unfinished" in line and (first := _BEGUN.match(line)):
            if len(begun) < UNFINISHED:
                begun[first["who"], first["call"]] = f"{first['call']}({first['args']}"
            yield ""
        elif " resumed>" in line and (last := _RESUMED.match(line)):
            start = begun.pop((last["who"], last["call"]), "")
            joint = "" if not start or last["rest"].startswith(")") else ", "
            yield f"{start}{joint}{last['rest']}"
        else:
            yield line


def plain(text: str) -> str:
    """A line without what does not belong to its message."""
    text = _CONTROLS.sub("", _ESCAPES.sub("", text.rstrip("\r\n").rpartition("\r")[2]))
    for _ in range(4):
        before = text
        for prefix in _PREFIXES:
            found = prefix.match(text)
            if found:
                text = text[found.end() :]
        if text == before:
            break
    return text.rstrip()
