"""A diagnosis from beginning to end: the profile, the recorded run, the confined run; and the same again, mended."""

import os
from pathlib import Path
from typing import NamedTuple

import msgspec

from learner.derivation import Derived, Scale
from learner.diagnosis.case import Diagnosis
from learner.diagnosis.diagnose import diagnose
from learner.diagnosis.fixes import absent
from learner.diagnosis.observe import observe
from learner.enforcers.enforcer import Enforcer
from learner.errors import SbxError
from learner.merging import add
from learner.policy import Policy, Scope
from learner.profile import Profile
from learner.rebase import rebase
from learner.session import derive
from learner.store import name_for, trace_path
from learner.trace import Trace, read_trace
from learner.variables import Variables
from tracers.tracer import Command

_SCALES = (Scale(), Scale(0.1), Scale(0.01), Scale(10.0))
"""The granularities that people learn with; a profile does not tell which was its own."""


class Recorded(NamedTuple):
    """``trace``: the run that a profile was learned from; ``problem``: why there is none, "" if there is."""

    trace: Trace | None
    problem: str = ""


def recorded(profile: Profile, variables: Variables) -> Recorded:
    """The trace that is kept of a profile, as if it had been made in this project and home."""
    kept = Path(trace_path(name_for(profile.name)))
    if not os.path.exists(kept):
        return Recorded(None, f"no recorded run of {profile.name} is kept here, so only what was refused can be told")
    try:
        trace = read_trace(kept)
    except SbxError as problem:
        return Recorded(None, f"the recorded run cannot be read: {problem}")
    header = trace.header
    if (header.project, header.home) != (variables.project, variables.home):
        trace = rebase(trace, variables)
    return Recorded(trace)


def wanted(trace: Trace, policy: Policy, allowed: frozenset[str]) -> Derived:
    """The policy that follows from a recorded run, as narrow as the profile at hand is.

    At each price of a grant another one follows; the one that the profile lacks least of is its own.
    """
    best = derive(trace, allowed)
    if not _narrower(policy, best.policy):
        return best
    for scale in _SCALES[1:]:
        other = derive(trace, allowed, scale)
        if len(absent(policy, other.policy)) < len(absent(policy, best.policy)):
            best = other
    return best


def _narrower(policy: Policy, found: Policy) -> bool:
    """Whether a grant that ``policy`` lacks would swallow some that it has."""
    trees = [grant.path.rstrip("/") + "/" for grant in absent(policy, found) if grant.scope is Scope.TREE]
    return any(grant.path.startswith(tree) for grant in policy.grants for tree in trees)


class Subject(NamedTuple):
    """What is diagnosed."""

    command: Command
    profile: Profile
    enforcer: Enforcer
    variables: Variables
    good: Trace | None
    allowed: frozenset[str] = frozenset()
    timeout: float | None = None


def examine(subject: Subject) -> Diagnosis:
    """Run it confined, and say why it fails. Raises MachineError, LaunchError."""
    policy, good = subject.profile.policy, subject.good
    follows = wanted(good, policy, subject.allowed) if good else None
    case = observe(subject.command, policy, subject.enforcer, subject.variables, good, follows, subject.timeout)
    return diagnose(case, subject.variables.places, subject.allowed)


def mended(subject: Subject, found: Diagnosis) -> Subject:
    """``subject`` with the fix of a diagnosis in its profile."""
    policy = add(subject.profile.policy, found.fix.policy)
    return subject._replace(profile=msgspec.structs.replace(subject.profile, policy=policy))
