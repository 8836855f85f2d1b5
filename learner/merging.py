"""Policies joined: the union of what several grant, what one adds to another, and what is new in it.

:func:`merge` gives the same grants in whatever order, and however often, policies are folded into it. For that a
grant below a wider one keeps only the rights that the wider one lacks (a right says nothing twice), and the reasons
of a grant that is left out go with it.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from learner.names import to_text
from learner.places import ancestors
from learner.policy import NO_RIGHT, Grant, NetworkAction, NetworkGrant, Policy, Right, Scope, ServiceGrant, Witness
from learner.words import endpoint, place, rights_phrase, service
from tracers.events import Transport

_Anchor = tuple[str, Scope]
_Endpoint = tuple[NetworkAction, bool, str, int, Transport]


class Novelty(NamedTuple):
    """A grant that was not there before, or what was added to one: an object and words for what may be done."""

    item: str
    rights: str


def merge(policies: Iterable[Policy]) -> Policy:
    """Everything that any of ``policies`` grants, in canonical form.

    Grants that give nothing beside the wider ones above them are left out, unless a launch makes their directory.
    """
    each = tuple(policies)
    grants = _joined(grant for policy in each for grant in policy.grants if grant.rights or grant.ensure)
    trees = _trees(grants.values())
    kept = []
    for _, grant in sorted(grants.items()):
        wider = _wider(grant, trees)
        # A directory that a launch makes stays whatever happens above it, so it states all that holds in it.
        rights = grant.rights | wider if grant.ensure else grant.rights & ~wider
        if rights or grant.ensure:
            kept.append(msgspec.structs.replace(grant, rights=rights))
    return _policy(tuple(kept), each, trees)


def add(old: Policy, more: Policy) -> Policy:
    """``old`` with what ``more`` grants beyond it. Every grant of ``old`` stays, were it only to be read."""
    grants = _joined((*old.grants, *more.grants))
    trees = _trees(grants.values())
    before = {(grant.path, grant.scope) for grant in old.grants}
    kept = tuple(
        grant
        for anchor, grant in sorted(grants.items())
        if anchor in before or grant.ensure or grant.rights & ~_wider(grant, trees)
    )
    return _policy(kept, (old, more), trees)


def news(old: Policy, new: Policy) -> tuple[Novelty, ...]:
    """What ``new`` grants and ``old`` does not, sorted as the grants are."""
    before = _joined(old.grants)
    trees = _trees(before.values())
    found = []
    for anchor, grant in sorted(_joined(new.grants).items()):
        same = before.get(anchor)
        rights = grant.rights & ~_wider(grant, trees) & ~(same.rights if same else NO_RIGHT)
        made = grant.ensure and not (same and same.ensure)
        if rights or made:
            words = [rights_phrase(rights)] if rights else []
            found.append(Novelty(place(grant), ", ".join([*words, *(["made at launch"] if made else [])])))
    known = {_endpoint(grant) for grant in old.network}
    found += [Novelty(endpoint(n), n.action.value) for n in _joined_network((new,)) if _endpoint(n) not in known]
    granted = {(grant.operation, grant.name) for grant in old.services}
    found += [Novelty(service(s), "service") for s in _joined_services((new,)) if (s.operation, s.name) not in granted]
    found += [Novelty(to_text(path), "look at") for path in new.probes if path not in old.probes]
    return tuple(found)


def _policy(grants: tuple[Grant, ...], policies: tuple[Policy, ...], trees: dict[str, Right]) -> Policy:
    """``grants``, with all else that ``policies`` say."""
    return Policy(
        grants,
        _joined_network(policies),
        _joined_links(policies, trees),
        _joined_services(policies),
        tuple(sorted({probe for policy in policies for probe in policy.probes})),
    )


def _joined_services(policies: Iterable[Policy]) -> tuple[ServiceGrant, ...]:
    found: dict[tuple[str, str], ServiceGrant] = {}
    for grant in (s for policy in policies for s in policy.services):
        same = found.get((grant.operation, grant.name))
        witnesses = _witnesses((*grant.witnesses, *(same.witnesses if same else ())))
        found[grant.operation, grant.name] = msgspec.structs.replace(grant, witnesses=witnesses)
    return tuple(grant for _, grant in sorted(found.items()))


def _joined(grants: Iterable[Grant]) -> dict[_Anchor, Grant]:
    """One grant for each path and scope."""
    found: dict[_Anchor, Grant] = {}
    for grant in grants:
        anchor = (grant.path, grant.scope)
        same = found.get(anchor)
        found[anchor] = Grant(
            grant.path,
            grant.scope,
            grant.rights | (same.rights if same else NO_RIGHT),
            _witnesses((*grant.witnesses, *(same.witnesses if same else ()))),
            grant.ensure or bool(same and same.ensure),
        )
    return found


def _joined_network(policies: Iterable[Policy]) -> tuple[NetworkGrant, ...]:
    found: dict[_Endpoint, NetworkGrant] = {}
    for grant in (n for policy in policies for n in policy.network):
        same = found.get(_endpoint(grant))
        witnesses = _witnesses((*grant.witnesses, *(same.witnesses if same else ())))
        found[_endpoint(grant)] = msgspec.structs.replace(grant, witnesses=witnesses)
    return tuple(grant for _, grant in sorted(found.items()))


def _joined_links(policies: Iterable[Policy], trees: dict[str, Right]) -> tuple[str, ...]:
    """All links but those in granted trees, which are there anyway."""
    every = {link for policy in policies for link in policy.links}
    return tuple(sorted(link for link in every if trees.keys().isdisjoint(ancestors(link))))


def _endpoint(grant: NetworkGrant) -> _Endpoint:
    return grant.action, grant.abstract, grant.host, grant.port, grant.transport


def _witnesses(witnesses: Iterable[Witness]) -> tuple[Witness, ...]:
    """One witness for each program: all its operations, the shortest example, the largest number of objects."""
    by_program: dict[str, list[Witness]] = defaultdict(list)
    for witness in witnesses:
        by_program[witness.program].append(witness)
    return tuple(
        Witness(
            program=program,
            operations=tuple(sorted({operation for w in same for operation in w.operations})),
            example=min((w.example for w in same), key=lambda example: (len(example), example)),
            objects=max(w.objects for w in same),
        )
        for program, same in sorted(by_program.items())
    )


def _trees(grants: Iterable[Grant]) -> dict[str, Right]:
    return {grant.path: grant.rights for grant in grants if grant.scope is Scope.TREE}


def _wider(grant: Grant, trees: dict[str, Right]) -> Right:
    """What ``trees`` that hold ``grant`` and more give on its object."""
    rights = trees.get(grant.path, NO_RIGHT) if grant.scope is Scope.FILE else NO_RIGHT
    for directory in ancestors(grant.path):
        rights |= trees.get(directory, NO_RIGHT)
    return rights
