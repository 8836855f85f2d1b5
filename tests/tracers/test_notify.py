"""The notify tracer: what it deduces against what ptrace sees, other supervisors, and what auto makes of them."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dns.message  # noqa: F401 - imported late by a tracer, in a child that may not be able to
import pytest
from capability import require
from children import NOBODY, USERS, area_of, in_child
from programs import SOURCES

from learner.recorder import Recorder
from learner.trace import Header
from tracers import bpf_loading, choice, listener
from tracers.choice import candidates, choose
from tracers.filters import Filter
from tracers.notify import NotifyTracer
from tracers.ptrace import PtraceTracer
from tracers.tracer import Command, TraceEnd, Tracer, TracerError, TracerName

pytestmark = pytest.mark.kernel

RANDOM_CALLS = SOURCES.parent / "random_calls.py"
PYTHON = "/usr/bin/python3"
"""Tests as another user need one that everybody can execute."""


@pytest.fixture(autouse=True)
def _works_here() -> None:
    obstacle = next(c.obstacle for c in candidates() if c.name is TracerName.NOTIFY)
    require(not obstacle, obstacle)


def trace(tracer: Tracer, *argv: str) -> tuple[Recorder, TraceEnd]:
    recorder = Recorder(Header("", "/", "/", "/", 0, tracer.name, "", 0.0), tracer.programs)
    return recorder, tracer.run(Command(argv[0], argv), recorder)


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("seed", range(4))
def test_deduces_what_ptrace_sees(seed: int, user: int) -> None:
    require(os.access(PYTHON, os.X_OK), f"{PYTHON} is not installed")
    script = RANDOM_CALLS.read_text()

    def happened(make: Callable[[], Tracer]) -> list[str]:
        with area_of(user) as directory:

            def work() -> list[str]:
                recorder, end = trace(make(), PYTHON, "-I", "-S", "-c", script, directory, str(seed), "800")
                assert end.status == 0
                return sorted({repr(a).replace(directory, "S") for a in recorder.in_order if directory in repr(a)})

            found: list[str] = in_child(work, user)
            subprocess.run(["chmod", "-R", "u+rwx", directory], check=False)
            return found

    deduced, seen = happened(NotifyTracer), happened(PtraceTracer)
    assert len(seen) > 100
    assert deduced == seen


def test_execs_that_are_repeated(scratch: Path) -> None:
    script = (SOURCES.parent / "repeated_execs.py").read_text()

    def happened(make: Callable[[], Tracer]) -> tuple[set[str], set[str]]:
        place = scratch / make.__name__
        place.mkdir()
        tracer = make()
        recorder, end = trace(tracer, PYTHON, "-I", "-S", "-c", script, str(place))
        assert end.status == 0
        programs = {repr(program) for program in tracer.programs.all()}
        accesses = {f"{tracer.programs[a.program].exe} {a!r}" for a in recorder.in_order if str(place) in repr(a)}
        return {one.replace(str(place), "S") for one in programs}, {one.replace(str(place), "S") for one in accesses}

    deduced, seen = happened(NotifyTracer), happened(PtraceTracer)
    assert len(seen[1]) > 30
    assert deduced == seen


def test_says_that_it_deduced() -> None:
    recorder, end = trace(NotifyTracer(), "/bin/true")
    whole = recorder.finish(end)
    assert end.deduced and whole.end is not None and whole.end.deduced
    assert not trace(PtraceTracer(), "/bin/true")[1].deduced


def test_where_another_supervisor_listens() -> None:
    def work() -> list[str]:
        listener.listen(Filter(listener.ALLOW_ALL))
        with pytest.raises(TracerError, match="another supervisor") as caught:
            trace(NotifyTracer(), "/bin/true")
        assert trace(PtraceTracer(), "/bin/true")[1].status == 0
        return [*choose(), caught.value.remedy]

    name, reason, remedy = in_child(work)
    assert name == TracerName.PTRACE
    assert "notify" in reason and "another supervisor" in reason
    assert "--tracer ptrace" in remedy


def test_a_program_with_a_listener_of_its_own(programs: Callable[[str], Path], scratch: Path) -> None:
    _, end = trace(NotifyTracer(), str(programs("own_listener")), str(scratch))
    (note,) = end.notes
    assert "EBUSY" in note and "--tracer ptrace" in note
    assert trace(PtraceTracer(), str(programs("own_listener")), str(scratch))[1].notes == ()


def test_auto_takes_the_next_best(monkeypatch: pytest.MonkeyPatch) -> None:
    fastest = TracerName.NOTIFY if bpf_loading.available() else TracerName.EBPF
    assert choose() == (fastest, "")
    assert choose(seeing=True) == (TracerName.PTRACE, "")
    monkeypatch.setattr(bpf_loading, "available", lambda: "not for us")
    assert choose() == (TracerName.NOTIFY, "")
    assert choose(seeing=True) == (TracerName.PTRACE, "")
    monkeypatch.setattr(listener, "trial", lambda: (0, False))
    name, reason = choose()
    assert name is TracerName.PTRACE
    assert "6.6" in reason
    monkeypatch.setattr(choice, "_IN_ORDER", [(n, lambda: ("not here", "")) for n, _ in choice._IN_ORDER[:3]])
    assert all(each.obstacle for each in candidates())


KILLED = """
import os, signal, sys, time
for turn in range(40):
    child = os.fork()
    if child == 0:
        while True:
            try: open(f"/nonexistent/{os.getpid() % 3}")
            except OSError: pass
    time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
"""


def test_callers_that_are_killed() -> None:
    _, end = trace(NotifyTracer(), sys.executable, "-I", "-S", "-c", KILLED)
    assert (end.status, end.lost) == (0, 0)


STORM = """
import os, sys
for i in range(int(sys.argv[1])):
    try: os.close(os.open("/etc/passwd" if i & 1 else f"/etc/absent-{i % 1000}", os.O_RDONLY))
    except OSError: pass
"""


def test_memory_does_not_grow_with_calls() -> None:
    def peak(calls: int) -> int:
        def work() -> int:
            import resource

            trace(NotifyTracer(), sys.executable, "-I", "-S", "-c", STORM, str(calls))
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        return int(in_child(work))

    assert peak(60_000) - peak(6_000) < 2_000  # KiB


def test_users_are_told_apart() -> None:
    require(os.getuid() == 0, "only root runs programs as others")
    script = f"import os; os.setresuid({NOBODY}, {NOBODY}, {NOBODY})\nif os.fork() == 0: os._exit(0)\n"
    script += "os.wait(); os.execv('/bin/true', ['true'])"
    _, end = trace(NotifyTracer(), PYTHON, "-I", "-S", "-c", script)
    assert end.status == 0
    (note,) = end.notes
    assert "another user" in note
