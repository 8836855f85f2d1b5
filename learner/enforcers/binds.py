"""From a policy to the file system that a mount namespace shows: what is bound, made, linked, and left out. Pure.

The new root is empty but for what stands here. A tree or a file that is granted is bound at its own path; the
directories on the way are empty ones of our own; the machine's symlinks that lead to something granted stay symlinks
(``/bin``, a venv's ``python``). Nothing that is not granted is ever bound: what only a wider bind could give is a gap,
except where Landlock inside tells rights apart (``inner``).
"""

import enum
import os
import re
import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from learner.enforcers.view import View
from learner.gaps import Gap
from learner.links import MAX_LINKS
from learner.names import to_text
from learner.places import ancestors, is_within
from learner.policy import ALWAYS, CHANGES, DIRECTORY_RIGHTS, NO_RIGHT, Grant, Policy, Right, Scope

FARMS = ("/dev", "/etc/alternatives", "/lib", "/lib64", "/usr/lib64", "/usr/local/bin", "/usr/bin", "/bin")
"""Directories of links that lead programs to what is installed: standard streams, Debian's alternatives, the loader's
and the linker's names. Searched, besides ``$PATH``, for links to granted objects."""

PROC_GUARDED = ("/proc/acpi", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/scsi", "/proc/sys", "/proc/sysrq-trigger")
"""The machine's own settings in /proc: kept read-only when something else in it may be written."""

MAX_NAMES = 4096
"""Names that a directory granted for listing alone may have; each is made anew at every start."""

_UNNEEDED = ".gz"  # manual pages, which make up most of /etc/alternatives
_PROCESS = re.compile(r"/proc/(self|thread-self|\d+)(/|\Z)")
_ON_FILES = ~DIRECTORY_RIGHTS
_WRITES = Right.WRITE | Right.TRUNCATE | Right.ATTRIBUTES
_NAMES = DIRECTORY_RIGHTS & ~Right.LIST


class Make(enum.Enum):
    """What a step makes."""

    DIRECTORY = enum.auto()
    HIDDEN_DIRECTORY = enum.auto()
    """A directory whose name may be listed, but not what is in it: mode 111, so whatever is looked up is not there."""
    HIDDEN_FILE = enum.auto()
    """A file whose name may be listed: mode 000."""
    SYMLINK = enum.auto()
    BIND = enum.auto()
    """The object at the same path outside, with everything mounted in it."""
    TERMINALS = enum.auto()
    """A devpts of our own."""


class Step(NamedTuple):
    """One thing to make at ``path``. ``text``: a symlink's target. The rest is about binds."""

    path: str
    make: Make
    text: str = ""
    writable: bool = False
    device: bool = False
    file: bool = False


class Plan(NamedTuple):
    """Steps in the order in which they can be taken: parents first. The root is no step unless it is bound."""

    steps: tuple[Step, ...]
    gaps: tuple[Gap, ...]

    @property
    def binds(self) -> tuple[Step, ...]:
        """The steps that open something of the machine's."""
        return tuple(s for s in self.steps if s.make is Make.BIND)


class _Walked(NamedTuple):
    """Where a path leads: ``path`` without links, empty if to nothing for the reason in ``problem``."""

    path: str
    links: tuple[tuple[str, str], ...] = ()
    passed: tuple[str, ...] = ()
    problem: str = ""


def plan(
    policy: Policy, view: View, *, through: Iterable[str] = (), farms: Iterable[str] = FARMS, inner: bool = False
) -> Plan:
    """What a namespace shows under ``policy``.

    ``through``: names that must be there if only as empty directories or links (the current and the home directory,
    the command). ``inner``: Landlock holds the policy inside, so a directory may be bound for the sake of its names.
    """
    return _Planner(policy, view, inner).plan(tuple(through), tuple(farms))


def leads(found: Plan, view: View, path: str) -> bool:
    """Whether ``found`` already shows every symlink that ``path`` walks before it is in something bound."""
    bound = {step.path for step in found.binds}
    shown = {step.path for step in found.steps}
    at = "/"
    for part in _parts(path):
        at = os.path.join(at, part)
        if at in bound:
            return True
        if stat.S_ISLNK(view.mode(at)):
            text = view.readlink(at)
            rest = path[len(at) :]
            return at in shown and leads(found, view, os.path.normpath(os.path.join(os.path.dirname(at), text) + rest))
    return False


class _Planner:
    def __init__(self, policy: Policy, view: View, inner: bool) -> None:
        self._policy = policy
        self._view = view
        self._inner = inner
        self._gaps: set[Gap] = set()
        self._links: dict[str, str] = {}
        self._directories: set[str] = set()
        self._listed: set[str] = set()
        self._named: set[str] = set()
        """Directories whose names may be changed, but not what lies deeper."""
        self._binds: dict[str, bool] = {}
        self._kept: dict[str, Step] = {}
        self._above: dict[str, Step | None] = {}

    def plan(self, through: tuple[str, ...], farms: tuple[str, ...]) -> Plan:
        for key, rights in self._resolved():
            self._bind(key, rights)
        self._bind_proc()
        self._merge()
        self._close_single_directories()
        self._terminals()
        for path in (*self._kept, *self._listed):
            self._directories.update(ancestors(path))
        self._directories |= self._listed
        if stat.S_ISDIR(self._view.mode("/tmp")):  # noqa: S108 - programs stop where it is missing
            self._directories.add("/tmp")  # noqa: S108
        for name in (*through, *self._policy.links):
            self._lead_to(name)
        self._keep_links(farms)
        return Plan(tuple(self._steps()), tuple(sorted(self._gaps)))

    # --- what is bound

    def _resolved(self) -> Iterator[tuple[tuple[str, Scope], Right]]:
        """What is granted on each object, links resolved; trees and single objects apart."""
        found: dict[tuple[str, Scope], Right] = {}
        for grant in (*ALWAYS, *self._policy.grants):
            walked = self._walk(grant.path, strict=True)
            if walked.problem and grant in ALWAYS:
                continue
            if walked.problem:
                self._gaps.add(Gap(to_text(grant.path), f"{walked.problem}, so nothing was granted on it"))
                continue
            self._links.update(walked.links)
            key = (walked.path, grant.scope)
            found[key] = found.get(key, NO_RIGHT) | grant.rights
        yield from sorted(found.items(), key=lambda item: (item[0][0], item[0][1] is Scope.FILE))

    def _bind(self, key: tuple[str, Scope], rights: Right) -> None:
        path, scope = key
        if is_within(path, "/proc"):
            return
        if stat.S_ISSOCK(self._view.mode(path)) and not rights & Right.CONNECT:
            if rights & Right.ATTRIBUTES:
                self._gaps.add(Gap(to_text(path), "what is shown of a socket can be connected to: closed"))
        elif not stat.S_ISDIR(self._view.mode(path)):
            if rights & _ON_FILES:
                self._add_bind(path, bool(rights & _WRITES))
        elif scope is Scope.TREE and rights & ~Right.LIST:
            self._add_bind(path, bool(rights & CHANGES))
        else:
            if rights & Right.LIST:
                self._listed.add(path)
            if rights & (_NAMES | Right.ATTRIBUTES):
                self._named.add(path)
                if self._inner and rights & _NAMES and path != "/" and not self._binds.get(path):
                    self._add_bind(path, True)
                    self._gaps.add(Gap("single directories", "a rule on a directory holds for everything beneath it"))
                    reason = f"changes in {to_text(path)} are granted, so what is in it is there"
                    self._gaps.update(Gap(item, reason) for item in ("attributes", "metadata", "unix sockets by path"))

    def _add_bind(self, path: str, writable: bool) -> None:
        self._binds[path] = self._binds.get(path, False) or writable

    def _bind_proc(self) -> None:
        """A process's own files cannot be bound singly: /proc/self is another directory for each."""
        granted = [g for g in self._policy.grants if is_within(g.path, "/proc")]
        whole = [g for g in granted if g.path == "/proc" or _PROCESS.match(g.path)]
        if not whole:
            for grant in granted:
                if self._view.mode(grant.path):
                    self._add_bind(grant.path, bool(grant.rights & CHANGES))
            return
        writable = any(g.rights & CHANGES for g in granted)
        self._add_bind("/proc", writable)
        if not any(g.path == "/proc" and g.scope is Scope.TREE for g in granted) and not self._inner:
            self._gaps.add(Gap("process files", "/proc is shown as a whole where one process file in it is granted"))
        if writable and not self._inner:
            self._gaps.add(Gap("process files", "/proc may be written where a process file in it may"))

    def _merge(self) -> None:
        """Keep the binds that a bind above does not already give."""
        for path, writable in sorted(self._binds.items(), key=lambda item: _parts(item[0])):
            above = self._bound_above(path)
            mode = self._view.mode(path)
            device = path == "/" or is_within(path, "/dev") or stat.S_ISCHR(mode) or stat.S_ISBLK(mode)
            if above is None or (writable and not above.writable) or (device and not above.device):
                self._kept[path] = Step(path, Make.BIND, "", writable, device, not stat.S_ISDIR(mode))
                self._above.clear()
        proc = self._kept.get("/proc")
        if proc and proc.writable:
            for path in PROC_GUARDED:
                mode = self._view.mode(path)
                if mode and not any(_changes_in_proc(g, path) for g in self._policy.grants):
                    self._kept[path] = Step(path, Make.BIND, file=not stat.S_ISDIR(mode))

    def _bound_above(self, path: str) -> Step | None:
        """The bind that shows ``path``: its own, or that of the nearest directory above that is bound."""
        if path in self._kept:
            return self._kept[path]
        if path == "/":
            return None
        if path not in self._above:
            self._above[path] = self._bound_above(os.path.dirname(path))
        return self._above[path]

    def _close_single_directories(self) -> None:
        for path in sorted(self._named):
            above = self._bound_above(path)
            if above is None or not above.writable:
                reason = "changes in this directory alone would take a bind of all that is in it: closed"
                self._gaps.add(Gap(to_text(path), reason))

    def _terminals(self) -> None:
        """New terminals can only be had from a devpts whose ``ptmx`` lies in it (devpts, kernel documentation)."""
        wanted = [p for p in self._kept if p in ("/dev/ptmx", "/dev/pts/ptmx")]
        if not wanted:
            return
        for path in [p for p in self._kept if p == "/dev/ptmx" or is_within(p, "/dev/pts")]:
            del self._kept[path]
        self._listed = {p for p in self._listed if not is_within(p, "/dev/pts")}
        self._above.clear()
        self._kept["/dev/pts"] = Step("/dev/pts", Make.TERMINALS, writable=True)
        self._links["/dev/ptmx"] = "pts/ptmx"
        self._gaps.add(Gap("/dev/pts", "terminals that the program opens are its own; others are not there by name"))

    # --- what leads there

    def _walk(self, path: str, *, strict: bool) -> _Walked:
        """Resolve ``path`` as the kernel does, up to where it enters what is bound.

        ``strict``: not through links that the program may change.
        """
        todo = list(reversed(path.split("/")))
        at, links, passed = "/", list[tuple[str, str]](), list[str]()
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                at = os.path.dirname(at)
                continue
            here = os.path.join(at, part)
            if here == "/proc":  # its links are different ones for each process
                rest = os.path.normpath("/".join([here, *reversed(todo)]))
                known = _PROCESS.match(rest) or self._view.mode(rest)
                return _Walked(rest, tuple(links), tuple(passed), "" if known else "not there")
            if here in self._kept:
                return _Walked(here, tuple(links), tuple(passed))
            mode = self._view.mode(here)
            if stat.S_ISLNK(mode):
                if strict and self._policy.rights_on(at) & CHANGES:
                    return _Walked("", problem="a symlink in a place that the program may change")
                links.append((here, self._view.readlink(here)))
                if len(links) > MAX_LINKS:
                    return _Walked("", problem="a loop of symlinks")
                text = links[-1][1]
                at = "/" if text.startswith("/") else at
                todo.extend(reversed(text.split("/")))
                continue
            if not mode or (todo and not stat.S_ISDIR(mode)):
                return _Walked("", problem="not there")
            if stat.S_ISDIR(mode):
                passed.append(here)
            at = here
        return _Walked(at, tuple(links), tuple(passed))

    def _lead_to(self, name: str) -> None:
        """Make a name be there: its links, the directories on the way, and itself if it is a directory."""
        walked = self._walk(name, strict=False)
        if walked.problem or (not self._shown(walked.path) and not stat.S_ISDIR(self._view.mode(walked.path))):
            return
        self._links.update(walked.links)
        self._directories.update(walked.passed)

    def _shown(self, path: str) -> bool:
        return path in self._directories or self._bound_above(path) is not None

    def _keep_links(self, farms: tuple[str, ...]) -> None:
        """The links, in directories that are made and in ``farms``, by which programs find what is granted."""
        places = set(self._directories)
        for farm in farms:
            walked = self._walk(farm, strict=False)
            if not walked.problem:
                places.add(walked.path)
        self._keep(w for place in sorted(places) if not self._bound_above(place) for w in self._leading(place))
        # Only now is it known which farms are there: /lib64 leads to the loader's link in /usr/lib64.
        self._keep(self._walk(farm, strict=False) for farm in farms)

    def _keep(self, found: Iterable[_Walked]) -> None:
        """Keep the links on ways that lead to something shown."""
        for walked in [w for w in found if not w.problem and self._shown(w.path)]:
            self._links.update(walked.links)
            self._directories.update(walked.passed)

    def _leading(self, place: str) -> Iterator[_Walked]:
        for name, kind in self._view.entries(place):
            if stat.S_ISLNK(kind) and not name.endswith(_UNNEEDED):
                yield self._walk(os.path.join(place, name), strict=False)

    # --- all together

    def _steps(self) -> list[Step]:
        steps = dict(self._kept)
        for link, text in self._links.items():
            self._directories.update(ancestors(link))
            if self._bound_above(link) is None:
                steps[link] = Step(link, Make.SYMLINK, text)
        for path in self._directories - {"/"}:
            if self._bound_above(path) is None:
                steps.setdefault(path, Step(path, Make.DIRECTORY))
        for path in sorted(self._listed):
            if self._bound_above(path) is None:
                self._name_all(path, steps)
        return sorted(steps.values(), key=lambda step: _parts(step.path))

    def _name_all(self, path: str, steps: dict[str, Step]) -> None:
        """What a directory holds that may be listed: names and kinds, nothing else."""
        entries = self._view.entries(path)
        self._gaps.add(Gap("single directories", "one granted for listing alone shows the names of the start"))
        if len(entries) > MAX_NAMES:
            self._gaps.add(Gap(to_text(path), f"{len(entries)} names are too many to show: it lists as empty"))
            return
        for name, kind in entries:
            entry = os.path.join(path, name)
            if stat.S_ISLNK(kind):
                steps.setdefault(entry, Step(entry, Make.SYMLINK, self._view.readlink(entry)))
            else:
                hidden = Make.HIDDEN_DIRECTORY if stat.S_ISDIR(kind) else Make.HIDDEN_FILE
                steps.setdefault(entry, Step(entry, hidden))


def _changes_in_proc(grant: Grant, path: str) -> bool:
    return bool(grant.rights & CHANGES) and (is_within(grant.path, path) or grant.path == "/proc")


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part]
