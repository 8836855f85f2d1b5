"""Whether a profile still fits: a confined run, what it was refused, what it had no use for."""

import errno
import os
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from learner.access import Access, Meaning
from learner.change import Change, Difference, Side
from learner.denials import Denial, as_done, denials
from learner.derivation import SensitiveUse, add_found
from learner.difference import compare, order
from learner.enforcers.choice import demand
from learner.enforcers.enforcer import Confinement, Enforcer
from learner.jail.rules import needs_names
from learner.launch import ensure_directories
from learner.needs import needs
from learner.network import needs_network, network_grants
from learner.places import ancestors
from learner.policy import NO_RIGHT, Grant, NetworkAction, NetworkGrant, Policy, Right, Scope
from learner.profile import Profile
from learner.ran import programs
from learner.seatbelt.complete import lookers
from learner.seatbelt.services import covers, name_of
from learner.session import MAX_ROUNDS, derive, record, tracer_of
from learner.trace import DARWIN, Trace, merge
from learner.variables import Variables
from tracers.events import Operation
from tracers.programs import LAUNCHER
from tracers.tracer import Command, Tracer


class Drift(NamedTuple):
    """``difference``: added is what the run needed and the profile lacks; removed what this run did not need.

    ``denied``: every refusal. ``status`` is how the command ended; ``interrupted``: whether the user ended it.
    ``lost``: records of the runs that were lost: what is refused or needed may be among them.
    """

    difference: Difference
    denied: tuple[Denial, ...]
    status: int
    interrupted: bool
    variables: Variables
    lost: int = 0


def check(
    command: Command,
    profile: Profile,
    enforcer: Enforcer,
    variables: Variables,
    learned: Trace | None,
    *,
    follow: bool = False,
    require: tuple[str, ...] = (),
    names: bool = False,
    on_round: Callable[[int], None] = lambda _round: None,
) -> Drift:
    """Run ``command`` confined to ``profile`` and traced. ``learned``: the trace it was learned from, if there is one.

    ``follow``: run it again with what was refused granted (nothing sensitive), until nothing more is refused.
    ``require``: gaps that must not be open. ``names``: in a network jail that learns, so that hosts are known by name;
    the enforcer holds their ports. Raises MachineError, LaunchError.
    """
    policy, traces, denied = profile.policy, list[Trace](), list[Denial]()
    for number in range(1, (MAX_ROUNDS if follow else 1) + 1):
        on_round(number)
        ensure_directories(policy)
        confinement = enforcer.prepare(policy)
        try:
            demand(confinement, enforcer, require)
            tracer = _tracer(confinement, names=names)
            wrapped = confinement.wrap(command)
            run = record(wrapped, tracer, variables)
            confinement.check()
        finally:
            confinement.close()
        traces.append(run.trace)
        left = _unknown(denials(run.trace, policy, enforcer, learned or _holding(run.trace, ())), learned)
        denied += [denial for denial in left if denial not in denied]
        grown = add_found(policy, derive(_wanted(run.trace, left), frozenset())).policy
        if not left or run.end.interrupted or grown == policy:
            break
        policy = grown
    # As a trace names it, see learner.ran.
    directory, name = os.path.split(wrapped.file)
    wrapper = os.path.join(os.path.realpath(directory), name) if wrapped.file != command.file else ""
    whole = merge(traces)
    # Without a jail an address that a name stood for cannot be told from any other.
    reached = network_grants(whole.accesses, whole.programs) if names or not needs_names(profile.policy) else ()
    found = judge(whole, profile, tuple(denied), learned, wrapper, reached)
    return Drift(
        found,
        tuple(denied),
        run.end.status,
        run.end.interrupted,
        run.trace.header.variables,
        whole.end.lost if whole.end else 0,
    )


def _tracer(confinement: Confinement, *, names: bool) -> Tracer:
    tracer = tracer_of(confinement, admitted=True)
    if not names:
        return tracer
    from learner.jail.watched import WatchedTracer

    return WatchedTracer(tracer)


def judge(
    trace: Trace,
    profile: Profile,
    denied: tuple[Denial, ...],
    learned: Trace | None,
    wrapper: str,
    reached: tuple[NetworkGrant, ...],
) -> Difference:
    """What confined runs (``denied``: what they were refused) say of their profile. ``wrapper``: of the enforcer.

    ``reached``: the endpoints that were, granted or not: an enforcer may hold no more than their ports.
    """
    policy, agent, variables = profile.policy, profile.agent, trace.header.variables
    refused = _wanted(trace, denied)
    found = add_found(policy, derive(refused, frozenset()))
    known = _left_out(add_found(policy, derive(learned, frozenset())).sensitive) if learned else ()
    mac = trace.header.platform == DARWIN
    before = Side(policy, variables, agent.ran if agent else (), bool(agent and agent.ran), known, mac=mac)
    ran = tuple(one for one in programs(trace) if one.path != wrapper)
    grown = msgspec.structs.replace(found.policy, network=(*found.policy.network, *reached))
    after = Side(grown, variables, ran, True, _left_out(found.sensitive), mac=mac, looked=lookers(trace) if mac else ())
    whole = compare(before, after, ports=True)
    accesses = [*trace.accesses, *refused.accesses, *_hidden(trace)]
    spare = compare(before, before._replace(policy=_used(policy, accesses)), ports=True)
    added = tuple(change for change in whole.added if not _is_launchers(change))
    # A sensitive object that was left out when learning is refused, as it should be: that is not gone.
    removed = [change for change in (*whole.removed, *spare.removed) if change.granted]
    return Difference(added, tuple(sorted(removed, key=order)))


def _holding(trace: Trace, accesses: tuple[Access, ...]) -> Trace:
    return msgspec.structs.replace(trace, accesses=accesses)


def _wanted(trace: Trace, denied: tuple[Denial, ...]) -> Trace:
    """A trace that holds only what was refused, as if it had been allowed. Its programs are those of ``trace``."""
    index = {program.label: number for number, program in reversed(list(enumerate(trace.programs)))}
    accesses = [as_done(msgspec.structs.replace(d.access, program=index.get(d.program, 0))) for d in denied]
    return _holding(trace, tuple(accesses))


def _unknown(left: tuple[Denial, ...], learned: Trace | None) -> tuple[Denial, ...]:
    """The denials without those of what learning saw and left out on purpose."""
    if learned is None:
        return left
    policy = derive(learned, frozenset()).policy
    return tuple(d for d in left if not (d.recorded and d.missing and not _gives(policy, d)))


def _gives(policy: Policy, denial: Denial) -> bool:
    return all(need.right & policy.rights_on(need.path) for need in needs(as_done(denial.access)))


def _hidden(trace: Trace) -> list[Access]:
    """What a run looked for and did not find because an enforcer hid the way to it, as if it had been there."""
    absent = [a for a in trace.accesses if a.outcome == errno.ENOENT and a.object.startswith("/")]
    real = ((access, os.path.realpath(access.object)) for access in absent)
    return [msgspec.structs.replace(a, object=path, outcome=0) for a, path in real if os.path.lexists(path)]


def _left_out(uses: tuple[SensitiveUse, ...]) -> tuple[SensitiveUse, ...]:
    return tuple(use for use in uses if not use.granted)


def _is_launchers(change: Change) -> bool:
    """Whether only a launch by sbx needs it, such as the directory for temporary files."""
    return bool(change.users) and all(user.chain == (LAUNCHER,) for user in change.users)


def _used(policy: Policy, accesses: list[Access]) -> Policy:
    """``policy`` without the grants that none of ``accesses`` needs. What a launch needs stays."""
    wanted: dict[tuple[str, Scope], Right] = {}
    for path, right in {(need.path, need.right) for access in accesses for need in needs(access)}:
        for anchor in ((path, Scope.FILE), (path, Scope.TREE), *((above, Scope.TREE) for above in ancestors(path))):
            wanted[anchor] = wanted.get(anchor, NO_RIGHT) | right
    used = {path for path, _ in wanted}

    def is_used(grant: Grant) -> bool:
        # What a program keeps for itself alone is granted because that program is run, not because it was touched.
        elsewhere = any(w.example in used for w in grant.witnesses if not grant.covers(w.example))
        return elsewhere or bool(grant.rights & wanted.get((grant.path, grant.scope), NO_RIGHT))

    grants = tuple(grant for grant in policy.grants if _is_for_launch(grant) or is_used(grant))
    asked = {(a.call, name_of(a)) for a in accesses if a.operation is Operation.SERVICE and a.meaning is Meaning.DONE}
    looked = {access.object for access in accesses if access.operation in (Operation.STAT, Operation.GETXATTR)}
    return Policy(
        grants,
        tuple(one for one in policy.network if any(_uses(access, one) for access in accesses)),
        services=tuple(one for one in policy.services if any(covers(one, *use) for use in asked)),
        probes=tuple(path for path in policy.probes if path in looked),
    )


def _is_for_launch(grant: Grant) -> bool:
    return grant.ensure or any(witness.program == LAUNCHER for witness in grant.witnesses)


def _uses(access: Access, grant: NetworkGrant) -> bool:
    """Whether an access reached or took an endpoint that a grant may be there for. Hosts are not told apart."""
    end = access.endpoint
    if grant.anywhere or end is None or access.meaning is not Meaning.DONE or not needs_network(access):
        return grant.anywhere
    action = NetworkAction.BIND if access.operation is Operation.BIND else NetworkAction.CONNECT
    return action is grant.action and (grant.abstract or grant.port in (0, end.port))
