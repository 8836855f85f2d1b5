"""Profiles of earlier versions of an agent: one for each version, kept when ``sbx learn`` writes a stored profile.

``$XDG_STATE_HOME/sbx/history/NAME/VERSION.toml``; what has no version is kept by the first digits of its
executable's hash. ``NAME@VERSION`` names one, ``NAME@2`` if only one begins so.
"""

import os
import re
from typing import NamedTuple

from learner.errors import InputFileError, UsageError
from learner.names import to_text
from learner.profile import Profile
from learner.store import check_name, profile_path, state_directory, write_atomically

UNVERSIONED = "unversioned"
"""Stands for the version of a profile that was learned when versions were not recorded, or written by hand."""
_SUFFIX = ".toml"
_DIGITS = re.compile(r"(\d+)")


class Kept(NamedTuple):
    """A profile that was kept: its version, and its file."""

    version: str
    path: str


def history_directory(name: str) -> str:
    """Where the profiles of ``name`` are kept; it need not exist. Raises UsageError for what cannot be a name."""
    return os.path.join(state_directory(), "history", check_name(name))


def version_of(profile: Profile) -> str:
    """The name under which a profile is kept."""
    agent = profile.agent
    if agent is None:
        return UNVERSIONED
    version = agent.known.version if agent.known else f"sha256-{agent.sha256[:12]}" if agent.sha256 else ""
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", version).strip(".-")[:100] or UNVERSIONED


def keep(name: str, profile: Profile, text: str) -> None:
    """Keep ``text``, the file form of ``profile``, as the one of its version. Raises MachineError."""
    path = os.path.join(history_directory(name), version_of(profile) + _SUFFIX)
    write_atomically(path, text.encode())


def kept(name: str) -> tuple[Kept, ...]:
    """The kept profiles of ``name``, the lowest version first; () if there are none. Raises UsageError."""
    directory = history_directory(name)
    try:
        names = os.listdir(directory)
    except OSError:
        return ()
    found = [n.removesuffix(_SUFFIX) for n in names if n.endswith(_SUFFIX) and not n.startswith(".")]
    return tuple(Kept(version, os.path.join(directory, version + _SUFFIX)) for version in sorted(found, key=_natural))


def find_profile(name_or_file: str) -> str:
    """The file of a profile: as :func:`learner.store.profile_path` has it, or one that was kept for NAME@VERSION.

    Raises UsageError for what cannot be a name or fits several versions, InputFileError for a version not kept.
    """
    path = profile_path(name_or_file)
    name, at, version = name_or_file.rpartition("@")
    if path == name_or_file or not at or not name or os.path.lexists(path):
        return path
    found = kept(name)
    exact = [one for one in found if one.version == version]
    fits = exact or [one for one in found if version and one.version.startswith(version)]
    if len(fits) == 1:
        return fits[0].path
    if fits:
        listed = ", ".join(one.version for one in fits)
        raise UsageError(f"{to_text(name_or_file)} could be any of {listed}", "write more of the version")
    if not found:
        raise InputFileError(
            f"{to_text(name)}: no earlier versions are kept", "`sbx learn -n NAME -- COMMAND` keeps each that it learns"
        )
    listed = ", ".join(one.version for one in found)
    raise InputFileError(
        f"{to_text(name)}: there is no version {to_text(version)}; there are {listed}", "name one of them"
    )


def _natural(version: str) -> list[tuple[int, int, str]]:
    """2.9 before 2.10; letters after numbers, so that 2.0rc1 stands after 2.0 (order is for reading only)."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in _DIGITS.split(version) if part]
