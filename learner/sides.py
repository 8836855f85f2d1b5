"""The two things that ``sbx diff`` compares, from files: profiles, versions of profiles, or traces."""

import os
from pathlib import Path

import msgspec

from learner.agent import Agent, Ran
from learner.change import Change, Difference, Kind, Side
from learner.errors import InputFileError
from learner.history import find_profile
from learner.merging import merge
from learner.names import to_text
from learner.policy import Grant, Policy, Witness
from learner.profile import Profile, dumps, load
from learner.store import write_atomically
from learner.variables import Variables

_TRACE = ".jsonl"
_ACCEPTED = ".accepted"
_HEAD = (
    "Reviewed changes: `sbx diff --accept` wrote them, and `sbx diff` leaves out what is granted, and run, here.",
    "`sbx run` never reads this file. Take something out, and it is shown again.",
)


class Opened(msgspec.Struct, frozen=True):
    """``file``: what was read; ``profile`` is None for a trace; ``platform`` is what it is for.

    ``partial``: whether the recording was cut short, so that what it lacks may only not have been seen.
    """

    side: Side
    file: str
    platform: str = "linux"
    profile: Profile | None = None
    partial: bool = False


def open_sides(old: str, new: str, here: Variables) -> tuple[Opened, Opened]:
    """Both things to compare: each a trace (``.jsonl``), a profile's name or file, or NAME@VERSION.

    A profile beside a trace is read as it would be where the trace was made. Raises UsageError or InputFileError, also
    where the two are for different platforms.
    """
    found: dict[str, Opened] = {given: _open_trace(given) for given in (old, new) if given.endswith(_TRACE)}
    for opened in found.values():
        here = opened.side.variables._replace(prefix="")
    for given in (old, new):
        if given not in found:
            file = find_profile(given)
            profile = load(file, here)
            found[given] = Opened(_of_profile(profile, here), file, profile.platform, profile, profile.partial)
    one, other = found[old], found[new]
    if one.platform != other.platform:
        raise InputFileError(
            f"{to_text(one.file)} is for {to_text(one.platform)}, {to_text(other.file)} for {to_text(other.platform)}",
            "compare two that are for one platform",
        )
    return one, other


def _open_trace(file: str) -> Opened:
    from learner.ran import programs  # a profile alone needs none of this, and it is slow to import
    from learner.session import derive
    from learner.trace import DARWIN, read_trace

    trace = read_trace(Path(file))
    derived = derive(trace, frozenset())
    left_out = tuple(use for use in derived.sensitive if not use.granted)
    beside = tuple((path, seen.objects) for path, seen in sorted(trace.beside.items()) if seen.objects)
    own = trace.header.variables
    partial = trace.end is None or trace.end.interrupted or bool(trace.skipped)
    side = Side(derived.policy, own, programs(trace), True, left_out, beside=beside)
    if trace.header.platform == DARWIN:
        from learner.seatbelt.complete import lookers

        side = side._replace(mac=True, looked=lookers(trace))
    return Opened(side, file, trace.header.platform, partial=partial)


def _of_profile(profile: Profile, here: Variables) -> Side:
    agent = profile.agent
    variables = here._replace(prefix=profile.prefix)
    mac = profile.platform == "darwin"
    if agent is None:
        return Side(profile.policy, variables, mac=mac)
    return Side(profile.policy, variables, agent.ran, bool(agent.ran), agent=agent, mac=mac)


def accepted_file(file: str) -> str:
    """Where the accepted changes to what ``file`` holds are written: beside it."""
    return os.path.splitext(file)[0] + _ACCEPTED


def read_accepted(file: str, old: Side) -> Side | None:
    """What was accepted, as a side; None if nothing was. Raises InputFileError for a file that cannot be used."""
    if not os.path.lexists(file):
        return None
    return _of_profile(load(file, old.variables), old.variables)


def with_accepted(old: Side, accepted: Side, to: Variables) -> Side:
    """``old``, in the place of ``to``, as if it had granted, and run, what was accepted."""
    here, accepted = old.moved(to), accepted.moved(to)
    ran = {(ran.path, ran.name): ran for ran in (*accepted.ran, *here.ran)}
    policy = merge([here.policy, accepted.policy])
    return here._replace(policy=policy, ran=tuple(ran[key] for key in sorted(ran)))


def accept(file: str, accepted: Side | None, difference: Difference, new: Side, name: str) -> int:
    """Add all that ``difference`` adds to the accepted changes in ``file``; the number of changes. Raises MachineError.

    The file has the form of a profile, so that it can be read, edited and reviewed as one.
    """
    accepted = accepted.moved(new.variables) if accepted else None
    ran = {one.path: one for one in (accepted.ran if accepted else ())}
    for change in difference.added:
        if change.kind is Kind.RUN:
            by = tuple(sorted({user.chain[-2] for user in change.users if len(user.chain) > 1}))
            label = change.users[0].chain[-1] if change.users else change.path.rpartition("/")[2]
            ran[change.path] = Ran(label, change.path, by)
    policies = [accepted.policy] if accepted else []
    policy = merge([*policies, _policy(difference.added)])
    agent = Agent(name, name, ran=tuple(ran[path] for path in sorted(ran))) if ran else None
    platform = "darwin" if new.mac else "linux"
    profile = Profile(name, name, policy, platform=platform, prefix=new.variables.prefix, agent=agent)
    if difference.added:
        write_atomically(file, dumps(profile, new.variables, _HEAD).encode())
    return len(difference.added)


def _policy(changes: tuple[Change, ...]) -> Policy:
    grants = [Grant(c.path, c.scope, c.rights, _witnesses(c)) for c in changes if c.endpoint is None and c.rights]
    services = [msgspec.structs.replace(c.service, witnesses=_witnesses(c)) for c in changes if c.service is not None]
    return Policy(
        tuple(grants),
        tuple(c.endpoint for c in changes if c.endpoint is not None),
        services=tuple(services),
        probes=tuple(c.path for c in changes if c.kind is Kind.LOOK),
    )


def _witnesses(change: Change) -> tuple[Witness, ...]:
    """Who needed what is accepted, as far as that is known."""
    known = [user for user in change.users if user.operations and user.example]
    return tuple(sorted(Witness(user.chain[-1], user.operations, user.example, user.objects) for user in known))
