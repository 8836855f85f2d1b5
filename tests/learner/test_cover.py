"""The recursion against every possible cover of small trees."""

import itertools
import math
import os
from collections.abc import Iterable
from typing import NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st

from learner.cover import Chosen, Weights, cover
from learner.places import ancestors, is_within
from learner.policy import Scope


class Case(NamedTuple):
    """A small file system: what is wanted, closed, and what everything weighs."""

    wanted: dict[str, Scope]
    closed: frozenset[str]
    beside: dict[str, float]
    opening: dict[str, float]
    node: dict[str, float]
    rule: float

    @property
    def weights(self) -> Weights:
        return Weights(
            lambda path: self.beside.get(path, 0.0),
            lambda path: self.opening.get(path, 0.0),
            lambda path: self.node.get(path, 0.0),
        )

    @property
    def nodes(self) -> list[str]:
        return sorted({node for path in (*self.wanted, *self.closed) for node in (path, *ancestors(path))})

    def cover(self) -> Chosen:
        return cover(self.wanted, self.closed, self.weights, self.rule)

    def excess(self, top: str) -> float:
        beneath = [node for node in self.nodes if is_within(node, top)]
        if any(node in self.closed for node in beneath):
            return math.inf
        unwanted = (self.node.get(n, 0.0) for n in beneath if n not in self.wanted)
        return sum(self.beside.get(n, 0.0) for n in beneath) + sum(unwanted)

    def price(self, files: Iterable[str], trees: Iterable[str]) -> float:
        """What a set of grants costs: what a wanted tree opens that must not be opened is nobody's choice."""
        total = 0.0
        for top in trees:
            open_weight = self.opening.get(top, 0.0) + self.excess(top)
            forced = self.wanted.get(top) is Scope.TREE
            total += self.rule + (0.0 if forced and math.isinf(open_weight) else open_weight)
        return total + self.rule * len(list(files))

    def cheapest(self) -> float:
        """By trying every set of trees; what they leave over is granted alone."""
        best = math.inf
        nodes = self.nodes
        for choice in itertools.product([False, True], repeat=len(nodes)):
            trees = [node for node, chosen in zip(nodes, choice, strict=True) if chosen]
            if any(a != b and is_within(a, b) for a in trees for b in trees):
                continue  # one in the other only costs more
            left = [path for path in self.wanted if not any(is_within(path, top) for top in trees)]
            if all(self.wanted[path] is Scope.FILE for path in left):
                best = min(best, self.price(left, trees))
        return best


_paths = st.lists(st.sampled_from("abc"), max_size=3).map(lambda parts: "/" + "/".join(parts))
_weight = st.sampled_from([0.0, 0.25, 0.5, 1.0, 3.0, math.inf])
_finite = st.sampled_from([0.0, 0.5, 1.0])
_cases = st.builds(
    Case,
    wanted=st.dictionaries(_paths, st.sampled_from([Scope.FILE, Scope.FILE, Scope.TREE]), max_size=5),
    closed=st.frozensets(_paths, max_size=1),
    beside=st.dictionaries(_paths, _weight, max_size=6),
    opening=st.dictionaries(_paths, _finite, max_size=4),
    node=st.dictionaries(_paths, _weight, max_size=4),
    rule=st.sampled_from([0.5, 1.0, 4.0]),
)


@settings(max_examples=400, deadline=None)
@given(_cases)
@example(Case({}, frozenset(), {}, {}, {}, 1.0))
def test_the_cost_is_the_least_there_is(case: Case) -> None:
    if not case.wanted and not case.closed:
        assert case.cover() == Chosen({}, 0.0)
    elif len(case.nodes) <= 12:
        assert math.isclose(case.cover().cost, case.cheapest())


@settings(max_examples=400, deadline=None)
@given(_cases)
def test_the_anchors_are_a_cover_that_costs_so_much(case: Case) -> None:
    found = case.cover()
    grants = set(found.anchors.values())
    trees = {path for path, scope in grants if scope is Scope.TREE}
    for path, (anchor, scope) in found.anchors.items():
        assert is_within(path, anchor)
        assert scope is Scope.TREE or (anchor == path and case.wanted[path] is Scope.FILE)
    assert math.isclose(found.cost, case.price([p for p, s in grants if s is Scope.FILE], trees))


@settings(max_examples=400, deadline=None)
@given(_cases)
def test_no_tree_is_granted_above_what_is_closed(case: Case) -> None:
    for anchor, scope in case.cover().anchors.values():
        if scope is Scope.TREE and math.isinf(case.excess(anchor)):
            assert case.wanted[anchor] is Scope.TREE


def test_of_equally_cheap_covers_the_narrowest() -> None:
    case = Case({"/a/b": Scope.FILE}, frozenset(), {}, {}, {}, 1.0)
    assert case.cover() == Chosen({"/a/b": ("/a/b", Scope.FILE)}, 1.0)


def test_many_files_and_little_else_make_a_tree() -> None:
    wanted = {f"/a/{name}": Scope.FILE for name in "bcd"}
    few = Case(wanted, frozenset(), {"/a": 1.5, "/": 9.0}, {}, {}, 1.0)
    assert set(few.cover().anchors.values()) == {("/a", Scope.TREE)}
    many = few._replace(beside={"/a": 2.5})
    assert {scope for _, scope in many.cover().anchors.values()} == {Scope.FILE}


def test_a_hundred_thousand_paths_are_covered_in_linear_time() -> None:
    def visits(count: int) -> int:
        asked = 0

        def beside(_: str) -> float:
            nonlocal asked
            asked += 1
            return 0.001

        wanted = {f"/usr/{n % 97}/{n % 1009}/{n}": Scope.FILE for n in range(count)}
        found = cover(wanted, (), Weights(beside, lambda _: 0.0, lambda _: 0.0), 1.0)
        assert len(found.anchors) == count
        nodes = {node for path in wanted for node in (path, os.path.dirname(path))}
        assert asked <= len(nodes) + 100
        return asked

    assert visits(100_000) < 11 * visits(10_000)
