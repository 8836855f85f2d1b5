"""VibeCoding's settings: the ``sandbox`` table of a ``settings.json``, read, checked, and written back.

Source of the names, defaults and modes: "Security & Sandbox" and "Configuration" in the documentation of
github.com/startvibecoding/vibecoding (now mothx), where a bind is ``/src:/dst``. Nothing there says whether a bind
may be written to; here it follows the level: changed at ``standard``, read at ``strict``.
"""

import json
import os
import re
from typing import Annotated, Any, NamedTuple

import msgspec

from learner import forms
from learner.errors import InputFileError
from learner.gaps import Gap
from learner.levels import READING, WORKING, Level
from learner.names import to_text
from learner.places import Map, ancestors
from learner.policy import CHANGES, NO_RIGHT, Grant, Policy, Right, Scope, Witness, right_names
from learner.sensitive import Catalogue
from learner.store import write_atomically
from learner.words import endpoint, place

_MEND = "mend it there; `sbx run --level standard` does without the file"
_KIND, _ENCODING = "VibeCoding settings.json", "utf-8-sig"
_SANDBOX, _MODE = "sandbox", "defaultMode"

MODES = {"plan": Level.STRICT, "agent": Level.STANDARD, "yolo": Level.NONE}
"""The level of each of VibeCoding's modes."""


class Bind(msgspec.Struct, frozen=True, order=True):
    """An object from outside, and the place at which the command finds it. Absolute, normalised."""

    source: str
    destination: str


class Sandbox(msgspec.Struct, frozen=True):
    """The ``sandbox`` table. ``level`` is None where neither it nor a mode is given."""

    enabled: bool = False
    level: Level | None = None
    allow_network: bool = False
    allow_devices: bool = False
    extra_binds: tuple[Bind, ...] = ()


class Settings(NamedTuple):
    """What a file says. ``gaps``: keys of its sandbox table that mean nothing here."""

    sandbox: Sandbox
    gaps: tuple[Gap, ...] = ()


class _SandboxForm(msgspec.Struct, rename="camel"):
    """The table as it stands in the file."""

    enabled: bool = False
    level: Annotated[str, msgspec.Meta(min_length=1)] = ""
    allow_network: bool = False
    allow_devices: bool = False
    extra_binds: tuple[str, ...] = ()


_KEYS = frozenset(_SandboxForm.__struct_encode_fields__)


def load(path: str, home: str) -> Settings:
    """The settings in the file at ``path``. Raises InputFileError, naming the key, and the line where it is known."""
    return loads(forms.read_text(path, _KIND, _ENCODING), to_text(path), home)


def loads(text: str, where: str, home: str) -> Settings:
    """The settings that ``text`` (JSON) holds; ``where`` begins every error."""
    document = _parse(text, where)
    table = document.get(_SANDBOX, {})
    if not isinstance(table, dict):
        forms.refuse(where, _at(text, _SANDBOX), "a table", table, _MEND)
    try:
        known = {key: value for key, value in table.items() if key in _KEYS}
        form = forms.convert(known, _SandboxForm, f"{where}: {_SANDBOX}", _MEND)
    except InputFileError as problem:
        raise InputFileError(_with_line(str(problem), text, where), problem.remedy) from None
    level = None
    if form.level:
        if form.level not in set(Level):
            names = ", ".join(f'"{name}"' for name in Level)
            forms.refuse(where, _at(text, "level", f"{_SANDBOX}."), f"one of {names}", form.level, _MEND)
        level = Level(form.level)
    mode = document.get(_MODE)
    if mode is not None and (not isinstance(mode, str) or mode not in MODES):
        forms.refuse(where, _at(text, _MODE), "one of " + ", ".join(f'"{name}"' for name in MODES), mode, _MEND)
    if level is None and isinstance(mode, str):
        level = MODES[mode]
    binds = []
    for index, bind in enumerate(form.extra_binds):
        try:
            binds.append(parse_bind(bind, home))
        except ValueError as problem:
            key = f"{_at(text, 'extraBinds', f'{_SANDBOX}.')}[{index}]"
            raise InputFileError(f"{where}: {key}: {problem}", 'write it as "/src:/dst"') from None
    strange = sorted(key for key in table if key not in _KEYS)
    gaps = tuple(Gap(f"{_SANDBOX}.{to_text(key)}", "a key that sbx does not know: not followed") for key in strange)
    sandbox = Sandbox(form.enabled, level, form.allow_network, form.allow_devices, tuple(binds))
    return Settings(sandbox, gaps)


def parse_bind(text: str, home: str) -> Bind:
    """``/src:/dst`` or ``/path``; ``~`` at the beginning is ``home``. Raises ValueError, saying what is wrong."""
    parts = text.split(":")
    shown = to_text(text)
    if len(parts) > 2:
        raise ValueError(f'"{shown}" has more than one colon')
    paths = []
    for part in parts:
        path = home + part[1:] if part == "~" or part.startswith("~/") else part
        if not path.startswith("/"):
            raise ValueError(f'"{shown}": "{to_text(part)}" is no absolute path')
        if "\0" in path or ".." in path.split("/"):
            raise ValueError(f'"{shown}": "{to_text(part)}" holds .. or a NUL: write the path that is meant')
        paths.append(os.path.normpath("/" + path.lstrip("/")))
    return Bind(paths[0], paths[-1])


def bind_grants(binds: tuple[Bind, ...], level: Level, places: Map) -> tuple[tuple[Grant, ...], tuple[Gap, ...]]:
    """The grants for binds that keep their place, and what cannot be granted.

    A bind with another destination takes an enforcer that can mount; sensitive objects are never granted so, since
    a project brings its own ``.vibe/settings.json``.
    """
    rights = WORKING if level is Level.STANDARD else READING
    catalogue = Catalogue(places.home)
    grants, gaps = [], []
    for bind in sorted(set(binds)):
        item = f"bind {to_text(bind.source)}"
        if bind.source != bind.destination:
            gaps.append(Gap(f"{item} at {to_text(bind.destination)}", "only what keeps its place can be granted"))
            continue
        real = os.path.realpath(bind.source)
        entry = catalogue.match(real, rights)
        if not os.path.exists(real):
            gaps.append(Gap(item, "not there, so nothing was granted on it"))
        elif entry is not None:
            gaps.append(Gap(item, f"{entry.reason}: not granted by a settings file"))
        elif places.is_shared(real):
            gaps.append(Gap(item, "it holds more than one program's files: name what is needed in it"))
        elif os.path.isdir(real):
            grants.append(Grant(real, Scope.TREE, rights, (Witness("extraBinds", (), real),)))
        else:
            alone = Right.READ | (rights & (Right.EXEC | Right.WRITE | Right.TRUNCATE | Right.CONNECT))
            grants.append(Grant(real, Scope.FILE, alone, (Witness("extraBinds", (), real),)))
    return tuple(grants), tuple(gaps)


def to_settings(policy: Policy, places: Map, base: Policy) -> tuple[dict[str, Any], tuple[Gap, ...]]:
    """``policy`` as a ``sandbox`` table, and what that cannot say.

    ``base``: what the level itself grants (:func:`learner.levels.base` at ``standard``), which needs no bind.
    """
    gaps = set()
    changed = any(g.rights & CHANGES and places.locate(g.path)[1] == places.project for g in policy.grants)
    binds: dict[str, Right] = {}
    for grant in policy.grants:
        missing = grant.rights & ~base.rights_on(grant.path)
        if not missing or grant.path == places.project:
            continue
        if grant.path == "/" or places.is_shared(grant.path):
            gaps.add(Gap(place(grant), "granted alone, not with what it holds: a bind would open all of it"))
        elif ":" in grant.path or not _encodable(grant.path):
            gaps.add(Gap(place(grant), "a name with a colon or without UTF-8 cannot stand in a bind"))
        elif grant.path.startswith(("/proc/", "/dev/")) or grant.path in ("/proc", "/dev"):
            gaps.add(Gap(place(grant), "a bind cannot stand in the sandbox's own /proc and /dev"))
        else:
            binds[grant.path] = binds.get(grant.path, NO_RIGHT) | grant.rights
    outer = [path for path in sorted(binds) if not any(above in binds for above in ancestors(path))]
    for path in outer:
        if not binds[path] & CHANGES:
            gaps.add(Gap(to_text(path), "a bind does not say that it may only be read"))
        elif binds[path] & WORKING != WORKING:
            gaps.add(Gap(to_text(path), f"a bind grants more than {' '.join(right_names(binds[path]))}"))
    network = [n for n in policy.network if not n.abstract]
    if network and not any(n.anywhere for n in network):
        gaps.add(Gap("hosts", "allowNetwork opens every host, not only " + ", ".join(endpoint(n) for n in network)))
    if any(n.abstract for n in policy.network):
        gaps.add(Gap("abstract sockets", "they come with allowNetwork only"))
    table = {
        "enabled": True,
        "level": (Level.STANDARD if changed or any(binds[p] & CHANGES for p in outer) else Level.STRICT).value,
        "allowNetwork": bool(network),
        "allowDevices": False,
        "extraBinds": [f"{path}:{path}" for path in outer],
    }
    return table, tuple(sorted(gaps))


def updated(text: str, where: str, table: dict[str, Any]) -> str:
    """``text`` (JSON, perhaps empty) with ``table`` laid over its sandbox table; all other keys stay as they are.

    Raises InputFileError if ``text`` is not the JSON of an object.
    """
    document = _parse(text, where) if text.strip() else {}
    old = document.get(_SANDBOX, {})
    if not isinstance(old, dict):
        forms.refuse(where, _at(text, _SANDBOX), "a table", old, _MEND)
    document[_SANDBOX] = {**old, **table}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def save(path: str, table: dict[str, Any]) -> None:
    """Lay ``table`` over the sandbox table of the file at ``path``, which is made if it is missing."""
    text = forms.read_text(path, _KIND, _ENCODING) if os.path.lexists(path) else ""
    write_atomically(path, updated(text, to_text(path), table).encode())


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        document = json.loads(text, object_pairs_hook=forms.unique_keys, parse_constant=_no_constant)
    except json.JSONDecodeError as problem:
        raise InputFileError(f"{where}:{problem.lineno}: not JSON: {problem.msg}", "mend that line") from None
    except (ValueError, RecursionError) as problem:
        raise InputFileError(f"{where}: {to_text(str(problem))}", _MEND) from None
    if not isinstance(document, dict):
        raise InputFileError(f"{where}: expected a table, found {forms.shown(document)}", _MEND)
    return document


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _at(text: str, key: str, before: str = "") -> str:
    """``key``, with its line where it stands only once in the text."""
    found = [match.start() for match in re.finditer(rf'"{re.escape(key)}"\s*:', text)]
    line = f" (line {text.count(chr(10), 0, found[0]) + 1})" if len(found) == 1 else ""
    return f"{before}{key}{line}"


def _with_line(message: str, text: str, where: str) -> str:
    """An error of the sandbox table as ``FILE: sandbox.KEY (line N): …``."""
    rest = message.removeprefix(f"{where}: {_SANDBOX}: ")
    key = re.match(r"[A-Za-z]+", rest)
    if key is None or key.group() not in _KEYS:
        return f"{where}: {_at(text, _SANDBOX)}: {rest}"
    name = _at(text, key.group(), f"{_SANDBOX}.")
    return f"{where}: {name}{rest[key.end() :]}"


def _encodable(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
