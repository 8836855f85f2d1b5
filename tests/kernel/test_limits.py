"""Each limit hit for real, with a control that does the same within it, as root and as nobody."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from children import NOBODY, area_of
from started import Done, sbx

from learner.limits import TIMED_OUT, tasks_of

pytestmark = pytest.mark.kernel

PYTHON = "/usr/bin/python3"


@pytest.fixture
def area(user: int) -> Iterator[str]:
    with area_of(user) as top:
        os.mkdir(f"{top}/project")
        os.chown(f"{top}/project", user, -1)
        yield top


def limited(area: str, user: int, limit: str, *command: str, level: str = "standard") -> Done:
    words = ("run", "--level", level, *(("--limit", limit) if limit else ()), "--", *command)
    return sbx(*words, cwd=f"{area}/project", user=user, HOME=area, TMPDIR=area)


def alive(marker: str) -> list[int]:
    """The processes whose command line holds ``marker``."""
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and marker.encode() in Path(f"/proc/{name}/cmdline").read_bytes():
                found.append(int(name))
        except OSError:
            continue
    return found


def unique(seconds: int) -> str:
    """An argument of sleep(1) that no other process has."""
    return f"{seconds}.{os.getpid()}{time.monotonic_ns()}"


# --- what one process does

CASES = {
    "memory": ("memory=256M", "b = bytearray({} << 20); print(len(b) >> 20)", "400", "20", "MemoryError"),
    "files": (
        "files=32",
        "f = [open('/dev/null') for _ in range({})]; print(len(f))",
        "40",
        "20",
        "Too many open files",
    ),
    "size": ("size=1M", "print(open('f', 'wb').write(b'x' * ({} << 10)))", "2048", "512", "File too large"),
}


@pytest.mark.parametrize("item", CASES)
def test_a_limit_is_hit_and_only_then(area: str, user: int, item: str) -> None:
    limit, work, too_much, little, says = CASES[item]
    work = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n" + work
    over = limited(area, user, limit, PYTHON, "-c", work.format(too_much))
    assert (over.status, over.out) == (1, "")
    assert says in over.err
    within = limited(area, user, limit, PYTHON, "-c", work.format(little))
    assert (within.status, within.err) == (0, "")
    control = limited(area, user, "", PYTHON, "-c", work.format(too_much))
    assert (control.status, control.err) == (0, "")


def test_processor_time(area: str, user: int) -> None:
    spin = "import time\nwhile time.process_time() < 2.5: pass\nprint('spun')"
    over = limited(area, user, "cpu=1", PYTHON, "-c", spin)
    assert (over.status, over.out) == (128 + signal.SIGXCPU, "")
    control = limited(area, user, "cpu=30", PYTHON, "-c", spin)
    assert (control.status, control.out) == (0, "spun\n")


FORK = """
import os, sys
read, write = os.pipe()
children = []
try:
    for _ in range(int(sys.argv[1])):
        pid = os.fork()
        if pid == 0:
            os.close(write)
            os.read(read, 1)  # until the parent has closed its end
            os._exit(0)
        children.append(pid)
except OSError as problem:
    print("errno", problem.errno, "after", len(children))
else:
    print("forked", len(children))
os.close(write)
for pid in children:
    os.waitpid(pid, 0)
"""


def test_processes_of_a_user(area: str, user: int) -> None:
    others = tasks_of(user)
    over = limited(area, user, "procs=10", PYTHON, "-c", FORK, "30")
    if user == 0:
        # Root is not bound. Where no cgroup is delegated to hold it instead, that is said.
        assert "sbx: not limited: procs: RLIMIT_NPROC does not bind root" in over.err or "errno 11" in over.out
        return
    assert over.err == ""
    refused, after = over.out.split("after")
    assert refused == "errno 11 "  # EAGAIN
    # Other processes of nobody's may come and go; in a user namespace of its own the command has their room besides.
    assert 5 <= int(after) <= 9 + others
    assert limited(area, user, "procs=60", PYTHON, "-c", FORK, "30").out == "forked 30\n"
    assert limited(area, user, "", PYTHON, "-c", FORK, "30").out == "forked 30\n"


# --- wall time


@pytest.mark.parametrize("level", ["standard", "none"])
def test_time_ends_everything(area: str, user: int, level: str) -> None:
    nap = unique(50)
    # A child in a session of its own, whose parent is gone, one that is deaf to SIGTERM is below.
    script = f"setsid sleep {nap} & (sleep {nap} &) ; sleep {nap}"
    started = time.monotonic()
    done = limited(area, user, "time=1s", "sh", "-c", script, level=level)
    assert done.status == TIMED_OUT == 124
    assert 1.0 <= time.monotonic() - started < 6
    assert "sbx: the time is over (1 s): the command was ended" in done.err
    assert alive(nap) == []


def test_time_ends_what_does_not_listen(area: str, user: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learner.watch.GRACE_SECONDS", 0.3)
    nap = unique(50)
    deaf = "import signal, time\nfor n in (1, 2, 3, 15): signal.signal(n, signal.SIG_IGN)\ntime.sleep(50)"
    done = limited(area, user, "time=1", PYTHON, "-c", deaf, nap)
    assert done.status == TIMED_OUT
    assert alive(nap) == []


def test_time_ends_what_forks_without_end(area: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learner.watch.GRACE_SECONDS", 0.3)
    if os.getuid() != 0:
        pytest.skip("takes another user, whose processes can be counted")
    os.chown(f"{area}/project", NOBODY, -1)
    os.chown(area, NOBODY, -1)
    nap = unique(50)
    bomb = (
        "import os, signal, time\nsignal.signal(15, signal.SIG_IGN)\n"
        "while True:\n"
        "    try: os.fork()\n"
        "    except OSError: time.sleep(0.01)\n"
    )
    done = limited(area, NOBODY, "time=1,procs=30", PYTHON, "-c", bomb, nap)
    assert done.status == TIMED_OUT
    assert "could not be ended" not in done.err
    assert alive(nap) == []


def test_in_time_the_status_is_the_commands_own(area: str, user: int) -> None:
    assert limited(area, user, "time=30", "sh", "-c", "exit 7").status == 7
    assert limited(area, user, "time=30", "sh", "-c", "kill -TERM $$").status == 128 + signal.SIGTERM
    assert limited(area, user, "time=30", "sh", "-c", "kill -KILL $$").status == 128 + signal.SIGKILL
    assert limited(area, user, "time=30", "nonesuch-command").status == 127
    assert limited(area, user, "time=30", "/etc/passwd").status == 126


def test_what_is_left_behind_is_ended_with_the_command(area: str, user: int) -> None:
    nap = unique(50)
    script = f"sleep {nap} & echo started"
    started = time.monotonic()
    done = limited(area, user, "time=30", "sh", "-c", script)
    assert (done.status, done.out) == (0, "started\n")
    assert time.monotonic() - started < 5
    assert alive(nap) == []
    try:
        assert limited(area, user, "", "sh", "-c", script).status == 0
        assert len(alive(nap)) == 1  # the control: without the limit it stays
    finally:
        for pid in alive(nap):
            os.kill(pid, signal.SIGKILL)


SBX = [sys.executable, "-m", "learner", "run", "--level", "none", "--limit", "time=30", "--"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1])
def test_signals_are_passed_on(number: signal.Signals) -> None:
    script = f"trap 'echo got; exit 3' {number.name.removeprefix('SIG')}; echo ready; while :; do sleep 0.05; done"
    with subprocess.Popen(
        [*SBX, "sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as sbx_:
        assert sbx_.stdout is not None
        assert sbx_.stdout.readline() == "ready\n"
        sbx_.send_signal(number)
        assert sbx_.stdout.readline() == "got\n"
        assert sbx_.wait(timeout=20) == 3


def test_the_command_does_not_outlive_its_watcher() -> None:
    nap = unique(50)
    with subprocess.Popen([*SBX, "sleep", nap], stderr=subprocess.PIPE) as watcher:
        until = time.monotonic() + 20
        while len(alive(f"sleep\0{nap}")) == 0 and time.monotonic() < until:
            time.sleep(0.05)
        assert len(alive(f"sleep\0{nap}")) == 1
        watcher.kill()
        watcher.wait()
    until = time.monotonic() + 5
    while alive(f"sleep\0{nap}") and time.monotonic() < until:
        time.sleep(0.05)
    assert alive(f"sleep\0{nap}") == []


def test_an_ignored_sigchld_does_not_hide_the_end() -> None:
    done = subprocess.run(
        ["/bin/bash", "-c", 'trap "" CHLD; exec "$@"', "x", *SBX, "sh", "-c", "exit 5"],
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 5
