"""Landlock rules in the configuration format of the Landlock project (:mod:`learner.targets.landlock_form`).

Rights are written one by one, without the groups ``abi.*`` and ``v5.*``: those names have changed, these have not.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from landlockpy import AccessFS

from learner.enforcers.landlock import fs_access, policy_gaps
from learner.gaps import Gap
from learner.places import is_within
from learner.policy import (
    ALWAYS,
    DIRECTORY_RIGHTS,
    Grant,
    NetworkAction,
    NetworkGrant,
    Policy,
    Right,
)
from learner.targets.feature import Feature, alone, missing
from learner.targets.landlock_form import KNOWN, Document, Port, Rule, Ruleset, names_of
from learner.targets.strings import NO_UTF8, comments, dumps, is_utf8, json_file, toml, toml_list
from learner.targets.target import Export, Request, remarks, unsayable
from tracers.events import Transport

_LACKS: Mapping[Feature, str] = {
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
        gaps = [*missing(policy, self.lacks, request.denied), *_GAPS, *unsayable(lost, NO_UTF8)]
        gaps += [g for g in policy_gaps(policy) if g.item in ("own ports", "single directories")]
        if any(Right.EXEC in grant.rights and Right.READ not in grant.rights for grant in policy.grants):
            gaps.append(Gap("execute without read", "what may be executed may be read: the kernel opens it for both"))
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
                f"{_camel(key)}: {dumps(_cameled(each))}"
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
    rules = [Rule(names_of(access), paths) for access, paths in parents.items()]
    handled, ports = _network(policy.network)
    scoped = ["signal"] if any(n.abstract for n in policy.network) else ["abstract_unix_socket", "signal"]
    ruleset = Ruleset(names_of(KNOWN), handled, scoped)
    found = Document(ruleset=[ruleset], path_beneath=sorted(rules, key=lambda rule: rule.parent), net_port=ports)
    return found, [path for path in rights if not is_utf8(path)]


def _access(grant: Grant) -> AccessFS:
    """What the rule on a grant's path allows. Rights on files are kept from what lies in a single directory."""
    rights = grant.rights
    if alone(grant):
        rights &= DIRECTORY_RIGHTS
    return fs_access(rights) & KNOWN


def _network(network: Iterable[NetworkGrant]) -> tuple[list[str], list[Port]]:
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
    return sorted(handled), [Port(list(rights), found) for rights, found in sorted(by_rights.items())]


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
    return json_file(found)


def _lists(document: Document) -> list[tuple[str, list[dict[str, Any]]]]:
    return [(key, value) for key, value in msgspec.to_builtins(document).items() if key != "abi"]


def _cameled(table: dict[str, Any]) -> dict[str, Any]:
    return {_camel(key): value for key, value in table.items() if value}


def _camel(key: str) -> str:
    first, *rest = key.split("_")
    return first + "".join(word.capitalize() for word in rest)


TOML, JSON = LandlockTarget("toml"), LandlockTarget("json")
