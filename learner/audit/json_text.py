"""JSON as text: where each value stands, and edits that leave every other character as it is.

``text`` is JSON that json.loads accepts, in all of these.
"""

import json
import re
from collections.abc import Mapping
from typing import NamedTuple

from learner.audit.finding import Keys

_BLANK = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


class Span(NamedTuple):
    """Offsets of a value; ``start`` is where its key begins, or the value itself in a list."""

    start: int
    value: int
    end: int


def spans(text: str) -> dict[Keys, Span]:
    """Where every value stands, the whole document under ``()``."""
    found: dict[Keys, Span] = {}
    _scan(text, _skip(text, 0), _skip(text, 0), (), found)
    return found


def lines(text: str) -> Mapping[Keys, int]:
    """Keys to lines, from 1."""
    return {keys: text.count("\n", 0, span.start) + 1 for keys, span in spans(text).items()}


def with_value(text: str, keys: Keys, value: object) -> str:
    """``text`` with the value at ``keys`` set; missing tables are made. Raises ValueError where one is no table."""
    known = spans(text)
    if keys in known:
        span = known[keys]
        return text[: span.value] + _dump(value) + text[span.end :]
    above = keys[:-1]
    while above not in known:
        above = above[:-1]
    for name in reversed(keys[len(above) + 1 :]):
        value = {name: value}
    span = known[above]
    if text[span.value] != "{":
        raise ValueError("what holds the key is no table")
    key = json.dumps(keys[len(above)], ensure_ascii=False)
    return _insert(text, span, [known[k] for k in known if k[:-1] == above and k], f"{key}: {_dump(value)}")


def with_items(text: str, keys: Keys, items: tuple[str, ...]) -> str:
    """``text`` with ``items`` added to the list at ``keys``, which is made if it is missing."""
    if keys not in spans(text):
        return with_value(text, keys, list(items))
    for item in items:
        known = spans(text)
        if text[known[keys].value] != "[":
            raise ValueError("it is no list")
        text = _insert(text, known[keys], [known[k] for k in known if k[:-1] == keys and k], _dump(item))
    return text


def without_items(text: str, keys: Keys, items: tuple[str, ...]) -> str:
    """``text`` without those items of the list at ``keys`` that are among ``items``."""
    while True:
        known = spans(text)
        members = sorted((k for k in known if k and k[:-1] == keys), key=lambda k: known[k].start)
        at = next((i for i, k in enumerate(members) if json.loads(text[known[k].value : known[k].end]) in items), None)
        if at is None:
            return text
        start, end = known[members[at]].start, known[members[at]].end
        if at + 1 < len(members):
            end = known[members[at + 1]].start
        elif at:
            start = known[members[at - 1]].end
        text = text[:start] + text[end:]


def _insert(text: str, outer: Span, members: list[Span], member: str) -> str:
    """A new last member of the table or list at ``outer``, laid out like the one before it."""
    if members:
        last = max(members, key=lambda span: span.start)
        before = re.search(r"[ \t\r\n]*\Z", text[: last.start])
        gap = before.group() if before else ""
        return text[: last.end] + "," + (gap or " ") + member + text[last.end :]
    line = text.rfind("\n", 0, outer.value) + 1
    indent = re.match(r"[ \t]*", text[line:])
    margin = indent.group() if indent else ""
    inner = f"\n{margin}  {member}\n{margin}"
    return text[: outer.value + 1] + inner + text[outer.end - 1 :]


def _scan(text: str, start: int, at: int, keys: Keys, found: dict[Keys, Span]) -> int:
    """Record the value at offset ``at`` and all within it; the offset after it."""
    opening = text[at]
    if opening not in "{[":
        _, end = _DECODER.raw_decode(text, at)
        found[keys] = Span(start, at, end)
        return end
    found[keys] = Span(start, at, at)
    end = _skip(text, at + 1)
    number = 0
    while text[end] not in "}]":
        member = end
        name: str | int = number
        if opening == "{":
            name, end = _DECODER.raw_decode(text, end)
            end = _skip(text, _skip(text, end) + 1)
        end = _skip(text, _scan(text, member, end, (*keys, name), found))
        if text[end] == ",":
            end = _skip(text, end + 1)
        number += 1
    found[keys] = Span(start, at, end + 1)
    return end + 1


def _skip(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
