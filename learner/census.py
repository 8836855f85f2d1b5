"""What exists beside the objects that a run touched: what a tree grant would open in excess.

Taken once, when a run ends, and kept in its trace, so that the policy that follows from a trace does not depend on the
machine on which it is derived.
"""

import os
from collections import defaultdict
from collections.abc import Iterable

import msgspec

from learner.access import Access
from learner.needs import needs
from learner.places import CLASSES, Map, ancestors
from learner.policy import Right
from learner.sensitive import Catalogue

MOST = 64
"""Counting stops where opening a tree would not pay off even if a grant cost this many times more than by default."""


class Beside(msgspec.Struct, frozen=True, omit_defaults=True):
    """``objects``: how many exist beneath a directory that no touched path leads to (at least, where counting stopped).

    ``sensitive``: whether one of them is in the catalogue of sensitive objects.
    """

    objects: int = 0
    sensitive: bool = False

    def joined(self, other: "Beside") -> "Beside":
        """What two runs saw, taken together."""
        return Beside(max(self.objects, other.objects), self.sensitive or other.sensitive)


def take(accesses: Iterable[Access], places: Map) -> dict[str, Beside]:
    """What lies beside the needed objects, by directory, for each directory on the way that might be granted as a tree.

    Reads directories; those that cannot be read hold nothing for the program either.
    """
    needed = {need.path for access in accesses for need in needs(access)}
    children: dict[str, set[str]] = defaultdict(set)
    beneath: dict[str, int] = defaultdict(int)
    for path in needed:
        beneath[path] += 1
        known = path
        for above in ancestors(path):
            children[above].add(known)
            beneath[above] += 1
            known = above
    catalogue = Catalogue(places.home)
    found = {}
    for directory in sorted({*children, *needed}):
        line = CLASSES[places.locate(directory)[0]]
        if not line.counted or places.is_shared(directory) or not os.path.isdir(directory):
            continue
        most = int(beneath[directory] * MOST / line.read) + 1
        watched = None if line.installed else catalogue
        found[directory] = _count(directory, children[directory], most, watched)
    return found


def _count(directory: str, known: set[str], most: int, catalogue: Catalogue | None) -> Beside:
    objects = 0
    sensitive = False
    todo = [directory]
    while todo and objects < most:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    if entry.path in known:
                        continue
                    objects += 1
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
                    if catalogue is not None and catalogue.match(entry.path, Right.READ):
                        sensitive = True
        except OSError:
            continue
    return Beside(min(objects, most), sensitive)
