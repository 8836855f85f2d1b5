"""Settings of Anthropic's sandbox-runtime (npm ``@anthropic-ai/sandbox-runtime``, its zod schema in 0.0.83).

On Linux srt is bubblewrap with a network of its own, reached through its proxies. Measured with 0.0.83: what is in
``denyRead`` is empty directories; what is in ``allowRead`` is bound back where it really is, a link to a file under
the link's name; a deny beneath an allow holds; ``allowWrite`` may be read as well. Its relay comes by sockets in the
temporary directory, which ``denyRead: ["/"]`` hides, and programs look up ``localhost`` to find it.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from learner.gaps import Gap
from learner.names import to_text
from learner.places import is_within
from learner.policy import Grant, NetworkAction, NetworkGrant, Policy, Right
from learner.targets.coarse import Opening, Outgoing, left_out, openings, outgoing, resolve, smallest
from learner.targets.feature import Feature, missing
from learner.targets.target import Export, Request, remarks, unsayable

OWN = "/usr"
"""srt starts a shell and a relay (socat) of the machine's inside, with whatever libraries they take."""

ALWAYS_THERE = ("/dev", "/proc", "/sys")
"""Not denied by ``denyRead: ["/"]`` (srt's README); /dev is a minimal one of bubblewrap's."""

_RELAYS = ("claude-http-*.sock", "claude-socks-*.sock")
"""srt's sockets in its temporary directory (os.tmpdir() of node), patterns that it expands when it starts."""

_HOSTS = "/etc/hosts"
_HELPER = "vendor/seccomp"
"""Where srt's package keeps the program that it starts inside."""
_GLOB = re.compile(r"[*?\[\]]")
_BAD = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")

LACKS: Mapping[Feature, str] = {
    Feature.EXECUTE_APART: "what may be read may be executed",
    Feature.LIST_APART: "what may be read may be listed",
    Feature.CHANGES_APART: "writing is every change together, and lets be read as well",
    Feature.ATTRIBUTES: "modes, owners and times go with writing",
    Feature.IOCTL: "device control goes with the device",
    Feature.UNIX_SOCKETS: "on Linux none can be made at all; macOS holds them by path",
    Feature.ABSTRACT_SOCKETS: "none of the machine's can be reached: left out",
    Feature.HOSTS: "reached through srt's proxies only, which programs must use, for this machine's own servers too",
    Feature.LISTEN: "the sandbox has a loopback of its own: what listens there is reached from inside only",
    Feature.UDP: "the proxies carry TCP only: left out",
    Feature.LINKS: "a link to a directory is there only where the directory around it is open",
    Feature.ENSURE: "what does not exist when srt starts is skipped: make it first (mkdir -p -m 700)",
}


class SrtTarget:
    """A settings file, for ``srt --settings FILE COMMAND``."""

    name = "srt"
    suffix = ".json"
    executable = False
    lacks: Mapping[Feature, str] = LACKS

    def export(self, request: Request) -> Export:
        """See :class:`~learner.targets.target.Target`."""
        policy = request.profile.policy
        found, single = openings(policy.grants)
        bad = {path for path in (*(one.path for one in found), *request.denied) if _BAD.search(path)}
        opened = [one for one in found if one.path not in bad]
        net = outgoing(policy.network)
        readable = _readable(request, opened, relayed=bool(_domains(net)))
        gaps = (
            *missing(msgspec.structs.replace(policy, links=_hidden(request, readable)), LACKS),
            *left_out(single),
            *unsayable(bad, "srt builds a shell's command line, and JSON must be UTF-8"),
            *net.gaps,
            *_own(request, opened, net),
        )
        filesystem = {
            "denyRead": [_entry(path) for path in ("/", *request.denied) if path not in bad],
            "allowRead": [*(_entry(path) for path in readable), *(_relays(request) if _domains(net) else ())],
            "allowWrite": [_entry(one.path) for one in opened if one.write and not _is_own_device(one.path)],
            "denyWrite": [],
        }
        document = {
            "_comment": list(remarks(request, gaps)),  # keys that srt does not know are passed over
            "network": _network(policy, opened, net),
            "filesystem": filesystem,
        }
        return Export(json.dumps(document, indent=2).encode() + b"\n", gaps)

    def admit(self, grants: tuple[Grant, ...], network: tuple[NetworkGrant, ...]) -> tuple[str, ...]:
        """Documents of one line each, to be merged into the settings."""
        fit = [one for one in smallest(grants)[0] if not _BAD.search(one.path)]
        lines = [{"filesystem": {"allowWrite" if one.write else "allowRead": [_entry(one.path)]}} for one in fit]
        domains = [{"network": {"allowedDomains": [name]}} for name in _domains(outgoing(network))]
        return tuple(json.dumps(line) for line in (*lines, *domains))


def _entry(path: str) -> str | dict[str, Any]:
    """``path`` as it is meant; srt takes a string with these characters for a pattern."""
    return {"path": path, "literal": True} if _GLOB.search(path) else path


def _relays(request: Request) -> tuple[str, ...]:
    """Patterns for the sockets by which srt's proxies are reached."""
    own = os.path.dirname(request.variables.temporary)  # that of sbx lies in it
    place = own if own and not _GLOB.search(own) and not _BAD.search(own) else "/tmp"  # noqa: S108 - node's default
    return tuple(f"{place}/{name}" for name in _RELAYS)


def _readable(request: Request, opened: Iterable[Opening], *, relayed: bool) -> list[str]:
    """What is bound back: the grants, srt's own needs, and links to files that are granted."""
    paths = {one.path for one in opened if not any(is_within(one.path, place) for place in ALWAYS_THERE)}
    policy, known = request.profile.policy, dict(request.links)
    for link in known:
        if not _BAD.search(link) and policy.rights_on(resolve(link, known)) & (Right.READ | Right.EXEC):
            paths.add(link)
    paths |= {OWN, *filter(None, [_helper(request), _HOSTS if relayed else ""])}
    return sorted(path for path in paths if not _covered(path, paths))


def _hidden(request: Request, readable: Iterable[str]) -> tuple[str, ...]:
    """The links that are not there: srt binds what they lead to, but not them. Those in ``/`` always are."""
    open_here = (*readable, *ALWAYS_THERE)
    return tuple(
        link
        for link, _ in request.links
        if os.path.dirname(link) != "/" and not any(is_within(link, place) for place in open_here)
    )


def _covered(path: str, others: Iterable[str]) -> bool:
    """Whether ``path`` lies in :data:`OWN`, which is open as a whole anyway."""
    return path != OWN and is_within(path, OWN) and OWN in others


def _helper(request: Request) -> str:
    """The directory of srt's own program, "" if srt is not installed here (or lies in :data:`OWN`)."""
    program = dict(request.programs).get("srt", "")
    place = os.path.normpath(os.path.join(os.path.dirname(program), "..", _HELPER)) if program else ""
    return "" if is_within(place, OWN) else place


def _is_own_device(path: str) -> bool:
    return is_within(path, "/dev")


def _network(policy: Policy, opened: Iterable[Opening], net: Outgoing) -> dict[str, Any]:
    found: dict[str, Any] = {"allowedDomains": list(_domains(net)), "deniedDomains": []}
    sockets = [one.path for one in opened if one.connect]
    if sockets:
        found["allowUnixSockets"] = sockets
    if any(grant.action is NetworkAction.BIND for grant in policy.network):
        found["allowLocalBinding"] = True
    return found


def _domains(net: Outgoing) -> tuple[str, ...]:
    """Entries of ``allowedDomains``, each with its port."""
    hosts = sorted({*net.names, *net.addresses})
    return tuple(f"{f'[{host}]' if ':' in host else host}:{port}" for host, port in hosts if _fits(host) and port)


def _fits(host: str) -> bool:
    """Whether srt takes ``host``: a name has a dot in it, a pattern two labels after its ``*.``."""
    return ":" in host or "." in host.removeprefix("*.")


def _own(request: Request, opened: Iterable[Opening], net: Outgoing) -> tuple[Gap, ...]:
    """What srt opens, or keeps closed, whatever its settings say."""
    gaps = [
        Gap("only what is granted", f"{OWN} stays readable for the shell that srt starts inside, /proc and /sys too"),
        Gap(
            "all that is granted",
            "srt never lets .git/hooks, .git/config, .mcp.json, shell start-up files and the like be written",
        ),
        Gap("temporary files", "TMPDIR is /tmp/claude inside, and what is not granted in /tmp is lost at the end"),
    ]
    if not dict(request.programs).get("srt"):
        gaps.append(
            Gap("srt's own helper", f"srt is not installed here: {_HELPER} in its package must stand in allowRead, too")
        )
    for place in sorted(one.path for one in opened if one.write and is_within(one.path, "/proc")):
        gaps.append(Gap(to_text(place), "processes are shown in a /proc of the sandbox's own"))
    if net.everything or net.anywhere:
        gaps.append(Gap("every host", "srt takes no pattern for all hosts: left out, name those that are needed"))
    gaps += [Gap(f"left out: {host}", "srt takes names with a dot only") for host, _ in net.names if not _fits(host)]
    return tuple(gaps)


SRT = SrtTarget()
