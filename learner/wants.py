"""From needs to wants: on which object, or for which directory's tree, each need asks for a grant.

Most needs can be met on their object alone. Where the name will be another one in the next run, or where one run shows
only part of what the program does (the project, directories of its own), the tree of a directory is wanted instead.
Directories that many share (the home directory, ``/etc``, ``/tmp``) are never opened for changes; what needed that is
returned as a gap.
"""

import enum
import errno
import functools
import os
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from learner.access import Access, Kind, Meaning
from learner.gaps import Gap
from learner.needs import CREATING, Need, attempted, created, needs, vanished
from learner.places import CLASSES, Map, Place, ancestors, is_systems, is_temporary, is_within
from learner.policy import ALWAYS, CHANGES, NO_RIGHT, Right, Scope, right_names
from learner.sensitive import Catalogue
from learner.variables import Variables
from learner.volatile import fan, is_fanned, is_volatile, lasting_part
from tracers.events import Operation
from tracers.programs import Program

ABOVE = "list what is above the project"
"""The gap for shells that look for their own directory."""


class Aspect(enum.Enum):
    """Rights that are covered together; the value holds them all."""

    READ = Right.READ | Right.LIST
    EXECUTE = Right.EXEC
    CHANGE = CHANGES
    USE = Right.IOCTL | Right.CONNECT


class Want(NamedTuple):
    """A grant of ``rights``, all of one aspect, at ``path`` would meet ``need``, and so would a wider one.

    ``ensure``: the directory is the program's own, so a launch makes it.
    """

    path: str
    scope: Scope
    rights: Right
    need: Need
    ensure: bool = False


class Wants(NamedTuple):
    """``wants`` by aspect. ``sensitive``: the needs that touch a sensitive object, each with why it is one.

    ``gaps``: what is not granted at all. ``passing``: names that were removed again, or are known to change.
    """

    wants: dict[Aspect, list[Want]]
    sensitive: tuple[tuple[Need, str], ...]
    gaps: tuple[Gap, ...]
    passing: frozenset[str]


_ON_OBJECTS = (
    Right.READ | Right.LIST | Right.EXEC | Right.WRITE | Right.TRUNCATE | Right.ATTRIBUTES | Right.IOCTL | Right.CONNECT
)
_WHOLE = {
    Place.TEMPORARY: NO_RIGHT,
    Place.PROJECT: Right.EXEC,
    Place.TERMINALS: NO_RIGHT,
    Place.PROCESS: CHANGES,
}
"""Places of which one run shows only a part, so that they are wanted whole; but not for these rights."""
EMPTY: Mapping[str, tuple[str, ...]] = MappingProxyType({})
UNMASKED: Mapping[str, str] = MappingProxyType({})
_ALWAYS = {grant.path: grant.rights for grant in ALWAYS}


@functools.cache
def _by_aspect(rights: Right) -> tuple[tuple[Aspect, Right], ...]:
    return tuple((aspect, rights & aspect.value) for aspect in Aspect if rights & aspect.value)


class _Placer:
    def __init__(
        self,
        places: Map,
        programs: tuple[Program, ...],
        accesses: tuple[Access, ...],
        allowed: frozenset[str],
        changing: frozenset[str],
        helpers: Mapping[str, tuple[str, ...]],
        masked: Mapping[str, str],
    ) -> None:
        self._places = places
        self._programs = programs
        self._accesses = accesses
        self._allowed = allowed
        self._changing = changing
        self._helpers = helpers
        self._masked = masked
        self._catalogue = Catalogue(places.home)
        self._names_project = Variables(places.project, places.home).names_project
        self._created = created(accesses)
        self._vanished = vanished(accesses)
        fans = {fan(access.object) for access in accesses} - {""}
        self._fans = frozenset(name for name in fans if self._places.is_state(name))
        self._made_on_the_way: dict[str, list[str]] = {}
        self._made_directories = {a.object for a in accesses if a.kind is Kind.DIRECTORY} & self._created
        self._own = {own for made in self._made_directories if (own := self._own_directory(made))}
        self._wants: dict[Aspect, list[Want]] = {aspect: [] for aspect in Aspect}
        self._sensitive: list[tuple[Need, str]] = []
        self._gaps: set[Gap] = set()

    def run(self) -> Wants:
        lookers = self._lookers()
        for access in self._accesses:
            if self._masked and access.meaning is Meaning.REFUSED:
                self._note_refused(access)
                continue
            if access.program in lookers and self._is_above_project(access):
                label = self._programs[access.program].label
                reason = f"{label} listed every directory up to / to learn where it is; it does without"
                self._gaps.add(Gap(ABOVE, reason))
                continue
            if access.operation is Operation.MKDIR and access.outcome == errno.EEXIST:
                self._claim(access)
            for need in needs(access):
                entry = self._catalogue.match(access.object, need.right)
                if need.path in _ALWAYS and not need.right & ~_ALWAYS[need.path]:
                    continue
                if entry is None:
                    self._place(need)
                    continue
                self._sensitive.append((need, entry.reason))
                if access.object in self._allowed:
                    self._place_single(need)
        return Wants(self._wants, tuple(self._sensitive), tuple(sorted(self._gaps)), self._vanished | self._changing)

    def _claim(self, access: Access) -> None:
        """A directory that the program would have made, had it not been there: its own, as if it had made it."""
        path = access.object
        own = self._places.is_own_state(path) and not self._places.is_shared(path)
        # Rights over what is sensitive are not had by asking for a directory that is there.
        if own and self._lasts(path) and self._catalogue.match(path, Right.READ | CHANGES) is None:
            self._want(path, Scope.TREE, Need(path, Right.LIST, access), ensure=True)

    def _note_refused(self, access: Access) -> None:
        """A program that was kept from a sensitive object has still asked for it."""
        for need in attempted(access):
            reason = next(
                (self._masked[a] for a in (access.object, *ancestors(access.object)) if a in self._masked), ""
            )
            if not reason:
                entry = self._catalogue.match(access.object, need.right)
                reason = entry.reason if entry is not None else ""
            if reason:
                self._sensitive.append((need, reason))
                if access.object in self._allowed:
                    self._place_single(need)

    def _lookers(self) -> set[int]:
        """The programs that listed all directories above the project, as shells do to find their own (getcwd(3)).

        That is no need, and would not be one in another project; a listing of one of them alone is.
        """
        above = set(ancestors(self._places.project)) if self._places.has_project else {""}
        seen: dict[int, set[str]] = {}
        for access in self._accesses:
            if self._is_above_project(access):
                seen.setdefault(access.program, set()).add(access.object)
        return {program for program, listed in seen.items() if listed >= above}

    def _is_above_project(self, access: Access) -> bool:
        listed = access.operation is Operation.LIST and access.object != self._places.project
        return listed and is_within(self._places.project, access.object)

    def _want(self, path: str, scope: Scope, need: Need, *, ensure: bool = False) -> None:
        for aspect, rights in _by_aspect(need.right):
            self._wants[aspect].append(Want(path, scope, rights, need, ensure))

    def _place_single(self, need: Need) -> None:
        if need.right & ~_ON_OBJECTS:
            self._change_directory(need.path, need)
        else:
            self._want(need.path, Scope.FILE, need)

    def _place(self, need: Need) -> None:
        path = need.path
        place, directory = self._places.locate(path)
        if place in _WHOLE and not need.right & _WHOLE[place]:
            self._want(directory, Scope.TREE, need, ensure=place is Place.TEMPORARY)
        elif need.access.operation is Operation.MKDIR and self._is_made_by_launch(need):
            return
        else:
            self._place_elsewhere(need, place)

    def _place_elsewhere(self, need: Need, place: Place) -> None:
        path = need.path
        made = self._made(path)
        own = self._own_among(made)
        if own is not None:
            self._want(own, Scope.TREE, need, ensure=True)
        elif made and not self._stays_alone(made[0], need):
            self._change_directory(os.path.dirname(made[0]), need)
        elif need.right & ~_ON_OBJECTS:
            self._change_directory(path, need)
        elif need.right is Right.EXEC and path in self._helpers:
            self._want(path, Scope.FILE, need)
            for directory in self._helpers[path]:  # which of them it runs depends on what it is told to do
                self._want(directory, Scope.TREE, need)
        elif not need.right & CHANGES and (lasting := self._lasting_part(path)) != path:
            self._want(lasting, Scope.TREE, need)
        else:
            self._want(path, Scope.FILE, need)

    def _is_made_by_launch(self, need: Need) -> bool:
        """Whether a launch makes the directory, so that the right to make it is not needed."""
        own = self._own_directory(need.access.object)
        if own is not None:
            self._want(own, Scope.TREE, need._replace(right=Right.LIST), ensure=True)
            return True
        return any(is_within(directory, need.access.object) for directory in self._own)

    def _made(self, path: str) -> list[str]:
        """The names on the way to ``path`` that the program made itself, topmost first."""
        above = os.path.dirname(path)
        before = self._made_on_the_way.get(above)
        if before is None:
            before = [name for name in (*reversed(ancestors(above)), above) if name in self._created]
            self._made_on_the_way[above] = before
        return [*before, path] if path in self._created else before

    def _own_directory(self, path: str) -> str | None:
        """The directory at or above ``path`` that the program made for itself and will use again."""
        return self._own_among(self._made(path))

    def _own_among(self, made: list[str]) -> str | None:
        for name in made:
            if not self._places.is_shared(name):
                installed = CLASSES[self._places.locate(name)[0]].installed  # a package, which the next one lies beside
                mine = name in self._made_directories and not installed
                return name if mine and self._lasts(name) else None
        return None

    def _lasts(self, name: str) -> bool:
        gone = name in self._vanished or name in self._changing
        base = os.path.basename(name)
        volatile = is_volatile(base) and not self._names_project(base)
        return not gone and not volatile and self._lasting_part(name) == name

    def _lasting_part(self, path: str) -> str:
        """``path``, or a directory above it that will still be there in the next run; see :func:`lasting_part`.

        Only where programs keep their own state: a person's directory may well be named after a date.
        """
        if not self._places.is_state(path):
            return path
        base = self._places.home if is_within(path, self._places.home) else ""
        found = base + lasting_part(path[len(base) :], self._names_project)
        while is_fanned(found, self._fans):
            found = os.path.dirname(found)
        return path if self._places.is_shared(found) else found

    def _stays_alone(self, made: str, need: Need) -> bool:
        """Whether a file made in a shared directory can be granted by itself: it is there from now on."""
        return need.path == made and self._lasts(made) and self._places.is_shared(os.path.dirname(made))

    def _change_directory(self, directory: str, need: Need) -> None:
        """A change in a directory that was there before the program."""
        while directory in self._created:
            directory = os.path.dirname(directory)
        # What was made may tell that its directory changes too: the one for the first digits of a hash does.
        lasting = self._lasting_part(need.access.object)
        directory = lasting if is_within(directory, lasting) else self._lasting_part(directory)
        label = self._programs[need.access.program].label
        place, _ = self._places.locate(directory)
        installed = is_systems(directory)
        if (installed or CLASSES[place].installed) and "__pycache__" in need.access.object:
            self._gaps.add(
                Gap("bytecode caches", f"{label} wrote compiled modules in {place} trees, which stay read-only")
            )
        elif installed or place is Place.FOREIGN or self._places.is_shared(directory):
            words = ", ".join(right_names(need.right))
            why = "what is installed" if installed else "so widely shared a directory"
            hint = "; where the program heeds TMPDIR it has a private one" if is_temporary(directory) else ""
            self._gaps.add(
                Gap(f"{words} in {directory}", f"{label} did it for {need.access.object}; {why} stays closed{hint}")
            )
        else:
            # What a program made and left behind it will read another time; keys that lie beside it, never.
            kept = need.access.operation in CREATING and need.access.object not in self._vanished
            kept = kept and self._catalogue.match(directory, Right.READ) is None
            more = Right.READ if kept else NO_RIGHT
            self._want(directory, Scope.TREE, need._replace(right=need.right | more))


def wants(
    places: Map,
    programs: tuple[Program, ...],
    accesses: Iterable[Access],
    allowed: frozenset[str] = frozenset(),
    changing: frozenset[str] = frozenset(),
    helpers: Mapping[str, tuple[str, ...]] = EMPTY,
    masked: Mapping[str, str] = UNMASKED,
) -> Wants:
    """What ``accesses`` ask for.

    ``allowed``: sensitive objects that the user wants granted all the same. ``changing``: names that are known to be
    other ones in the next run. ``helpers``: directories of programs that only an executed file runs.
    ``masked``: sensitive objects that were hidden from the programs, with why they are; what was refused of those is
    told like what was used of others.
    """
    return _Placer(places, programs, tuple(accesses), allowed, changing, helpers, masked).run()
