"""A drop-in that hardens a systemd service (systemd.exec(5), systemd.resource-control(5), 252).

What is at the top of the file system and not granted as a whole becomes an empty read-only directory, and what is
granted is bound into it. ``/proc`` and ``/dev`` are the service's own. A name with a quote, a backslash, a colon or
control characters is left out: units have rules of their own for each.
"""

import ipaddress
import re
import stat
from collections.abc import Iterable, Mapping

from learner.enforcers.binds import Make, Plan
from learner.gaps import Gap
from learner.names import to_text
from learner.places import is_within
from learner.policy import CHANGES, Grant, NetworkAction, NetworkGrant
from learner.targets.feature import Feature, alone, is_name, missing
from learner.targets.root import ensured, links_to_granted, plan_of, view_of
from learner.targets.strings import comments
from learner.targets.target import Export, Request, remarks, temporary_of, unsayable
from learner.words import endpoint
from tracers.events import Transport

_SAYABLE = re.compile(r"/[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\"'\\:]*\Z")
_UNSAYABLE = "a unit has no safe way to write it"
_KERNELS = frozenset({"/dev", "/proc", "/sys"})
_DEVICES = ("/dev/full", "/dev/null", "/dev/ptmx", "/dev/pts", "/dev/random", "/dev/tty", "/dev/urandom", "/dev/zero")
"""What PrivateDevices= shows, with the streams' names."""
_BOUND = "what is bound can be read, listed and executed"
_CHANGED = "what is bound so that it can be changed can be changed in every way"
_LACKS: Mapping[Feature, str] = {
    Feature.EXECUTE_APART: _BOUND + "; NoExecPaths= would keep libraries from being loaded",
    Feature.LIST_APART: _BOUND,
    Feature.CHANGES_APART: _CHANGED,
    Feature.ATTRIBUTES: _CHANGED,
    Feature.IOCTL: "a device that is shown takes every request",
    Feature.UNIX_SOCKETS: "a socket in a directory that is shown can be connected to",
    Feature.ABSTRACT_SOCKETS: "they belong to the network: all can be reached, or none",
    Feature.PORTS: "an address can be allowed, a port of it cannot",
    Feature.ENSURE: "a drop-in makes directories of its own places only (StateDirectory=): make it before",
}
_HARDENING = """
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
KeyringMode=private
LockPersonality=yes
PrivateDevices=yes
PrivateIPC=yes
PrivateMounts=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
"""
_GAPS = (
    Gap("/", "files and symlinks at the top of the file system are shown"),
    Gap("/sys and /proc", "they are shown as a whole, /sys and the machine's settings in /proc read-only"),
    Gap("system calls", "no SystemCallFilter= is written: sbx does not learn calls; @system-service is a start"),
)


class SystemdTarget:
    """A drop-in, for ``/etc/systemd/system/NAME.service.d/sbx.conf``."""

    name = "systemd"
    suffix = ".conf"
    executable = False
    lacks = _LACKS

    def export(self, request: Request) -> Export:
        """See :class:`~learner.targets.target.Target`."""
        policy = request.profile.policy
        plan = plan_of(request)
        gaps = {*missing(policy, self.lacks), *(g for g in plan.gaps if g.item != "single directories"), *_GAPS}
        masked = _sayable(request.denied, gaps)
        lines = [*_HARDENING.strip().splitlines(), *_network(policy.network, gaps)]
        lines += [f"TemporaryFileSystem={_quote(path)}:ro" for path in _sayable(_emptied(request, plan), gaps)]
        lines += _binds(request, plan, gaps)
        lines += [f"InaccessiblePaths={_quote('-' + path)}" for path in masked]
        temporary = temporary_of(request, (grant.path for grant in request.profile.policy.grants))
        lines += [f"Environment={_quote(f'TMPDIR={path}')}" for path in _sayable(temporary, gaps)]
        found = tuple(sorted(gaps))
        text = comments(remarks(request, found)) + "[Service]\n" + "".join(f"{line}\n" for line in lines)
        return Export(text.encode(), found)

    def admit(self, grants: tuple[Grant, ...], network: tuple[NetworkGrant, ...]) -> tuple[str, ...]:
        """See :class:`~learner.targets.target.Target`: lines of the ``[Service]`` section."""
        shown = [g for g in grants if not alone(g) and not any(is_within(g.path, top) for top in _KERNELS)]
        lines = [_bind(g.path, bool(g.rights & CHANGES)) for g in shown if _SAYABLE.match(g.path)]
        kept = [line for line in _network(network, set()) if "Deny=" not in line] if network else []
        return tuple(dict.fromkeys([*lines, *(["PrivateNetwork=no"] if network else []), *kept]))


def _quote(text: str) -> str:
    """One word of a setting. ``%`` would begin a specifier; ``$`` means nothing outside of Exec lines."""
    return '"' + text.replace("%", "%%") + '"'


def _bind(path: str, writable: bool) -> str:
    return f"{'BindPaths' if writable else 'BindReadOnlyPaths'}={_quote('-' + path)}:{_quote(path)}:rbind"


def _sayable(paths: Iterable[str], gaps: set[Gap]) -> list[str]:
    paths = sorted(set(paths))
    gaps.update(unsayable([path for path in paths if not _SAYABLE.match(path)], _UNSAYABLE))
    return [path for path in paths if _SAYABLE.match(path)]


def _emptied(request: Request, plan: Plan) -> list[str]:
    """The directories at the top that are not granted as a whole."""
    if any(step.path == "/" for step in plan.binds):
        return []
    tops = {f"/{name}" for name, kind in view_of(request).entries("/") if stat.S_ISDIR(kind)}
    return sorted(tops - _KERNELS - {step.path for step in plan.binds})


def _binds(request: Request, plan: Plan, gaps: set[Gap]) -> list[str]:
    writable = {step.path: step.writable for step in plan.binds if step.path != "/"}
    for path in ensured(request.profile.policy):
        gaps.add(Gap(to_text(path), "it must be there before the service starts"))
    for link in links_to_granted(request):
        if not any(is_within(link, path) for path in writable) and link.count("/") > 1:
            writable[link] = False  # systemd follows it: what it leads to is bound at the link's place
    lines = []
    for path in _sayable(writable, gaps):
        if is_within(path, "/proc") or is_within(path, "/sys"):
            continue
        if is_within(path, "/dev"):
            if not any(is_within(path, device) for device in _DEVICES):
                gaps.add(Gap(to_text(path), "PrivateDevices= does not show it: DeviceAllow= and BindPaths= would"))
            continue
        lines.append(_bind(path, writable[path]))
    empty = [step.path for step in plan.steps if step.make in (Make.HIDDEN_DIRECTORY, Make.HIDDEN_FILE)]
    if empty:
        gaps.add(Gap("single directories", f"{len(empty)} names that may be listed are not shown"))
    return lines


def _network(network: tuple[NetworkGrant, ...], gaps: set[Gap]) -> list[str]:
    if not network:
        return ["PrivateNetwork=yes", "RestrictAddressFamilies=AF_UNIX"]
    lines = ["RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK"]
    ends = [grant for grant in network if not grant.abstract]
    peers = [grant for grant in ends if grant.action is NetworkAction.CONNECT]
    names = [grant for grant in peers if grant.anywhere or is_name(grant.host)]
    if names:
        if any(not grant.anywhere for grant in names):
            said = ", ".join(endpoint(grant) for grant in names if not grant.anywhere)
            gaps.add(Gap(f"hosts ({said})", "a name cannot be allowed: every host can be reached"))
    else:
        lines.append("IPAddressDeny=any")
        lines += [f"IPAddressAllow={address}" for address in sorted({_address(grant.host) for grant in peers})]
        if any(grant.action is NetworkAction.BIND for grant in ends):
            gaps.add(Gap("listening", "only the addresses that may be reached can reach the service, too"))
    binds = [grant for grant in ends if grant.action is NetworkAction.BIND]
    if any(not grant.port for grant in binds):
        # No rule can be written for port 0, the kernel's own choice, and `any` is that too.
        if not any(grant.anywhere for grant in binds):
            gaps.add(Gap("listening", "a port of the kernel's choice cannot be allowed alone: every port is"))
    else:
        ports = {(_transport(grant), grant.port) for grant in binds}
        lines.append("SocketBindDeny=any")
        lines += [f"SocketBindAllow={transport}:{port}" for transport, port in sorted(ports)]
    if any(not grant.anywhere for grant in binds):
        gaps.add(Gap("listening", "a port can be allowed, not the address that it is taken on"))
    return lines


def _transport(grant: NetworkGrant) -> str:
    return "udp" if grant.transport is Transport.UDP else "tcp"


def _address(host: str) -> str:
    found = ipaddress.ip_address(host)
    return str(ipaddress.ip_address(int(found)) if "%" not in host else found).partition("%")[0]


TARGET = SystemdTarget()
