"""The cover: the cheapest set of grants that admits everything wanted. Exact, by a recursion over the path tree.

    cost = (rule cost) * (number of grants) + (weight of what the trees among them open in excess)

Bottom-up: at each path either its whole tree is granted, which pays for everything in it that was not wanted, or the
cheapest grants of its children are kept. One right (or a group of rights that go together) is covered at a time.
Pure; linear in the number of distinct path components.
"""

import math
import os
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from learner.policy import Scope


class Weights(NamedTuple):
    """What a tree costs beyond being one more grant.

    ``beside(path)``: the weight of the existing objects beneath a directory that no wanted path leads to; infinite if
    the directory must never be granted as a tree (nor any above it).
    ``opening(path)``: what is added once if the tree is granted at ``path``.
    ``node(path)``: the weight of the directory ``path`` itself when it is on the way to something wanted, but not
    wanted itself.
    """

    beside: Callable[[str], float]
    opening: Callable[[str], float]
    node: Callable[[str], float]


class Chosen(NamedTuple):
    """``anchors``: (path, scope) for each wanted path, of the grant that admits it. ``cost``: see the module."""

    anchors: dict[str, tuple[str, Scope]]
    cost: float


def cover(wanted: Mapping[str, Scope], closed: Collection[str], weights: Weights, rule: float) -> Chosen:
    """Cover each path in ``wanted``: FILE where a grant on the object alone is enough, TREE where its tree is wanted.

    Paths are absolute and normalised. No tree is granted at a path of ``closed`` or above one, unless a wanted TREE
    asks for it. ``rule`` is the cost of one grant, in the unit of the weights. Of equally cheap covers the narrowest is
    taken.
    """
    parents = _tree(wanted, closed)
    excess = dict.fromkeys(parents, 0.0)
    kept = dict.fromkeys(parents, 0.0)
    trees: set[str] = set()
    cost = 0.0
    for path in sorted(parents, key=len, reverse=True):  # whatever lies beneath a path is longer
        want = wanted.get(path)
        weight = weights.beside(path) if path not in closed else math.inf
        weight += excess[path] + (weights.node(path) if want is None else 0.0)
        alone = kept[path] + (rule if want is Scope.FILE else 0.0)
        whole = rule + weights.opening(path) + weight
        if want is Scope.TREE or whole < alone:
            trees.add(path)
            alone = rule if math.isinf(whole) else whole
        above = parents[path]
        if above:
            excess[above] += weight
            kept[above] += alone
        else:
            cost = alone
    return Chosen({path: _anchor(path, parents, trees) for path in wanted}, cost)


def _tree(wanted: Mapping[str, Scope], closed: Collection[str]) -> dict[str, str]:
    """Each path and every directory above it, with its parent; the root's is empty."""
    parents: dict[str, str] = {}
    for leaf in (*wanted, *closed):
        path = leaf
        while path not in parents:
            above = os.path.dirname(path)
            parents[path] = "" if above == path else above
            path = above
    return parents


def _anchor(path: str, parents: dict[str, str], trees: set[str]) -> tuple[str, Scope]:
    found, scope, at = path, Scope.FILE, path
    while at:
        if at in trees:
            found, scope = at, Scope.TREE  # the topmost: what it holds was decided with it
        at = parents[at]
    return found, scope
