"""The last attempts that failed, kept in order: what a report can say about why a command did."""

import os
from collections import deque

from learner.access import Access, Meaning
from learner.places import Map, Place
from tracers.events import Operation

KEPT = 5
_ASKING = frozenset({Operation.STAT, Operation.READLINK, Operation.GETXATTR, Operation.CHDIR, Operation.WATCH})


class Failures:
    """Notes distinct accesses as they happen; :attr:`lines` are the last few that may matter, oldest first.

    Left out: what only asks, and what is looked for and missing among installed packages (translations, optional
    modules), which every start of a program does by the dozen.
    """

    def __init__(self, places: Map) -> None:
        self._places = places
        self._lines: deque[str] = deque(maxlen=KEPT)

    @property
    def lines(self) -> tuple[str, ...]:
        """Each as ``program: operation object: reason``."""
        return tuple(self._lines)

    def note(self, access: Access, label: str) -> None:
        """Look at one distinct access of the program ``label``."""
        if access.operation in _ASKING or access.meaning is Meaning.DONE:
            return
        if access.meaning is Meaning.PROBE and self._places.locate(access.object)[0] in (Place.SYSTEM, Place.RUNTIME):
            return
        line = f"{label}: {access.operation} {access.object}: {os.strerror(access.outcome)}"
        if line not in self._lines:
            self._lines.append(line)
