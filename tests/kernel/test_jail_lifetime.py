"""Whatever dies first, nothing is left: no process, namespace, socket or file."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from capability import require
from children import eventually
from jailed import jailed, jails_work, network_policy

pytestmark = pytest.mark.kernel

KILLS = 30
PROFILE = """version = 1
name = "t"
command = "sh"
platform = "linux"
[[grant]]
path = "/"
scope = "tree"
rights = ["read", "list", "exec", "write"]
[[network]]
action = "connect"
host = "api.test"
port = 443
transport = "tcp"
"""
# A daemon of its own session, a child that ignores what can be ignored, and the command itself.
SCRIPT = "setsid sleep 4711 & (trap '' TERM HUP INT; sleep 4711; sleep 4711) & sleep 4711"


@pytest.fixture(autouse=True, scope="module")
def _jails() -> None:
    require(jails_work(), "user and network namespaces with nftables")


def processes(marker: str) -> list[str]:
    """Command lines of processes whose environment has ``marker``."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            environment = Path("/proc", name, "environ").read_bytes()
            if marker.encode() in environment:
                found.append(f"{name} {Path('/proc', name, 'cmdline').read_bytes()!r}")
        except OSError:
            continue
    return found


def sleeping(marker: str) -> int:
    """How many of them are sleep(1)."""
    return sum(r"b'sleep\x004711\x00'" in line for line in processes(marker))


def namespaces() -> set[str]:
    """Network namespaces that any process is in."""
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            found.add(os.readlink(f"/proc/{name}/ns/net"))
        except OSError:
            continue
    return found


def started(scratch: Path, marker: str, script: str = SCRIPT) -> subprocess.Popen[bytes]:
    profile = scratch / "t.toml"
    profile.write_text(PROFILE)
    return subprocess.Popen(
        [sys.executable, "-m", "learner", "run", str(profile), "--", "/bin/sh", "-c", script],
        env={**os.environ, "SBX_TEST_MARKER": marker, "TMPDIR": str(scratch)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def test_killing_sbx_at_any_moment_leaves_nothing(scratch: Path) -> None:
    dice = random.Random(4)
    before = set(os.listdir(scratch)) | {"t.toml"}
    begun = time.monotonic()
    calm = started(scratch, "calm")
    assert eventually(lambda: sleeping("SBX_TEST_MARKER=calm") == 3)
    usual = time.monotonic() - begun
    calm.kill()
    calm.communicate()
    for number in range(KILLS):
        marker = f"SBX_TEST_MARKER=kill-{os.getpid()}-{number}-"
        running = started(scratch, marker.partition("=")[2])
        time.sleep(dice.uniform(0.3, 1.3) * usual)
        running.kill()
        running.communicate()  # standard error is at its end only when every process that had it is gone
        assert eventually(lambda marker=marker: not processes(marker)), processes(marker)
    assert set(os.listdir(scratch)) <= before


def test_killing_the_supervisor_ends_the_program(scratch: Path) -> None:
    marker = f"SBX_TEST_MARKER=sup-{os.getpid()}-"
    running = started(scratch, marker.partition("=")[2])
    assert eventually(lambda: sleeping(marker) == 3)
    [supervisor] = map(int, Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split())
    os.kill(supervisor, signal.SIGKILL)
    _, said = running.communicate(timeout=20)
    assert running.returncode == 125
    assert b"sbx: the process that serves the command's network was killed" in said
    assert eventually(lambda: not processes(marker)), processes(marker)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_signals_reach_the_program(number: signal.Signals, scratch: Path) -> None:
    marker = f"SBX_TEST_MARKER=sig-{os.getpid()}-{number}-"
    script = f"trap 'exit 42' {number}; sleep 4711 & wait; exit 1"
    running = started(scratch, marker.partition("=")[2], script)
    assert eventually(lambda: sleeping(marker) == 1)
    running.send_signal(number)
    running.communicate(timeout=20)
    assert running.returncode == 42
    assert eventually(lambda: not processes(marker))


def test_the_programs_own_end_ends_what_it_left_behind(scratch: Path) -> None:
    marker = f"SBX_TEST_MARKER=end-{os.getpid()}-"
    running = started(scratch, marker.partition("=")[2], "setsid sleep 4711 & (sleep 4711 &) ; exit 3")
    running.communicate(timeout=20)
    assert running.returncode == 3
    assert processes(marker) == []


def test_a_death_by_signal_is_sbxs_own(scratch: Path) -> None:
    running = started(scratch, "signal", "kill -KILL $$")
    running.communicate(timeout=20)
    assert running.returncode == -signal.SIGKILL


def test_namespaces_go(user: int) -> None:
    before = namespaces()
    for _ in range(3):
        assert jailed(("true",), network_policy(("a.test", 1)), {}, user=user).status == 0
    assert eventually(lambda: namespaces() <= before)
