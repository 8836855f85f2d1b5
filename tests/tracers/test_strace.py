"""The strace tracer against real programs."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from capability import require

from tracers.events import Event, Memory, Operation, PathTarget
from tracers.strace import StraceTracer
from tracers.tracer import Command, TraceEnd, TracerError

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).resolve().parents[2]


class Trace:
    """A finished trace; also the sink that filled it."""

    def __init__(self, command: list[str], seccomp: bool = True) -> None:
        self.events: list[Event] = []
        self._tracer = StraceTracer(seccomp=seccomp)
        file = shutil.which(command[0]) or command[0]
        self.end: TraceEnd = self._tracer.run(Command(file, tuple(command)), self)

    def event(self, event: Event) -> bool:
        self.events.append(event)
        return True

    def forget(self) -> None:
        pass

    def links(self) -> frozenset[str]:
        return frozenset()

    def of(self, path: bytes) -> list[Event]:
        """Events on a path, given whole or as the program gave it."""
        return [e for e in self.events if isinstance(e.target, PathTarget) and e.target.path == path]

    def program(self, event: Event) -> str:
        return self._tracer.programs[event.program].label

    @property
    def labels(self) -> list[str]:
        return [program.label for program in self._tracer.programs.all()]


@pytest.fixture(autouse=True)
def _strace() -> None:
    require(shutil.which("strace"), "strace is not installed (Debian: apt install strace)")


@pytest.fixture
def compiled(tmp_path: Path) -> Callable[[str, str], str]:
    def build(name: str, source: str) -> str:
        require(shutil.which("gcc"), "gcc is not installed (Debian: apt install gcc libc6-dev)")
        (tmp_path / f"{name}.c").write_text(source)
        program = str(tmp_path / name)
        subprocess.run(["gcc", "-pthread", "-o", program, f"{program}.c"], check=True)
        return program

    return build


def python(script: str, *arguments: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", script, *arguments]


def test_names_of_every_kind(tmp_path: Path) -> None:
    names = [
        b"new\nline",
        b'quo"te\\',
        b"\xff\xfe\x01",
        b"<angle> = 3",
        b", 0x123456",
        b"x -> y",
        b"9\x009"[:1],
    ]
    script = """
import os, sys
os.chdir(sys.argv[1])
for name in eval(sys.argv[2]):
    os.mkdir(name)
    folder = os.open(name, os.O_RDONLY)
    os.close(os.open(b"in " + name, os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    try: os.stat(b"no " + name, dir_fd=folder)
    except OSError: pass
"""
    trace = Trace(python(script, str(tmp_path), repr(names)))
    assert trace.end.lost == 0 and trace.end.status == 0
    top = os.fsencode(tmp_path)
    for name in names:
        (made,) = [e for e in trace.of(name) if e.operation is Operation.MKDIR]
        assert made.target == PathTarget(name, base=top, follow=False)
        created = [e for e in trace.of(b"in " + name) if e.operation is Operation.CREATE]
        expected = PathTarget(b"in " + name, top + b"/" + name, True, top + b"/" + name + b"/in " + name)
        assert [e.target for e in created] == [expected] and created[0].existed is False
        (missed,) = trace.of(b"no " + name)
        assert missed.outcome == errno.ENOENT


def test_long_and_unreadable_paths(compiled: Callable[[str, str], str]) -> None:
    program = compiled(
        "paths",
        """
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
int main(void) {
    static char path[5000];
    memset(path, 'a', sizeof path - 1);
    for (int i = 0; i < 4000; i += 100) path[i] = '/';
    path[4000] = 0; open(path, O_RDONLY);
    path[4000] = 'a'; open(path, O_RDONLY);
    open((char *)0x1234, O_RDONLY); open((char *)0, O_RDONLY);
    return 0;
}
""",
    )
    trace = Trace([program])
    paths = [e.target.path for e in trace.events if isinstance(e.target, PathTarget)]
    assert any(isinstance(path, bytes) and len(path) == 4000 for path in paths)
    outcomes = {e.outcome for e in trace.events if e.target == PathTarget(Memory.UNREADABLE)}
    assert outcomes == {errno.ENAMETOOLONG, errno.EFAULT}
    assert trace.end.lost == 0


THREADS = """
#include <pthread.h>
#include <unistd.h>
#include <fcntl.h>
static void *run(void *unused) {
    chdir("/etc");
    open("hostname", O_RDONLY);
    execl("/bin/cat", "cat", "/etc/hosts", (char *)0);
    return unused;
}
int main(void) {
    pthread_t thread;
    pthread_create(&thread, 0, run, 0);
    pthread_join(thread, 0);
    return 9;
}
"""


@pytest.mark.parametrize("seccomp", [True, False])
def test_exec_from_a_thread(compiled: Callable[[str, str], str], seccomp: bool) -> None:
    trace = Trace([compiled("threads", THREADS)], seccomp)
    assert trace.labels == ["sbx", "threads", "cat"]
    (opened,) = trace.of(b"hostname")
    assert isinstance(opened.target, PathTarget) and opened.target.base == b"/etc"
    (ran,) = trace.of(b"/bin/cat")
    assert (ran.operation, ran.outcome, trace.program(ran)) == (Operation.EXEC, 0, "threads")
    assert all(trace.program(e) == "cat" for e in trace.of(b"/etc/hosts"))
    assert trace.end.status == 0


def test_many_threads_and_children_at_once(tmp_path: Path) -> None:
    script = """
import subprocess, sys, threading
def work(number):
    for turn in range(5):
        subprocess.run(["/bin/sh", "-c", f"cd /usr; test -e no-{number}-{turn}; exec /bin/true"])
threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
[t.start() for t in threads]; [t.join() for t in threads]
"""
    trace = Trace(python(script))
    assert trace.end.lost == 0 and trace.end.unfinished == 0
    for number in range(6):
        for turn in range(5):
            (probe,) = trace.of(f"no-{number}-{turn}".encode())
            assert isinstance(probe.target, PathTarget) and probe.target.base == b"/usr"
            assert trace.program(probe) == "sh"
    assert sorted(trace.labels[2:]) == ["sh", "true"]


def test_a_script_is_its_interpreter(tmp_path: Path) -> None:
    script = tmp_path / "hello"
    script.write_text("#! /bin/sh -e\nexit 5\n")
    script.chmod(0o755)
    trace = Trace([str(script)])
    program = trace._tracer.programs[1]
    assert (program.name, program.exe) == (str(script), os.path.realpath("/bin/sh"))
    assert trace.end.status == 5


def test_what_was_there_before(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("x")
    # The pause: strace does not wait for us, and what a name was can only be told before it is another file's.
    script = """
cd "$0"; echo > new; echo > old; echo > new; echo > /dev/null; sleep 0.5; mv new old; echo > new
"""
    trace = Trace(["/bin/sh", "-c", script, str(tmp_path)])
    created = [e.existed for e in trace.of(b"new") if e.operation is Operation.CREATE]
    assert created == [False]  # the second one is equal to the first, and not sent again
    assert not [e for e in trace.of(b"old") if e.operation is Operation.CREATE]
    assert not [e for e in trace.of(b"/dev/null") if e.operation is Operation.CREATE]
    (replaced,) = [e for e in trace.of(b"old") if e.operation is Operation.RENAME_TO and not e.outcome]
    assert replaced.existed is True


@pytest.mark.parametrize(("script", "status"), [("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)])
def test_status(script: str, status: int) -> None:
    end = Trace(["/bin/sh", "-c", script]).end
    assert (end.status, end.launch_errno, end.lost, end.interrupted) == (status, 0, 0, False)


def test_command_that_cannot_start(tmp_path: Path) -> None:
    plain, broken = tmp_path / "plain", tmp_path / "broken"
    plain.write_text("x")
    broken.write_text("#!/no/interpreter\n")
    broken.chmod(0o755)
    for file, status, code in (
        (tmp_path / "none", 127, errno.ENOENT),
        (broken, 127, errno.ENOENT),
        (plain, 126, errno.EACCES),
    ):
        trace = Trace([str(file)])
        assert (trace.end.status, trace.end.launch_errno) == (status, code)
        assert [(e.operation, e.outcome, e.program) for e in trace.events] == [(Operation.EXEC, code, 0)]
        assert trace.labels == ["sbx"]


def test_descendants_are_ended(tmp_path: Path) -> None:
    began = time.monotonic()
    trace = Trace(["/bin/sh", "-c", "sleep 77.25 & setsid sleep 77.25 & exit 4"])
    assert trace.end.status == 4 and trace.end.lingering == ("sleep",)
    assert 1.5 < time.monotonic() - began < 10
    assert not running("77.25")


def running(mark: str) -> list[str]:
    """Command lines of live processes with the argument ``mark``."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if mark.encode() in arguments and int(entry.parent.name) != os.getpid():
            found.append(b" ".join(arguments).decode())
    return found


RUN = """
import sys
from tracers.strace import StraceTracer
from tracers.tracer import Command
class Sink:
    def event(self, event): return True
    def forget(self): pass
    def links(self): return frozenset()
end = StraceTracer().run(Command("/bin/sh", ("sh", "-c", sys.argv[1])), Sink())
print(end.status, end.interrupted)
"""


def started(script: str) -> "subprocess.Popen[str]":
    """A process of its own group that traces ``script``, once that has said so."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, f"echo ready; {script}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    time.sleep(0.2)
    return process


def test_nothing_is_left_when_we_are_killed() -> None:
    process = started("sleep 77.5 & setsid sleep 77.5 & sleep 77.5")
    process.kill()
    process.wait()
    deadline = time.monotonic() + 5
    while running("77.5") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not running("77.5")


def test_signals_go_to_the_command() -> None:
    process = started("trap 'exit 11' TERM; while :; do sleep 0.05; done")
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=20)[0] == "11 True\n"
    process = started("trap 'exit 12' INT; while :; do sleep 0.05; done")
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=20)[0] == "12 True\n"


def test_nothing_of_ours_reaches_the_command() -> None:
    listing = "ls -l /proc/self/fd >&2; trap; tr '\\0' '\\n' < /proc/self/environ"
    run = [sys.executable, "-c", RUN, listing]
    traced = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True)
    plain = subprocess.run(["/bin/sh", "-c", listing], cwd=ROOT, capture_output=True, text=True, check=True)
    assert len(traced.stderr.splitlines()) == len(plain.stderr.splitlines())


def test_an_error_of_the_sink_ends_the_command() -> None:
    class Failing:
        def event(self, event: Event) -> bool:
            raise ZeroDivisionError

        def forget(self) -> None:
            pass

        def links(self) -> frozenset[str]:
            return frozenset()

    with pytest.raises(ZeroDivisionError):
        StraceTracer().run(Command("/bin/sleep", ("sleep", "77.75")), Failing())
    assert not running("77.75")


def test_the_command_keeps_the_name_it_was_called_by(capfd: pytest.CaptureFixture[str]) -> None:
    file = shutil.which("sh")
    assert file is not None
    for name in ("sh", file):
        StraceTracer().run(Command(file, (name, "-c", "echo $0")), Trace(["true"]))
        assert capfd.readouterr().out == f"{name}\n"


def test_confinement_and_missing_strace(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = object.__new__(Trace)
    with pytest.raises(TracerError) as caught:
        StraceTracer().run(Command("/bin/true", ("true",), confine=lambda: None), sink)
    assert "ptrace" in caught.value.remedy
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(TracerError) as caught:
        StraceTracer().run(Command("/bin/true", ("true",)), sink)
    assert "apt install strace" in caught.value.remedy


def test_ptrace_that_is_not_permitted() -> None:
    # Under another strace, ours is refused what a container refuses.
    outer = [shutil.which("strace") or "", "-f", "-o", "/dev/null", "-e", "trace=none"]
    script = RUN.replace("end =", "from tracers.tracer import TracerError\ntry: end =").replace(
        "\nprint(", "\nexcept TracerError as error: print(error, error.remedy); raise SystemExit\nprint("
    )
    done = subprocess.run(
        [*outer, sys.executable, "-c", script, "true"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "not permitted" in done.stdout and "SYS_PTRACE" in done.stdout
