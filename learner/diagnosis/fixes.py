"""The smallest grants that mend a trouble: the ones that the recording led to, or else made for it alone."""

import msgspec

from learner import census
from learner.access import Access, Kind
from learner.derivation import Derived, derive
from learner.diagnosis.case import Case, Fix, Role, Trouble
from learner.diagnosis.launching import steps
from learner.names import to_text
from learner.places import Map, ancestors
from learner.policy import NO_RIGHT, Grant, NetworkGrant, Policy, Right, Scope, Witness
from learner.words import endpoint
from tracers.events import Operation
from tracers.programs import LAUNCHER, Program


def absent(policy: Policy, wanted: Policy) -> tuple[Grant, ...]:
    """What ``wanted`` grants on paths and ``policy`` does not, each reduced to the rights that are lacking."""
    trees: dict[str, Right] = {}
    singles: dict[str, Right] = {}
    made = {grant.path for grant in policy.grants if grant.ensure}
    for grant in policy.grants:
        table = trees if grant.scope is Scope.TREE else singles
        table[grant.path] = table.get(grant.path, NO_RIGHT) | grant.rights
    found = []
    for grant in wanted.grants:
        given = trees.get(grant.path, NO_RIGHT)
        for above in ancestors(grant.path):
            given |= trees.get(above, NO_RIGHT)
        if grant.scope is Scope.FILE:
            given |= singles.get(grant.path, NO_RIGHT)
        lacking = grant.rights & ~given
        if lacking or (grant.ensure and grant.path not in made):
            found.append(msgspec.structs.replace(grant, rights=lacking or grant.rights))
    return tuple(found)


def mend(case: Case, some: tuple[Trouble, ...], places: Map, allowed: frozenset[str] = frozenset()) -> Fix:
    """What to grant so that ``some`` troubles, all of them refused, do not come again.

    ``allowed``: sensitive objects that the user wants granted. Reads directories where the recording does not help.
    """
    grants: list[Grant] = []
    network: list[NetworkGrant] = []
    sensitive: dict[str, str] = {}
    words: list[str] = []
    from_recording = absent(case.policy, case.wanted.policy) if case.wanted else ()
    left: list[Trouble] = []
    for trouble in some:
        if trouble.access.endpoint is not None or trouble.access.operation is Operation.RESOLVE:
            known = [n for n in case.wanted.policy.network if _matches(n, trouble)] if case.wanted else []
            network += known
            left += [] if known else [trouble]
            continue
        if trouble.role is Role.LINK:  # the recording knows what it leads to, and that is granted
            witness = Witness(trouble.program, (trouble.access.operation,), trouble.subject)
            grants.append(Grant(trouble.subject, Scope.FILE, trouble.lacking, (witness,)))
            continue
        chosen = _admitting(from_recording, trouble)
        grants += chosen
        if not chosen:
            left.append(trouble)
    if left:
        made = _made(case, left, places, allowed)
        # Every profile has what sbx itself makes; nobody was refused it. The command is started by sbx as well.
        grants += [
            g
            for g in absent(case.policy, made.policy)
            if g.path != places.temporary or any(w.program != LAUNCHER for w in g.witnesses)
        ]
        network += [n for n in made.policy.network if n not in case.policy.network]
        sensitive |= {use.path: use.reason for use in made.sensitive if not use.granted}
        words += [f"{gap.item}: {gap.reason}" for gap in made.gaps]
    return Fix(
        tuple(sorted(_once(grants), key=lambda g: (g.path, g.scope))),
        tuple(sorted(dict.fromkeys(network), key=endpoint)),
        tuple(sorted(sensitive.items())),
        tuple(dict.fromkeys(words)),
    )


def shown_by(case: Case, trouble: Trouble) -> tuple[Grant, ...]:
    """The grants that the recording led to and the policy lacks, by which ``trouble`` would not come again."""
    return tuple(_admitting(absent(case.policy, case.wanted.policy), trouble)) if case.wanted else ()


def _once(grants: list[Grant]) -> list[Grant]:
    found: dict[tuple[str, Scope], Grant] = {}
    for grant in grants:
        same = found.get((grant.path, grant.scope))
        rights = grant.rights | (same.rights if same else NO_RIGHT)
        found[grant.path, grant.scope] = msgspec.structs.replace(grant, rights=rights)
    return list(found.values())


def _matches(grant: NetworkGrant, trouble: Trouble) -> bool:
    end = trouble.access.endpoint
    if end is None:
        return grant.host == trouble.subject
    bind = trouble.access.operation is Operation.BIND
    same = (grant.action == "bind") == bind and grant.transport is end.transport
    return same and (grant.port == end.port or (grant.port == 0 and not grant.abstract) or grant.host == end.address)


def _admitting(absent_ones: tuple[Grant, ...], trouble: Trouble) -> list[Grant]:
    """Of the grants that are lacking: for each right the nearest that gives it; else those that show the object."""
    chosen: list[Grant] = []
    for right in trouble.lacking:
        giving = [g for g in absent_ones if g.covers(trouble.anchor) and g.rights & right]
        if giving:
            chosen.append(max(giving, key=lambda g: len(g.path)))
    if chosen:
        return chosen
    on_it = [g for g in absent_ones if g.covers(trouble.subject)]
    if on_it:
        return [max(on_it, key=lambda g: len(g.path))]
    # Something asked whether a directory is there: what is granted beneath shows it.
    return [g for g in absent_ones if g.path.startswith(trouble.subject.rstrip("/") + "/")]


def _made(case: Case, some: list[Trouble], places: Map, allowed: frozenset[str]) -> Derived:
    """The policy for exactly what was refused, by the rules by which any is derived."""
    accesses: list[Access] = []
    for trouble in some:
        access = trouble.access
        if access.endpoint is not None or access.operation is Operation.RESOLVE:
            accesses.append(msgspec.structs.replace(access, outcome=0))
            continue
        operation = access.operation
        if operation in (Operation.STAT, Operation.READLINK, Operation.CHDIR, Operation.GETXATTR, Operation.WATCH):
            operation = Operation.LIST if trouble.lacking & Right.LIST else Operation.READ
        kind = Kind.FILE if access.kind is Kind.ABSENT else access.kind
        done = msgspec.structs.replace(
            access, operation=operation, object=trouble.subject, kind=kind, outcome=0, links=()
        )
        accesses.append(done)
        if operation is Operation.EXEC:
            accesses += _launch(case, trouble, done)
    programs = tuple(Program(label, "", -1) for label in case.programs)
    ordered = tuple(dict.fromkeys(accesses))
    return derive(places, programs, ordered, census.take(ordered, places), allowed)


def _launch(case: Case, trouble: Trouble, done: Access) -> list[Access]:
    """The other objects that the same exec takes; a script is read by its interpreter."""
    found = []
    for step in steps(case.machine, trouble.access.object):
        if not step.there:
            break
        found.append(msgspec.structs.replace(done, object=step.path, kind=Kind.FILE))
        if step.role is Role.SHEBANG:
            script = case.machine.real(step.by)
            found.append(msgspec.structs.replace(done, object=script, kind=Kind.FILE, operation=Operation.READ))
    return found


def remedies(fix: Fix) -> tuple[str, ...]:
    """What the user must decide, in words."""
    said = [
        f"{to_text(path)} is sensitive ({reason}): only you can grant it, with --allow-sensitive {to_text(path)}"
        for path, reason in fix.sensitive
    ]
    return (*said, *fix.words)
