"""How much a policy opens: existing objects, against those that were needed."""

import os
from collections.abc import Iterable
from typing import NamedTuple

from learner.access import Access
from learner.needs import needs
from learner.places import ancestors
from learner.policy import Policy, Scope


class Surface(NamedTuple):
    """Numbers of existing objects. ``excess`` = ``granted`` - ``needed``."""

    needed: int
    granted: int
    excess: int


def surface(policy: Policy, accesses: Iterable[Access]) -> Surface:
    """Count what ``policy`` opens on this machine now (it reads directories; /proc counts as one object)."""
    trees = {g.path for g in policy.grants if g.scope is Scope.TREE}
    outer = {path for path in trees if trees.isdisjoint(ancestors(path))}
    single = {g.path for g in policy.grants if g.scope is Scope.FILE and os.path.lexists(g.path)}
    alone = sum(1 for path in single if outer.isdisjoint((path, *ancestors(path))))
    granted = sum(_count(path) for path in outer) + alone
    objects = {need.path for access in accesses for need in needs(access)}
    needed = sum(
        1 for path in objects if policy.rights_on(path) and not path.startswith("/proc/") and os.path.lexists(path)
    )
    needed = min(needed, granted)
    return Surface(needed, granted, granted - needed)


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
