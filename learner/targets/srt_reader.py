"""Settings of Anthropic's sandbox-runtime, read back."""

import os
import re
from typing import Literal

import msgspec

from learner import forms
from learner.gaps import Gap
from learner.jail.rules import host_name, literal
from learner.names import to_text
from learner.places import is_within
from learner.policy import CHANGES, Grant, NetworkAction, NetworkGrant, Right, Scope
from learner.targets import jsonc
from learner.targets.coarse import LOOK, rights
from learner.targets.importing import Imported, Refusal
from learner.variables import Variables
from tracers.events import Transport

_MEND = "mend that line; srt says more when it starts"
_GLOB = re.compile(r"[*?\[\]]")
_PLAIN = frozenset({"network", "filesystem", "_comment"})
_TERMINAL = Right.READ | Right.WRITE | Right.IOCTL
THERE = (
    Grant("/dev/pts", Scope.TREE, _TERMINAL | Right.LIST, ()),
    Grant("/dev/tty", Scope.FILE, _TERMINAL, ()),
    Grant("/proc", Scope.TREE, Right.READ | Right.LIST, ()),
    Grant("/sys", Scope.TREE, Right.READ | Right.LIST, ()),
)
"""What srt shows whatever its settings say: its /dev holds terminals, and what every policy admits."""
_DOMAIN = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>[0-9]{1,5}))?")


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    path: str
    literal: Literal[True]


_Paths = list[str | _Entry]


class _Filesystem(msgspec.Struct, frozen=True):
    denyRead: _Paths = []  # noqa: N815 - srt's names
    allowRead: _Paths = []  # noqa: N815
    allowWrite: _Paths = []  # noqa: N815
    denyWrite: _Paths = []  # noqa: N815
    disabled: bool = False


class _Network(msgspec.Struct, frozen=True):
    allowedDomains: list[str] = []  # noqa: N815
    deniedDomains: list[str] = []  # noqa: N815
    allowUnixSockets: list[str] = []  # noqa: N815


class _Form(msgspec.Struct, frozen=True):
    filesystem: _Filesystem = _Filesystem()
    network: _Network = _Network()


class SrtReader:
    """See :class:`~learner.targets.importing.Reader`."""

    name = "srt"

    def read(self, text: str, where: str, variables: Variables) -> Imported:
        """See :class:`~learner.targets.importing.Reader`."""
        document = jsonc.loads(text, where, _MEND)
        form = forms.convert(document, _Form, where, _MEND)
        gaps = [Gap(to_text(name), "not a matter of grants: not imported") for name in sorted({*document} - _PLAIN)]
        look, every = rights(Scope.TREE, read=True, write=False), rights(Scope.TREE, read=True, write=True)
        paths = form.filesystem
        denied = [_refusal(entry, LOOK | CHANGES, variables) for entry in paths.denyRead]
        grants = []
        if not any(one.path == "/" for one in denied):
            grants.append(Grant("/", Scope.TREE, look, ()))
        if paths.disabled:
            grants, denied, paths = [Grant("/", Scope.TREE, every, ())], [], _Filesystem()
        grants += THERE
        for entries, given in ((paths.allowRead, look), (paths.allowWrite, every)):
            for entry in entries:
                one = _refusal(entry, given, variables)
                if one.pattern:
                    gaps.append(Gap(f"left out: {to_text(one.path)}", "a pattern: name what it is to fit"))
                else:
                    grants.append(Grant(one.path, Scope.TREE, given | _device(one.path), ()))
        denied += [_refusal(entry, CHANGES, variables) for entry in paths.denyWrite]
        sockets = [_refusal(path, Right.CONNECT, variables).path for path in form.network.allowUnixSockets]
        grants += [Grant(path, Scope.FILE, Right.CONNECT, ()) for path in sockets]
        return Imported(tuple(grants), _network(form.network, gaps), tuple(dict.fromkeys(gaps)), tuple(denied))


def _device(path: str) -> Right:
    return Right.IOCTL if is_within(path, "/dev") else Right(0)


def _refusal(entry: str | _Entry, given: Right, variables: Variables) -> Refusal:
    """An entry of a list, absolute: relative ones begin at the project."""
    text = entry if isinstance(entry, str) else entry.path
    if text == "~" or text.startswith("~/"):
        text = variables.home + text[1:]
    pattern = isinstance(entry, str) and bool(_GLOB.search(text))
    if isinstance(entry, str) and text.endswith("/**") and not _GLOB.search(text[:-3]):
        text, pattern = text[:-3], False
    path = os.path.normpath(os.path.join(variables.project, text))
    return Refusal("/" + path.lstrip("/"), given, pattern)


def _network(form: _Network, gaps: list[Gap]) -> tuple[NetworkGrant, ...]:
    found: set[tuple[str, int]] = set()
    for entry in form.allowedDomains:
        match = _DOMAIN.fullmatch(entry)
        text = match["host"].strip("[]") if match else ""
        name = literal(text) or (text if text == "localhost" else host_name(text.removeprefix("*.")))
        if match is None or name is None:
            gaps.append(Gap(f"left out: {to_text(entry)}", "neither a name nor an address"))
            continue
        host = "*." + name if text.startswith("*.") else name
        if match["port"] is None:
            gaps.append(
                Gap(f"ports of {to_text(host)}", "srt lets every port of it be reached: 80 and 443 are imported")
            )
        found |= {(host, port) for port in ([int(match["port"])] if match["port"] else (80, 443))}
    for entry in form.deniedDomains:
        gaps.append(Gap(f"deniedDomains {to_text(entry)}", "left out, with every pattern that it takes something from"))
        bare = entry.rpartition(":")[0] or entry
        found = {
            (host, port)
            for host, port in found
            if not host.startswith("*.") and host not in (entry, bare) and not host.endswith(bare.removeprefix("*"))
        }
    return tuple(NetworkGrant(NetworkAction.CONNECT, h, p, Transport.TCP, ()) for h, p in sorted(found))


SRT = SrtReader()
