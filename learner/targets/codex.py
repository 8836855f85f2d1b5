"""Codex's config.toml: a permission profile, which holds the commands that it runs.

Source: the permissions page of Codex's documentation, and codex 0.169.0 itself (npm), which refuses a pattern for
anything but ``deny``.
"""

import re
from collections.abc import Iterable, Mapping

from learner.gaps import Gap
from learner.places import is_within
from learner.policy import ALWAYS, CHANGES, Grant, NetworkAction, NetworkGrant, Policy, Scope
from learner.targets.feature import Feature, alone, missing
from learner.targets.strings import comments, is_utf8, toml
from learner.targets.target import Export, Request, remarks, unsayable
from learner.words import endpoint, place

_PATTERN = re.compile(r"[*?\[\]{}!]|\A~|\A:")
_UNSAYABLE = "a name with a character of a pattern, or without UTF-8, cannot be allowed"
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?\Z")
_LACKS: Mapping[Feature, str] = {
    Feature.EXECUTE_APART: "`read` is to execute too",
    Feature.LIST_APART: "`read` is to list too",
    Feature.CHANGES_APART: "`write` is for every change, and to read",
    Feature.ATTRIBUTES: "`write` is for attributes too",
    Feature.IOCTL: "devices are the sandbox's own",
    Feature.UNIX_SOCKETS: "a socket in a directory that is shown can be connected to where the network is allowed",
    Feature.ABSTRACT_SOCKETS: "they belong to the network: all can be reached, or none",
    Feature.PORTS: "a domain is allowed with all its ports",
    Feature.LISTEN: "the network is allowed with every port to listen on",
    Feature.UDP: "the proxy takes TCP only",
    Feature.ENSURE: "no directory is made",
}
_GAPS = (
    Gap("Codex itself", "the commands that it runs are held, not the program: `sbx run` holds it"),
    Gap("system directories", "`:minimal` shows what Codex takes programs to need: all of /usr and /etc"),
    Gap("guarded names", "in what may be written, Codex keeps .git, .codex and the like read-only: git cannot commit"),
)
_PROXY = Gap(
    "hosts", "a list of domains holds through Codex's proxy only: features.network_proxy is switched on for it"
)


class CodexTarget:
    """Tables for ``~/.codex/config.toml``."""

    name = "codex"
    suffix = ".toml"
    executable = False
    lacks = _LACKS

    def export(self, request: Request) -> Export:
        """See :class:`~learner.targets.target.Target`."""
        policy = request.profile.policy
        gaps = {*missing(policy, self.lacks), *_GAPS}
        name = toml("sbx-" + re.sub(r"[^A-Za-z0-9_-]", "-", request.profile.name))
        files = _files(policy, gaps) | dict.fromkeys(_sayable(request.denied, gaps), "deny")
        network = _network(policy.network, gaps)
        found = tuple(sorted(gaps))
        text = comments(remarks(request, found)) + f"\ndefault_permissions = {name}\n"
        text += f'\n[permissions.{name}.filesystem]\n":minimal" = "read"\n'
        text += "".join(f"{toml(path)} = {toml(files[path])}\n" for path in sorted(files))
        text += f"\n[permissions.{name}.network]\nenabled = {str(bool(policy.network)).lower()}\n"
        if network:
            text += f"\n[permissions.{name}.network.domains]\n"
            text += "".join(f'{toml(host)} = "allow"\n' for host in network)
            text += "\n[features]\nnetwork_proxy = true\n"
        return Export(text.encode(), found)

    def admit(self, grants: tuple[Grant, ...], network: tuple[NetworkGrant, ...]) -> tuple[str, ...]:
        """See :class:`~learner.targets.target.Target`: lines of the filesystem and of the domains table."""
        ignored: set[Gap] = set()
        files = _files(Policy(grants, network), ignored)
        lines = [f"{toml(path)} = {toml(files[path])}" for path in sorted(files)]
        return (*lines, *(f'{toml(host)} = "allow"' for host in _network(network, ignored)))


def _files(policy: Policy, gaps: set[Gap]) -> dict[str, str]:
    found: dict[str, str] = {}
    for grant in policy.grants:
        if alone(grant):
            gaps.add(Gap(place(grant), "granted alone, not with what it holds: left out"))
        elif is_within(grant.path, "/dev"):
            if not any(grant.path == device.path for device in ALWAYS):
                gaps.add(Gap(place(grant), "devices are the sandbox's own: left out"))
        elif grant.rights & CHANGES and grant.scope is Scope.TREE:
            found[grant.path] = "write"
        elif grant.rights:
            if grant.rights & CHANGES:
                gaps.add(
                    Gap(place(grant), "a file alone cannot be writable there (it fails to start): to be read only")
                )
            found.setdefault(grant.path, "read")
    kept = _sayable(found, gaps)
    return {path: found[path] for path in kept}


def _sayable(paths: Iterable[str], gaps: set[Gap]) -> list[str]:
    found = sorted(set(paths))
    strange = [path for path in found if _PATTERN.search(path) or not is_utf8(path)]
    gaps.update(unsayable(strange, _UNSAYABLE))
    return [path for path in found if path not in strange]


def _network(network: Iterable[NetworkGrant], gaps: set[Gap]) -> list[str]:
    """The domains to be allowed; none where every host is."""
    ends = [grant for grant in network if not grant.abstract and grant.action is NetworkAction.CONNECT]
    if any(grant.anywhere for grant in ends):
        return []
    hosts = {grant.host for grant in ends if _DOMAIN.match(grant.host)}
    gaps.update(
        Gap(endpoint(g), "no name of a host, nor an IPv4 address: left out") for g in ends if g.host not in hosts
    )
    if hosts:
        gaps.add(_PROXY)
    return sorted(hosts)


TARGET = CodexTarget()
