"""``sbx run`` as people start it: statuses, what is refused, what works, and what a launch prepares."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.kernel

HEAD = 'version = 1\nname = "t"\ncommand = "sh"\nplatform = "linux"\n'
BASE = HEAD + "".join(
    f'[[grant]]\npath = "{path}"\nscope = "tree"\nrights = ["read", "list", "exec"]\n'
    for path in ("/usr", "/etc", "/proc")
)


def sbx(*words: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "learner", *map(str, words)],
        cwd=cwd,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def profile(scratch: Path) -> Path:
    file = scratch / "t.toml"
    file.write_text(BASE)
    return file


@pytest.mark.parametrize(
    ("script", "status"), [("exit 7", 7), ("kill -TERM $$", -signal.SIGTERM), ("nonesuch-command", 127), (":", 0)]
)
def test_the_status_is_the_commands_own(script: str, status: int, profile: Path, scratch: Path) -> None:
    # Without -v sbx becomes the command, so a signal kills it as it would the command.
    assert sbx("run", profile, "--", "/bin/sh", "-c", script, cwd=scratch).returncode == status
    watched = sbx("run", "-v", profile, "--", "/bin/sh", "-c", script, cwd=scratch)
    assert watched.returncode == (128 - status if status < 0 else status)
    assert "sbx: exec" in watched.stderr


def test_what_cannot_be_started(profile: Path, scratch: Path) -> None:
    plain = scratch / "plain"
    plain.write_text("no program\n")
    for command, status in (("nonesuch-command", 127), (str(plain), 126), (str(scratch), 126), ("/nonesuch", 127)):
        done = sbx("run", profile, "--", command, cwd=scratch)
        assert done.returncode == status, done.stderr
        assert done.stderr.startswith("sbx: ")
        assert "Traceback" not in done.stderr


def test_a_command_that_is_not_granted_exec(scratch: Path) -> None:
    bare = scratch / "bare.toml"
    bare.write_text(HEAD)
    done = sbx("run", bare, "--", "/bin/true", cwd=scratch)
    assert done.returncode == 126
    assert "exec" in done.stderr
    assert sbx("run", "-v", bare, "--", "/bin/true", cwd=scratch).returncode == 126


def test_reading_outside_is_refused_and_granting_it_works(profile: Path, scratch: Path) -> None:
    secret = scratch / "secret"
    secret.write_text("swordfish\n")
    words = ("/bin/sh", "-c", f"cat {secret}")
    control = subprocess.run(words, capture_output=True, text=True, check=False)
    assert control.stdout == "swordfish\n"
    confined = sbx("run", profile, "--", *words, cwd=scratch)
    assert confined.stdout == ""
    assert "Permission denied" in confined.stderr or "No such file" in confined.stderr
    profile.write_text(BASE + f'[[grant]]\npath = "{secret}"\nscope = "file"\nrights = ["read"]\n')
    assert sbx("run", profile, "--", *words, cwd=scratch).stdout == "swordfish\n"
    assert secret.read_text() == "swordfish\n"


def test_directories_of_its_own_are_made_private(profile: Path, scratch: Path) -> None:
    own = scratch / "state" / "tool"
    profile.write_text(
        BASE + f'[[grant]]\npath = "{own}"\nscope = "tree"\nrights = ["read", "write", "create"]\nensure = true\n'
    )
    done = sbx("run", profile, "--", "/bin/sh", "-c", f"echo kept > {own}/note", cwd=scratch)
    assert done.returncode == 0, done.stderr
    assert (own / "note").read_text() == "kept\n"
    assert own.stat().st_mode & 0o777 == 0o700


def test_learn_then_run_in_another_project(scratch: Path) -> None:
    home, first, second = scratch / "home", scratch / "first", scratch / "second"
    for directory in (home, first, second):
        directory.mkdir()
    words = ("--", "/bin/sh", "-c", "echo made > note && cat note")
    env = {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "XDG_STATE_HOME": str(home / "state")}
    learned = sbx("learn", "-n", "note", *words, cwd=first, **env)
    assert learned.returncode == 0, learned.stderr
    assert learned.stdout == "made\n"
    assert (home / "config/sbx/profiles/note.toml").stat().st_mode & 0o777 == 0o600
    assert (home / "state/sbx/traces/note.jsonl").stat().st_mode & 0o777 == 0o600
    done = sbx("run", "note", *words, cwd=second, **env)
    assert (done.returncode, done.stdout) == (0, "made\n"), done.stderr
    verified = sbx("verify", "note", cwd=first, **env)
    assert verified.returncode == 0, verified.stderr
    # And its twin: the second run may not touch the first project.
    thief = sbx("run", "note", "--", "/bin/sh", "-c", f"echo x > {first}/note", cwd=second, **env)
    assert thief.returncode != 0
    assert (first / "note").read_text() == "made\n"


def test_a_profile_in_a_dotfiles_repository_stays_a_link(scratch: Path) -> None:
    kept = scratch / "dotfiles" / "t.toml"
    kept.parent.mkdir()
    kept.write_text("old")
    link = scratch / "t.toml"
    link.symlink_to("dotfiles/t.toml")
    project = scratch / "project"
    project.mkdir()
    env = {"HOME": str(scratch), "XDG_STATE_HOME": str(scratch / "state")}
    done = sbx("learn", "-o", link, "--", "/bin/true", cwd=project, **env)
    assert done.returncode == 0, done.stderr
    assert link.is_symlink()
    assert kept.read_text().startswith("#")
