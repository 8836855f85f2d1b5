"""What is never granted silently: which entry of the catalogue a path falls under."""

import functools

from learner.policy import CHANGES, Right
from learner.sensitive_entries import HOMES, LINKS, Concern, Entry
from learner.sensitive_places import PERSONAL
from learner.sensitive_system import SYSTEM

__all__ = ["CATALOGUE", "Catalogue", "Concern", "Entry"]

CATALOGUE: tuple[Entry, ...] = (*PERSONAL, *SYSTEM)


class _Node:
    """A directory in a tree of patterns: what comes next by its name, or by how its name begins and ends.

    ``here`` and ``below``: numbers of what matches this very path, and this path with all that lies beneath.
    """

    __slots__ = ("below", "here", "names", "shapes")

    def __init__(self) -> None:
        self.names: dict[str, _Node] = {}
        self.shapes: tuple[tuple[str, str, _Node], ...] = ()
        self.here: tuple[int, ...] = ()
        self.below: tuple[int, ...] = ()

    def child(self, name: str) -> "_Node":
        """The node of a name of a pattern, made if there is none. Raises ValueError where it has two ``*``."""
        start, star, end = name.partition("*")
        if not name or "*" in end:
            raise ValueError(f"not a name of a pattern: {name!r}")
        if not star:
            return self.names.get(name) or self.names.setdefault(name, _Node())
        for known in self.shapes:
            if known[:2] == (start, end):
                return known[2]
        self.shapes = (*self.shapes, (start, end, _Node()))
        return self.shapes[-1][2]

    def descend(self, path: str) -> "_Node":
        """The node of ``path``: names of a pattern joined by ``/``, empty for this node."""
        node = self
        for name in path.split("/") if path else ():
            node = node.child(name)
        return node

    def add(self, pattern: str, number: int) -> None:
        """``pattern``: as a path, or with a last ``**`` for all that lies beneath."""
        node = self.descend(pattern.removesuffix("/**"))
        if pattern.endswith("/**"):
            node.below = (*node.below, number)
        else:
            node.here = (*node.here, number)

    def link(self, pattern: str, target: "_Node") -> None:
        """Let ``target`` be found under a second name: ``*`` or a literal one."""
        above, _, name = pattern.rpartition("/")
        node = self.descend(above)
        if name == "*":
            node.shapes = (*node.shapes, ("", "", target))
        else:
            node.names[name] = target

    def collect(self, names: list[str], at: int, found: list[int]) -> None:
        """Add the numbers that fit ``names`` from index ``at`` on."""
        node = self
        for depth in range(at, len(names)):
            name = names[depth]
            if node.below:
                found += node.below
            for start, end, child in node.shapes:
                if name.startswith(start) and name.endswith(end) and len(name) >= len(start) + len(end):
                    child.collect(names, depth + 1, found)
            after = node.names.get(name)
            if after is None:
                return
            node = after
        found += node.below
        found += node.here


class _Patterns:
    """Numbered patterns, to be asked for the numbers of those that fit a path."""

    def __init__(self, patterns: list[tuple[str, int]]) -> None:
        self._root, self._home, self._anywhere = _Node(), _Node(), _Node()
        for pattern, number in patterns:
            start, _, rest = pattern.partition("/")
            {"": self._root, "~": self._home, "**": self._anywhere}[start].add(rest, number)
        for pattern in HOMES:
            self._root.link(pattern[1:], self._home)
        for pattern, target in LINKS:
            self._root.link(pattern[1:], self._root.descend(target[1:]))
        # What makes a path worth a search: its first name, a name anywhere, or a part (patterns with a * either begin
        # or end with a text).
        self._tops = frozenset(self._root.names)
        self._names = frozenset(self._anywhere.names)
        self._parts = tuple("/" + start for start, _, _ in self._anywhere.shapes if start)
        self._ends = tuple(end for start, end, _ in self._anywhere.shapes if not start)

    def find(self, path: str, home: list[str]) -> list[int]:
        """The numbers that fit ``path``. ``home``: the names of a home directory, the first of them empty."""
        found: list[int] = []
        names = path.split("/")
        if len(names) > 1 and names[1] in self._tops:
            self._root.collect(names, 1, found)
        anywhere = not self._names.isdisjoint(names) or path.endswith(self._ends)
        for part in self._parts:
            anywhere = anywhere or part in path
        if anywhere:
            for at in range(1, len(names)):
                self._anywhere.collect(names, at, found)
        if home and names[: len(home)] == home:
            self._home.collect(names, len(home), found)
        return found

    def reaches(self, home: list[str]) -> bool:
        """Whether ``home`` is one of those that any search looks into."""
        probe = _Node()
        for pattern in HOMES:
            probe.add(pattern[1:], 0)
        found: list[int] = []
        probe.collect(home, 1, found)
        return bool(found)


@functools.cache
def _ranked() -> tuple[tuple[Entry, ...], _Patterns, _Patterns]:
    """The entries, and their patterns and exceptions by rank.

    What is a concern however it is used comes first: one path may fit several entries.
    """
    entries = tuple(sorted(CATALOGUE, key=lambda e: e.concern is Concern.CHANGE))
    patterns = [(entry.pattern, rank) for rank, entry in enumerate(entries)]
    exceptions = [(but, rank) for rank, entry in enumerate(entries) for but in entry.but]
    return entries, _Patterns(patterns), _Patterns(exceptions)


class Catalogue:
    """The catalogue for one home directory; those of other accounts hold secrets as well."""

    def __init__(self, home: str) -> None:
        self._entries, self._patterns, self._exceptions = _ranked()
        names = home.rstrip("/").split("/")
        self._home = [] if self._patterns.reaches(names) else names

    def match(self, path: str, rights: Right) -> Entry | None:
        """The entry by which using ``rights`` on ``path`` (absolute, normalised) is sensitive, if there is one."""
        found = self._patterns.find(path, self._home)
        if not found:
            return None
        for rank in sorted(found):
            entry = self._entries[rank]
            if entry.concern is Concern.CHANGE and not rights & CHANGES:
                return None  # so are those after it
            if not entry.but or rank not in self._exceptions.find(path, self._home):
                return entry
        return None
