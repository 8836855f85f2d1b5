"""What exists beside the objects that a run touched: what a tree grant would open in excess.

Taken once, when a run ends, and kept in its trace, so that the policy that follows from a trace does not depend on the
machine on which it is derived.
"""

import os
from collections import defaultdict
from collections.abc import Iterable

import msgspec

from learner.access import Access, Meaning
from learner.needs import needs
from learner.places import CLASSES, Map, Place, ancestors, is_systems
from learner.policy import Right
from learner.sensitive import Catalogue
from tracers.events import Operation

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


def helpers(accesses: Iterable[Access], places: Map) -> dict[str, tuple[str, ...]]:
    """By system program that was executed: the directories in which it keeps programs for itself alone.

    ``/usr/lib/git-core`` is git's: a package has one directory of its own there (FHS 3.0, 4.6 and 4.7).
    """
    executed = {a.object for a in accesses if a.operation is Operation.EXEC and a.meaning is Meaning.DONE}
    installed = sorted(path for path in executed if is_systems(path))
    found = {
        path: tuple(d for d in _helpers(path) if places.locate(d)[0] is Place.SYSTEM and _holds_programs(d))
        for path in installed
    }
    return {path: directories for path, directories in found.items() if directories}


def _helpers(program: str) -> list[str]:
    name, top = os.path.basename(program), os.path.dirname(os.path.dirname(program))
    found = []
    for library in (f"{top}/lib", f"{top}/libexec"):
        try:
            names = sorted(n for n in os.listdir(library) if n == name or n.startswith(f"{name}-"))
        except OSError:
            continue
        found += [os.path.realpath(f"{library}/{n}") for n in names]
    return found


def _holds_programs(directory: str) -> bool:
    try:
        with os.scandir(directory) as entries:
            return any(e.is_file() and e.stat().st_mode & 0o111 and ".so" not in e.name for e in entries)
    except OSError:
        return False


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
