"""From needs to grants.

Reading is granted on single objects, except in places whose content is the same for everybody (installed packages),
where the whole tree is. Changing is granted on directories: the project, directories that the program made itself, and
otherwise the existing directory in which something was made or removed. Directories that many share (the home
directory, ``/etc``, ``/``) are never opened for changes; what needed that is returned as a gap.
"""

import os
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from learner.access import Access, Kind
from learner.gaps import Gap
from learner.needs import CREATING, Need, created, needs, vanished
from learner.network import network_grants
from learner.places import Map, Place, ancestors, is_temporary, is_within
from learner.policy import (
    CHANGES,
    NO_RIGHT,
    Grant,
    Policy,
    Right,
    Scope,
    Witness,
    right_names,
)
from learner.sensitive import Catalogue, Entry
from learner.volatile import is_volatile
from tracers.events import Operation
from tracers.programs import Program

WORK = (
    Right.READ
    | Right.LIST
    | Right.WRITE
    | Right.TRUNCATE
    | Right.CREATE
    | Right.MKDIR
    | Right.SYMLINK
    | Right.REMOVE
    | Right.RMDIR
    | Right.MOVE
    | Right.ATTRIBUTES
)
"""What a program may do in a directory that is its to work in: one run shows only a part of it."""

_READING = Right.READ | Right.LIST
_ON_OBJECTS = _READING | Right.EXEC | Right.WRITE | Right.TRUNCATE | Right.ATTRIBUTES | Right.IOCTL | Right.CONNECT


class SensitiveUse(NamedTuple):
    """A sensitive object that the program used: ``granted`` only if the user allowed it.

    ``within``: the directory whose tree is granted and opens it all the same, empty if none does.
    """

    path: str
    reason: str
    rights: Right
    programs: tuple[str, ...]
    granted: bool
    within: str = ""


class Cover(NamedTuple):
    """A policy, what was left out of it because it is sensitive, and what it cannot express."""

    policy: Policy
    sensitive: tuple[SensitiveUse, ...]
    gaps: tuple[Gap, ...]


class _Draft:
    """A grant while its witnesses are collected."""

    __slots__ = ("ensure", "rights", "users")

    def __init__(self) -> None:
        self.rights = NO_RIGHT
        self.ensure = False
        self.users: dict[str, set[tuple[Operation, str]]] = defaultdict(set)

    def add(self, right: Right, need: Need, label: str) -> None:
        self.rights |= right
        self.users[label].add((need.access.operation, need.access.object))

    def absorb(self, other: "_Draft") -> None:
        for label, uses in other.users.items():
            self.users[label] |= uses

    def witnesses(self) -> tuple[Witness, ...]:
        return tuple(
            Witness(
                program=label,
                operations=tuple(sorted({operation for operation, _ in uses})),
                example=min((path for _, path in uses), key=lambda p: (len(p), p)),
                objects=len({path for _, path in uses}),
            )
            for label, uses in sorted(self.users.items())
        )


_Anchor = tuple[str, Scope]


class _Coverer:
    def __init__(
        self,
        places: Map,
        programs: tuple[Program, ...],
        accesses: Iterable[Access],
        allowed: frozenset[str],
        changing: frozenset[str],
    ) -> None:
        self._places = places
        self._programs = programs
        self._accesses = tuple(accesses)
        self._allowed = allowed
        self._changing = changing
        self._catalogue = Catalogue(places.home)
        self._created = created(self._accesses)
        self._vanished = vanished(self._accesses)
        self._made_directories = {a.object for a in self._accesses if a.kind is Kind.DIRECTORY} & self._created
        self._own = {own for made in self._made_directories if (own := self._own_directory(made))}
        self._drafts: dict[_Anchor, _Draft] = defaultdict(_Draft)
        self._sensitive: dict[tuple[str, str], tuple[Right, set[str]]] = {}
        self._gaps: set[Gap] = set()

    def run(self) -> Cover:
        for access in self._accesses:
            for need in needs(access):
                entry = self._catalogue.match(access.object, need.right)
                if entry is not None:
                    self._note_sensitive(need, entry)
                    if access.object not in self._allowed:
                        continue
                    self._place_single(need)
                    continue
                self._place(need)
        self._widen_work()
        self._drop_covered()
        grants = tuple(
            Grant(path, scope, draft.rights, draft.witnesses(), draft.ensure)
            for (path, scope), draft in sorted(self._drafts.items())
            if draft.rights
        )
        policy = Policy(grants, network_grants(self._accesses, self._programs))
        return Cover(policy, self._sensitive_uses(policy), tuple(sorted(self._gaps)))

    def _sensitive_uses(self, policy: Policy) -> tuple[SensitiveUse, ...]:
        found = []
        for (path, reason), (rights, programs) in sorted(self._sensitive.items(), key=lambda item: item[0]):
            granted = path in self._allowed
            opened = () if granted else policy.admitting(path, rights)
            within = opened[0].path if opened else ""
            found.append(SensitiveUse(path, reason, rights, tuple(sorted(programs)), granted, within))
        return tuple(found)

    # --- where a need is anchored

    def _label(self, need: Need) -> str:
        return self._programs[need.access.program].label

    def _note_sensitive(self, need: Need, entry: Entry) -> None:
        key = (need.access.object, entry.reason)
        rights, programs = self._sensitive.get(key, (NO_RIGHT, set()))
        self._sensitive[key] = (rights | need.right, programs | {self._label(need)})

    def _grant(self, path: str, scope: Scope, need: Need, more: Right = NO_RIGHT) -> _Draft:
        draft = self._drafts[path, scope]
        draft.add(need.right | more, need, self._label(need))
        return draft

    def _place_single(self, need: Need) -> None:
        if need.right & ~_ON_OBJECTS:
            self._change_directory(need.path, need)
        else:
            self._grant(need.path, Scope.FILE, need)

    def _place(self, need: Need) -> None:
        path = need.path
        place, directory = self._places.locate(path)
        if place is Place.TEMPORARY:
            self._grant(directory, Scope.TREE, need).ensure = True
            return
        if place is Place.PROJECT and not need.right & Right.EXEC:
            self._grant(directory, Scope.TREE, need)
            return
        if place is Place.TERMINALS or (place is Place.PROCESS and not need.right & CHANGES):
            self._grant(directory, Scope.TREE, need)
            return
        if need.access.operation is Operation.MKDIR and self._is_made_by_launch(need):
            return
        made = self._made(path)
        own = self._own_among(made)
        if own is not None:
            self._grant(own, Scope.TREE, need).ensure = True
        elif made and not self._stays_alone(made[0], need):
            self._change_directory(os.path.dirname(made[0]), need)
        elif need.right & ~_ON_OBJECTS:
            self._change_directory(path, need)
        elif place in (Place.SYSTEM, Place.RUNTIME) and not need.right & ~_READING:
            self._grant(directory, Scope.TREE, need)
        else:
            self._grant(path, Scope.FILE, need)

    def _is_made_by_launch(self, need: Need) -> bool:
        """Whether a launch makes the directory, so that the right to make it is not needed."""
        own = self._own_directory(need.access.object)
        if own is not None:
            draft = self._grant(own, Scope.TREE, need._replace(right=Right.LIST))
            draft.ensure = True
            return True
        return any(is_within(directory, need.access.object) for directory in self._own)

    def _made(self, path: str) -> list[str]:
        """The names on the way to ``path`` that the program made itself, topmost first."""
        return [name for name in (*reversed(ancestors(path)), path) if name in self._created]

    def _own_directory(self, path: str) -> str | None:
        """The directory at or above ``path`` that the program made for itself and will use again."""
        return self._own_among(self._made(path))

    def _own_among(self, made: list[str]) -> str | None:
        for name in made:
            if self._places.is_shared(name):
                continue
            mine = name in self._made_directories and not is_temporary(os.path.dirname(name))
            return name if mine and self._lasts(name) else None
        return None

    def _lasts(self, name: str) -> bool:
        return not (name in self._vanished or name in self._changing or is_volatile(os.path.basename(name)))

    def _stays_alone(self, made: str, need: Need) -> bool:
        """Whether a file made in a shared directory can be granted by itself: it is there from now on."""
        return need.path == made and self._lasts(made) and self._places.is_shared(os.path.dirname(made))

    def _change_directory(self, directory: str, need: Need) -> None:
        """A change in a directory that was there before the program."""
        while directory in self._created:
            directory = os.path.dirname(directory)
        place, _ = self._places.locate(directory)
        if place in (Place.SYSTEM, Place.RUNTIME) and "__pycache__" in need.access.object:
            self._gaps.add(
                Gap(
                    "bytecode caches",
                    f"{self._label(need)} wrote compiled modules in {place} trees, which stay read-only",
                )
            )
        elif place is Place.SYSTEM or self._places.is_shared(directory):
            words = ", ".join(right_names(need.right))
            self._gaps.add(
                Gap(
                    f"{words} in {directory}",
                    f"{self._label(need)} did it for {need.access.object}; so widely shared a directory stays closed",
                )
            )
        else:
            # What a program made and left behind it will read another time; keys that lie beside it, never.
            kept = need.access.operation in CREATING and need.access.object not in self._vanished
            kept = kept and self._catalogue.match(directory, Right.READ) is None
            self._grant(directory, Scope.TREE, need, Right.READ if kept else NO_RIGHT)

    # --- afterwards

    def _widen_work(self) -> None:
        """In the project and in its own directories a program that changes anything may work."""
        for (path, scope), draft in self._drafts.items():
            own = draft.ensure or (self._places.has_project and path == self._places.project and scope is Scope.TREE)
            if own and draft.rights & CHANGES:
                draft.rights |= WORK

    def _drop_covered(self) -> None:
        """Take out what a wider grant gives anyway; its witnesses go along."""
        trees = {path: draft for (path, scope), draft in self._drafts.items() if scope is Scope.TREE}
        for anchor in sorted(self._drafts, key=lambda a: (-len(a[0]), a)):
            path, scope = anchor
            draft = self._drafts[anchor]
            above = [path] if scope is Scope.FILE else []
            for directory in (*above, *ancestors(path)):
                wider = trees.get(directory)
                if wider is not None and wider is not draft and not draft.rights & ~wider.rights:
                    wider.absorb(draft)
                    del self._drafts[anchor]
                    trees.pop(path, None) if scope is Scope.TREE else None
                    break


def cover(
    places: Map,
    programs: tuple[Program, ...],
    accesses: Iterable[Access],
    allowed: frozenset[str] = frozenset(),
    changing: frozenset[str] = frozenset(),
) -> Cover:
    """The policy for ``accesses``.

    ``allowed``: sensitive objects that the user wants granted all the same. ``changing``: names that are known to be
    other ones in the next run.
    """
    return _Coverer(places, programs, accesses, allowed, changing).run()
