"""Letting escapes loose: unconfined as a control, then confined, each in a process of its own with a time limit."""

import contextlib
import errno
import os
import resource
import select
import signal
import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from learner import kinship
from learner.enforcers.enforcer import Confinement, Enforcer
from learner.escapes import ipc, kernel, namespaces, network
from learner.escapes.calls import CLONE_NEWNET, own_mounts
from learner.escapes.escape import Attempt, Escape, Ground, Void
from learner.escapes.outcome import Released, Tried, Verdict
from learner.escapes.table import TABLE
from learner.escapes.yard import content, yard
from learner.places import Map
from learner.policy import Policy
from learner.probe import in_child

SECONDS = 3.0
"""What one attempt may take: they take milliseconds."""


class Answer(msgspec.Struct, frozen=True):
    """What an attempt gave: 0 if it worked, else an errno, or the signal that it died from, or why it is void."""

    errno: int = 0
    signal: int = 0
    void: str = ""

    @property
    def worked(self) -> bool:
        """Whether the attempt did what it set out to do."""
        return self == _WORKED

    def __str__(self) -> str:
        if self.void:
            return self.void
        if self.signal:
            return f"it died of {signal.Signals(self.signal).name}"
        return errno.errorcode.get(self.errno, str(self.errno)) if self.errno else "it worked"


_WORKED = Answer()


class _Job(NamedTuple):
    attempt: Attempt
    ground: Ground


def release(
    policy: Policy, places: Map, enforcer: Enforcer, escapes: Sequence[Escape] = TABLE, *, seconds: float = SECONDS
) -> Released:
    """Try ``escapes`` under ``enforcer``, in the order of the table.

    The policy is enforced with two directories of our own granted besides, so that there is always something to get out
    of. Raises MachineError, :class:`learner.probe.NoAnswer` if nothing can be confined.
    """
    mine = [e for e in escapes if e.who.fits(os.geteuid())]
    stated = enforcer.prepare(policy)
    stated.close()
    items = frozenset(gap.item for gap in stated.gaps)
    with yard(policy, places, mine) as made:
        before = [content(g) for g in made.confined]
        settings, outsider = _settings(), made.confined[0].shared.outsider.pid
        alone = _both(mine, made.control, None, seconds)
        confinement = enforcer.prepare(made.policy)
        try:
            confined = _both(mine, made.confined, confinement, seconds)
        finally:
            confinement.close()
        tried = []
        for number, escape in enumerate(mine):
            same = before[number] == content(made.confined[number])
            tried.append(_judge(escape, alone[number], confined[number], items, same=same))
        changed = [f"{path} is no longer what it was" for path, value in _settings() if (path, value) not in settings]
        if _state(outsider) not in ("S", "R"):
            changed.append("the process outside no longer runs")
    return Released(tuple(tried), tuple(changed))


class _Pair(NamedTuple):
    """Of an escape and of its twin (None: there is none)."""

    attempt: Answer
    twin: Answer | None


def _both(
    escapes: Sequence[Escape], grounds: Sequence[Ground], confinement: Confinement | None, seconds: float
) -> list[_Pair]:
    """The answers to every escape, tried on its ground, and to its twin."""
    answers: dict[tuple[int, bool], Answer] = {}
    for nested in (False, True):
        jobs = {}
        for number, escape in enumerate(escapes):
            if escape.nested is nested:
                jobs[number, False] = _Job(escape.attempt, grounds[number])
                if escape.twin is not None:
                    jobs[number, True] = _Job(escape.twin, grounds[number])
        if jobs:
            found = _in_warden(list(jobs.values()), confinement, nested, seconds)
            answers.update(zip(jobs, found, strict=True))
    return [_Pair(answers[number, False], answers.get((number, True))) for number in range(len(escapes))]


def _judge(escape: Escape, control: _Pair, confined: _Pair, items: frozenset[str], *, same: bool) -> Tried:
    answer = confined.attempt
    if not control.attempt.worked:
        reason = control.attempt.void or f"unconfined it gives {control.attempt}"
        return Tried(escape, Verdict.VOID, reason)
    if answer.void:
        return Tried(escape, Verdict.VOID, answer.void)
    if control.twin is not None and control.twin.worked and not _fine(confined.twin):
        return Tried(escape, Verdict.FAILED, f"what is granted is refused as well: {confined.twin}")
    if answer.worked:
        known = [item for item in escape.gaps if item in items]
        if known:
            return Tried(escape, Verdict.GAP, known[0])
        return Tried(escape, Verdict.FAILED, "it got through, and the enforcer does not say so")
    if not same:
        return Tried(escape, Verdict.FAILED, f"{answer}, but what is outside has changed")
    if answer.signal == signal.SIGSYS or answer.errno in escape.refused:
        return Tried(escape, Verdict.REFUSED, str(answer))
    return Tried(escape, Verdict.FAILED, f"{answer}, which is no refusal")


def _fine(twin: Answer | None) -> bool:
    return twin is None or twin.worked or bool(twin.void)


def _settings() -> list[tuple[str, bytes]]:
    found = []
    for path in kernel.settings():
        with contextlib.suppress(OSError), open(path, "rb") as file:
            found.append((path, file.read()))
    return found


def _state(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def _in_warden(jobs: list[_Job], confinement: Confinement | None, nested: bool, seconds: float) -> list[Answer]:
    """A process that confines itself and has a child try each job. Raises NoAnswer if it could not."""
    return in_child(lambda: _watch_over(jobs, confinement, nested, seconds), list[Answer], "the process died")


def _watch_over(jobs: list[_Job], confinement: Confinement | None, nested: bool, seconds: float) -> list[Answer]:
    kinship.die_with_parent(os.getppid())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, Void):
        ipc.make_key(jobs[0].ground.token)
    if nested:
        try:
            jobs = _nest(jobs)
        except OSError as problem:
            return [Answer(void=f"no network namespace of the test's own can be made: {problem.strerror}")] * len(jobs)
    if confinement is not None:
        confinement.apply()
    return [_tried(job, seconds) for job in jobs]


def _nest(jobs: list[_Job]) -> list[_Job]:
    """Enter namespaces of our own, with a network that leads nowhere. What ``outside`` holds is read-only there."""
    own_mounts(CLONE_NEWNET)
    resolver = network.bring_up()
    for directory in sorted({job.ground.outside for job in jobs}):
        namespaces.read_only(directory)
    return [
        job._replace(ground=job.ground._replace(shared=job.ground.shared._replace(resolver=resolver))) for job in jobs
    ]


def _tried(job: _Job, seconds: float) -> Answer:
    """One job in a child of its own, which may crash, hang or ruin itself."""
    read_end, write_end = os.pipe()
    warden = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            os.setpgid(0, 0)
            kinship.die_with_parent(warden)
            answer = _answer(job)
            os.write(write_end, msgspec.json.encode(answer)[:4096])
        finally:
            os._exit(0)
    os.close(write_end)
    said = b""
    until = time.monotonic() + seconds
    # Not until the end of the pipe: what the child has started may hold it open.
    if select.select([read_end], [], [], max(0, until - time.monotonic()))[0]:
        said = os.read(read_end, 4096)
    os.close(read_end)
    late = not said and time.monotonic() >= until
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if said:
        return msgspec.json.decode(said, type=Answer)
    if late:
        return Answer(errno=errno.ETIME)
    return Answer(signal=os.WTERMSIG(status) if os.WIFSIGNALED(status) else signal.SIGKILL)


def _answer(job: _Job) -> Answer:
    try:
        job.attempt(job.ground)
    except Void as reason:
        return Answer(void=str(reason))
    except OSError as problem:
        return Answer(errno=problem.errno or errno.EIO)
    except Exception as problem:  # noqa: BLE001 - one attempt must not spoil the others
        return Answer(void=f"the attempt is broken: {type(problem).__name__}: {problem}")
    return _WORKED
