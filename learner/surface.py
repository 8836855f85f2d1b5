"""How much a policy opens: existing objects, against those that were needed."""

import os
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from learner.access import Access
from learner.needs import needs
from learner.places import ancestors
from learner.policy import Policy, Scope


class Item(NamedTuple):
    """A granted tree, and how many of the objects that it opens were not needed."""

    path: str
    excess: int


class Surface(NamedTuple):
    """Numbers of existing objects. ``excess`` = ``granted`` - ``needed``; ``items``: where it lies, largest first."""

    needed: int
    granted: int
    excess: int
    items: tuple[Item, ...] = ()


def surface(policy: Policy, accesses: Iterable[Access]) -> Surface:
    """Count what ``policy`` opens on this machine now (it reads directories; /proc counts as one object)."""
    trees = {g.path for g in policy.grants if g.scope is Scope.TREE}
    outer = {path for path in trees if trees.isdisjoint(ancestors(path))}
    single = {g.path for g in policy.grants if g.scope is Scope.FILE and os.path.lexists(g.path)}
    alone = {path for path in single if outer.isdisjoint((path, *ancestors(path)))}
    counts = {path: _count(path) for path in outer}
    used: dict[str, int] = defaultdict(int)
    for path in {need.path for access in accesses for need in needs(access)}:
        top = path if path in alone else next((d for d in (path, *ancestors(path)) if d in outer), None)
        if top is not None and policy.rights_on(path) and os.path.lexists(path):
            used[top] += 1
    used |= {path: min(number, counts.get(path, 1)) for path, number in used.items()}
    granted, needed = sum(counts.values()) + len(alone), sum(used.values())
    items = [Item(path, count - used[path]) for path, count in counts.items() if count > used[path]]
    return Surface(needed, granted, granted - needed, tuple(sorted(items, key=lambda item: (-item.excess, item.path))))


UNKNOWN = Surface(0, 0, 0)
"""Of a policy for another machine."""


def _count(top: str) -> int:
    if top == "/proc" or not os.path.lexists(top):
        return int(os.path.lexists(top))
    total = 1
    todo = [top]
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    total += 1
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
        except OSError:
            continue
    return total
