"""Profiles of nono, read back."""

from collections.abc import Iterable
from typing import Any

import msgspec

from learner import forms
from learner.gaps import Gap
from learner.jail.rules import host_name, literal
from learner.names import to_text
from learner.places import is_within
from learner.policy import ANYWHERE, NO_RIGHT, Grant, NetworkAction, NetworkGrant, Right, Scope
from learner.targets import jsonc
from learner.targets.coarse import rights
from learner.targets.importing import Imported, Refusal
from learner.targets.nono_terms import Key, has_glob
from learner.variables import Variables
from tracers.events import Transport

_MEND = "mend that line; `nono profile validate FILE` says more"

ACCESS = {
    Key.ALLOW: (Scope.TREE, True, True),
    Key.READ: (Scope.TREE, True, False),
    Key.WRITE: (Scope.TREE, False, True),
    Key.ALLOW_FILE: (Scope.FILE, True, True),
    Key.READ_FILE: (Scope.FILE, True, False),
    Key.WRITE_FILE: (Scope.FILE, False, True),
    Key.UNIX_SOCKET: (Scope.FILE, True, False),
    Key.UNIX_SOCKET_SUBTREE: (Scope.TREE, True, False),
}
"""(scope, whether to read, whether to write) of each list of paths."""

_WORKDIR = {"readwrite": Key.ALLOW, "read": Key.READ, "write": Key.WRITE}
_PLAIN = frozenset(
    {"$schema", "meta", "filesystem", "network", "workdir", "binary", "extends", "groups", "environment"}
)
_HARMLESS = frozenset({"bypass_protection", "suppress_save_prompt", "ignore"})


class _Conditional(msgspec.Struct, frozen=True):
    path: str
    when: Any = None


class _Endpoints(msgspec.Struct, frozen=True):
    domain: str


class _Meta(msgspec.Struct, frozen=True):
    name: str = ""


class _Workdir(msgspec.Struct, frozen=True):
    access: str = "none"


_Paths = list[str | _Conditional]


class _Filesystem(msgspec.Struct, frozen=True):
    allow: _Paths = []
    read: _Paths = []
    write: _Paths = []
    allow_file: _Paths = []
    read_file: _Paths = []
    write_file: _Paths = []
    unix_socket: _Paths = []
    unix_socket_bind: _Paths = []
    unix_socket_dir: _Paths = []
    unix_socket_dir_bind: _Paths = []
    unix_socket_subtree: _Paths = []
    unix_socket_subtree_bind: _Paths = []
    deny: _Paths = []


class _Network(msgspec.Struct, frozen=True):
    block: bool = False
    network_profile: str | None = None
    allow_domain: list[str | _Endpoints] = []
    allow_proxy: list[str] = []
    proxy_allow: list[str] = []
    deny_domain: list[str] = []
    connect_port: list[int] = []
    listen_port: list[int] = []
    open_port: list[int] = []
    allow_port: list[int] = []
    port_allow: list[int] = []


class _Conditioned(msgspec.Struct, frozen=True):
    name: str


class _Groups(msgspec.Struct, frozen=True):
    include: list[str | _Conditioned] = []
    exclude: list[str | _Conditioned] = []


class _Form(msgspec.Struct, frozen=True):
    meta: _Meta = _Meta()
    filesystem: _Filesystem = _Filesystem()
    network: _Network = _Network()
    workdir: _Workdir = _Workdir()
    groups: _Groups = _Groups()
    binary: str | None = None
    extends: Any = None


class NonoReader:
    """See :class:`~learner.targets.importing.Reader`."""

    name = "nono"

    def read(self, text: str, where: str, variables: Variables) -> Imported:
        """See :class:`~learner.targets.importing.Reader`."""
        document = jsonc.loads(text, where, _MEND)
        form = forms.convert(document, _Form, where, _MEND)
        gaps = list(_unread(document, form))
        grants: list[Grant] = []
        refused: list[Refusal] = []
        for name in _Filesystem.__struct_fields__:
            for entry in getattr(form.filesystem, name):
                path = _path(entry, name, variables, gaps)
                if not path:
                    continue
                if name == "deny":
                    refused.append(Refusal(path, ~NO_RIGHT, has_glob(path)))
                elif has_glob(path):
                    gaps.append(Gap(f"left out: {to_text(path)}", "a pattern: name what it is to fit"))
                elif name in ACCESS:
                    grants.append(grant(Key(name), path))
                else:
                    gaps.append(
                        Gap(f"left out: {to_text(name)} {to_text(path)}", "sockets that are made: not imported")
                    )
        current = [grant(key, variables.project) for word, key in _WORKDIR.items() if word == form.workdir.access]
        network = _network(form.network, gaps)
        return Imported(
            tuple(grants),
            network,
            tuple(dict.fromkeys(gaps)),
            tuple(refused),
            form.meta.name,
            form.binary or "",
            tuple(current),
            tuple(one if isinstance(one, str) else one.name for one in form.groups.exclude),
        )


def grant(key: Key, path: str) -> Grant:
    """What nono gives on ``path`` in the list ``key``."""
    scope, read, write = ACCESS[key]
    found = rights(scope, read=read, write=write)
    if key in (Key.UNIX_SOCKET, Key.UNIX_SOCKET_SUBTREE):
        found |= Right.CONNECT
    if is_within(path, "/dev"):
        found |= Right.IOCTL
    return Grant(path, scope, found, ())


def endpoints(
    domains: Iterable[str], connect: Iterable[int], listen: Iterable[int], gaps: list[Gap]
) -> tuple[NetworkGrant, ...]:
    """The network grants of domains and ports; what nono opens beyond them becomes a gap."""
    found: list[NetworkGrant] = []
    for domain in domains:
        host = host_name(domain.removeprefix("*.")) if literal(domain) is None else domain
        if host is None:
            gaps.append(Gap(f"left out: {to_text(domain)}", "no name of a host"))
            continue
        host = "*." + host if domain.startswith("*.") else host
        found += [NetworkGrant(NetworkAction.CONNECT, host, port, Transport.TCP, ()) for port in (80, 443)]
        gaps.append(Gap(f"ports of {to_text(host)}", "nono lets every port of it be reached: 80 and 443 are imported"))
    for port in connect:
        found.append(NetworkGrant(NetworkAction.CONNECT, "127.0.0.1", port, Transport.TCP, ()))
        gaps.append(Gap(f"port {port}", "nono lets it be reached on every host: this machine's own is imported"))
    found += [NetworkGrant(NetworkAction.BIND, "127.0.0.1", port, Transport.TCP, ()) for port in listen]
    return tuple(found)


def everywhere() -> tuple[NetworkGrant, ...]:
    """The grant of all of the network, which nono gives unless it is told otherwise."""
    return (NetworkGrant(NetworkAction.CONNECT, ANYWHERE, 0, Transport.TCP, ()),)


def _network(form: _Network, gaps: list[Gap]) -> tuple[NetworkGrant, ...]:
    domains = [
        *(entry if isinstance(entry, str) else entry.domain for entry in form.allow_domain),
        *form.allow_proxy,
        *form.proxy_allow,
    ]
    both = {*form.open_port, *form.allow_port, *form.port_allow}
    if form.network_profile is not None:
        gaps.append(Gap(f"network_profile {to_text(form.network_profile)}", "nono's own list of hosts: not imported"))
    for entry in form.deny_domain:
        gaps.append(Gap(f"deny_domain {to_text(entry)}", "left out, with every pattern that it takes something from"))
        domains = [d for d in domains if not _takes(entry, d)]
    limited = form.block or domains or form.deny_domain or form.network_profile is not None or form.connect_port
    if not limited:
        return everywhere()
    found = endpoints(domains, sorted({*form.connect_port} | both), sorted({*form.listen_port} | both), gaps)
    return tuple(sorted(set(found), key=lambda n: (n.action, n.host, n.port)))


def _takes(denied: str, allowed: str) -> bool:
    """Whether a denied domain may take something from an allowed one."""
    denied, allowed = denied.lower(), allowed.lower()
    of_pattern = denied.startswith("*") and allowed.endswith(denied.lstrip("*"))
    return allowed == denied or allowed.startswith("*") or of_pattern


def _path(entry: str | _Conditional, name: str, variables: Variables, gaps: list[Gap]) -> str:
    """The absolute path of an entry, "" if it cannot be used (a gap says why)."""
    text = entry if isinstance(entry, str) else entry.path
    item = f"left out: {name} {to_text(text)}"
    if isinstance(entry, _Conditional) and entry.when is not None and name != "deny":
        gaps.append(Gap(item, "granted under a condition only"))
        return ""
    path = expand(text, variables)
    if "$" in path or not path.startswith("/") or "/../" in path + "/" or "\0" in path:
        gaps.append(Gap(item, "no absolute path, or a variable that is not known here"))
        return ""
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def expand(text: str, variables: Variables) -> str:
    """``text`` with nono's variables replaced, wherever they stand."""
    if text == "~" or text.startswith("~/"):
        text = variables.home + text[1:]
    values = [
        ("$WORKDIR", variables.project),
        ("$TMPDIR", variables.temporary),
        ("$UID", str(variables.uid)),
        *((f"${name}", directory) for name, directory in variables.xdg),
        ("$HOME", variables.home),
    ]
    for variable, value in values:
        if value:
            text = text.replace(variable, value)
    return text


def _unread(document: dict[str, object], form: _Form) -> Iterable[Gap]:
    """What else the profile says."""
    for name in sorted({*document} - _PLAIN):
        yield Gap(to_text(name), "not a matter of grants, or not understood: not imported")
    if form.extends:
        yield Gap("extends", "what the base grants is not imported")
    if form.groups.include:
        yield Gap("groups.include", "what these groups of nono's grant is not imported")
    known = {"filesystem": {*_Filesystem.__struct_fields__, *_HARMLESS}, "network": {*_Network.__struct_fields__}}
    for name, keys in sorted(known.items()):
        table = document.get(name)
        for key in sorted({*table} - keys) if isinstance(table, dict) else ():
            yield Gap(f"{name}.{to_text(key)}", "not imported")


NONO = NonoReader()
