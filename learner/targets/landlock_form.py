"""The configuration format of the Landlock project: its document, TOML or JSON, and the policy that one stands for.

Source: ``schema/landlockconfig.json`` and the parser of github.com/landlock-lsm/landlockconfig (2025-11), whose
specification calls itself unstable. In a path ``$$`` stands for ``$``, and ``${NAME}`` for a variable's values.
"""

import json
import tomllib
from collections.abc import Iterable, Mapping
from typing import Annotated

import msgspec
from landlockpy import AccessFS

from learner import forms
from learner.enforcers.landlock import FS_RIGHTS, fs_access
from learner.errors import InputFileError
from learner.gaps import Gap
from learner.names import to_text
from learner.policy import ANYWHERE, NO_RIGHT, Grant, NetworkAction, NetworkGrant, Policy, Right, Scope
from learner.targets.importing import TextReader
from learner.variables import Variables
from tracers.events import Transport

KNOWN = AccessFS(0)
for _right in AccessFS:
    if _right.name != "RESOLVE_UNIX":
        KNOWN |= _right
"""The rights that the specification names: up to Landlock ABI 5."""

_MEND = "mend it there: sbx reads what schema/landlockconfig.json of the Landlock project allows"


class Rule(msgspec.Struct, forbid_unknown_fields=True):
    allowed_access: list[str]
    parent: list[str]


class Port(msgspec.Struct, forbid_unknown_fields=True):
    allowed_access: list[str]
    port: list[Annotated[int, msgspec.Meta(ge=0, le=65535)]]


class Ruleset(msgspec.Struct, forbid_unknown_fields=True):
    handled_access_fs: list[str] = []
    handled_access_net: list[str] = []
    scoped: list[str] = []


class _Variable(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    literal: list[str] = []


class Document(msgspec.Struct, forbid_unknown_fields=True):
    """A configuration, with the names of its TOML form."""

    abi: int = 0
    variable: list[_Variable] = []
    ruleset: list[Ruleset] = []
    path_beneath: list[Rule] = []
    net_port: list[Port] = []


def names_of(access: AccessFS) -> list[str]:
    return [(right.name or "").lower() for right in AccessFS if right in access]


_WORDS = {name: right for right in AccessFS for name in names_of(right) if right in KNOWN}
_FILES = fs_access(Right.READ | Right.EXEC | Right.WRITE | Right.TRUNCATE | Right.IOCTL)


def read(text: str, where: str, variables: Variables) -> tuple[Policy, tuple[Gap, ...]]:
    """The policy of a configuration, TOML or JSON. Raises InputFileError, naming the key, for what is none."""
    document = parse(text, where)
    gaps, rights = set[Gap](), dict[tuple[str, Scope], Right]()
    values = {each.name: each.literal for each in document.variable}
    for rule in document.path_beneath:
        access = AccessFS(0)
        for word in rule.allowed_access:
            access |= _group(word, where)
        scope = Scope.TREE if access & ~_FILES else Scope.FILE
        for parent in rule.parent:
            for path in _resolved(parent, values, where):
                if not path.startswith("/"):
                    gaps.add(Gap(to_text(path), "a relative path: not granted"))
                    continue
                key = ("/" + "/".join(part for part in path.split("/") if part not in ("", ".")), scope)
                rights[key] = rights.get(key, NO_RIGHT) | _rights(access)
    grants = tuple(Grant(path, scope, given, ()) for (path, scope), given in sorted(rights.items()))
    network = [
        NetworkGrant(action, ANYWHERE if not port else "0.0.0.0", port, Transport.TCP, ())  # noqa: S104 - every host
        for each in document.net_port
        for port in each.port
        for action in _actions(each.allowed_access, where)
    ]
    handled = {action for each in document.ruleset for action in _actions(each.handled_access_net, where)}
    handled |= {grant.action for grant in network}
    network += [
        NetworkGrant(action, ANYWHERE, 0, Transport.TCP, ()) for action in NetworkAction if action not in handled
    ]
    if any(not grant.anywhere for grant in network):
        gaps.add(Gap("hosts", "a port is granted on every host; a profile says 0.0.0.0 for it: put in the hosts meant"))
    return Policy(grants, tuple(network)), tuple(sorted(gaps))


def parse(text: str, where: str) -> Document:
    """The document in ``text``, TOML or JSON. Raises InputFileError."""
    try:
        if text.lstrip().startswith("{"):
            raw = json.loads(text)
            found = {_snake(key): _snaked(value) for key, value in raw.items()}
        else:
            found = tomllib.loads(text)
    except (ValueError, RecursionError, AttributeError) as problem:
        raise InputFileError(f"{where}: neither TOML nor JSON: {to_text(str(problem))}", _MEND) from None
    return forms.convert(found, Document, where, _MEND)


def _snaked(value: object) -> object:
    if isinstance(value, list):
        return [{_snake(k): v for k, v in each.items()} if isinstance(each, dict) else each for each in value]
    return value


def _group(word: str, where: str) -> AccessFS:
    name = word.partition(".")[2]
    if word in _WORDS:
        return _WORDS[word]
    if name == "all":
        return KNOWN
    if name == "read_execute":
        return AccessFS.EXECUTE | AccessFS.READ_FILE | AccessFS.READ_DIR | AccessFS.REFER
    if name == "read_write":
        return KNOWN & ~AccessFS.EXECUTE
    raise InputFileError(f"{where}: {to_text(word)!r} is no right of Landlock", _MEND)


def _rights(access: AccessFS) -> Right:
    found = NO_RIGHT
    for right, needed in FS_RIGHTS.items():
        if needed and needed & KNOWN and needed & access == needed:
            found |= right
    return found | (Right.ATTRIBUTES if found & Right.WRITE else NO_RIGHT)


def _actions(words: Iterable[str], where: str) -> list[NetworkAction]:
    found = []
    for word in words:
        if word.partition(".")[2] == "all":
            return list(NetworkAction)
        if word not in ("bind_tcp", "connect_tcp"):
            raise InputFileError(f"{where}: {to_text(word)!r} is no right of Landlock on ports", _MEND)
        found.append(NetworkAction.BIND if word == "bind_tcp" else NetworkAction.CONNECT)
    return found


def _resolved(template: str, values: Mapping[str, list[str]], where: str) -> list[str]:
    """The paths that a parent stands for: ``${NAME}`` filled in, ``$$`` as ``$``."""
    found, at = [""], 0
    while at < len(template):
        if template.startswith("$$", at):
            found, at = [path + "$" for path in found], at + 2
        elif template.startswith("${", at):
            name, closed, _ = template[at + 2 :].partition("}")
            if not closed or name not in values:
                raise InputFileError(f"{where}: there is no variable for {to_text(template)!r}", _MEND)
            found, at = [path + value for path in found for value in values[name]], at + len(name) + 3
        else:
            found, at = [path + template[at] for path in found], at + 1
    return found


def _snake(key: str) -> str:
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in key)


READER = TextReader("landlock", read)
