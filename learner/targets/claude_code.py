"""Claude Code's settings.json: permission rules for its tools, and its sandbox for the commands that it runs.

Source: the settings' types in npm's @anthropic-ai/claude-agent-sdk 0.3.330 (``sdk.d.ts``), and the permissions page of
Claude Code's documentation: a rule's path begins with ``//`` at the root, and is a pattern as of gitignore(5).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from learner.gaps import Gap
from learner.places import is_within
from learner.policy import CHANGES, Grant, NetworkAction, NetworkGrant, Policy, Right, Scope
from learner.targets.feature import Feature, alone, is_name, missing
from learner.targets.strings import dumps, is_utf8, json_file
from learner.targets.target import Export, Request, unsayable
from learner.words import endpoint, place

_SPECIAL = re.compile(r"[*?\[\]{}()!\\#$,\x00-\x1f\x7f]|(?:^| )~|\s\Z")
_UNSAYABLE = "a rule has no way to write a name with a special character"
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?\Z")
_LACKS: Mapping[Feature, str] = {
    Feature.EXECUTE_APART: "what may be read may be executed",
    Feature.LIST_APART: "what may be read may be listed",
    Feature.CHANGES_APART: "`Edit` and `allowWrite` are for every change",
    Feature.ATTRIBUTES: "`allowWrite` is for attributes too",
    Feature.IOCTL: "devices are the sandbox's own",
    Feature.UNIX_SOCKETS: "on Linux a socket by path cannot be granted",
    Feature.ABSTRACT_SOCKETS: "they cannot be granted",
    Feature.PORTS: "a domain is allowed with all its ports",
    Feature.LISTEN: "`allowLocalBinding` is for every port, on macOS",
    Feature.UDP: "the sandbox's proxies take TCP only: it is refused",
    Feature.ENSURE: "no directory is made",
    Feature.HIDING: "what is not granted is refused, and outside of home directories it can be read",
}
_GAPS = (
    Gap("Claude Code itself", "its tools and the commands that it runs are held, not the program: `sbx run` holds it"),
    Gap("reading", "outside of home directories everything may be read: the sandbox cannot do without it"),
)
_OWN = ("/dev", "/proc")
_HOMES = ("/Users", "/home", "/root")


class ClaudeCodeTarget:
    """The whole file, or what to add to one."""

    name = "claude-code"
    suffix = ".json"
    executable = False
    lacks = _LACKS

    def export(self, request: Request) -> Export:
        """See :class:`~learner.targets.target.Target`."""
        policy = request.profile.policy
        gaps = {*missing(policy, self.lacks), *_GAPS}
        read, write = _sayable(_paths(policy, gaps), gaps), _sayable(_changed(policy), gaps)
        denied = _sayable(request.denied, gaps)
        hosts, domains = _network(policy.network, gaps)
        homes = sorted({*_HOMES, request.variables.home} - {"/"})
        settings: dict[str, Any] = {
            "permissions": {
                "allow": [*_rules("Read", policy, read), *_rules("Edit", policy, write), *domains],
                "deny": [
                    f"{tool}(/{path}{rest})" for tool in ("Read", "Edit") for path in denied for rest in ("", "/**")
                ],
            },
            "sandbox": {
                "enabled": True,
                "failIfUnavailable": True,
                "allowUnsandboxedCommands": False,
                "filesystem": {
                    "allowWrite": write,
                    "denyWrite": denied,
                    "denyRead": [*homes, *denied],
                    "allowRead": [path for path in read if any(is_within(path, home) for home in homes)],
                },
                "network": {"allowedDomains": hosts, "strictAllowlist": True},
            },
        }
        if any(grant.action is NetworkAction.BIND for grant in policy.network):
            settings["sandbox"]["network"]["allowLocalBinding"] = True
        return Export(json_file(settings), tuple(sorted(gaps)))

    def admit(self, grants: tuple[Grant, ...], network: tuple[NetworkGrant, ...]) -> tuple[str, ...]:
        """See :class:`~learner.targets.target.Target`: elements of the lists, each after the list's key."""
        policy, ignored = Policy(grants, network), set[Gap]()
        read, write = _sayable(_paths(policy, ignored), ignored), _sayable(_changed(policy), ignored)
        rules = [*_rules("Read", policy, read), *_rules("Edit", policy, write)]
        hosts, domains = _network(network, ignored)
        return tuple(
            f"{key}: {dumps(word)}"
            for key, words in (
                ("permissions.allow", [*rules, *domains]),
                ("sandbox.filesystem.allowRead", read),
                ("sandbox.filesystem.allowWrite", write),
                ("sandbox.network.allowedDomains", hosts),
            )
            for word in words
        )


def _paths(policy: Policy, gaps: set[Gap]) -> list[str]:
    """What may be read: trees and files. A single directory would be granted with all that it holds."""
    found = []
    for grant in policy.grants:
        if alone(grant):
            gaps.add(Gap(place(grant), "granted alone, not with what it holds: left out"))
        elif any(is_within(grant.path, top) for top in _OWN):
            gaps.add(Gap(place(grant), "the sandbox has a /dev and a /proc of its own: left out"))
        elif grant.rights & (Right.READ | Right.EXEC | Right.LIST):
            found.append(grant.path)
    return found


def _changed(policy: Policy) -> list[str]:
    return [
        grant.path
        for grant in policy.grants
        if grant.rights & CHANGES and not alone(grant) and not any(is_within(grant.path, top) for top in _OWN)
    ]


def _sayable(paths: Iterable[str], gaps: set[Gap]) -> list[str]:
    found = sorted(set(paths))
    strange = [path for path in found if _SPECIAL.search(path) or not is_utf8(path)]
    gaps.update(unsayable(strange, _UNSAYABLE))
    return [path for path in found if path not in strange]


def _rules(tool: str, policy: Policy, paths: list[str]) -> list[str]:
    """Rules for what was granted, a tree with all that it holds."""
    trees = {grant.path for grant in policy.grants if grant.scope is Scope.TREE}
    return [f"{tool}(/{path.rstrip('/')}/**)" if path in trees else f"{tool}(/{path})" for path in paths]


def _network(network: Iterable[NetworkGrant], gaps: set[Gap]) -> tuple[list[str], list[str]]:
    """Hosts for the sandbox, and rules for the tool that fetches pages."""
    hosts = set()
    for grant in network:
        if grant.abstract or grant.action is NetworkAction.BIND:
            continue
        if grant.anywhere:
            gaps.add(Gap("every host", "the sandbox takes names, not all of them: none was allowed"))
        elif _DOMAIN.match(grant.host):
            hosts.add(grant.host)
        else:
            gaps.add(Gap(endpoint(grant), "it is no name of a host, nor an IPv4 address: left out"))
    return sorted(hosts), [f"WebFetch(domain:{host})" for host in sorted(hosts) if is_name(host)]


TARGET = ClaudeCodeTarget()
