"""Edits of TOML as text, one statement at a time: tomlkit edits the statement, and every other line stays as it is.

tomlkit alone, given the whole file, moves tables of one name that do not stand together (measured with 0.15.2).
``text`` is TOML that tomllib accepts, in all of these.
"""

import tomllib
from typing import Any, NamedTuple

from learner.audit.finding import Keys
from learner.audit.toml_lines import header, statements

_MANY = 3
"""A list of more items than this is written with one item a line."""


class _Statement(NamedTuple):
    """Lines ``first`` to ``last`` (from 0, the last one excluded).

    ``keys``: of a header's table, or of what is assigned. ``table``: the keys of the table that it stands in.
    """

    first: int
    last: int
    table: Keys
    keys: Keys
    is_header: bool


def with_value(text: str, keys: Keys, value: object) -> str:
    """``text`` with the value at ``keys`` set; missing tables are made. Raises ValueError where that cannot be."""
    lines, known = _scan(text)
    for statement in known:
        within = keys[len(statement.keys) :]
        if not statement.is_header and keys[: len(statement.keys)] == statement.keys:
            return _edited(lines, statement, lambda holder, key: holder.__setitem__(key, _item(value)), within)
    return _inserted(lines, known, keys, value)


def with_items(text: str, keys: Keys, items: tuple[str, ...]) -> str:
    """``text`` with those ``items`` added that the list at ``keys`` lacks; it is made if it is missing."""
    lines, known = _scan(text)

    def add(holder: Any, key: str | int) -> None:
        if key not in holder:
            holder[key] = _item(list(items))
        for item in items:
            if item not in holder[key]:
                holder[key].append(item)

    for statement in known:
        within = keys[len(statement.keys) :]
        if not statement.is_header and keys[: len(statement.keys)] == statement.keys:
            return _edited(lines, statement, add, within)
    return _inserted(lines, known, keys, list(items))


def without_items(text: str, keys: Keys, items: tuple[str, ...]) -> str:
    """``text`` without those items of the list at ``keys`` that are among ``items``."""
    lines, known = _scan(text)

    def take(holder: Any, key: str | int) -> None:
        for place in reversed([n for n, each in enumerate(holder[key]) if each in items]):
            del holder[key][place]

    for statement in known:
        if not statement.is_header and keys[: len(statement.keys)] == statement.keys:
            return _edited(lines, statement, take, keys[len(statement.keys) :])
    raise ValueError("there is no such list")


def _scan(text: str) -> tuple[list[str], list[_Statement]]:
    # Not str.splitlines: it ends lines at characters that may stand in a TOML string.
    lines = [line + "\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    lines = lines if lines[-1] else lines[:-1]
    found: list[_Statement] = []
    counts: dict[Keys, int] = {}
    table: Keys = ()
    for first, statement in statements(text.replace("\r\n", "\n")):
        last = first + statement.count("\n")
        if statement.lstrip().startswith("["):
            table = header(statement.lstrip(), counts)
            found.append(_Statement(first - 1, last, table, table, True))
        else:
            found.append(_Statement(first - 1, last, table, (*table, *_assigned(statement)), False))
    return lines, found


def _assigned(statement: str) -> Keys:
    """The keys before the ``=`` of an assignment: more than one where they are dotted."""
    at = statement.index("=")
    while True:
        try:
            data: Any = tomllib.loads(statement[:at] + "= 0")
            break
        except tomllib.TOMLDecodeError:
            at = statement.index("=", at + 1)
    keys: Keys = ()
    while isinstance(data, dict):
        [(name, data)] = data.items()
        keys = (*keys, name)
    return keys


def _edited(lines: list[str], statement: _Statement, change: Any, within: Keys) -> str:
    """The text after ``change(holder, key)`` within one statement, of which ``within`` are the keys in its value."""
    import tomlkit  # slow to load, and only an edit takes it

    old = "".join(lines[statement.first : statement.last])
    document = tomlkit.parse(old)
    way = (*statement.keys[len(statement.table) :], *within)
    holder: Any = document
    for number, key in enumerate(way[:-1]):
        if isinstance(holder, dict) and key not in holder:
            if number < len(statement.keys) - len(statement.table):
                raise ValueError("a key that is not there")
            holder[key] = tomlkit.inline_table()
        holder = holder[key]
    change(holder, way[-1])
    return "".join((*lines[: statement.first], tomlkit.dumps(document), *lines[statement.last :]))


def _inserted(lines: list[str], known: list[_Statement], keys: Keys, value: object) -> str:
    """The text with an assignment that was not there, in the table that is to hold it."""
    table = keys[:-1]
    for dotted in known:
        depth = len(dotted.table)
        # Dotted keys have made the table: it may have no header of its own, so this is written as they are.
        made = not dotted.is_header and depth < len(table) < len(dotted.keys)
        if made and dotted.keys[: len(table)] == table:
            return _spliced(lines, dotted.last, _assignment(keys[depth:], value))
    if not table:
        return _spliced(lines, _top(lines, known), _assignment(keys, value))
    if any(s.is_header and s.keys == table for s in known):
        end = max(s.last for s in known if s.table == table)
        return _spliced(lines, end, _assignment(keys[-1:], value))
    if not all(isinstance(key, str) for key in table):
        raise ValueError("an item of a list that is not there")
    siblings = [s.last for s in known if s.table[:1] == table[:1]]
    end = max(siblings, default=len(lines))
    block = f"[{_dotted(table)}]\n{_assignment(keys[-1:], value)}"
    before = "\n" if end and lines[end - 1].strip() else ""
    after = "\n" if end < len(lines) and lines[end].strip() else ""
    return _spliced(lines, end, before + block + after)


def _top(lines: list[str], known: list[_Statement]) -> int:
    """Where a key of no table goes: after the others, or below the comment that the file begins with."""
    top = [s.last for s in known if not s.is_header and not s.table]
    if top:
        return max(top)
    end = 0
    while end < len(lines) and lines[end].lstrip().startswith("#"):
        end += 1
    return end if end == len(lines) or not lines[end].strip() else 0


def _spliced(lines: list[str], at: int, new: str) -> str:
    before, after = "".join(lines[:at]), "".join(lines[at:])
    ending = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    joint = ending if before and not before.endswith("\n") else ""
    return before + joint + new.replace("\n", ending) + after


def _assignment(keys: Keys, value: object) -> str:
    return f"{_dotted(keys)} = {_item(value).as_string()}\n"


def _dotted(keys: Keys) -> str:
    import tomlkit

    return ".".join(tomlkit.key(str(key)).as_string() for key in keys)


def _item(value: object) -> Any:
    import tomlkit

    item = tomlkit.item(value)
    if isinstance(item, tomlkit.items.Array) and len(item) > _MANY:
        item.multiline(True)
    return item
