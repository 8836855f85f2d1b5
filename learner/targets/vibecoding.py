"""VibeCoding's settings.json (:mod:`learner.vibecoding`), written from a profile and read as one."""

from collections.abc import Mapping

from learner.gaps import Gap
from learner.levels import READING, WORKING, Level, base
from learner.names import to_text
from learner.places import is_within
from learner.policy import Grant, NetworkGrant, Policy, Scope, Witness
from learner.targets.bwrap_words import everything
from learner.targets.feature import Feature, alone, missing
from learner.targets.importing import TextReader
from learner.targets.strings import dumps, is_utf8
from learner.targets.target import Export, Request
from learner.variables import Variables
from learner.vibecoding import loads, to_settings, updated

_BIND = "a bind does not say what may be done with what it shows"
_NETWORK = "allowNetwork opens every host and port"
_LACKS: Mapping[Feature, str] = {
    Feature.EXECUTE_APART: _BIND,
    Feature.LIST_APART: _BIND,
    Feature.CHANGES_APART: _BIND,
    Feature.ATTRIBUTES: _BIND,
    Feature.IOCTL: "allowDevices shows all devices, or none",
    Feature.UNIX_SOCKETS: "a socket in a directory that is shown can be connected to",
    Feature.ABSTRACT_SOCKETS: "they come with allowNetwork only",
    Feature.HOSTS: _NETWORK,
    Feature.PORTS: _NETWORK,
    Feature.LISTEN: _NETWORK,
    Feature.UDP: _NETWORK,
    Feature.ENSURE: "it makes no directories: make them before",
    Feature.DENIALS: "a bind shows all of a directory: they stay open",
}


class VibeCodingTarget:
    """The ``sandbox`` table of a settings.json."""

    name = "vibecoding"
    suffix = ".json"
    executable = False
    lacks = _LACKS

    def export(self, request: Request) -> Export:
        """See :class:`~learner.targets.target.Target`."""
        policy = request.profile.policy
        table, gaps = to_settings(policy, request.variables.places, _level(request))
        found = tuple(sorted({*gaps, *missing(policy, self.lacks, request.denied)}))
        return Export(updated("", "settings.json", table).encode(), found)

    def admit(self, grants: tuple[Grant, ...], network: tuple[NetworkGrant, ...]) -> tuple[str, ...]:
        """See :class:`~learner.targets.target.Target`: elements of ``extraBinds``, and keys."""
        lines = [
            f"extraBinds: {dumps(f'{grant.path}:{grant.path}')}"
            for grant in grants
            if ":" not in grant.path
            and is_utf8(grant.path)
            and not alone(grant)
            and not any(is_within(grant.path, top) for top in ("/dev", "/proc"))
        ]
        return tuple(dict.fromkeys([*lines, *(["allowNetwork: true"] if network else [])]))


def _level(request: Request) -> Policy:
    """What the level itself shows here, which needs no bind; nothing where this machine is not to be looked at."""
    if request.view is None or not request.variables.places.has_project:
        return Policy()
    return base(Level.STANDARD, request.variables.places).policy


def read(text: str, where: str, variables: Variables) -> tuple[Policy, tuple[Gap, ...]]:
    """What the sandbox table of a settings.json grants beside its level. Raises InputFileError."""
    settings = loads(text, where, variables.home)
    sandbox = settings.sandbox
    gaps = {*settings.gaps}
    if not sandbox.enabled:
        gaps.add(Gap("sandbox.enabled", "it is false: VibeCoding confines nothing with this"))
    level = sandbox.level or Level.STANDARD
    gaps.add(Gap(f"level {level}", f"what the level opens is not in a profile: `sbx run --level {level}` has it"))
    rights = WORKING if level is Level.STANDARD else READING
    grants = {}
    for bind in sandbox.extra_binds:
        if bind.source != bind.destination:
            item = f"bind {to_text(bind.source)} at {to_text(bind.destination)}"
            gaps.add(Gap(item, "only what keeps its place can be granted"))
            continue
        grants[bind.source] = Grant(bind.source, Scope.TREE, rights, (Witness("extraBinds", (), bind.source),))
    if sandbox.allow_devices:
        gaps.add(Gap("sandbox.allowDevices", "devices are granted one by one in a profile: none was"))
    network = everything() if sandbox.allow_network else ()
    return Policy(tuple(grants[path] for path in sorted(grants)), network), tuple(sorted(gaps))


TARGET = VibeCodingTarget()


READER = TextReader("vibecoding", read)
