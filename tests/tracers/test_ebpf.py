"""What is particular to the eBPF tracer; that it tells the truth is for the conformance suite."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Container
from pathlib import Path

import pytest
from capability import require
from children import NOBODY, in_child

from tracers import bpf_loading, bpf_object
from tracers.bpf_object import BpfObject, object_bytes
from tracers.ebpf import EbpfTracer
from tracers.events import Event, Operation, PathTarget
from tracers.tracer import Command, TraceEnd, TracerError

pytestmark = pytest.mark.kernel
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(autouse=True)
def _usable() -> None:
    obstacle = bpf_loading.available()
    require(obstacle is None, f"the eBPF tracer cannot work here: {obstacle}")


class Kept:
    """A sink that keeps events, and takes ``seconds`` for each."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.events: list[Event] = []
        self._seconds = seconds

    def event(self, event: Event) -> bool:
        self.events.append(event)
        if self._seconds:
            time.sleep(self._seconds)
        return True

    def forget(self) -> None:
        pass

    def links(self) -> Container[str]:
        return frozenset()

    def paths(self, operation: Operation) -> list[object]:
        return [e.target.path for e in self.events if e.operation is operation and isinstance(e.target, PathTarget)]


def run(script: str, sink: Kept) -> TraceEnd:
    return EbpfTracer().run(Command("/bin/sh", ("sh", "-c", script)), sink)


def test_a_repeated_call_is_counted_by_the_kernel() -> None:
    sink = Kept()
    end = run("i=0; while [ $i -lt 20000 ]; do [ -e /nonexistent/again ]; i=$((i+1)); done", sink)
    assert (end.status, end.lost) == (0, 0)
    assert end.calls > 20_000
    assert sink.paths(Operation.STAT).count(b"/nonexistent/again") == 1


def test_what_a_slow_reader_loses_is_counted() -> None:
    # 16 MiB of names that are all different, while the sink sleeps.
    name = "x" * 200
    script = (
        f"import os\nfor i in range(60000):\n try: os.stat('/nonexistent/{name}/{name}/{name}/' + str(i))\n"
        " except OSError: pass\n"
    )
    sink = Kept()
    waited = False
    keep = sink.event

    def slow(event: Event) -> bool:
        nonlocal waited
        path = event.target.path if isinstance(event.target, PathTarget) else b""
        if not waited and isinstance(path, bytes) and path.startswith(b"/nonexistent/x"):
            waited = True
            time.sleep(3)
        return keep(event)

    sink.event = slow  # type: ignore[method-assign]
    end = EbpfTracer().run(Command("/usr/bin/python3", ("python3", "-I", "-S", "-c", script)), sink)
    told = sum(isinstance(p, bytes) and p.startswith(b"/nonexistent/x") for p in sink.paths(Operation.STAT))
    assert end.status == 0
    assert end.lost > 0 and told + end.lost == 60_000
    assert any("faster than they could be read" in note for note in end.notes)


RUN = """
import sys
sys.path.append({root!r})
from tracers.ebpf import EbpfTracer
from tracers.tracer import Command
class Sink:
    def event(self, event): return True
    def forget(self): pass
    def links(self): return frozenset()
EbpfTracer().run(Command("/bin/sh", ("sh", "-c", sys.argv[1])), Sink())
"""


def _programs(pid: int) -> set[int]:
    """The ids of the BPF programs that a process holds (proc_pid_fdinfo(5))."""
    found = set()
    for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            lines = entry.read_text().splitlines()
            found |= {int(line.split()[1]) for line in lines if line.startswith("prog_id:")}
    return found


def _living(mark: str) -> bool:
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in entry.read_bytes().split(b"\0") and int(entry.parent.name) != os.getpid():
                return True
        except OSError:
            continue
    return False


def test_nothing_is_left_when_we_are_killed() -> None:
    script = "echo ready; sleep 78.5 & setsid sleep 78.5 & sleep 78.5"
    process = subprocess.Popen(
        [sys.executable, "-c", RUN.format(root=str(ROOT)), script], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    held = _programs(process.pid)
    assert len(held) == 5
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while (_living("78.5") or held & _loaded()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _living("78.5")
    assert not held & _loaded()


def _loaded() -> set[int]:
    """The ids of all BPF programs of the machine."""
    bpf = bpf_object.library()
    assert bpf is not None
    import ctypes

    found, number = set(), ctypes.c_uint(0)
    while not bpf.bpf_prog_get_next_id(number, ctypes.byref(number)):
        found.add(number.value)
    return found


def test_an_ordinary_user_is_told_what_it_needs() -> None:
    require(os.getuid() == 0, "only root can become somebody else")

    def attempt() -> list[str]:
        try:
            run("true", Kept())
        except TracerError as problem:
            return [str(problem), problem.remedy]
        return []

    said = in_child(attempt, NOBODY)
    assert "CAP_BPF" in said[0] and "ptrace" in said[1]


def test_a_cached_object_of_another_user_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require(os.getuid() == 0, "only root can give a file away")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    code = object_bytes()
    place = bpf_object.cached()
    assert place.read_bytes() == code and place.stat().st_mode & 0o777 == 0o600
    place.write_bytes(b"not ours")
    assert object_bytes() == b"not ours"  # it is taken from there
    os.chown(place, NOBODY, NOBODY)
    assert object_bytes() != b"not ours"


def test_an_object_that_the_kernel_refuses_is_an_error() -> None:
    with pytest.raises(TracerError):
        BpfObject(b"no ELF file")


def test_a_home_that_is_not_there_is_not_made(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(scratch / "gone"))
    bpf_object._keep(bpf_object.cached(), b"code")
    assert not (scratch / "gone").exists()
    (scratch / "gone").mkdir()
    bpf_object._keep(bpf_object.cached(), b"code")
    assert bpf_object.cached().read_bytes() == b"code"
    assert bpf_object.cached().stat().st_mode & 0o777 == 0o600
