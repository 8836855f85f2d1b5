"""firejail profiles (firejail-profile(5), 0.9.72; measured with it).

A top-level directory in which something is whitelisted is otherwise empty; one in which nothing is granted is
blacklisted. ``/usr``, ``/proc`` and ``/sys`` cannot be whitelisted: they are shown as they are. Nothing can be changed
but what is said to be ``read-write``. A name with a character that means something to a profile is left out: there is
no way to quote one.
"""

import re
import stat
from collections.abc import Iterable, Mapping

from learner.gaps import Gap
from learner.names import to_text
from learner.places import is_within
from learner.policy import ALWAYS, CHANGES, Grant, NetworkGrant
from learner.targets.feature import Feature, alone, missing
from learner.targets.root import ensured, links_to_granted, view_of
from learner.targets.strings import comments
from learner.targets.target import Export, Request, remarks, temporary_of, unsayable
from learner.words import place

_SYSTEM = frozenset({"/bin", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/sbin", "/sys", "/usr"})
_NEEDED = ("/run", "/tmp")  # noqa: S108 - places, not files
"""firejail keeps files of its own in /run, programs stop where there is no /tmp: neither can be blacklisted."""
_HOMES = ("/home", "/root", "/tmp", "/run/user")  # noqa: S108
"""Where ``mkdir`` may be used: the user's home, /tmp and the runtime directory."""
_STREAMS = ("/dev/fd", "/dev/stderr", "/dev/stdin", "/dev/stdout")
_SAYABLE = re.compile(r"/(?:[\w.@:+=~-]| (?! ))(?:[\w/.@:+=~-]| (?! ))*(?<! )\Z")
_UNSAYABLE = "a profile cannot quote: a name with a special character cannot be written"
_SHARED = "/usr, /proc and /sys are shown as they are, to be read and executed"
_ALL = "what is whitelisted can be read, listed and executed"
_CHANGED = "what can be changed can be changed in every way"
_NETWORK = "the network is all or nothing here: every host and port can be reached"
_LACKS: Mapping[Feature, str] = {
    Feature.EXECUTE_APART: _ALL + "; `noexec` would keep libraries from being loaded",
    Feature.LIST_APART: _ALL,
    Feature.CHANGES_APART: _CHANGED,
    Feature.ATTRIBUTES: _CHANGED,
    Feature.IOCTL: "a device that is shown takes every request",
    Feature.UNIX_SOCKETS: "a socket in a directory that is shown can be connected to",
    Feature.ABSTRACT_SOCKETS: "they belong to the network: all can be reached, or none",
    Feature.HOSTS: _NETWORK,
    Feature.PORTS: _NETWORK,
    Feature.LISTEN: _NETWORK,
    Feature.UDP: "UDP cannot be told from TCP: it comes with the network",
}
_HARDENING = (
    "caps.drop all",
    "nonewprivs",
    "noroot",
    "nogroups",
    "seccomp",
    "ipc-namespace",
    "dbus-user none",
    "dbus-system none",
    "machine-id",
)


class FirejailTarget:
    """A profile, for ``firejail --profile=FILE COMMAND``."""

    name = "firejail"
    suffix = ".profile"
    executable = False
    lacks = _LACKS

    def export(self, request: Request) -> Export:
        """See :class:`~learner.targets.target.Target`."""
        body, gaps = _Writer(request).write()
        found = tuple(sorted({*gaps, *missing(request.profile.policy, self.lacks)}))
        return Export((comments(remarks(request, found)) + "".join(f"{line}\n" for line in body)).encode(), found)

    def admit(self, grants: tuple[Grant, ...], network: tuple[NetworkGrant, ...]) -> tuple[str, ...]:
        """See :class:`~learner.targets.target.Target`. ``ignore`` takes back a command of an included profile."""
        lines = []
        for grant in grants:
            if not _SAYABLE.match(grant.path) or alone(grant):
                continue
            lines += [f"noblacklist {grant.path}"]
            lines += [] if _in_system(grant.path) or grant.path.count("/") < 2 else [f"whitelist {grant.path}"]
            lines += [f"read-write {grant.path}"] if grant.rights & CHANGES else []
        lines += ["ignore net none"] if network else []
        return tuple(dict.fromkeys(lines))


class _Writer:
    def __init__(self, request: Request) -> None:
        self._request = request
        self._policy = request.profile.policy
        self._view = view_of(request)
        self._gaps: set[Gap] = set()

    def write(self) -> tuple[list[str], set[Gap]]:
        shown = self._shown()
        lines = [f"mkdir {path}" for path in self._sayable(ensured(self._policy)) if self._can_make(path)]
        tops = self._tops(shown)
        whole = {path for path in shown if path in tops}
        for top in tops:
            below = [path for path in shown if path != top and is_within(path, top)]
            if top in _SYSTEM or top in whole:
                continue
            if below:
                lines += [f"whitelist {path}" for path in below]
            elif top in _NEEDED:  # empty, because what is whitelisted there does not exist
                lines.append(f"whitelist {top}/nothing")
            else:
                lines.append(f"blacklist {top}")
        lines += [f"blacklist {path}" for path in self._sayable(self._request.denied)]
        changed = [path for path in shown if self._policy.rights_on(path) & CHANGES]
        # What is whitelisted is a mount of its own, which a line for a directory above does not reach.
        closed = {"/", *(top for top in tops if top in _SYSTEM), *shown} - {*changed, *_STREAMS, "/proc", "/dev"}
        access = dict.fromkeys(closed, "read-only") | dict.fromkeys(changed, "read-write")
        lines += [f"{access[path]} {path}" for path in sorted(access) if not is_within(path, "/proc")]
        if any(is_within(path, "/proc") for path in changed):
            self._gaps.add(Gap("process files", "what may be changed in /proc cannot be told from the rest of it"))
        temporary = temporary_of(self._request, (grant.path for grant in self._policy.grants))
        lines += [f"env TMPDIR={path}" for path in self._sayable(temporary)]
        lines += _HARDENING
        lines.append("protocol unix,inet,inet6,netlink" if self._policy.network else "net none")
        self._gaps.add(Gap("system directories", _SHARED))
        return lines, self._gaps

    def _shown(self) -> list[str]:
        """What is whitelisted, or shown as a whole, sorted: granted trees and files, and links to them."""
        found = {grant.path for grant in ALWAYS} | {*_STREAMS}
        for grant in self._policy.grants:
            if alone(grant):
                if not _in_system(grant.path) or grant.rights & CHANGES:
                    self._gaps.add(Gap(place(grant), "granted alone, not with what it holds: only its name is there"))
            elif grant.path == "/":
                self._gaps.add(Gap("/", "the whole machine is granted: what the profile shows is less"))
            else:
                found.add(grant.path)
        return self._sayable(found | {*links_to_granted(self._request)})

    def _sayable(self, paths: Iterable[str]) -> list[str]:
        paths = sorted(paths)
        self._gaps.update(unsayable([p for p in paths if not _SAYABLE.match(p)], _UNSAYABLE))
        return [p for p in paths if _SAYABLE.match(p)]

    def _tops(self, shown: list[str]) -> list[str]:
        """The directories at the top of the machine's file system, and those that something shown lies in."""
        entries = self._view.entries("/")
        found = {f"/{name}" for name, kind in entries if stat.S_ISDIR(kind)} | {
            "/" + path.split("/")[1] for path in shown
        }
        return self._sayable(found)

    def _can_make(self, path: str) -> bool:
        if any(is_within(path, home) for home in _HOMES):
            return True
        self._gaps.add(Gap(to_text(path), "a profile makes directories in the home directory and /tmp only"))
        return False


def _in_system(path: str) -> bool:
    return any(is_within(path, top) for top in _SYSTEM)


TARGET = FirejailTarget()
