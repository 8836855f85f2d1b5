"""``sbx export``: what is written where, with which permissions, and when nothing is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROFILE = """
version = 1
name = "tool"
command = "tool"
platform = "linux"

[[grant]]
path = "/usr"
scope = "tree"
rights = ["read", "list", "exec"]

[[network]]
action = "connect"
host = "example.org"
port = 443
transport = "tcp"
"""


@pytest.fixture
def profile(scratch: Path) -> Path:
    file = scratch / "tool.toml"
    file.write_text(PROFILE)
    return file


def export(profile: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {"HOME": str(profile.parent), "PATH": os.environ["PATH"]}
    return subprocess.run(
        [sys.executable, "-m", "learner", "export", *words],
        cwd=profile.parent,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_script_is_a_program_and_a_profile_is_private(profile: Path) -> None:
    for target, mode in (("bwrap", 0o700), ("firejail", 0o600)):
        output = profile.parent / target
        done = export(profile, str(profile), "--to", target, "-o", str(output))
        assert done.returncode == 0, done.stderr
        assert output.stat().st_mode & 0o777 == mode
        assert "sbx: gap: hosts (example.org:443/tcp): " in done.stderr
        assert export(profile, str(profile), "--to", target).stdout == output.read_text()


def test_strict_writes_nothing(profile: Path) -> None:
    output = profile.parent / "out"
    done = export(profile, str(profile), "--to", "landlock", "--strict", "-o", str(output))
    assert done.returncode == 1
    assert "landlock cannot say all of tool: nothing was written" in done.stderr
    assert not output.exists()


def test_a_target_that_there_is_not(profile: Path) -> None:
    done = export(profile, str(profile), "--to", "nonesuch")
    assert (done.returncode, done.stdout) == (2, "")
    assert "bwrap" in done.stderr
