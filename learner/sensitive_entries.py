"""What a line of the catalogue of sensitive places is. The tables: ``sensitive_places`` and ``sensitive_system``."""

import enum
from typing import NamedTuple


class Concern(enum.Enum):
    """Which accesses are the danger."""

    ANY = enum.auto()
    CHANGE = enum.auto()
    """Reading it tells nothing, but whoever may change it runs code outside of the sandbox later."""


class Entry(NamedTuple):
    """``pattern``: ``~`` is a home directory, a leading ``**`` any directories, a trailing one all that lies beneath.

    ``*`` stands for any part of one name, once in a name. ``but``: patterns of what the entry does not mean.
    """

    pattern: str
    reason: str
    concern: Concern = Concern.ANY
    but: tuple[str, ...] = ()


HOMES = ("/home/*", "/root", "/Users/*", "/var/root")
"""Where accounts have their home directories (FHS 3.0; macOS). A secret of another account is no less one."""

LINKS = (("/private", "/"), ("/System/Volumes/Data", "/"), ("/var/run", "/run"), ("/var/home", "/home"))
"""Second names: macOS's /etc, /var, /tmp and its firmlinks; FHS 3.0 section 5.13; Fedora's image-based systems."""


def secrets(reason: str, *patterns: str, but: tuple[str, ...] = ()) -> tuple[Entry, ...]:
    """Places that are a concern however they are used."""
    return tuple(Entry(pattern, reason, but=but) for pattern in patterns)


def later(reason: str, *patterns: str, but: tuple[str, ...] = ()) -> tuple[Entry, ...]:
    """Places that must not be changed."""
    return tuple(Entry(pattern, reason, Concern.CHANGE, but) for pattern in patterns)
