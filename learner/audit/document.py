"""A configuration file as it was read: its text, what it says, and on which line each key stands."""

import enum
import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any, NamedTuple

from learner import forms
from learner.audit import json_text, toml_lines
from learner.audit.finding import Keys
from learner.errors import InputFileError
from learner.names import to_text

_TOML_LINE = re.compile(r" \(at line (\d+), column \d+\)\Z")
_MEND = "mend that line"


class Format(enum.StrEnum):
    """How a file is written."""

    TOML = "toml"
    JSON = "json"
    TEXT = "text"


class Document(NamedTuple):
    """``data`` is empty for text. ``lines``: the first line of keys, from 1."""

    path: str
    format: Format
    text: str
    data: dict[str, Any]
    lines: Mapping[Keys, int]

    def line(self, keys: Keys) -> int:
        """The line of ``keys``, or of what holds them; 1 where not even that stands in the file."""
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return self.lines.get(keys, 1)


def read(path: str, form: Format) -> Document:
    """The file at ``path``. Raises InputFileError, naming the line where it is not what its name says."""
    if form is Format.TEXT:
        return parse(path, "", form)  # only its place and its mode matter, and it may hold secrets
    text = forms.read_text(path, "configuration file", "utf-8-sig" if form is Format.JSON else "utf-8")
    return parse(path, text, form)


def parse(path: str, text: str, form: Format) -> Document:
    """``text`` of the file at ``path``. Raises InputFileError."""
    where = to_text(path)
    match form:
        case Format.TOML:
            return Document(path, form, text, _toml(text, where), toml_lines.lines(text))
        case Format.JSON:
            return Document(path, form, text, _json(text, where), json_text.lines(text))
    return Document(path, form, text, {}, {})


def _toml(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _TOML_LINE.search(str(error))
        line = int(match[1]) if match else text.count("\n") + 1
        reason = _TOML_LINE.sub("", str(error)).removesuffix(" (at end of document)")
        raise InputFileError(f"{where}:{line}: not TOML: {to_text(reason)}", _MEND) from None
    except (ValueError, RecursionError):  # a number of 5,000 digits, brackets 1,000 deep
        raise InputFileError(f"{where}: not TOML that can be read", _MEND) from None


def _json(text: str, where: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as problem:
        raise InputFileError(f"{where}:{problem.lineno}: not JSON: {problem.msg}", _MEND) from None
    except (ValueError, RecursionError):
        raise InputFileError(f"{where}: not JSON that can be read", _MEND) from None
    if not isinstance(document, dict):
        raise InputFileError(f"{where}:1: expected a table, found {forms.shown(document)}", _MEND)
    return document


def at(data: object, keys: Keys) -> Any:
    """The value at ``keys``, None where there is none or something on the way is no table or list."""
    for key in keys:
        if isinstance(data, dict) and isinstance(key, str):
            data = data.get(key)
        elif isinstance(data, list) and isinstance(key, int) and key < len(data):
            data = data[key]
        else:
            return None
    return data


def texts(value: object) -> list[str]:
    """The strings of a list, or nothing where it is no list."""
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def tables(value: object) -> list[tuple[int, dict[str, Any]]]:
    """The tables of a list with their numbers, or nothing where it is no list."""
    return [(at, each) for at, each in enumerate(value) if isinstance(each, dict)] if isinstance(value, list) else []
