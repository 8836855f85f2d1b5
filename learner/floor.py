"""A floor under a run with nothing else confined: sensitive objects of this machine are masked, the rest stays.

The search looks where the catalogue's patterns say, into no other directory; names that may lie anywhere (``.env``,
``id_rsa``) are searched in the project and directly in home directories. What it does not find is not masked, and is
said as a gap. How a mask holds: :mod:`learner.enforcers.floor`.
"""

import os
import stat
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from learner.gaps import Gap
from learner.mounts import mounts, second_names
from learner.names import to_text
from learner.places import is_systems, is_within
from learner.policy import Right
from learner.seatbelt.sbpl import is_sayable
from learner.sensitive import CATALOGUE, Catalogue
from learner.sensitive_entries import HOMES, Concern
from learner.variables import Variables

MOST = 50_000
"""Names that are looked at in the project, the topmost first: a quarter of a second (measured)."""
_KERNELS = ("/proc", "/sys")
"""Not masked: a mount over a part of these keeps the program from mounting its own in namespaces of its own
(mnt_already_visible), and the user namespace closes what is sensitive there (ptrace_may_access, CAP_SYS_RAWIO)."""
_ADDRESSES = (
    ("SSH_AUTH_SOCK", "", "SSH agent"),
    ("DBUS_SESSION_BUS_ADDRESS", "unix:path=", "the desktop session's D-Bus"),
    ("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=", "the system D-Bus"),
    ("DOCKER_HOST", "unix://", "root on this machine"),
    ("CONTAINER_HOST", "unix://", "containers outside of the sandbox"),
    ("XAUTHORITY", "", "the screen and keyboard"),
)
"""(variable, what stands before the path, what it leads to): sockets that programs find by their environment."""
_GAPS = (
    Gap("environment", "tokens in environment variables and in the kernel's keyrings are passed on as they are"),
    Gap("network services", "what listens on TCP can be reached, daemons that read any file for others among them"),
    Gap("second names", "hard links and copies in places that no pattern names are not masked"),
    Gap("what runs later", "the command may write what others run outside, where nothing is masked: hooks, timers, …"),
)


_ON_LINUX = (
    Gap(
        "abstract unix sockets", "they belong to the network, which stays the machine's: X11 or D-Bus may listen there"
    ),
    Gap("new secrets", "what is made or mounted while the command runs is not masked"),
    Gap("setuid programs", "sudo and the like get no privileges"),
)
_ON_MACOS = (
    Gap("certificates", "the keychain is out of reach: what asks it for certificates may fail to connect"),
    Gap("names", "that something masked is there can be seen, not what is in it"),
    Gap("new secrets", "what is made while the command runs is masked only if its whole name is in the catalogue"),
    Gap("services", "what opens or drives other programs (open, osascript, the pasteboard) is refused"),
    Gap("setuid programs", "sudo, ps and the like do not run in any sandbox of macOS"),
)


class Mask(NamedTuple):
    """An object, its links resolved, and why it is sensitive. It exists, but for macOS, which masks by name."""

    path: str
    reason: str


class Floor(NamedTuple):
    """What is to be masked, sorted, none within another; and what stays open.

    ``unmet`` is about this very run and is always shown; ``gaps`` are those of any.
    """

    masks: tuple[Mask, ...] = ()
    unmet: tuple[Gap, ...] = ()
    gaps: tuple[Gap, ...] = ()


def find_floor(
    variables: Variables,
    allowed: Iterable[str] = (),
    kept: Iterable[str] = (),
    environment: Mapping[str, str] = os.environ,
    catalogue_root: str = "",
    most: int = MOST,
) -> Floor:
    """The floor on this machine, for this account.

    ``allowed``: objects that the user wants open, with all beneath them. ``kept``: where the command lies and works;
    these stay reachable in a sensitive directory, which is a gap. ``catalogue_root`` is put before patterns that begin
    at the root (for tests); ``most`` bounds the search of the project.
    """
    search = _Search(variables, catalogue_root)
    search.named()
    search.anywhere(most)
    search.addressed(environment)
    search.again()
    stay = {os.path.realpath(path) for path in kept if path.startswith("/")}
    stay |= {path for path in (variables.project, variables.temporary, variables.home) if path}
    return _settle(search, frozenset(allowed), frozenset(stay))


class _Search:
    def __init__(self, variables: Variables, root: str) -> None:
        self.variables = variables
        self._root = root
        self._names: dict[str, tuple[str, ...]] = {}
        self.found: dict[str, str] = {}
        """What is to be masked: the object and why."""
        self.unmet: set[Gap] = set()
        patterns = [pattern for pattern in HOMES if pattern.startswith("/")]
        homes = {path for pattern in patterns for path in self._expand(root, pattern[1:].split("/"))}
        self.homes = sorted({os.path.realpath(path) for path in (*homes, variables.home) if os.path.isdir(path)})

    def named(self) -> None:
        """What the patterns name that begin at the root or at a home directory."""
        for entry in CATALOGUE:
            start, _, rest = entry.pattern.partition("/")
            if entry.concern is not Concern.ANY or start == "**":
                continue
            tree = rest.endswith("/**")
            names = rest.removesuffix("/**").split("/")
            for top in self.homes if start == "~" else (self._root,):
                if sys.platform == "darwin" and "*" not in "".join(names) and top in ("", self.variables.home):
                    self._foresee(f"{top.rstrip('/')}/{'/'.join(names)}", entry.reason)
                for path in self._expand(top.rstrip("/"), names):
                    self._add(path, entry.reason, tree)

    def _foresee(self, path: str, reason: str) -> None:
        """Mask what is not there yet."""
        if not os.path.lexists(path):
            self.found.setdefault(os.path.realpath(path), reason)

    def anywhere(self, most: int) -> None:
        """What may lie anywhere: in the project as far as ``most`` names go, and directly in home directories."""
        catalogue = Catalogue(self.variables.home)
        project = self.variables.project if self.variables.places.has_project else ""
        left = most
        todo = deque([project] if project else [])
        for home in self.homes:
            self._stray(catalogue, home)
        while todo:
            if left <= 0:
                self.unmet.add(
                    Gap(
                        "secrets in the project",
                        f"of {to_text(project)} only the first {most} names were searched for .env and the like",
                    )
                )
                return
            below, seen = self._stray(catalogue, todo.popleft())
            left -= seen
            todo += below

    def _stray(self, catalogue: Catalogue, directory: str) -> tuple[list[str], int]:
        """(directories in ``directory``, how many names it holds)."""
        below, seen = [], 0
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    seen += 1
                    if entry.is_dir(follow_symlinks=False):
                        below.append(entry.path)
                        continue
                    by = catalogue.match(entry.path, Right.READ)
                    if by is not None and by.pattern.startswith("**/"):
                        self._add(entry.path, by.reason, tree=False)
        except OSError:
            return [], seen  # the program has no more rights than we have
        return sorted(below), seen

    def addressed(self, environment: Mapping[str, str]) -> None:
        """Sockets that the environment names."""
        for name, start, reason in _ADDRESSES:
            value = environment.get(name, "")
            path = value[len(start) :].split(",")[0].split(";")[0] if value.startswith(start) else ""
            if path.startswith("/"):
                self._add(path, reason, tree=False)

    def again(self) -> None:
        """What was found so far, wherever else it is mounted."""
        for path, name in list(second_names(sorted(self.found), mounts())):
            self.found.setdefault(name, self.found[path])

    def _expand(self, top: str, names: list[str]) -> Iterator[str]:
        """The existing paths below ``top`` that ``names`` fit, each of which may hold one ``*``."""
        name, rest = names[0], names[1:]
        if "*" in name:
            start, _, end = name.partition("*")
            fitting = [
                n for n in self._list(top or "/") if n.startswith(start) and n.endswith(end) and len(n) >= len(name) - 1
            ]
        else:
            fitting = [name] if os.path.lexists(f"{top}/{name}") else []
        for one in fitting:
            path = f"{top}/{one}"
            if rest:
                yield from self._expand(path, rest)
            else:
                yield path

    def _list(self, directory: str) -> tuple[str, ...]:
        if directory not in self._names:
            try:
                self._names[directory] = tuple(sorted(os.listdir(directory)))
            except PermissionError:
                self._names[directory] = ()
                if os.access(directory, os.X_OK):
                    shown = to_text(directory)
                    self.unmet.add(Gap(f"secrets in {shown}", "the directory cannot be listed, so it was not searched"))
            except OSError:
                self._names[directory] = ()
        return self._names[directory]

    def _add(self, path: str, reason: str, tree: bool) -> None:
        """Note the object at ``path``; a directory only where all beneath it is meant (``tree``)."""
        real = os.path.realpath(path)
        try:
            mode = os.lstat(real).st_mode
        except OSError:
            return
        linked = os.path.islink(path)
        if linked and (stat.S_ISCHR(mode) or is_systems(real)):
            return  # a history file that is /dev/null; a file of a package, which everybody has
        if stat.S_ISLNK(mode) or (stat.S_ISDIR(mode) and not tree) or any(is_within(real, k) for k in _KERNELS):
            return
        self.found.setdefault(real, reason)
        if sys.platform == "darwin" and "/Library/" in real:
            return  # to list these has macOS ask the user, and nobody links what is in them
        if stat.S_ISDIR(mode) and any(is_within(real, home) for home in self.homes):
            self._follow(real, reason)

    def _follow(self, directory: str, reason: str) -> None:
        """People keep their dotfiles elsewhere and link them: what links in ``directory`` lead to is no less secret."""
        for name in self._list(directory):
            path = f"{directory}/{name}"
            if os.path.islink(path):
                real = os.path.realpath(path)
                in_home = any(is_within(real, home) for home in self.homes)
                if in_home and not is_within(real, directory) and not os.path.isdir(real):
                    self._add(path, reason, tree=False)


def _settle(search: _Search, allowed: frozenset[str], kept: frozenset[str]) -> Floor:
    masks: dict[str, str] = {}
    unmet = set(search.unmet)
    for path, reason in search.found.items():
        if any(is_within(path, one) for one in allowed):
            continue
        spared = {one for one in (*allowed, *kept) if is_within(one, path)}
        for one in sorted(spared - allowed):
            unmet.add(
                Gap(to_text(one), f"it lies in a sensitive place ({reason}) and stays open: the command is there")
            )
        for part in _around(path, spared):
            if sys.platform == "darwin" and not is_sayable(part):
                unmet.add(Gap(to_text(part), f"it cannot be masked by its name, and stays open ({reason})"))
            else:
                masks.setdefault(part, reason)
    places = search.variables.places
    where = f"in {to_text(places.project)} and directly" if places.has_project else "directly"
    stray = f"names such as .env and id_rsa were searched {where} in home directories, nowhere else"
    tops = [Mask(path, masks[path]) for path in sorted(masks) if not _is_below(path, masks)]
    mac = sys.platform == "darwin"
    gaps = [*_GAPS, *(_ON_MACOS if mac else _ON_LINUX), Gap("stray secrets", stray)]
    if os.geteuid() == 0 and not mac:
        reason = "runs without capabilities, and other accounts' files look as if they were nobody's: what only root's "
        gaps.append(Gap("root", f"{reason}power opens stays closed"))
    return Floor(tuple(tops), tuple(sorted(unmet)), tuple(sorted(gaps)))


def _around(path: str, spared: set[str]) -> Iterator[str]:
    """The objects that together are ``path`` without what is ``spared`` in it."""
    if not spared:
        yield path
    elif path not in spared and os.path.isdir(path):
        for name in sorted(os.listdir(path)):
            child = f"{path}/{name}"
            if not os.path.islink(child):
                yield from _around(child, {one for one in spared if is_within(one, child)})


def _is_below(path: str, others: Mapping[str, str]) -> bool:
    above = os.path.dirname(path)
    while above != "/":
        if above in others:
            return True
        above = os.path.dirname(above)
    return False
