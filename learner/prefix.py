"""Where a program is installed: the directory that goes with its executable when it is installed elsewhere."""

import os
import re

from learner.places import Map, is_within

_HOME = re.compile(r"(?:/home|/Users)/[^/]+|/root")
_COMMON = frozenset(
    (
        "/bin",
        "/sbin",
        "/lib",
        "/lib64",
        "/nix",
        "/nix/store",
        "/snap",
        "/usr/bin",
        "/usr/sbin",
        "/usr/lib",
        "/usr/lib64",
        "/usr/libexec",
        "/usr/share",
        "/usr/local",
        "/usr/local/lib",
        "/usr/local/libexec",
        "/usr/local/share",
        "/opt/homebrew",
        "/opt/local",
        "/home/linuxbrew/.linuxbrew",
        "/var/lib",
    )
)
"""Directories in which many packages are installed side by side, besides those that are shared for other reasons."""
_BINARIES = ("bin", "sbin")
_SHIMS = "shims"
"""Where pyenv, asdf and mise keep one small program for each that they manage."""
_OWN = (".local/share", ".local/lib", ".local/opt", ".local/state")
"""Where, in a home, each program has a directory of its own; as it has under /opt."""


def prefix_of(file: str, places: Map, found: str = "") -> str:
    """The directory in which ``file`` is installed, or "" if it has none that is its program's alone.

    ``file`` is the executable without links, ``found`` the absolute path under which it was found. In this order: what
    holds ``lib/node_modules``; the package in another ``node_modules``; what holds ``bin``; the directory that is named
    after the program; its own directory under /opt, ``~/.local/share`` or a hidden directory of the home. Where that
    gives nothing, what holds the ``bin`` in which it was found: a virtual environment's Python is a link.
    Never a directory that other programs share, a home, or one that is or holds the project.
    """
    if not file.startswith("/"):
        return ""
    for candidate in (_package(file), _above_binaries(file)):
        if candidate:
            own = _acceptable(candidate, places)
            return candidate if own else _above_found(found, places)
    return _named(file, found, places) or _own_directory(file, places) or _above_found(found, places)


def _package(file: str) -> str:
    """Of a file in a Node package: the prefix of a global installation, or the package's directory."""
    above, separator, _ = file.partition("/lib/node_modules/")
    if separator:
        return above or "/"
    above, separator, inside = file.rpartition("/node_modules/")
    if not separator:
        return ""
    parts = inside.split("/")
    package = parts[: 2 if parts[0].startswith("@") else 1]
    return f"{above}/node_modules/{'/'.join(package)}" if len(parts) > len(package) else ""


def _above_binaries(file: str) -> str:
    directory = os.path.dirname(file)
    return os.path.dirname(directory) if os.path.basename(directory) in _BINARIES else ""


def _above_found(found: str, places: Map) -> str:
    candidate = _above_binaries(found)
    return candidate if candidate and _acceptable(candidate, places) else ""


def _named(file: str, found: str, places: Map) -> str:
    """The nearest directory that bears the program's name."""
    names = {os.path.splitext(os.path.basename(path))[0] for path in (file, found)} - {""}
    directory = os.path.dirname(file)
    while directory != "/":
        if os.path.basename(directory) in names and _acceptable(directory, places):
            return "" if _in_project(directory, places) else directory
        directory = os.path.dirname(directory)
    return ""


def _own_directory(file: str, places: Map) -> str:
    directory = os.path.dirname(file)
    if not _acceptable(directory, places) or os.path.basename(directory) == _SHIMS or _in_project(directory, places):
        return ""
    within = is_within(directory, "/opt")
    if places.home != "/" and is_within(directory, places.home):
        inside = os.path.relpath(directory, places.home)
        own = any(is_within(inside, name) for name in _OWN)
        within = own or (inside.startswith(".") and not is_within(inside, ".local"))
    return directory if within else ""


def _in_project(directory: str, places: Map) -> bool:
    """Whether it is a part of the project rather than something installed, where that is a directory of its own."""
    return places.has_project and is_within(directory, places.project)


def _acceptable(directory: str, places: Map) -> bool:
    if places.is_shared(directory) or directory in _COMMON or is_within(places.project, directory):
        return False
    home = _HOME.match(directory)  # somebody else's: what no program has for itself in ours, it has not in theirs
    return home is None or not places._replace(home=home.group()).is_shared(directory)
