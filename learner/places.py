"""Classes of places: what it weighs when a grant opens more there than was needed. A table: a new class is a new line.

Weights are fractions of what one more grant costs, for each existing object that a tree opens in excess. ``opening``
is added once for a tree: it stands for the names that are not there yet.
"""

import enum
import functools
import os
import re
from typing import NamedTuple

CLOSED = float("inf")
"""The weight of what is never opened as part of a tree."""


class Place(enum.StrEnum):
    """A class of places in the file system."""

    PROJECT = "project"
    TEMPORARY = "temporary"
    PROCESS = "process"
    TERMINALS = "terminals"
    KERNEL = "kernel"
    DEVICES = "devices"
    PREFIX = "prefix"
    RUNTIME = "runtime"
    SYSTEM = "system"
    CACHE = "cache"
    HOME = "home"
    FOREIGN = "foreign"
    OTHER = "other"


class Class(NamedTuple):
    """A line of the table. ``change``: also what using sockets and devices in such a tree weighs.

    ``counted``: whether existing objects are counted there; the others are virtual, or granted as a whole anyway.
    """

    place: Place
    read: float
    execute: float
    change: float
    opening: float
    counted: bool
    reason: str

    @property
    def installed(self) -> bool:
        """Whether what is there came from a package, and holds no secrets of the user's."""
        return self.place in (Place.PREFIX, Place.RUNTIME, Place.SYSTEM)


_INSTALLED = 1e-4
"""So that a tree of 10,000 installed files weighs as much as one more grant."""

_LINES = (
    Class(Place.PROJECT, 0, 0, 0, 0, False, "what the program is there to work on"),
    Class(Place.TEMPORARY, 0, 0, 0, 0, False, "a private directory that holds nothing else"),
    Class(Place.PROCESS, 0, CLOSED, CLOSED, 0, False, "names hold process ids; the kernel guards what is secret"),
    Class(Place.TERMINALS, 0, CLOSED, 0, 0, False, "terminals are numbered anew for each session"),
    Class(Place.KERNEL, 0, CLOSED, CLOSED, 3, False, "the kernel's own figures; most are the same for everybody"),
    Class(Place.DEVICES, CLOSED, CLOSED, CLOSED, 0, False, "each device is something else"),
    Class(Place.PREFIX, _INSTALLED, 1e-3, CLOSED, 0, True, "the program's own installation"),
    Class(Place.RUNTIME, _INSTALLED, 1e-3, CLOSED, 0, True, "packages of a language runtime, the same for everybody"),
    Class(Place.SYSTEM, _INSTALLED, 1e-3, CLOSED, 0, True, "installed by the system, the same for everybody"),
    Class(Place.CACHE, 0.01, 0.1, 0.02, 0.5, True, "can be made again, but may tell of other work"),
    Class(Place.HOME, 0.2, 0.5, 0.5, 1, True, "the user's own files"),
    Class(Place.FOREIGN, 5, 5, CLOSED, 5, True, "other people's files"),
    Class(Place.OTHER, 0.1, 0.5, 1, 1, True, "this machine's configuration and data"),
)
CLASSES = {line.place: line for line in _LINES}

_VERSIONED = (
    # Version managers keep each interpreter or toolchain whole in a directory of its own.
    r"\.pyenv/versions|\.nvm/versions/node|\.local/share/(?:uv/(?:tools|python)|pipx/venvs|mise/installs/[^/]+)"
    r"|\.asdf/installs/[^/]+|\.rustup/toolchains|\.sdkman/candidates/[^/]+"
)
_PUBLIC_ETC = (
    r"ssl/certs|ca-certificates|pki/tls/certs|alternatives|ld\.so\.conf\.d|fonts|profile\.d|terminfo|bash_completion\.d"
)

_PATTERNS = (
    (Place.PROCESS, r"/proc(?=/(?:\d+|self|thread-self)(?:/|$)|$)"),
    (Place.TERMINALS, r"/dev/pts(?=/|$)"),
    (Place.KERNEL, r"/(?:proc|sys)(?=/|$)"),
    (Place.DEVICES, r"/dev(?!/shm)(?=/|$)"),
    (Place.RUNTIME, r".*?/(?:site-packages|dist-packages|node_modules|lib/python\d+\.\d+)(?=/|$)"),
    (Place.RUNTIME, rf".*?/(?:{_VERSIONED})/[^/]+(?=/|$)"),
    (Place.SYSTEM, rf"/(?:usr|lib|lib32|lib64|bin|sbin|opt|nix/store|snap|etc/(?:{_PUBLIC_ETC}))(?=/|$)"),
    (Place.SYSTEM, r"/(?:System|Library/(?:Frameworks|Developer)|Applications)(?=/|$)"),
    (Place.CACHE, r"/var/cache(?=/|$)"),
)
"""Places that look the same on every machine, tried in order. The match is the topmost directory of the place."""

ANY_PROCESS = "/proc/*"
"""Stands for the directory of whatever process."""
_PROCESS = re.compile(r"/proc/\d+(?:/task/\d+)?(?=/|$)")

_SHARED_DIRECTORIES = (
    "/",
    "/etc",
    "/usr",
    "/var",
    "/root",
    "/home",
    "/Users",
    "/run",
    "/dev",
    "/proc",
    "/sys",
    "/opt",
    "/boot",
    "/srv",
    "/mnt",
    "/media",
    "/Library",
    "/private",
)
_SHARED_IN_HOME = (
    ".config",
    ".cache",
    ".local",
    ".local/share",
    ".local/state",
    ".local/bin",
    "bin",
    "Library",
    "Library/Application Support",
    "Library/Caches",
    "Library/Preferences",
)
"""XDG base directories and their like: each program has a directory of its own in them."""
_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm", "/private/tmp")  # noqa: S108 - names, not files
_HOMES = re.compile(r"(?:/home|/Users)/[^/]+(?=/|$)|/root(?=/|$)")
_ANYWHERE = re.compile("|".join(f"(?P<p{n}>{pattern})" for n, (_, pattern) in enumerate(_PATTERNS)), re.DOTALL)


class Map(NamedTuple):
    """Where this run's own places are, absolute and without symlinks.

    ``temporary`` is the private directory for temporary files, ``prefix`` where the program is installed; empty if
    there is none.
    """

    project: str
    home: str
    temporary: str = ""
    prefix: str = ""

    @property
    def has_project(self) -> bool:
        """Whether the project is a directory of its own, rather than the home directory or one that holds it."""
        return _is_project(self.project, self.home)

    def locate(self, path: str) -> tuple[Place, str]:
        """(class, the topmost directory of that place) of ``path``; the path itself where nothing is known of it."""
        if self.temporary and is_within(path, self.temporary):
            return Place.TEMPORARY, self.temporary
        if self.has_project and is_within(path, self.project):
            return Place.PROJECT, self.project
        if self.prefix and is_within(path, self.prefix):
            return Place.PREFIX, self.prefix
        match = _ANYWHERE.match(path)
        if match is not None:
            return _PATTERNS[int((match.lastgroup or "p0")[1:])][0], match.group()
        if is_within(path, f"{self.home}/.cache") or is_within(path, f"{self.home}/Library/Caches"):
            return Place.CACHE, path
        if is_within(path, self.home) and self.home != "/":
            return Place.HOME, path
        if _HOMES.match(path):
            return Place.FOREIGN, path
        return Place.OTHER, path

    def is_shared(self, path: str) -> bool:
        """Whether a directory is too much in common to be granted as a tree."""
        shared = path in _SHARED_DIRECTORIES or is_temporary(path) or is_within(self.home, path)
        return shared or path in _shared(self.home)

    def is_state(self, path: str) -> bool:
        """Whether programs keep state of their own there, under names of their choice, rather than people theirs."""
        place, _ = self.locate(path)
        if place is Place.HOME:
            first = path[len(self.home) + 1 :].partition("/")[0]
            return first.startswith(".") or first == "Library"
        return place in (Place.CACHE, Place.KERNEL) or path.startswith(("/var/", "/run/", "/tmp/"))  # noqa: S108

    def is_own_state(self, path: str) -> bool:
        """The same, of the user's own programs: in the home directory or a cache."""
        return self.locate(path)[0] in (Place.HOME, Place.CACHE) and self.is_state(path)


def is_systems(path: str) -> bool:
    """Whether ``path`` belongs to the system's package manager, a language's packages among it included."""
    return any(re.match(pattern, path) for place, pattern in _PATTERNS if place is Place.SYSTEM)


@functools.cache
def _is_project(project: str, home: str) -> bool:
    return not is_within(home, project) and project not in (*_SHARED_DIRECTORIES, *_TEMPORARY)


@functools.cache
def _shared(home: str) -> frozenset[str]:
    return frozenset(os.path.join(home, name) for name in _SHARED_IN_HOME)


def is_within(path: str, directory: str) -> bool:
    """Whether ``path`` is ``directory`` or beneath it. Both absolute and normalised."""
    return path == directory or directory == "/" or path.startswith(directory + "/")


def of_any_process(path: str) -> str:
    """``path`` with ``/proc/PID`` as :data:`ANY_PROCESS`: the next run finds other processes, under other numbers."""
    return _PROCESS.sub(ANY_PROCESS, path, count=1) if path.startswith("/proc/") else path


def is_temporary(path: str) -> bool:
    """Whether a directory is a world-writable temporary one."""
    return path in _TEMPORARY


def ancestors(path: str) -> list[str]:
    """Every directory above ``path``, nearest first, ``/`` last."""
    found = []
    while (above := os.path.dirname(path)) != path:
        path = above
        found.append(path)
    return found
