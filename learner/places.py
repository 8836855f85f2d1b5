"""Classes of places, and how a policy may treat each. A table: a new class is a new line."""

import enum
import os
import re
from typing import NamedTuple


class Place(enum.StrEnum):
    """A class of places in the file system."""

    PROJECT = "project"
    TEMPORARY = "temporary"
    SYSTEM = "system"
    RUNTIME = "runtime"
    PROCESS = "process"
    TERMINALS = "terminals"
    SHARED = "shared"
    OTHER = "other"


class Class(NamedTuple):
    """A line of the table: what it is, which directories it is, and why it is treated so."""

    place: Place
    pattern: re.Pattern[str]
    reason: str


CLASSES = (
    Class(Place.PROCESS, re.compile(r"/proc(?=/(\d+|self|thread-self)(/|$)|$)"), "names hold process ids"),
    Class(Place.TERMINALS, re.compile(r"/dev/pts(?=/|$)"), "terminals are numbered anew for each session"),
    Class(
        Place.RUNTIME,
        re.compile(r".*?/(site-packages|dist-packages|node_modules|lib/python\d+\.\d+)(?=/|$)", re.DOTALL),
        "packages of a language runtime, the same for everybody who installs them",
    ),
    Class(
        Place.SYSTEM,
        re.compile(r"/(usr|lib|lib32|lib64|bin|sbin|opt|nix/store|snap)(?=/|$)"),
        "installed by the system's package manager, the same for everybody who installs them",
    ),
)
"""Tried in order. The match is the directory that a grant of reading may be widened to."""

_SHARED_DIRECTORIES = (
    "/",
    "/etc",
    "/usr",
    "/var",
    "/root",
    "/home",
    "/run",
    "/dev",
    "/proc",
    "/sys",
    "/opt",
    "/boot",
)
_SHARED_IN_HOME = (".config", ".cache", ".local", ".local/share", ".local/state", ".local/bin", "bin")
"""XDG base directories and their like: each program has a directory of its own in them."""
_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - names, not files


class Map(NamedTuple):
    """Where this run's own places are, absolute and without symlinks.

    ``temporary`` is the private directory for temporary files, empty if the run had none.
    """

    project: str
    home: str
    temporary: str = ""

    @property
    def has_project(self) -> bool:
        """Whether the project is a directory of its own, rather than the home directory or one that holds it."""
        return not is_within(self.home, self.project) and self.project not in (
            *_SHARED_DIRECTORIES,
            *_TEMPORARY,
        )

    @property
    def _shared_in_home(self) -> tuple[str, ...]:
        return tuple(os.path.join(self.home, name) for name in _SHARED_IN_HOME)

    def locate(self, path: str) -> tuple[Place, str]:
        """(class, its directory) of ``path``; the path itself as its directory where nothing wider may be granted."""
        if self.temporary and is_within(path, self.temporary):
            return Place.TEMPORARY, self.temporary
        if self.has_project and is_within(path, self.project):
            return Place.PROJECT, self.project
        for candidate in CLASSES:
            match = candidate.pattern.match(path)
            if match:
                return candidate.place, match.group()
        return Place.SHARED if self.is_shared(path) else Place.OTHER, path

    def is_shared(self, path: str) -> bool:
        """Whether a directory is too much in common to be granted for writing as a tree."""
        return path in _SHARED_DIRECTORIES or is_within(self.home, path) or path in self._shared_in_home


def is_within(path: str, directory: str) -> bool:
    """Whether ``path`` is ``directory`` or beneath it. Both absolute and normalised."""
    return path == directory or directory == "/" or path.startswith(directory + "/")


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
