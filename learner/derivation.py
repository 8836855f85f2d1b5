"""The policy that follows from a trace: wants, the cheapest cover of each aspect, and the grants that come of both."""

import gc
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from learner.access import Access, Meaning
from learner.census import Beside
from learner.cover import Weights, cover
from learner.gaps import Gap
from learner.merging import add
from learner.network import network_grants
from learner.places import ANY_PROCESS, CLASSES, Class, Map, ancestors, is_within, of_any_process
from learner.policy import CHANGES, NO_RIGHT, Grant, Policy, Right, Scope, Witness
from learner.sensitive import Catalogue
from learner.volatile import lasting_part
from learner.wants import EMPTY, UNMASKED, Aspect, Want, Wants, wants
from tracers.events import Operation
from tracers.programs import LAUNCHER, Program

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

_OPENS = Right.READ | CHANGES
_ASIDE = Right.READ | Right.LIST | Right.ATTRIBUTES
_Anchor = tuple[str, Scope]


class SensitiveUse(NamedTuple):
    """A sensitive object that the program used: ``granted`` only if the user allowed it.

    ``within``: the directory whose tree is granted and opens it all the same, empty if none does. ``refused``: it was
    masked, so that the program only tried.
    """

    path: str
    reason: str
    rights: Right
    programs: tuple[str, ...]
    granted: bool
    within: str = ""
    refused: bool = False


class Derived(NamedTuple):
    """A policy, what was left out of it because it is sensitive, and what it cannot express."""

    policy: Policy
    sensitive: tuple[SensitiveUse, ...]
    gaps: tuple[Gap, ...]


class Scale(NamedTuple):
    """How the policy is to be. ``granularity``: what one grant costs, in the unit of the weights of places.

    ``most``: the largest number of grants, 0 for any.
    """

    granularity: float = 1.0
    most: int = 0


DEFAULT = Scale()


class _Draft:
    """A grant while its witnesses are collected."""

    __slots__ = ("ensure", "rights", "users")

    def __init__(self) -> None:
        self.rights = NO_RIGHT
        self.ensure = False
        self.users: list[tuple[str, Operation, str]] = []

    def witnesses(self, anchor: str, passing: frozenset[str]) -> tuple[Witness, ...]:
        if len(self.users) == 1:  # nearly every grant of a policy that has many
            label, operation, path = self.users[0]
            return (Witness(label, (operation,), _example({path}, anchor, passing)),)
        operations: dict[str, set[Operation]] = defaultdict(set)
        paths: dict[str, set[str]] = defaultdict(set)
        for label, operation, path in self.users:
            operations[label].add(operation)
            paths[label].add(path)
        return tuple(
            Witness(
                program=label,
                operations=tuple(sorted(operations[label])),
                example=_example(paths[label], anchor, passing),
                objects=len(paths[label]),
            )
            for label in sorted(paths)
        )


def _example(paths: set[str], anchor: str, passing: frozenset[str]) -> str:
    """The shortest path that another run would know as well; the grant's own if there is none."""

    def lasts(path: str) -> bool:
        beyond = path[len(anchor) :] if path.startswith(anchor) else path
        return path not in passing and (not beyond or lasting_part(beyond) == beyond)

    return min((path for path in paths if lasts(path)), key=lambda path: (len(path), path), default=anchor)


class _Deriver:
    def __init__(
        self, places: Map, programs: tuple[Program, ...], found: Wants, beside: Mapping[str, Beside], runs_others: bool
    ) -> None:
        self._places = places
        self._labels = tuple(program.label for program in programs)
        self._wants = found.wants
        self._gone = found.passing
        self._beside = beside
        self._runs_others = runs_others
        self._catalogue = Catalogue(places.home)
        self._closed = sorted({need.access.object for need, _ in found.sensitive})
        self._classes: dict[str, Class] = {}

    def grants(self, rule: float) -> tuple[Grant, ...]:
        drafts: dict[_Anchor, _Draft] = defaultdict(_Draft)
        for aspect, some in self._wants.items():
            if some:
                self._cover(aspect, some, rule, drafts)
        if self._places.temporary:
            # The launch names it to the program, so it is granted whether or not this run had a use for it.
            given = drafts[self._places.temporary, Scope.TREE]
            given.ensure = True
            given.users.append((LAUNCHER, Operation.MKDIR, self._places.temporary))
        self._complete(drafts)
        _drop_covered(drafts)
        return tuple(
            Grant(path, scope, draft.rights, draft.witnesses(path, self._passing(path, draft)), draft.ensure)
            for (path, scope), draft in sorted(drafts.items())
        )

    def _passing(self, path: str, draft: _Draft) -> frozenset[str]:
        """The names that another run would not know: in the directory for temporary files, all of them."""
        if path == self._places.temporary:
            return frozenset(name for _, _, name in draft.users)
        return self._gone

    def _cover(self, aspect: Aspect, some: list[Want], rule: float, drafts: dict[_Anchor, _Draft]) -> None:
        wanted: dict[str, Scope] = {}
        for want in some:
            if want.ensure:
                continue
            if wanted.get(want.path) is not Scope.TREE:
                wanted[want.path] = want.scope
        anchors = cover(wanted, self._closed, self._weights(aspect, wanted), rule).anchors
        for want in some:
            # A directory of the program's own is not a matter of price: a launch makes it, whatever else is granted.
            draft = drafts[(want.path, Scope.TREE) if want.ensure else anchors[want.path]]
            draft.rights |= want.rights
            draft.ensure |= want.ensure
            access = want.need.access
            draft.users.append((self._labels[access.program], access.operation, access.object))

    def _weights(self, aspect: Aspect, wanted: Mapping[str, Scope]) -> Weights:
        catalogue, places, beside = self._catalogue, self._places, self._beside

        def class_of(path: str) -> Class:
            found = self._classes.get(path)
            if found is None:
                found = self._classes[path] = CLASSES[places.locate(path)[0]]
            return found

        def node(path: str) -> float:
            line = class_of(path)
            return line.read if aspect is Aspect.READ else line.execute if aspect is Aspect.EXECUTE else line.change

        def others(path: str) -> float:
            line = class_of(path)
            weight = node(path)
            if math.isinf(weight) or places.is_shared(path):
                return math.inf
            if not line.counted:
                return 0.0
            if not line.installed and path not in wanted and catalogue.match(path, aspect.value):
                return math.inf
            seen = beside.get(path)
            if seen is None:  # a file, or a directory of which nothing is known
                return 0.0 if line.installed or path in wanted else math.inf
            return math.inf if seen.sensitive else seen.objects * weight

        return Weights(others, lambda path: class_of(path).opening, node)

    def _complete(self, drafts: dict[_Anchor, _Draft]) -> None:
        """Add the rights that go with those that were seen."""
        places = self._places
        for (path, scope), draft in drafts.items():
            if scope is Scope.FILE:
                continue
            project = places.has_project and path == places.project
            if draft.ensure or (project and draft.rights & CHANGES):
                draft.rights |= WORK
                if project and self._runs_others:
                    draft.rights |= Right.EXEC  # what it builds there it may try, as it may run other programs
            elif draft.rights & (Right.CREATE | Right.MKDIR) and self._keeps_state_in(path):
                draft.rights |= WORK & CHANGES  # what was made today is replaced or tidied away another day
            elif draft.rights & Right.EXEC and CLASSES[places.locate(path)[0]].installed:
                draft.rights |= Right.READ  # a script is read by its interpreter

    def _keeps_state_in(self, path: str) -> bool:
        """Whether programs keep their state in a directory that was there before them."""
        return self._places.is_own_state(path) and self._catalogue.match(path, WORK) is None


def _drop_covered(drafts: dict[_Anchor, _Draft]) -> None:
    """Take out what wider grants give anyway; its witnesses go to the nearest of them."""
    trees = {path: draft for (path, scope), draft in drafts.items() if scope is Scope.TREE}
    for path, scope in sorted(drafts, key=lambda anchor: (-len(anchor[0]), anchor)) if trees else ():
        draft = drafts[path, scope]
        here = trees.get(path) if scope is Scope.FILE else None
        if here is not None and here.rights & _OPENS:
            here.rights |= draft.rights & _ASIDE  # what it says of the directory alone is no reason for a second grant
        wider = [here] if here is not None else []
        wider += [trees[above] for above in ancestors(path) if above in trees]
        given = NO_RIGHT
        for one in wider:
            given |= one.rights
        if wider and not draft.rights & ~given:
            wider[0].users += draft.users
            del drafts[path, scope]
            if scope is Scope.TREE:
                del trees[path]


def derive(
    places: Map,
    programs: tuple[Program, ...],
    accesses: Iterable[Access],
    beside: Mapping[str, Beside],
    allowed: frozenset[str] = frozenset(),
    changing: frozenset[str] = frozenset(),
    helpers: Mapping[str, tuple[str, ...]] = EMPTY,
    scale: Scale = DEFAULT,
    masked: Mapping[str, str] = UNMASKED,
) -> Derived:
    """The policy for ``accesses``.

    ``beside``: what exists beside what they touched (:mod:`learner.census`). ``allowed``: sensitive objects that the
    user wants granted all the same. ``changing``: names that are known to be other ones in the next run. ``helpers``:
    directories of programs that only an executed file runs. ``masked``: see :func:`learner.wants.wants`.
    """
    accesses = tuple(accesses)
    with _uncollected():
        found = wants(places, programs, accesses, allowed, changing, helpers, masked)
        runs_others = any(a.operation is Operation.EXEC and a.program for a in accesses)
        deriver = _Deriver(places, programs, found, beside, runs_others)
        grants = _at_most(deriver, scale)
        gaps = found.gaps
        if scale.most and len(grants) > scale.most:
            reason = f"{len(grants)} grants are left, though grants were made as dear as they can be"
            gaps = tuple(sorted({*gaps, Gap(f"at most {scale.most} grants", reason)}))
        policy = Policy(grants, network_grants(accesses, programs), _links(accesses, grants))
        return Derived(policy, _sensitive_uses(found, policy, programs, allowed), gaps)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without garbage collection: no cycles are made here, and looking for some took a third of the time (measured)."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def add_found(old: Policy, found: Derived) -> Derived:
    """``found`` on top of a policy; what that one opens of sensitive objects is no longer left out."""
    policy = add(old, found.policy)
    return found._replace(policy=policy, sensitive=tuple(_opened(use, old, policy) for use in found.sensitive))


def _links(accesses: tuple[Access, ...], grants: tuple[Grant, ...]) -> tuple[str, ...]:
    """The symlinks that were walked to something granted, outside of granted trees: those show theirs anyway."""
    granted = Policy(grants)
    trees = {grant.path for grant in grants if grant.scope is Scope.TREE}
    found: set[str] = set()
    for access in accesses:
        if access.links and access.meaning is Meaning.DONE and granted.rights_on(access.object):
            found.update(access.links)
    return tuple(sorted(link for link in found if trees.isdisjoint(ancestors(link)) and not is_within(link, "/proc")))


_DEAREST = 64.0
"""The highest price of a grant that is tried for a number of grants: beyond it counting stopped (census.MOST)."""


def _at_most(deriver: _Deriver, scale: Scale) -> tuple[Grant, ...]:
    """The grants at the lowest price, from ``scale.granularity`` upwards, at which there are no more than wanted."""
    grants = deriver.grants(scale.granularity)
    if not scale.most or len(grants) <= scale.most:
        return grants
    low, high = scale.granularity, max(_DEAREST, scale.granularity)
    grants = deriver.grants(high)
    while len(grants) <= scale.most and high / low > 1.05:
        middle = math.sqrt(low * high)
        fewer = deriver.grants(middle)
        if len(fewer) <= scale.most:
            high, grants = middle, fewer
        else:
            low = middle
    return grants


def _sensitive_uses(
    found: Wants, policy: Policy, programs: tuple[Program, ...], allowed: frozenset[str]
) -> tuple[SensitiveUse, ...]:
    uses: dict[tuple[str, str], tuple[Right, set[str]]] = {}
    used = set()
    for need, reason in found.sensitive:
        path = of_any_process(need.access.object)
        rights, users = uses.get((path, reason), (NO_RIGHT, set()))
        uses[path, reason] = rights | need.right, users | {programs[need.access.program].label}
        if need.access.meaning is not Meaning.REFUSED:
            used.add(path)
    told = []
    for (path, reason), (rights, users) in sorted(uses.items(), key=lambda item: item[0]):
        granted = path in allowed
        within = "" if granted else _opening(policy, path, rights)
        told.append(SensitiveUse(path, reason, rights, tuple(sorted(users)), granted, within, path not in used))
    return tuple(told)


def _opened(use: SensitiveUse, old: Policy, policy: Policy) -> SensitiveUse:
    """``use`` as it is under ``policy``, which is the one that it was found with on top of ``old``."""
    named = NO_RIGHT
    for grant in old.grants:
        named |= grant.rights if grant.path == use.path else NO_RIGHT
    if use.granted or not use.rights & ~named:  # named by itself: somebody decided so
        return use._replace(granted=True, within="")
    return use._replace(within=_opening(policy, use.path, use.rights))


def _opening(policy: Policy, path: str, rights: Right) -> str:
    """Where the nearest grant stands that opens a sensitive object all the same; empty if none does."""
    if is_within(path, ANY_PROCESS):
        return ""  # whatever is granted in /proc, the kernel keeps it from a confined program (ptrace_may_access)
    by = policy.admitting(path, rights)
    return by[0].path if by else ""
