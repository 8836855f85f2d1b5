"""The result of learning or verifying, and what in it a person must know: the difference between status 0 and 1."""

from typing import NamedTuple

from learner.audit.brokers import Broker
from learner.canaries import Outcome, Verdict
from learner.derivation import Derived, SensitiveUse
from learner.escapes.outcome import Released
from learner.gaps import Gap
from learner.merging import Novelty
from learner.minimal import Minimal
from learner.names import to_text
from learner.replay import Replay
from learner.session import Live
from learner.surface import Surface
from learner.trace import Trace


class Verification(NamedTuple):
    """What was verified: ``mode`` is replay, live or off; ``failure`` says why it could not be done."""

    mode: str
    replay: Replay | None = None
    live: Live | None = None
    canaries: tuple[Outcome, ...] = ()
    gaps: tuple[Gap, ...] = ()
    failure: str = ""
    minimal: Minimal | None = None
    enforcer: str = ""
    """By what it was verified, and why by nothing stronger."""
    escapes: Released | None = None
    """What came of every escape, where all were asked for."""


class Result(NamedTuple):
    """Everything that one ``sbx learn`` or ``sbx verify`` found out.

    ``seconds`` by stage. ``news``: what was added to the profile that was there, None if none was updated.
    ``brokers``: helpers outside of the gate that the program used or may use.
    """

    profile: str
    trace: Trace
    cover: Derived
    verification: Verification
    surface: Surface
    seconds: dict[str, float]
    problems: tuple[str, ...] = ()
    news: tuple[Novelty, ...] | None = None
    brokers: tuple[Broker, ...] = ()

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """Every gap, of the policy and of the enforcer, sorted."""
        return tuple(sorted({*self.cover.gaps, *self.verification.gaps}))


def findings(result: Result) -> tuple[str, ...]:
    """One sentence for each thing that needs a person, most serious first; () if all is well."""
    found = list(result.problems)
    checked = result.verification
    found += [f"the canary got through: {o}" for o in checked.canaries if o.verdict is Verdict.THROUGH and not o.known]
    if checked.escapes:
        found += [f"the escape was not held: {to_text(str(tried))}" for tried in checked.escapes.failed]
        found += [f"after the escapes {change}" for change in checked.escapes.changed]
    if checked.failure:
        found.append(f"not verified: {checked.failure}")
    if checked.replay:
        found += [f"refused although granted: {refusal}" for refusal in checked.replay.refused]
    live = checked.live
    if live is not None:
        if live.status != live.expected:
            found.append(f"under enforcement the command ended with {live.status}, not {live.expected}")
        found += [
            f"denied under enforcement: {d.access.operation} {to_text(d.access.object)} ({to_text(d.program)})"
            for d in live.unwanted
        ]
        if live.lost:
            found.append(f"{live.lost} records of the confined run were lost: a denial may be among them")
    found += [
        f"sensitive, {_openness(s)}: {to_text(s.path)} ({s.reason}), {_used_by(s)}"
        for s in result.cover.sensitive
        if not s.granted
    ]
    found += _about_the_run(result.trace)
    return tuple(found)


def _used_by(use: SensitiveUse) -> str:
    if not use.programs:
        return "though nothing used it"
    return f"used by {', '.join(map(to_text, use.programs))}{' (refused: it was masked)' if use.refused else ''}"


def _openness(use: SensitiveUse) -> str:
    return f"but open within {to_text(use.within)}" if use.within else "so left out"


def _about_the_run(trace: Trace) -> list[str]:
    end = trace.end
    found = []
    if end is None:
        found.append("the trace has no end: the run was cut short, and the profile is partial")
        return found
    if end.interrupted:
        found.append("the run was interrupted: the profile is partial")
    if end.status:
        found.append(f"the command ended with status {end.status}: what it would have done next was not seen")
        found += [f"before that failed {to_text(failure)}" for failure in end.failures]
    if end.lost or trace.skipped:
        found.append(f"{end.lost + trace.skipped} records were lost: the profile may lack something")
    if end.lingering:
        found.append(f"still running when the command ended, and stopped: {', '.join(map(to_text, end.lingering))}")
    return found
