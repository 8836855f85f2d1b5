"""What ``sbx learn`` does once a command has been watched: derive its policy, prove it, write the profile."""

import os
import time
from typing import NamedTuple

import msgspec

from learner import history
from learner.agent_version import ask, find_agent
from learner.audit.brokers import brokers
from learner.cli.sources import Source
from learner.cli.verification import check
from learner.derivation import Derived, Scale, add_found
from learner.errors import InputFileError, SbxError
from learner.exposure import with_exposure
from learner.findings import Result
from learner.floor import Floor
from learner.merging import news
from learner.names import to_text
from learner.profile import Profile, dumps, loads
from learner.session import derive
from learner.store import write_atomically
from learner.surface import UNKNOWN, surface
from learner.trace import Trace
from learner.variables import Variables
from tracers.tracer import Command


class Wishes(NamedTuple):
    """What the command line asked for."""

    allowed: frozenset[str]
    scale: Scale
    verify: str
    minimal: bool
    enforcer: str
    require: tuple[str, ...]
    asked: bool
    """Whether programs may be asked for their version."""

    verbose: bool


class Subject(NamedTuple):
    """What is learned. ``typed``: the command as it was called; ``stored``: whether ``file`` is among the stored ones.

    ``existing``: the profile that is added to. ``target``: the command that was run just now, if one was.
    """

    name: str
    typed: str
    file: str
    stored: bool
    existing: Profile | None
    target: Command | None
    floor: Floor | None


def conclude(
    source: Source, subject: Subject, wishes: Wishes, variables: Variables, seconds: dict[str, float]
) -> Result:
    """The policy of ``source``, checked, and written as a profile. Adds to ``seconds`` what each step took."""
    existing, floor = subject.existing, subject.floor
    started = time.monotonic()
    found = derive(source.trace, wishes.allowed, wishes.scale)
    if existing is not None:
        found = add_found(existing.policy, found)
    seconds["policy"] = round(time.monotonic() - started, 3)
    started = time.monotonic()
    checked = check(
        wishes.verify,
        source.trace,
        found,
        variables,
        source.command,
        wishes.allowed,
        minimize=wishes.minimal,
        verbose=wishes.verbose,
        by=wishes.enforcer,
        require=wishes.require,
    )
    seconds["verify"] = round(time.monotonic() - started, 3)
    if checked.live is not None:
        found = checked.live.cover
    if checked.minimal is not None:
        found = found._replace(policy=checked.minimal.policy)
    foreign = source.trace.header.is_foreign
    found = found if foreign else with_exposure(found, variables.places)
    if floor is not None:
        found = found._replace(gaps=tuple(sorted({*found.gaps, *floor.unmet, *floor.gaps})))

    profile = _profile(subject, source.trace, found)
    started = time.monotonic()
    if subject.target is not None:
        agent = find_agent(source.trace, subject.target.file)
        agent = ask(agent, source.trace, found.policy) if wishes.asked else agent
        profile = msgspec.structs.replace(profile, agent=agent)
    seconds["versions"] = round(time.monotonic() - started, 3)
    text = dumps(profile, variables)
    problems = _keep(subject.name, subject.file, profile, text, variables) if subject.stored else ()
    write_atomically(subject.file, text.encode())
    return Result(
        profile=subject.file,
        trace=source.trace,
        cover=found,
        verification=checked,
        surface=UNKNOWN if foreign else surface(found.policy, source.trace.accesses),
        brokers=() if foreign else brokers(found.policy, source.trace.accesses, os.environ),
        seconds=seconds,
        problems=(*source.problems, *problems),
        news=news(existing.policy, found.policy) if existing else None,
    )


def _profile(subject: Subject, trace: Trace, found: Derived) -> Profile:
    partial = trace.end is None or trace.end.interrupted or bool(trace.skipped)
    existing = subject.existing
    if existing is not None:
        # One recording that was seen to its end suffices.
        return msgspec.structs.replace(existing, policy=found.policy, partial=existing.partial and partial)
    return Profile(subject.name, subject.typed, found.policy, partial, trace.header.platform, trace.header.prefix)


def _keep(name: str, file: str, profile: Profile, text: str, variables: Variables) -> tuple[str, ...]:
    """Keep what is about to be replaced, and what replaces it, each as the profile of its version.

    What goes wrong is returned: it must not cost the session that was learned from.
    """
    try:
        with open(file, encoding="utf-8") as stream:
            before = stream.read()
        old: Profile | None = loads(before, to_text(file), variables)
    except (OSError, ValueError, InputFileError):
        old, before = None, ""  # there is none, or none that could be read again
    try:
        if old is not None:
            history.keep(name, old, before)
        history.keep(name, profile, text)
    except SbxError as problem:
        return (f"this version could not be kept: {problem}",)
    return ()
