import msgspec
import pytest
from accesses import END, HOME, PROJECT, access, covered, trace

from learner.canaries import Canary, Outcome, Verdict
from learner.denials import Denial
from learner.findings import Result, Verification, findings
from learner.gaps import Gap
from learner.policy import Right
from learner.probe import Act, Probe
from learner.replay import Refusal, Replay
from learner.session import Live
from learner.surface import Surface
from learner.trace import Trace
from tracers.events import Operation

FINE = Verification("replay", Replay(3, 3, 0, ()), None, (), ())
COVER = covered(access(Operation.READ, PROJECT + "/a"))


def result(
    checked: Verification = FINE, of: Trace | None = None, problems: tuple[str, ...] = (), **more: object
) -> Result:
    parts = {"cover": COVER, **more}
    return Result(
        "/p.toml", of or trace(), verification=checked, surface=Surface(1, 1, 0), seconds={}, problems=problems, **parts
    )  # type: ignore[arg-type]


def outcome(verdict: Verdict, known: bool = False) -> Outcome:
    return Outcome(Canary("read a secret", Probe(Act.READ, HOME + "/.netrc\n"), Right.READ), verdict, known)


def live(status: int = 0, denied: tuple[Denial, ...] = ()) -> Live:
    return Live(1, status, 0, (), denied, COVER, trace())


def denial(recorded: bool) -> Denial:
    return Denial(access(Operation.READ, "/etc/x\n", outcome=13), "gi\x1bt", Right.READ, recorded)


def end(**changes: object) -> Trace:
    return trace(end=msgspec.structs.replace(END, **changes))


def test_all_is_well() -> None:
    assert findings(result()) == ()
    assert findings(result(Verification("off"))) == ()
    quiet = Verification("live", FINE.replay, live(denied=(denial(False),)), (outcome(Verdict.REFUSED),), ())
    assert findings(result(quiet)) == ()


@pytest.mark.parametrize(
    ("of", "says"),
    [
        (result(problems=("the trace is incomplete: disk",)), "the trace is incomplete: disk"),
        (
            result(FINE._replace(canaries=(outcome(Verdict.THROUGH),))),
            rf"the canary got through: read a secret (read {HOME}/.netrc\x0a)",
        ),
        (result(Verification("replay", failure="no Landlock")), "not verified: no Landlock"),
        (
            result(FINE._replace(replay=Replay(3, 2, 0, (Refusal(Act.READ, "/x", 13, ("git",)),)))),
            "refused although granted: read /x: Permission denied (git)",
        ),
        (result(FINE._replace(live=live(3))), "under enforcement the command ended with 3, not 0"),
        (
            result(FINE._replace(live=live(denied=(denial(True), denial(False))))),
            r"denied under enforcement: read /etc/x\x0a (gi\x1bt)",
        ),
        (
            result(cover=covered(access(Operation.READ, HOME + "/.netrc"))),
            f"sensitive, so left out: {HOME}/.netrc (passwords), used by vibe",
        ),
        (
            result(cover=covered(access(Operation.READ, PROJECT + "/.env"), access(Operation.READ, PROJECT + "/a"))),
            f"sensitive, but open within {PROJECT}: {PROJECT}/.env (environment file with secrets), used by vibe",
        ),
        (
            result(of=trace(end=None)),
            "the trace has no end: the run was cut short, and the profile is partial",
        ),
        (result(of=end(interrupted=True)), "the run was interrupted: the profile is partial"),
        (
            result(of=end(status=3)),
            "the command ended with status 3: what it would have done next was not seen",
        ),
        (result(of=end(lost=2)), "2 records were lost: the profile may lack something"),
        (result(of=trace(skipped=1)), "1 records were lost: the profile may lack something"),
        (result(of=end(lingering=("a\n", "b"))), r"still running when the command ended, and stopped: a\x0a, b"),
    ],
)
def test_each_finding(of: Result, says: str) -> None:
    assert findings(of) == (says,)


@pytest.mark.parametrize(
    "quiet",
    [
        result(FINE._replace(canaries=(outcome(Verdict.VOID), outcome(Verdict.THROUGH, known=True)))),
        result(FINE._replace(gaps=(Gap("metadata", "not hidden"),))),
        result(cover=covered(access(Operation.READ, HOME + "/.netrc"), allowed=frozenset({HOME + "/.netrc"}))),
    ],
)
def test_what_is_known_needs_nobody(quiet: Result) -> None:
    assert findings(quiet) == ()


def test_the_most_serious_come_first() -> None:
    worst = result(
        Verification("live", None, live(1), (outcome(Verdict.THROUGH),), failure="x"), end(status=1), ("disk",)
    )
    assert [said.split()[0] for said in findings(worst)] == ["disk", "the", "not", "under", "the"]


def test_gaps_of_both_sides_are_joined() -> None:
    one, two = Gap("a", "x"), Gap("b", "y")
    joined = result(FINE._replace(gaps=(two, one)), cover=COVER._replace(gaps=(one,)))
    assert joined.gaps == (one, two)


def test_whether_a_live_verification_holds() -> None:
    assert live().holds
    assert live(denied=(denial(False),)).holds
    assert not live(1).holds
    assert not live(denied=(denial(True),)).holds
