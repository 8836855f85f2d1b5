"""Reading settings: the text of a file, and strict conversion of what a parser gave to records.

Errors name the line, or the key and what it should be. msgspec checks; its message is turned into one for people:
``profile.toml: grant[3].rights[0]: expected text, found the number 4``.
"""

import datetime
import os
import re
from typing import Any, NoReturn, TypeVar

import msgspec

from learner.errors import InputFileError
from learner.names import to_text

_T = TypeVar("_T")
_WHERE = re.compile(r" - at `\$(?P<path>[^`]*)`\Z")
_STEP = re.compile(r"\.?([^.\[\]]+)")
_MISSING = re.compile(r"Object missing required field `([^`]+)`")
_SHOWN = 40  # characters of a value
_INT64 = 2**63
_MAX_BYTES = 1 << 20


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object for :func:`json.loads`' ``object_pairs_hook``. Raises ValueError for a key that stands twice."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f'the key "{to_text(key)}" stands there twice')
        found[key] = value
    return found


def read_text(path: str, kind: str, encoding: str = "utf-8") -> str:
    """The text of the file at ``path``, a ``kind`` of at most 1 MiB; ``encoding``: UTF-8, perhaps with a mark.

    Raises InputFileError, naming the line where it is not UTF-8.
    """
    where = to_text(path)
    try:
        if os.path.exists(path) and not os.path.isfile(path):  # to open a FIFO would wait for its other end
            what = "a directory" if os.path.isdir(path) else "not a file"
            raise InputFileError(f"{where} is {what}", f"name a {kind}")
        with open(path, "rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except OSError as problem:
        raise InputFileError(f"{where}: {problem.strerror}", f"name a {kind} that exists") from None
    if len(data) > _MAX_BYTES:
        raise InputFileError(f"{where} is larger than any {kind} (1 MiB)", "name another file")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise InputFileError(f"{where}:{line}: not UTF-8", "save it as UTF-8") from None


def convert(document: object, form: type[_T], where: str, remedy: str) -> _T:
    """``document`` (what a TOML or JSON parser gave) as ``form``.

    Raises InputFileError whose message begins with ``where``, the file.
    """
    try:
        return msgspec.convert(document, form)
    except msgspec.ValidationError as error:
        _explain(str(error), document, form, where, remedy)


def refuse(where: str, key: str, expected: str, found: object, remedy: str) -> NoReturn:
    """Raise the InputFileError for what types alone cannot say. ``key``: a path such as ``grant[3].path``."""
    raise InputFileError(f"{where}: {key}: expected {expected}, found {shown(found)}", remedy)


def shown(value: object) -> str:
    """A parsed value in words, cut short: ``"abc"``, ``the number 4``, ``a list``."""
    match value:
        case str():
            text = to_text(value)
            return f'"{text}"' if len(text) <= _SHOWN else f'"{text[: _SHOWN - 1]}…"'
        case bool():
            return str(value).lower()
        case int() if abs(value) >= _INT64:
            return "a number that is too large"
        case int() | float():
            return f"the number {value}"
        case list():
            return "a list"
        case dict():
            return "a table"
        case datetime.datetime() | datetime.date() | datetime.time():
            return "a date or time"
        case _:
            return f"a {type(value).__name__}"


def _explain(message: str, document: object, form: type, where: str, remedy: str) -> NoReturn:
    root = msgspec.inspect.type_info(form)
    # A key at the top may itself read like msgspec's " - at `$.path`": look for it before taking the message apart.
    strange = [key for key in document if key not in _fields(root)] if isinstance(document, dict) else []
    match = _WHERE.search(message) if not strange else None
    path = match["path"].lstrip(".") if match else ""
    kind, value = _follow(root, document, path)
    prefix = f"{where}: {path}: " if path else f"{where}: "
    missing = _MISSING.match(message)
    if isinstance(value, dict) and (strange := [key for key in value if key not in _fields(kind)]):
        known = ", ".join(_fields(kind)) or "none"
        raise InputFileError(f'{prefix}unknown key "{to_text(strange[0])}", expected one of {known}', remedy)
    if missing:
        raise InputFileError(f'{prefix}the key "{missing[1]}" is missing', remedy)
    raise InputFileError(f"{prefix}expected {_expected(kind)}, found {shown(value)}", remedy)


def _follow(kind: msgspec.inspect.Type, value: object, path: str) -> tuple[msgspec.inspect.Type, object]:
    """The declared type and the value at ``path``, such as ``grant[3].rights[0]``."""
    for step in _STEP.findall(path):
        kind = _bare(kind)
        if isinstance(value, list):
            value = value[int(step)]
            kind = (
                kind.item_type if isinstance(kind, (msgspec.inspect.VarTupleType, msgspec.inspect.ListType)) else kind
            )
        elif isinstance(value, dict):
            value = value[step]
            kind = _fields(kind)[step]
    return _bare(kind), value


def _fields(kind: msgspec.inspect.Type) -> dict[str, msgspec.inspect.Type]:
    if not isinstance(kind, msgspec.inspect.StructType):
        return {}
    return {field.encode_name: field.type for field in kind.fields}


def _bare(kind: msgspec.inspect.Type) -> msgspec.inspect.Type:
    return kind.type if isinstance(kind, msgspec.inspect.Metadata) else kind


def _expected(kind: msgspec.inspect.Type) -> str:
    match kind:
        case msgspec.inspect.EnumType():
            return "one of " + ", ".join(f'"{member.value}"' for member in kind.cls)
        case msgspec.inspect.StrType():
            return "text" if not kind.min_length else "text that is not empty"
        case msgspec.inspect.IntType():
            return "a whole number" + _bounds(kind)
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.VarTupleType():
            return "a list"
        case _:
            return "a table"


def _bounds(kind: msgspec.inspect.IntType) -> str:
    if kind.le is None:
        return "" if kind.ge is None else f" from {kind.ge} up"
    return f" from {kind.ge} to {kind.le}" if kind.le != kind.ge else f", {kind.ge}"
