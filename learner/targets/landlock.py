"""Landlock rules in the configuration format of the Landlock project, as TOML or JSON.

Source: ``schema/landlockconfig.json`` and the parser of github.com/landlock-lsm/landlockconfig (2025-11), whose
specification calls itself unstable. Rights are written one by one, without its groups ``abi.*`` and ``v5.*``: those
names have changed, these have not. In a path ``$$`` stands for ``$``, since ``${NAME}`` is a variable.
"""

import json
import tomllib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec
from landlockpy import AccessFS

from learner import forms
from learner.enforcers.landlock import FS_RIGHTS, fs_access, policy_gaps
from learner.errors import InputFileError
from learner.gaps import Gap
from learner.names import to_text
from learner.places import is_within
from learner.policy import (
    ALWAYS,
    ANYWHERE,
    DIRECTORY_RIGHTS,
    NO_RIGHT,
    Grant,
    NetworkAction,
    NetworkGrant,
    Policy,
    Right,
    Scope,
)
from learner.targets.feature import Feature, missing
from learner.targets.strings import NO_UTF8, comments, is_utf8, left_out, toml, toml_list
from learner.targets.target import Export, Request, remarks
from learner.variables import Variables
from tracers.events import Transport

_KNOWN = AccessFS(0)
for _right in AccessFS:
    if _right.name != "RESOLVE_UNIX":
        _KNOWN |= _right
"""The rights that the specification names: up to Landlock ABI 5."""

_LACKS: Mapping[Feature, str] = {
    Feature.EXECUTE_APART: "what may be executed may be read: the kernel opens it for both",
    Feature.ATTRIBUTES: "Landlock does not see chmod, chown, utime and extended attributes: they are open everywhere",
    Feature.UNIX_SOCKETS: "the format has no right for sockets by path: all can be connected to",
    Feature.ABSTRACT_SOCKETS: "one is granted, and Landlock can only open all of them",
    Feature.HOSTS: "Landlock grants TCP by port: a granted port is open on every host",
    Feature.LISTEN: "Landlock grants ports, not addresses to listen on",
    Feature.UDP: "the format has no right for UDP: it is open to any host",
    Feature.ENSURE: "a rule cannot stand on what is not there: make it before",
    Feature.DENIALS: "there are no rules that refuse: they stay open",
    Feature.HIDING: "Landlock does not hide names: stat, access and readlink work everywhere",
}
_GAPS = (
    Gap("unix sockets by path", "the format has no right for them: docker.sock, agents' sockets can be connected to"),
    Gap("other sockets", "UDP, raw and netlink sockets, MPTCP and TCP Fast Open are not refused"),
    Gap("root", "capabilities that reach past Landlock are not given up"),
    Gap("older kernels", "what they do not know is not refused: the library takes what there is, and does not say so"),
)
_MEND = "mend it there: sbx reads what schema/landlockconfig.json of the Landlock project allows"


class _Rule(msgspec.Struct, forbid_unknown_fields=True):
    allowed_access: list[str]
    parent: list[str]


class _Port(msgspec.Struct, forbid_unknown_fields=True):
    allowed_access: list[str]
    port: list[Annotated[int, msgspec.Meta(ge=0, le=65535)]]


class _Ruleset(msgspec.Struct, forbid_unknown_fields=True):
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
    ruleset: list[_Ruleset] = []
    path_beneath: list[_Rule] = []
    net_port: list[_Port] = []


class LandlockTarget:
    """One of the two forms."""

    executable = False
    lacks = _LACKS

    def __init__(self, form: str) -> None:
        self.name = "landlock" if form == "toml" else "landlock-json"
        self.suffix = f".{form}"

    def export(self, request: Request) -> Export:
        """See :class:`~learner.targets.target.Target`."""
        policy = request.profile.policy
        document, lost = _document(policy)
        gaps = [*missing(policy, self.lacks, request.denied), *_GAPS, *left_out(lost, NO_UTF8)]
        gaps += [g for g in policy_gaps(policy) if g.item in ("own ports", "single directories")]
        if any(is_within(grant.path, "/proc/self") for grant in policy.grants):
            gaps.append(Gap("process files", "/proc/self is that of the program which loads the rules, of no other"))
        found = tuple(sorted(set(gaps)))
        if self.suffix == ".json":
            return Export(_json(document), found)
        return Export((comments(remarks(request, found)) + "\n" + _toml(document)).encode(), found)

    def admit(self, grants: tuple[Grant, ...], network: tuple[NetworkGrant, ...]) -> tuple[str, ...]:
        """See :class:`~learner.targets.target.Target`: tables to be appended, or elements of the JSON's lists."""
        document, _ = _document(Policy(grants, network), always=False)
        document.ruleset.clear()
        if self.suffix == ".json":
            listed = msgspec.to_builtins(document)
            return tuple(
                f"{_camel(key)}: {json.dumps(_cameled(each), ensure_ascii=False)}"
                for key in ("path_beneath", "net_port")
                for each in listed[key]
            )
        return tuple(line for line in _toml(document).splitlines() if line)


def _document(policy: Policy, *, always: bool = True) -> tuple[Document, list[str]]:
    """The configuration, and the paths that cannot stand in it."""
    rights: dict[str, AccessFS] = {}
    for grant in (*(ALWAYS if always else ()), *policy.grants):
        if access := _access(grant):
            rights[grant.path] = rights.get(grant.path, AccessFS(0)) | access
    parents: dict[AccessFS, list[str]] = {}
    for path in sorted(rights):
        if is_utf8(path):
            parents.setdefault(rights[path], []).append(path.replace("$", "$$"))
    rules = [_Rule(_names(access), paths) for access, paths in parents.items()]
    handled, ports = _network(policy.network)
    scoped = ["signal"] if any(n.abstract for n in policy.network) else ["abstract_unix_socket", "signal"]
    ruleset = _Ruleset(_names(_KNOWN), handled, scoped)
    found = Document(ruleset=[ruleset], path_beneath=sorted(rules, key=lambda rule: rule.parent), net_port=ports)
    return found, [path for path in rights if not is_utf8(path)]


def _access(grant: Grant) -> AccessFS:
    """What the rule on a grant's path allows. Rights on files are kept from what lies in a single directory."""
    rights = grant.rights
    if grant.scope is Scope.FILE and rights & DIRECTORY_RIGHTS:
        rights &= DIRECTORY_RIGHTS
    return fs_access(rights) & _KNOWN


def _network(network: Iterable[NetworkGrant]) -> tuple[list[str], list[_Port]]:
    handled, ports = {"bind_tcp", "connect_tcp"}, dict[int, set[str]]()
    for grant in network:
        right = "bind_tcp" if grant.action is NetworkAction.BIND else "connect_tcp"
        if grant.abstract or grant.transport is not Transport.TCP:
            continue
        if grant.anywhere or (grant.action is NetworkAction.CONNECT and not grant.port):
            handled.discard(right)  # a port of the kernel's choice: 28,000 rules, or none
        else:
            ports.setdefault(grant.port, set()).add(right)
    kept = {port: rights & handled for port, rights in ports.items()}
    by_rights: dict[tuple[str, ...], list[int]] = {}
    for port in sorted(kept):
        if kept[port]:
            by_rights.setdefault(tuple(sorted(kept[port])), []).append(port)
    return sorted(handled), [_Port(list(rights), found) for rights, found in sorted(by_rights.items())]


def _names(access: AccessFS) -> list[str]:
    return [(right.name or "").lower() for right in AccessFS if right in access]


def _toml(document: Document) -> str:
    parts = []
    for ruleset in document.ruleset:
        kept = {key: value for key, value in msgspec.to_builtins(ruleset).items() if value}
        parts.append("[[ruleset]]\n" + "".join(f"{key} = {toml_list(kept[key])}\n" for key in kept))
    for rule in document.path_beneath:
        parents = "".join(f"  {toml(path)},\n" for path in rule.parent)
        parts.append(f"[[path_beneath]]\nallowed_access = {toml_list(rule.allowed_access)}\nparent = [\n{parents}]\n")
    for port in document.net_port:
        numbers = ", ".join(map(str, port.port))
        parts.append(f"[[net_port]]\nallowed_access = {toml_list(port.allowed_access)}\nport = [{numbers}]\n")
    return "\n".join(parts)


def _json(document: Document) -> bytes:
    """Lists that are empty are left out: the schema wants one element in each."""
    found = {_camel(key): [_cameled(each) for each in value] for key, value in _lists(document) if value}
    return json.dumps(found, indent=2, ensure_ascii=False).encode() + b"\n"


def _lists(document: Document) -> list[tuple[str, list[dict[str, Any]]]]:
    return [(key, value) for key, value in msgspec.to_builtins(document).items() if key != "abi"]


def _cameled(table: dict[str, Any]) -> dict[str, Any]:
    return {_camel(key): value for key, value in table.items() if value}


def _camel(key: str) -> str:
    first, *rest = key.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _snake(key: str) -> str:
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in key)


# --- read back

_WORDS = {name: right for right in AccessFS for name in _names(right) if right in _KNOWN}
_FILES = fs_access(Right.READ | Right.EXEC | Right.WRITE | Right.TRUNCATE | Right.IOCTL)
_ABI_5 = 5


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
        return _KNOWN
    if name == "read_execute":
        return AccessFS.EXECUTE | AccessFS.READ_FILE | AccessFS.READ_DIR | AccessFS.REFER
    if name == "read_write":
        return _KNOWN & ~AccessFS.EXECUTE
    raise InputFileError(f"{where}: {to_text(word)!r} is no right of Landlock", _MEND)


def _rights(access: AccessFS) -> Right:
    found = NO_RIGHT
    for right, needed in FS_RIGHTS.items():
        if needed and needed & _KNOWN and needed & access == needed:
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


TOML, JSON = LandlockTarget("toml"), LandlockTarget("json")
