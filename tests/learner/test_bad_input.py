"""What is wrong with the input or the machine ends in one sentence that says what to do, and never in a traceback."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from capability import require
from click.testing import CliRunner

from learner.cli.main import cli, main
from learner.enforcers.landlock import abi

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).parents[2]
SBX = [sys.executable, "-m", "learner"]
TIMEOUT = 60
NARROW = ("--granularity", "0.001")
"""One grant for each file, however little lies beside them."""


class Said(NamedTuple):
    """How sbx ended and what it said."""

    status: int
    out: str
    err: str


class Shell:
    """A person at a prompt: a home, a project, and nothing else of the machine's owner."""

    def __init__(self, top: Path) -> None:
        self.home, self.project = top / "home", top / "home/work/engine"
        self.project.mkdir(parents=True)
        self.env = {"HOME": str(self.home), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"}

    @property
    def profiles(self) -> Path:
        return self.home / ".config/sbx/profiles"

    @property
    def traces(self) -> Path:
        return self.home / ".local/state/sbx/traces"

    def sbx(self, *words: str, env: Mapping[str, str] | None = None, before: tuple[str, ...] = ()) -> Said:
        done = subprocess.run(
            [*before, *SBX, *words],
            cwd=self.project,
            env=self.env if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=TIMEOUT,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Said(done.returncode, done.stdout, done.stderr)

    def file(self, name: str, content: str | bytes = "", mode: int = 0o644) -> str:
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        return str(path)


@pytest.fixture
def shell(scratch: Path) -> Shell:
    return Shell(scratch)


@pytest.fixture
def learned(shell: Shell) -> Shell:
    """A shell with a profile ``true`` and its trace."""
    require(abi(), "Landlock is missing or switched off")
    said = shell.sbx("learn", "--", "true")
    assert said.status == 0, said.err
    return shell


# --- the command


@pytest.mark.parametrize("words", [(), ("--",), ("--", "")])
def test_no_command(words: tuple[str, ...], shell: Shell) -> None:
    said = shell.sbx("learn", *words)
    assert said.status == 2
    assert "no command was given" in said.err
    assert "sbx learn -- vibe" in said.err


@pytest.mark.parametrize("name", ["nonesuch-command", "./nonesuch", "/nonesuch/x", "new\nline", "\udcff"])
def test_command_not_found(name: str, shell: Shell) -> None:
    said = shell.sbx("learn", "--", name)
    assert said.status == 127
    assert said.err.startswith("sbx: ")
    assert len(said.err.splitlines()) == 2  # the sentence and the remedy
    assert not shell.profiles.exists()


def test_command_not_executable(shell: Shell) -> None:
    shell.file("script.sh", "#!/bin/sh\n")
    said = shell.sbx("learn", "--", "./script.sh")
    assert said.status == 126
    assert "chmod +x ./script.sh" in said.err


def test_a_directory(shell: Shell) -> None:
    said = shell.sbx("learn", "--", "/usr")
    assert said.status == 126
    assert "is a directory" in said.err


def test_an_interpreter_that_is_missing(shell: Shell) -> None:
    shell.file("tool", "#!/nonesuch/python3\n", 0o755)
    said = shell.sbx("learn", "--", "./tool")
    assert said.status == 127
    assert "interpreter /nonesuch/python3 does not exist" in said.err
    assert not shell.profiles.exists()


def test_a_script_saved_on_windows(shell: Shell) -> None:
    shell.file("tool", "#!/bin/sh\r\necho hello\r\n", 0o755)
    said = shell.sbx("learn", "--", "./tool")
    assert said.status == 127
    assert r"interpreter /bin/sh\x0d does not exist" in said.err


def test_no_program_at_all(shell: Shell) -> None:
    shell.file("tool", b"\x7fELF\x02\x01\x01" + bytes(200), 0o755)
    said = shell.sbx("learn", "--", "./tool")
    assert said.status in (1, 2, 126, 127)  # sh reads it as a script, as a shell would
    assert "sbx" in said.err


def test_a_command_that_fails_is_learned_from(shell: Shell) -> None:
    require(abi(), "Landlock is missing or switched off")
    shell.file("data", "x")
    said = shell.sbx("learn", "-n", "fails", "--", "sh", "-c", "cat data; exit 3")
    assert said.status == 1
    assert "ended with status 3" in said.err
    assert said.out == "x"
    assert (shell.profiles / "fails.toml").exists()


def test_a_command_that_is_killed(shell: Shell) -> None:
    require(abi(), "Landlock is missing or switched off")
    said = shell.sbx("learn", "-n", "killed", "--", "sh", "-c", "kill -9 $$")
    assert said.status == 1
    assert "ended with status 137" in said.err


# --- places


@pytest.mark.parametrize("words", [("learn", "--", "true"), ("run", "x"), ("verify", "x"), ("list",)])
def test_a_current_directory_that_is_gone(words: tuple[str, ...], shell: Shell) -> None:
    script = 'cd "$0" && rmdir "$0" && exec "$@"'
    gone = shell.project / "gone"
    gone.mkdir()
    said = shell.sbx(*words, before=("sh", "-c", script, str(gone)))
    assert said.status == 2
    assert "the current directory has been deleted" in said.err
    assert "cd to one that exists" in said.err


@pytest.mark.parametrize("home", [None, "", "relative", "/nonesuch"])
def test_home_unset_or_odd(home: str | None, shell: Shell) -> None:
    require(abi(), "Landlock is missing or switched off")
    env = {name: value for name, value in shell.env.items() if name != "HOME"} | (
        {} if home is None else {"HOME": home}
    )
    output, trace = str(shell.project / "p.toml"), str(shell.project / "t.jsonl")
    said = shell.sbx("learn", "-o", output, "--trace", trace, "--", "true", env=env)
    assert said.status == 0, said.err
    assert shell.sbx("run", output, env=env).status == 0


def test_a_home_that_cannot_be_written(shell: Shell) -> None:
    env = shell.env | {"HOME": "/proc/1", "XDG_CONFIG_HOME": "/proc/nonesuch", "XDG_STATE_HOME": "/proc/nonesuch"}
    said = shell.sbx("learn", "--", "true", env=env)
    assert said.status in (1, 3)
    assert "/proc/nonesuch" in said.err
    assert "--trace" in said.err or "another place" in said.err


# --- traces and profiles


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file or directory"),
        (b"", "line 1 is not the header of a trace"),
        (b"garbage\n\xff\xfe", "line 1 is not the header of a trace"),
        (b'{"type":"header"}', "line 1 is not the header of a trace"),
        (b"\x7fELF" + bytes(5000), "line 1 is not the header of a trace"),
    ],
)
def test_a_trace_that_is_none(content: bytes | None, says: str, shell: Shell) -> None:
    path = str(shell.project / "t.jsonl")
    if content is not None:
        shell.file("t.jsonl", content)
    said = shell.sbx("learn", "--from-trace", path)
    assert said.status == 4
    assert f"sbx: {path}: {says}" in said.err
    assert "sbx learn --trace FILE" in said.err


def test_a_trace_of_a_newer_sbx(learned: Shell) -> None:
    path = learned.traces / "true.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"version":1', b'"version":7'))
    for words in (("learn", "--from-trace", str(path)), ("verify", "true")):
        said = learned.sbx(*words)
        assert said.status == 4
        assert "newer than this sbx" in said.err
        assert "upgrade sbx" in said.err


def test_a_directory_as_trace(shell: Shell) -> None:
    said = shell.sbx("learn", "--from-trace", str(shell.project))
    assert said.status == 4
    assert "Is a directory" in said.err


def test_a_trace_that_was_cut(learned: Shell) -> None:
    whole = (learned.traces / "true.jsonl").read_bytes()
    for keep in (len(whole) // 3, len(whole) - 20):
        path = learned.file("cut.jsonl", whole[:keep])
        said = learned.sbx("learn", "-n", "cut", "--from-trace", path)
        assert said.status == 1
        assert "the profile is partial" in said.err
        assert "partial = true" in (learned.profiles / "cut.toml").read_text()


def test_a_trace_of_two_runs(learned: Shell) -> None:
    trace = str(learned.traces / "true.jsonl")
    said = learned.sbx("learn", "-n", "both", "--from-trace", trace, "--from-trace", trace)
    assert said.status == 0, said.err
    assert (learned.profiles / "both.toml").exists()


@pytest.mark.parametrize("command", ["run", "verify", "show"])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "there is no such profile"),
        (b"\x00\xff garbage", "UTF-8"),
        (b"[[[", "p.toml:1: not TOML"),
        (b"version = 99\n", "version"),
        (b"", ""),
    ],
)
def test_a_profile_that_cannot_be_used(command: str, content: bytes | None, says: str, shell: Shell) -> None:
    path = str(shell.project / "p.toml")
    if content is not None:
        shell.file("p.toml", content)
    said = shell.sbx(command, path)
    assert said.status == 4, said.err
    assert said.err.startswith(f"sbx: {path}")
    assert says in said.err
    assert len(said.err.splitlines()) >= 2


def test_a_profile_that_cannot_be_read(shell: Shell) -> None:
    path = str(shell.project) if os.getuid() == 0 else shell.file("p.toml", "", 0)
    said = shell.sbx("run", path)
    assert said.status == 4
    assert path in said.err


def test_a_profile_without_a_trace(learned: Shell) -> None:
    (learned.traces / "true.jsonl").unlink()
    said = learned.sbx("verify", "true")
    assert said.status == 4
    assert "no trace of true is kept" in said.err
    assert "--trace FILE" in said.err


@pytest.mark.parametrize("name", ["../x", ".hidden", "a b", "x" * 300, ""])
def test_names_that_name_no_profile(name: str, shell: Shell) -> None:
    said = shell.sbx("learn", "-n", name, "--", "touch", "ran")
    assert said.status == 2
    assert "cannot name a profile" in said.err
    assert not (shell.project / "ran").exists()


# --- running


def test_run_ends_as_the_command_does(learned: Shell) -> None:
    require(abi(), "Landlock is missing or switched off")
    shown = learned.sbx("learn", "-n", "sh", "--", "sh", "-c", "true")
    assert shown.status == 0, shown.err
    for script, status in (("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -INT $$", 130)):
        done = learned.sbx("run", "sh", "--", "sh", "-c", script)
        assert done.status in (status, 128 - status), script  # killed by a signal is negative to Python


@pytest.mark.parametrize(("name", "status"), [("nonesuch-command", 127), ("/usr", 126), ("./plain", 126)])
def test_run_what_cannot_be_run(name: str, status: int, learned: Shell) -> None:
    learned.file("plain", "#!/bin/sh\n")
    said = learned.sbx("run", "true", "--", name)
    assert said.status == status
    assert said.err.startswith("sbx: ")


def test_run_what_is_not_granted(learned: Shell) -> None:
    for enforcer, reason in (("landlock", "Permission denied"), ("auto", "")):
        said = learned.sbx("run", "--enforcer", enforcer, "true", "--", "ls")
        assert said.status == 126
        assert reason in said.err
        assert "sbx why" in said.err


# --- disks and interrupts


def test_a_full_disk_under_the_trace(shell: Shell) -> None:
    require(os.path.exists("/dev/full"), "there is no /dev/full")
    said = shell.sbx("learn", "--trace", "/dev/full", "-o", "p.toml", "--", "sh", "-c", "echo hello")
    assert said.out == "hello\n"
    assert said.status == 1
    assert "the trace is incomplete: /dev/full: No space left on device" in said.err
    assert (shell.project / "p.toml").exists()


def _tiny_disk(place: Path) -> tuple[str, ...]:
    """A prefix that runs a command with a file system of 16 KiB at ``place``."""
    require(os.getuid() == 0 and shutil.which("unshare"), "needs root and unshare(1)")
    place.mkdir(parents=True)
    mount = f'mount -t tmpfs -o size=16k none "{place}" && exec "$@"'
    require(
        subprocess.run(["unshare", "-m", "sh", "-c", mount, "sh", "true"], check=False, capture_output=True).returncode
        == 0,
        "mounting is not permitted here",
    )
    return ("unshare", "-m", "sh", "-c", mount, "sh")


@pytest.mark.parametrize("where", ["-o", "--json", "-n"])
def test_a_full_disk_under_what_is_saved(where: str, shell: Shell) -> None:
    require(abi(), "Landlock is missing or switched off")
    disk = shell.home / (".config" if where == "-n" else "disk")
    before = _tiny_disk(disk)
    target = {"-o": f"{disk}/p.toml", "--json": f"{disk}/summary.json", "-n": "many"}[where]
    for number in range(100):
        shell.file(f"../outside/a-rather-long-name-so-that-the-profile-grows-{number}", "x")
    script = "cat ../outside/*"
    said = shell.sbx("learn", where, target, *NARROW, "--", "sh", "-c", script, before=before)
    assert said.status == 3, said.err
    assert "No space left on device" in said.err
    assert "make room there, or choose another place" in said.err


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)


def test_ctrl_c_in_the_middle(shell: Shell) -> None:
    require(abi(), "Landlock is missing or switched off")
    shell.file("early", "x")
    script = "cat early; echo > started; sleep 30; cat late"
    argv = [*SBX, "learn", "-n", "cut", "--json", "summary.json", "--", "sh", "-c", script]
    with subprocess.Popen(
        argv,
        cwd=shell.project,
        env=shell.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as learning:
        try:
            _wait_for(shell.project / "started")
            os.killpg(learning.pid, signal.SIGINT)  # as a terminal does: to everybody in the foreground
            out, err = learning.communicate(timeout=TIMEOUT)
        finally:
            if learning.poll() is None:
                learning.kill()
    assert "Traceback" not in err
    assert learning.returncode == 1, err
    assert out == "x"
    profile = (shell.profiles / "cut.toml").read_text()
    assert "partial = true" in profile
    assert "the profile is partial" in err
    summary = json.loads((shell.project / "summary.json").read_text())
    assert summary["command_status"] == 130
    assert any("interrupted" in finding for finding in summary["findings"])
    trace = (shell.traces / "cut.jsonl").read_text()
    assert "/early" in trace
    assert '"type":"end"' in trace


# --- names


def test_names_of_every_kind_from_end_to_end(shell: Shell) -> None:
    require(abi(), "Landlock is missing or switched off")
    deep = "/".join(["d" * 200] * 15)
    names = ["new\nline", "quo'te\"", "back\\slash", "\udcff\udcfe", " ", "$HOME", "-x", "\x1b[31m", "é" * 100, "#x]"]
    for name in [*names, f"{deep}/leaf"]:
        path = shell.home / "odd" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"<{name[:3]}>", errors="surrogateescape")
    longest = f"{shell.home}/odd/{deep}/leaf"
    assert len(longest) > 3000
    script = 'cat "$1"/odd/[!d]* "$2"'
    words = ("sh", "-c", script, "sh", str(shell.home), longest)
    said = shell.sbx("learn", "-n", "odd", *NARROW, "--verify", "live", "--json", "s.json", "--", *words)
    assert said.status == 0, said.err
    assert said.err.isprintable() or all(line.isprintable() for line in said.err.splitlines())
    summary = json.loads((shell.project / "s.json").read_text())
    assert summary["verify"]["live"]["holds"]
    assert summary["verify"]["refused"] == []
    assert sum("/odd/" in grant["path"] for grant in summary["grants"]) == len(names) + 1
    again = shell.sbx("run", "odd", "--", *words)
    assert again.status == 0, again.err
    assert again.out.count("<") == len(names) + 1
    assert shell.sbx("verify", "odd").status == 0
    assert shell.sbx("show", "odd").status == 0
    assert shell.sbx("learn", "-n", "odd2", *NARROW, "--from-trace", str(shell.traces / "odd.jsonl")).status == 0


def test_a_path_of_four_thousand_bytes(shell: Shell) -> None:
    require(abi(), "Landlock is missing or switched off")
    room = 4090 - len(str(shell.home)) - 1
    parts = [("p" * 199) for _ in range(room // 200)]
    path = "/".join([str(shell.home), *parts])
    path += "/" + "q" * (4090 - len(path) - 1)
    assert len(path) == 4090
    os.makedirs(os.path.dirname(path))
    Path(path).write_text("far away")
    said = shell.sbx("learn", "-n", "far", "--", "cat", path)
    assert said.out == "far away"
    assert said.status == 0, said.err
    assert shell.sbx("run", "far", "--", "cat", path).out == "far away"


def test_a_path_that_is_too_long(shell: Shell) -> None:
    require(abi(), "Landlock is missing or switched off")
    said = shell.sbx("learn", "-n", "far", "--", "cat", "/" + "x" * 5000)
    assert said.status == 1
    assert "ended with status 1" in said.err


def test_a_project_with_an_odd_name(shell: Shell) -> None:
    require(abi(), "Landlock is missing or switched off")
    shell.project = shell.home / "od\nd\udcff"
    shell.project.mkdir()
    said = shell.sbx("learn", "-n", "odd", "--", "sh", "-c", "echo x > out")
    assert said.status == 0, said.err
    (shell.project / "out").unlink()
    assert shell.sbx("run", "odd").status == 0
    assert shell.sbx("learn", "-n", "odd", "--from-trace", str(shell.traces / "odd.jsonl")).status == 0
    profile = (shell.profiles / "odd.toml").read_text()
    assert '"$PROJECT"' in profile
    assert "od\\" not in profile


# --- the machine


@pytest.fixture
def no_landlock(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("HOME", shell.env["HOME"])
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(shell.project)
    monkeypatch.setattr("learner.enforcers.landlock.abi", lambda: 0)
    monkeypatch.setattr("learner.enforcers.bubblewrap.find_bwrap", lambda: None)
    return shell


@pytest.mark.parametrize("mode", ["replay", "live"])
def test_learning_without_landlock(mode: str, no_landlock: Shell, capfd: pytest.CaptureFixture[str]) -> None:
    status = main(["learn", "--verify", mode, "--", "true"])
    said = capfd.readouterr().err
    assert status == 1
    assert "not verified: this kernel has no Landlock" in said
    assert "lsm=" in said
    assert (no_landlock.profiles / "true.toml").exists()


def test_learning_without_landlock_and_without_verifying(no_landlock: Shell) -> None:
    assert main(["learn", "--verify", "off", "--", "true"]) == 0


def test_running_without_landlock(no_landlock: Shell, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["learn", "--verify", "off", "--", "true"]) == 0
    assert main(["run", "true"]) == 125
    said = capfd.readouterr().err
    assert "no Landlock" in said
    assert "sbx doctor" in said


def test_verifying_without_landlock(no_landlock: Shell, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["learn", "--verify", "off", "--", "true"]) == 0
    assert main(["verify", "true"]) in (1, 3)
    assert "no Landlock" in capfd.readouterr().err


def test_an_unknown_option_is_a_usage_error(shell: Shell) -> None:
    assert CliRunner().invoke(cli, ["learn", "--tracer", "magic", "--", "true"]).exit_code == 2
