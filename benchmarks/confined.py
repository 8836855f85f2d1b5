"""What three other tools would have granted for the same trace: their published rules, as pure functions.

A trace keeps resolved paths. Where a peer goes by the text that the program passed, what it would see is not known:
relative paths, which greywall and firejail drop, count here as if they had been absolute, and where it matters the
names of the links that were walked are added. Each such liberty is in the peer's favour, and so is the choice of the
user: none of the three is held to what it does for root alone.

A peer's answer has more than grants: places that it masks, and places where it puts an empty directory of the
program's own. :func:`confine` puts the three together.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec

from learner.access import Kind
from learner.needs import Need, created, needs
from learner.places import ancestors, is_within
from learner.policy import NO_RIGHT, Grant, Policy, Right, Scope
from learner.trace import Header, Trace

ALL = ~NO_RIGHT
SEEN = Right.READ | Right.LIST | Right.EXEC | Right.CONNECT
"""A read-only bind mount, or Landlock's three rights to read; neither keeps from connecting to a socket."""

Denied = Callable[[str], Right]
"""The rights that are taken away on an absolute path, whatever is granted; all rights on a directory: on its tree."""


Private = Callable[[str], bool]
"""Whether a path lies where the program sees a directory of its own, empty at first, and not the real one."""


class Baseline(NamedTuple):
    """A peer. ``source``: repository, files and version that the rules were read from.

    ``unchecked``: rights that its mechanism does not check at all.
    """

    name: str
    source: str
    learn: Callable[[Trace], Policy]
    denied: Callable[[Trace], Denied]
    private: Callable[[Trace], Private]
    unchecked: Right = NO_RIGHT


class Confined(NamedTuple):
    """What a program can do when ``policy`` is enforced with what a peer denies and replaces."""

    policy: Policy
    denied: Denied = lambda path: NO_RIGHT
    private: Private = lambda path: False
    unchecked: Right = NO_RIGHT

    def rights(self, path: str) -> Right:
        """The rights on what lies at ``path`` on this machine, as seen from outside of the sandbox."""
        if self.private(path):
            return NO_RIGHT
        denied = self.denied(path)
        return self.policy.rights_on(path) & ~denied if denied is not ALL else NO_RIGHT

    def refused(self, trace: Trace) -> tuple[Need, ...]:
        """What of ``trace`` succeeded, or reached its object, and would not now.

        In a private directory all works on what the run itself made there, and nothing on what was there before.
        """
        # sbx names a private $TMPDIR of its own; without it the program would have used the peer's /tmp.
        made = created(trace.accesses) | {trace.header.temporary}
        return tuple(need for access in trace.accesses for need in needs(access) if self._refuses(need, made))

    def opened(self) -> Iterator[str]:
        """Every object that exists on this machine now and on which there is a right. /proc counts as one."""
        done: set[str] = set()
        trees = {g.path for g in self.policy.grants if g.scope is Scope.TREE}
        for top in sorted({g.path for g in self.policy.grants if os.path.lexists(g.path)}):
            todo = [(top, top in trees and os.path.isdir(top) and not os.path.islink(top))]
            while todo:
                path, walk = todo.pop()
                if path in done or not self.rights(path):
                    continue
                done.add(path)
                yield path
                if walk and path != "/proc":
                    todo += children(path)

    def _refuses(self, need: Need, made: frozenset[str]) -> bool:
        path = need.path
        if not self.private(path):
            return bool(need.right & ~self.unchecked & ~self.rights(path))
        standing = not self.private(os.path.dirname(path)) or any(is_within(g.path, path) for g in self.policy.grants)
        return path not in made and not standing


def confine(baseline: Baseline, trace: Trace) -> Confined:
    """What ``baseline`` learns from ``trace``, enforced as it does."""
    return Confined(baseline.learn(trace), baseline.denied(trace), baseline.private(trace), baseline.unchecked)


def as_in(trace: Trace, header: Header) -> Trace:
    """``trace`` as it would have been in the project, home and temporary directory of ``header``.

    What a peer makes of this is what its learned profile means to that later run, if it had variables for the three.
    """
    old, new = ((h.project, h.home, h.temporary, h.cwd) for h in (trace.header, header))
    places = sorted({(a, b) for a, b in zip(old, new, strict=True) if a and b}, key=lambda pair: (-len(pair[0]), pair))

    def move(path: str) -> str:
        return next((b + path.removeprefix(a) for a, b in places if is_within(path, a)), path)

    accesses = (
        msgspec.structs.replace(
            a, object=move(a.object), links=tuple(map(move, a.links)), peer=None if a.peer is None else move(a.peer)
        )
        for a in trace.accesses
    )
    return msgspec.structs.replace(trace, header=header, accesses=tuple(accesses))


def children(path: str) -> list[tuple[str, bool]]:
    try:
        with os.scandir(path) as entries:
            return [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries]
    except OSError:
        return []


def policy(grants: Iterable[Grant]) -> Policy:
    return Policy(tuple(sorted(set(grants), key=lambda g: (g.path, g.scope, g.rights.value))))


def trees(paths: Iterable[str], rights: Right) -> list[Grant]:
    return [Grant(path, Scope.TREE, rights, ()) for path in paths]


def listed_directories(trace: Trace) -> frozenset[str]:
    found = {a.object for a in trace.accesses if a.kind is Kind.DIRECTORY}
    return frozenset(found.union(*(ancestors(a.object) for a in trace.accesses if a.object.startswith("/"))))


def outermost(paths: Iterable[str]) -> list[str]:
    every = set(paths)
    return sorted(path for path in every if every.isdisjoint(ancestors(path)))


def below(top: str, names: str) -> list[str]:
    return [f"{top}/{name}" for name in names.split()]


def pattern(paths: Iterable[str]) -> re.Pattern[str]:
    """Matches the paths and all beneath them; ``*`` and ``?`` stay within a name."""
    return re.compile(f"(?:{texts(paths)})(?:/.*)?", re.DOTALL)


def texts(paths: Iterable[str]) -> str:
    texts = [re.escape(path).replace(r"\*", "[^/]*").replace(r"\?", "[^/]") for path in sorted(paths)]
    return "|".join(texts) or "(?!)"
