"""Names that change from run to run: by their shape (seen in real agents' traces), or because two runs differ."""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Sequence

from learner.access import Access, Kind
from learner.needs import CREATING, created
from learner.places import ancestors
from tracers.events import Operation

_NAMES = re.compile(
    r"""
      [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}   # uuid
    | (?<![0-9A-Za-z])(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{8,}(?![0-9A-Za-z])   # hex ids, content hashes
    | \d{6,}                                                          # dates, times, long ids
    | (?<!\d)\d{4}-\d\d-\d\d(?!\d)                                  # dates
    | -\d+-[0-9a-f]{6,}$                                              # .staging-12-3fa85f
    | ^tmp[a-z0-9_]{8}($|\.)                                          # Python's tempfile
    | ^tmp_(obj|pack|idx)_                                            # git
    | ^cc[A-Za-z0-9]{6}\.                                             # gcc
    | \.[A-Za-z0-9]{6,10}\.tmp$ | \.tmp\.\d+                          # editors, atomic replacement
    | ^[0-9]+\.(sock|lock|pid)$
    """,
    re.VERBOSE,
)
_PARTS = re.compile(
    r"""
      /(?:19|20)\d\d/(?:0[1-9]|1[0-2])(?=/|$)                         # directories of dates: 2026/11/22
    | /[0-9a-f]{2}(?:/[0-9a-f]{2})?(?=/(?:[0-9a-f]{16,}|tmp_obj_)[^/]*(?:/|$))   # fan-out of hashes
    """,
    re.VERBOSE,
)
"""Shapes that take several components to tell."""
_FAN = re.compile(r"/[0-9a-f]{2}(?:/[0-9a-f]{2})?")


def is_volatile(name: str) -> bool:
    """Whether a single file name looks as if it will be another one in the next run."""
    return _NAMES.search(name) is not None


def lasting_part(path: str, spare: Callable[[str], bool] = lambda _name: False) -> str:
    """``path``, or the directory above the first of its components that will be another one in the next run.

    ``spare`` names components that look as if they would, but will not.
    """
    parts = _PARTS.search(path)
    end = parts.start() if parts else len(path)
    at = 0
    for name in path[:end].split("/"):
        if name and is_volatile(name) and not spare(name):
            return path[: at - 1] or "/"
        at += len(name) + 1
    return path[:end] or "/"


def fan(path: str) -> str:
    """The directory whose files are spread over directories named by the first digits of their hash, as ``path`` is.

    Empty if ``path`` does not lie in one.
    """
    parts = _PARTS.search(path)
    return path[: parts.start()] if parts and _FAN.fullmatch(parts.group()) else ""


def is_fanned(path: str, fans: frozenset[str]) -> bool:
    """Whether ``path`` is one of the directories for first digits in one of ``fans``."""
    above = os.path.dirname(path)
    return any(base in fans and _FAN.fullmatch(path[len(base) :]) for base in (above, os.path.dirname(above)))


_GOING = frozenset({Operation.REMOVE, Operation.RMDIR, Operation.RENAME_FROM})

_Slot = tuple[str, Kind]
"""A directory, and what was made in it."""


def changing_names(runs: Sequence[tuple[Access, ...]]) -> frozenset[str]:
    """The names that one run made and another did not, having made something else of that kind beside it.

    A name that the other run uses all the same (a configuration that only the first run had to write) stays; that
    it is tidied away there is no use.
    """
    made = [_made(run) for run in runs]
    used = [_used(run) for run in runs]
    changing: set[str] = set()
    for one in range(len(runs)):
        for other in range(len(runs)):
            for slot, names in made[one].items():
                if made[other].get(slot, frozenset()) - used[one]:
                    changing |= names - used[other]
    return frozenset(changing)


def _made(run: tuple[Access, ...]) -> dict[_Slot, set[str]]:
    names = created(run)
    slots: dict[_Slot, set[str]] = defaultdict(set)
    for access in run:
        if access.operation in CREATING and access.outcome == 0 and access.object in names:
            slots[os.path.dirname(access.object), access.kind].add(access.object)
    return slots


def _used(run: tuple[Access, ...]) -> frozenset[str]:
    """Every name that the run knew, whatever came of it, and the directories on the way."""
    objects = {access.object for access in run if access.operation not in _GOING and access.object.startswith("/")}
    return frozenset(objects.union(*(ancestors(path) for path in objects)))
