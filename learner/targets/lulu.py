"""Rules for LuLu, the firewall of macOS: which hosts each executable may reach, and a rule that blocks the rest.

Source: ``Rule.m``, ``AddRuleWindowController.m`` and ``consts.h`` of github.com/objective-see/LuLu (2026-11), and rules
that it exported. Numbers stand as strings: every version reads those. A rule for an endpoint comes before one for all.
"""

import re
import uuid
from collections.abc import Iterable, Mapping

from learner.gaps import Gap
from learner.names import to_text
from learner.policy import Grant, NetworkAction, NetworkGrant, Right, Scope
from learner.profile import Profile
from learner.targets.feature import Feature, missing
from learner.targets.strings import is_utf8, json_file
from learner.targets.target import Export, Request
from learner.words import endpoint

_BLOCK, _ALLOW = "0", "1"
_USER = "3"  # RULE_TYPE_USER
_PROCESS, _ENDPOINT = "0", "1"  # ACTION_SCOPE_*
_EXACT = "0"  # EndpointTypeExact
_ANY = ("*", "*")
_HOST = re.compile(r"[A-Za-z0-9._:-]+\Z")
_SPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/objective-see/LuLu")
"""Of the rules' identities: the same policy gives the same file."""
_EXECUTABLES = (
    "a rule is for an executable, whoever starts it: an interpreter's for all scripts; a signed one LuLu knows by its "
    "signature, so look whether it took the rules for it"
)
_FILES = "LuLu is about connections: the files of the policy are not in it"
_LACKS: Mapping[Feature, str] = {
    **{
        feature: _FILES
        for feature in Feature
        if feature not in (Feature.HOSTS, Feature.PORTS, Feature.LISTEN, Feature.UDP, Feature.LINKS)
    },
    Feature.LISTEN: "LuLu asks about outgoing connections only: everything may listen",
    Feature.UDP: "a rule does not tell UDP from TCP: both can be used",
    Feature.HIDING: _FILES,
}


class LuLuTarget:
    """Rules to be imported in LuLu's window (Rules, Import)."""

    name = "lulu"
    suffix = ".json"
    executable = False
    lacks = _LACKS

    def export(self, request: Request) -> Export:
        """See :class:`~learner.targets.target.Target`."""
        profile = request.profile
        gaps = set(missing(profile.policy, self.lacks, request.denied))
        allowed = _allowed(request, gaps)
        for path in _started(request):
            allowed.setdefault(path, set())
        if not allowed:
            gaps.add(Gap(to_text(profile.command), "where its executable is, is not known: no rule was written"))
        rules = {
            path: [_rule(path, *end) for end in sorted(ends - {_ANY})] + [_rest(path, ends)]
            for path, ends in sorted(allowed.items())
        }
        gaps.add(Gap("executables", _EXECUTABLES))
        return Export(json_file(rules), tuple(sorted(gaps)))

    def admit(self, grants: tuple[Grant, ...], network: tuple[NetworkGrant, ...]) -> tuple[str, ...]:
        """See :class:`~learner.targets.target.Target`: what to fill into LuLu's window for a new rule."""
        return tuple(
            f"allow: remote address {_end(grant)[0]}, port {_end(grant)[1]}" for grant in network if _sayable(grant)
        )


def _allowed(request: Request, gaps: set[Gap]) -> dict[str, set[tuple[str, str]]]:
    """(host, port) of what each executable may reach; ``*`` is any."""
    found: dict[str, set[tuple[str, str]]] = {}
    for grant in request.profile.policy.network:
        if grant.action is not NetworkAction.CONNECT or grant.abstract:
            continue
        if not _sayable(grant):
            gaps.add(Gap(endpoint(grant), "no address that a rule can hold: left out"))
            continue
        programs = {witness.program for witness in grant.witnesses}
        paths = {path for name in programs for path in _paths(request.profile, name)} or {*_started(request)}
        for path in paths:
            if not is_utf8(path):
                gaps.add(Gap(to_text(path), "LuLu's rules are UTF-8, this name is none: no rule was written"))
            elif path.endswith("*"):
                gaps.add(Gap(to_text(path), "a path that ends in * is a pattern there: no rule was written"))
            else:
                found.setdefault(path, set()).add(_end(grant))
    return found


def _sayable(grant: NetworkGrant) -> bool:
    return grant.action is NetworkAction.CONNECT and (grant.anywhere or bool(_HOST.match(grant.host)))


def _end(grant: NetworkGrant) -> tuple[str, str]:
    return _ANY if grant.anywhere else (grant.host, str(grant.port) if grant.port else "*")


def _paths(profile: Profile, program: str) -> Iterable[str]:
    """The executables that run as ``program``: for a script the interpreter, which is the process that connects."""
    ran = profile.agent.ran if profile.agent else ()
    interpreters = [each.path for each in ran if each.interpreter and program in each.by]
    yield from interpreters or [each.path for each in ran if each.name == program]
    if not ran:
        for grant in profile.policy.grants:
            named = grant.path.rpartition("/")[2] == program
            if named and grant.scope is Scope.FILE and grant.rights & Right.EXEC:
                yield grant.path


def _started(request: Request) -> list[str]:
    """The executable of the command itself."""
    agent = request.profile.agent
    found = (agent.path if agent else "") or request.file
    return [found] if found.startswith("/") and is_utf8(found) and not found.endswith("*") else []


def _rest(path: str, ends: set[tuple[str, str]]) -> dict[str, str]:
    return _rule(path, "*", "*", _ALLOW if _ANY in ends else _BLOCK)


def _rule(path: str, host: str, port: str, action: str = _ALLOW) -> dict[str, str]:
    identity = "\n".join((path, host, port, action))
    return {
        "key": path,
        "uuid": str(uuid.uuid5(_SPACE, identity)).upper(),
        "path": path,
        "name": path.rpartition("/")[2],
        "endpointAddr": host,
        "endpointPort": port,
        "isEndpointAddrRegex": _EXACT,
        "type": _USER,
        "scope": _PROCESS if (host, port) == _ANY else _ENDPOINT,
        "action": action,
    }


TARGET = LuLuTarget()
