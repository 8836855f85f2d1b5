"""On which line each key of a TOML file stands: tomllib does not say, and an editor needs to know."""

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from learner.audit.finding import Keys

_CLOSERS = ("]", "}", '"""', "'''")


def lines(text: str) -> Mapping[Keys, int]:
    """Keys to lines, from 1; what stands in one statement (an inline table, a list) has a line for each item.

    ``text`` must be TOML: what cannot be told apart is left out.
    """
    found: dict[Keys, int] = {}
    counts: dict[Keys, int] = {}
    table: Keys = ()
    for first, statement in statements(text.replace("\r\n", "\n")):
        stripped = statement.lstrip()
        if stripped.startswith("["):
            table = header(stripped, counts)
            for length in range(1, len(table) + 1):
                found.setdefault(table[:length], first)
            continue
        for keys, value in _leaves(tomllib.loads(statement), table):
            found.setdefault(keys, first + _offset(statement, value) if isinstance(keys[-1], int) else first)
            for length in range(1, len(keys)):
                found.setdefault(keys[:length], first)
    return found


def statements(text: str) -> Iterator[tuple[int, str]]:
    """(first line from 1, text) of each header and each assignment, which may go on over several lines."""
    pending: list[str] = []
    first = 0
    for number, line in enumerate(text.split("\n"), 1):
        if not pending:
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            first = number
        elif not any(closer in line for closer in _CLOSERS):
            pending.append(line)
            continue
        pending.append(line)
        statement = "\n".join(pending)
        try:
            tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        yield first, statement
        pending = []


def header(statement: str, counts: dict[Keys, int]) -> Keys:
    """The keys of a ``[table]`` or ``[[list of tables]]``, with the number of each list's last table."""
    data: Any = tomllib.loads(statement)
    table: Keys = ()
    while data:
        if isinstance(data, list):
            counts[table] = counts.get(table, -1) + 1
            return (*table, counts[table])
        [(name, data)] = data.items()
        table = (*table, name)
        if table in counts and not isinstance(data, list):
            table = (*table, counts[table])
    return table


def _leaves(data: object, keys: Keys) -> Iterator[tuple[Keys, object]]:
    if isinstance(data, dict) and data:
        for name, value in data.items():
            yield from _leaves(value, (*keys, name))
        return
    yield keys, data
    if isinstance(data, list):
        for number, value in enumerate(data):
            yield from _leaves(value, (*keys, number))


def _offset(statement: str, value: object) -> int:
    """How many lines into a statement ``value`` stands, 0 where it cannot be told."""
    if not isinstance(value, str):
        return 0
    for quoted in (f'"{value}"', f"'{value}'"):
        at = statement.find(quoted)
        if at >= 0:
            return statement.count("\n", 0, at)
    return 0
