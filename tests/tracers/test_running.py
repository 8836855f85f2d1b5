"""Our own tracers as a program's surroundings: job control, signals, ends of every kind, nothing left behind."""

import errno
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from capability import require
from programs import SOURCES
from terminal import Terminal

from learner.session import make_tracer
from learner.trace import read_trace
from tracers import descendants, permission, requests, supervision
from tracers.choice import candidates
from tracers.events import Event, Operation, PathTarget
from tracers.job import GRACE_SECONDS
from tracers.tracer import Command, TraceEnd, Tracer, TracerError, TracerName

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).resolve().parents[2]

DRIVER = """
import os, shutil, sys
from pathlib import Path
from learner.recorder import Recorder
from learner.trace import Header, TraceWriter
from learner.session import make_tracer
from tracers.tracer import Command, TracerName
tracer = make_tracer(TracerName(os.environ["SBX_TRACER"]))
file = os.environ.pop("TRACE", "")
writer = TraceWriter(Path(file)) if file else None
recorder = Recorder(Header("", "/", "/", "/", 0, "ptrace", "", 0.0), tracer.programs, writer)
if file:
    print("begin", flush=True)
end = tracer.run(Command(shutil.which(sys.argv[1]), tuple(sys.argv[1:])), recorder)
recorder.finish(end)
print(f"ended {end.status} {end.interrupted}", file=sys.stderr)
sys.exit(end.status)
"""

# Says what reaches it, one line each, and exits 5 at the end of its input.
LISTENER = """
import os, select, signal, sys
came, comes = os.pipe()
os.set_blocking(comes, False)
signal.set_wakeup_fd(comes)  # a handler alone could miss one that comes just before the wait
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1): signal.signal(number, lambda *_: None)
os.write(1, b"ready\\n")
while True:
    ready = select.select([0, came], [], [])[0]
    if came in ready:
        for number in os.read(came, 99): os.write(1, f"got {signal.Signals(number).name}\\n".encode())
    elif not os.read(0, 99): sys.exit(5)
"""

# Takes signals without a handler, as programs with a signalfd do: no tracer sees those delivered.
WAITER = """
import os, signal
taken = {signal.SIGINT, signal.SIGTERM}
signal.pthread_sigmask(signal.SIG_BLOCK, taken)
os.write(1, b"ready\\n")
while signal.sigwait(taken) == signal.SIGINT: os.write(1, b"took SIGINT\\n")
os.write(1, b"over\\n")
"""


class Sink:
    """Keeps every event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def event(self, event: Event) -> bool:
        self.events.append(event)
        return True

    def forget(self) -> None:
        pass

    def links(self) -> frozenset[str]:
        return frozenset()


@pytest.fixture(autouse=True, params=["ebpf", "notify", "ptrace"])
def name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    found = str(request.param)
    obstacle = next(c.obstacle for c in candidates() if c.name == found)
    require(not obstacle, obstacle)
    monkeypatch.setenv("SBX_TRACER", found)
    return found


def tracer() -> Tracer:
    return make_tracer(TracerName(os.environ["SBX_TRACER"]))


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A value in the environment of all that a test starts; in the end, nothing may run that has it."""
    value = f"SBX_TEST={uuid.uuid4()}"
    monkeypatch.setenv(*value.split("="))
    yield value
    assert still_running(value) == []


def marked(value: str) -> list[str]:
    """Live processes but us with ``value`` in their environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if value.encode() in (entry / "environ").read_bytes().split(b"\0") and int(entry.name) != os.getpid():
                found.append(f"{entry.name} {(entry / 'cmdline').read_bytes()!r}")
        except OSError:
            continue
    return found


def still_running(value: str, patience: float = 5) -> list[str]:
    deadline = time.monotonic() + patience
    while (left := marked(value)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def run(*argv: str, sink: Sink | None = None) -> TraceEnd:
    file = shutil.which(argv[0]) or argv[0]
    return tracer().run(Command(file, argv), sink or Sink())


def driven(*argv: str) -> list[str]:
    return [sys.executable, "-c", DRIVER, *argv]


def python(script: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", script]


# --- at a terminal


@pytest.fixture
def shell(mark: str, name: str) -> Iterator[Terminal]:
    bash = shutil.which("bash")
    require(bash, "bash is not installed: there is no shell with job control")
    assert bash is not None
    environment = {
        "PS1": "shell> ",
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "TERM": "xterm",
        "LESSHISTFILE": "-",
        "SBX_TEST": mark.partition("=")[2],
        "SBX_TRACER": name,
    }
    with Terminal([bash, "--norc", "--noprofile", "--noediting", "-i"], environment) as terminal:
        terminal.expect("shell> ")
        yield terminal


@pytest.fixture
def traced(scratch: Path) -> Callable[..., str]:
    """``traced(WORD…)``: a line for the shell that runs a command under trace."""
    driver = scratch / "driver.py"
    driver.write_text(DRIVER)
    return lambda *words: shlex.join([sys.executable, str(driver), *words])


@pytest.mark.parametrize("mode", ["", "--raw", "--group"])
def test_a_full_screen_program(shell: Terminal, traced: Callable[..., str], mode: str) -> None:
    shell.type(f"{traced(sys.executable, str(SOURCES / 'tui.py'))} {mode}\n")
    shell.expect("ready ")
    shell.resize(33, 111)
    shell.expect("size 33x111")
    shell.type("\x03")
    shell.expect("got-int")
    shell.type("\x1a")
    shell.expect("stopping")
    shell.expect("Stopped")
    shell.expect("shell> ")
    assert shell.echoes()
    shell.type("jobs\n")
    shell.expect("Stopped")
    assert b"not-stopped" not in shell.seen
    shell.type("fg\n")
    shell.expect("resumed")
    assert not shell.echoes()
    shell.resize(44, 111)
    shell.expect("size 44x111")
    shell.type("k")
    shell.expect("key k")
    time.sleep(2 * GRACE_SECONDS)  # a second Ctrl-C, passed on by us, would come now
    shell.type("\x03")
    shell.expect("got-int")
    shell.type("q")
    shell.expect("ended 7")
    shell.expect("shell> ")
    shell.type("echo status=$?\n")
    shell.expect("status=7")
    assert shell.seen.count(b"got-int") == 2
    assert shell.seen.count(b"resumed") == 1


def test_ctrl_c_is_not_passed_on_to_who_takes_it_unseen(
    shell: Terminal, traced: Callable[..., str], scratch: Path
) -> None:
    waiter = scratch / "waiter.py"
    waiter.write_text(WAITER)
    shell.type(f"{traced(sys.executable, str(waiter))}\n")
    shell.expect("ready")
    shell.type("\x03")
    shell.expect("took SIGINT")
    time.sleep(2 * GRACE_SECONDS)
    shell.type("\x03")
    shell.expect("took SIGINT")
    shell.type("\x1c")  # Ctrl-\: the default, it ends
    shell.expect(f"ended {128 + signal.SIGQUIT} True")
    assert shell.seen.count(b"took SIGINT") == 2


def test_in_front_of_a_pager(shell: Terminal, traced: Callable[..., str], scratch: Path) -> None:
    require(shutil.which("less"), "less is not installed")
    lines = scratch / "lines"
    lines.write_text("".join(f"line {n}\n" for n in range(100_000)))
    shell.type(f"{traced('cat', str(lines))} | less\n")
    shell.expect("line 5")
    shell.expect("\r\n:")
    time.sleep(0.5)  # less loses a signal that comes while it draws its prompt (9 of 12 times it did not, without sbx)
    shell.type("\x1a")
    shell.expect("Stopped")
    shell.expect("shell> ")
    shell.type("fg\n")
    shell.expect("line 5")
    shell.expect(":")
    time.sleep(0.5)
    shell.type("q")
    shell.expect(f"ended {128 + signal.SIGPIPE}")
    shell.expect("shell> ")
    shell.type("echo left=$?\n")
    shell.expect("left=0")


def test_in_the_background(shell: Terminal, traced: Callable[..., str]) -> None:
    shell.type(f"{traced('cat')} &\n")
    shell.expect("shell> ")
    shell.type("while ! jobs | grep Stopped; do :; done\n")
    shell.expect("Stopped  ")
    shell.expect("shell> ")
    shell.type("fg\n")
    shell.type("some words\n")
    shell.expect("some words")
    shell.expect("some words")
    shell.type("\x04")
    shell.expect("ended 0")
    shell.expect("shell> ")


# --- signals from elsewhere


def listening(script: str = LISTENER, group: bool = False) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        driven(*python(script)),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=group,
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
@pytest.mark.parametrize("group", [False, True])
def test_a_signal_reaches_the_command_once(mark: str, number: signal.Signals, group: bool) -> None:
    process = listening(group=group)
    assert process.stdout is not None
    if group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    assert process.stdout.readline() == f"got {number.name}\n"
    time.sleep(2 * GRACE_SECONDS)  # for the second one that must not come
    said, ended = process.communicate(timeout=20)
    assert said == ""
    assert ended == f"ended 5 {number != signal.SIGUSR1}\n"
    assert process.returncode == 5


def test_who_is_asked_to_end_twice_is_ended(mark: str) -> None:
    process = listening()
    assert process.stdout is not None
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "got SIGTERM\n"
    time.sleep(2 * GRACE_SECONDS)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=20)
    assert process.communicate() == ("", f"ended {128 + signal.SIGKILL} True\n")


def test_what_was_ignored_stays_ignored(mark: str) -> None:
    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    process = subprocess.Popen(
        driven("cat"), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=ignore
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(b"x\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"x\n"
    process.send_signal(signal.SIGHUP)
    time.sleep(2 * GRACE_SECONDS)
    process.stdin.write(b"y\n")
    assert process.communicate(timeout=20)[0] == b"y\n"
    assert process.returncode == 0


FORKING = """
import os, threading
def work():
    while True:
        if os.fork() == 0:
            if os.fork() == 0:
                try: open("/no/such")
                except OSError: pass
            os._exit(0)
        os.wait()
for _ in range(2): threading.Thread(target=work).start()
"""


def test_nothing_is_left_when_we_are_killed(mark: str, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = random.Random(7)
    for turn in range(20):
        file = scratch / f"{turn}.jsonl"
        monkeypatch.setenv("TRACE", str(file))
        process = subprocess.Popen(driven(*python(FORKING)), cwd=ROOT, stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline() == b"begin\n"
        time.sleep(moments.uniform(0, 0.25))
        process.kill()
        process.communicate()
        assert still_running(mark) == []
        assert read_trace(file).end is None


# --- how it ends


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGRTMIN])
def test_death_by_a_signal(mark: str, number: signal.Signals) -> None:
    end = run("sh", "-c", f"kill -{int(number)} $$")
    assert (end.status, end.launch_errno, end.interrupted) == (128 + number, 0, False)


def test_descendants_that_outlive_the_command(mark: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descendants, "LINGER_SECONDS", 0.3)
    end = run("sh", "-c", "setsid sh -c 'sleep 77 & sleep 78 & wait' & (setsid tail -f /dev/null &) & exit 4")
    assert (end.status, end.lingering) == (4, ("sh", "sleep", "tail"))


def test_descendants_that_end_soon(programs: Callable[[str], Path], scratch: Path) -> None:
    sink = Sink()
    end = run(str(programs("orphan")), str(scratch), sink=sink)
    assert (end.status, end.lingering) == (0, ())
    last = os.fsencode(scratch / "from-orphan")
    assert [e.outcome for e in sink.events if isinstance(e.target, PathTarget) and e.target.path == last] == [
        errno.ENOENT
    ]


def test_commands_that_cannot_start(mark: str, scratch: Path) -> None:
    lost, closed, plain, loop = (scratch / name for name in ("lost", "closed", "plain", "loop"))
    lost.write_text("#!/no/interpreter\n")
    closed.write_text("#!/bin/sh\n")
    plain.write_text("exit 9\n")
    loop.symlink_to("loop")
    for script in (lost, plain):
        script.chmod(0o755)
    for file, status, code in (
        (scratch / "none", 127, errno.ENOENT),
        (lost, 127, errno.ENOENT),
        (closed, 126, errno.EACCES),
        (scratch, 126, errno.EACCES),
        (loop, 126, errno.ELOOP),
    ):
        sink = Sink()
        end = run(str(file), sink=sink)
        assert (end.status, end.launch_errno) == (status, code)
        assert [(e.operation, e.outcome) for e in sink.events] == [(Operation.EXEC, code)]
    # A script without a first line is run by sh, as a shell does.
    end = run(str(plain))
    assert (end.status, end.launch_errno) == (9, 0)


def test_a_confinement_that_fails(mark: str) -> None:
    def confine() -> None:
        raise OSError("no such luck")

    with pytest.raises(TracerError, match="no such luck"):
        tracer().run(Command("/bin/true", ("true",), confine), Sink())


def test_an_error_of_the_sink_ends_everything(mark: str) -> None:
    class Failing(Sink):
        def event(self, event: Event) -> bool:
            if super().event(event) and len(self.events) > 20:
                raise ZeroDivisionError
            return False

    with pytest.raises(ZeroDivisionError):
        run(*python(FORKING), sink=Failing())
    assert marked(mark) == []
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    assert run("true").status == 0
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


@pytest.mark.parametrize(
    ("scope", "words", "remedy"),
    [("2", "yama.ptrace_scope is 2", "sysctl"), ("1", "container", "--cap-add=SYS_PTRACE"), (None, "container", "SYS")],
)
def test_tracing_that_is_not_permitted(
    mark: str, monkeypatch: pytest.MonkeyPatch, scratch: Path, scope: str | None, words: str, remedy: str
) -> None:
    setting = scratch / "ptrace_scope"
    if scope is not None:
        setting.write_text(f"{scope}\n")
    monkeypatch.setattr(permission, "YAMA", str(setting))
    monkeypatch.setattr(requests, "seize", lambda pid: errno.EPERM)

    def refused(pid: int, number: int) -> int:
        raise OSError(errno.EPERM, "")

    monkeypatch.setattr(supervision, "borrow", refused)
    with pytest.raises(TracerError, match=words) as caught:
        run("true")
    assert remedy in caught.value.remedy
    assert marked(mark) == []


# --- what the command finds

SURROUNDINGS = """
import json, os, sys
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
stat = open("/proc/self/stat").read().rpartition(") ")[2].split()
del os.environ["LC_CTYPE"]  # Python's own
print(json.dumps({
    "signals": [status[key] for key in ("SigBlk", "SigIgn", "SigCgt", "ShdPnd", "SigPnd")],
    "status": [status[key] for key in ("Umask", "Uid", "Gid", "Groups", "CapInh", "CapEff", "Threads")],
    "group, session, terminal": stat[2:5],
    "nice": stat[16],
    "limits": open("/proc/self/limits").read(),
    "environment": dict(os.environ),
    "cwd": os.getcwd(),
    "files": {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if int(fd) < 200 and
              os.path.exists(f"/proc/self/fd/{fd}")},
    "argv": sys.argv,
}))
"""


@pytest.mark.parametrize("ignored", [(), (signal.SIGINT, signal.SIGHUP, signal.SIGTSTP)])
def test_the_surroundings_are_those_of_an_untraced_command(
    mark: str, scratch: Path, ignored: tuple[signal.Signals, ...]
) -> None:
    import resource

    def prepare() -> None:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGWINCH})
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, 4096))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.umask(0o027)
        os.nice(1)

    def look(argv: list[str]) -> bytes:
        return subprocess.run(
            argv,
            cwd=scratch,
            env={**os.environ, "PYTHONPATH": str(ROOT), "LC_CTYPE": "C.UTF-8", "ODD": "\udcff\n"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            preexec_fn=prepare,
        ).stdout

    def told(argv: list[str]) -> dict[str, object]:
        found = json.loads(look(argv))
        for number in ("1", "2"):  # pipes of this test
            found["files"][number] = found["files"][number].partition(":")[0]
        assert isinstance(found, dict)
        return found

    command = [*python(SURROUNDINGS), "an argument", ""]
    assert told(driven(*command)) == told(command)
    command = ["grep", "^Sig[BIC]", "/proc/self/status"]  # Python ignores some signals by itself
    assert look(driven(*command)) == look(command)


THREADS = """
import os, threading
start = threading.Barrier(300)
def work(number):
    start.wait()
    try: os.stat(f"/nonexistent/{number}")
    except OSError: pass
    start.wait()
threads = [threading.Thread(target=work, args=(n,)) for n in range(300)]
[t.start() for t in threads]; [t.join() for t in threads]
"""


@pytest.mark.parametrize("limit", [None, 64])
def test_300_threads(mark: str, limit: int | None) -> None:
    """Even with fewer files than threads."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    sink = Sink()
    pid = os.fork() if limit else 0
    if limit and pid == 0:  # a process of its own: a hard limit cannot be raised again
        failed = 1
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            run(*python(THREADS), sink=sink)
            failed = len({e.target for e in sink.events if _under(e, b"/nonexistent/")}) != 300
        finally:
            os._exit(failed)
    if limit:
        assert os.waitpid(pid, 0)[1] == 0
        return
    end = run(*python(THREADS), sink=sink)
    assert (end.status, end.lost) == (0, 0)
    assert len({e.target for e in sink.events if _under(e, b"/nonexistent/")}) == 300
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


def _under(event: Event, start: bytes) -> bool:
    return (
        isinstance(event.target, PathTarget)
        and isinstance(event.target.path, bytes)
        and event.target.path.startswith(start)
    )
