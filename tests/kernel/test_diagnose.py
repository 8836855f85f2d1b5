"""``sbx diagnose`` under the kernel: the failures that people met, diagnosed, mended, and seen to work again."""

import contextlib
import json
import os
import pty
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from capability import require

from learner.enforcers.choice import EnforcerName, layered_obstacle
from learner.policy import Policy
from learner.profile import dumps, load
from learner.variables import Variables

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import diagnose as ablation

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).resolve().parents[2]


class Account(NamedTuple):
    """A home, a project in it, and an enforcer."""

    home: Path
    project: Path
    enforcer: str

    def sbx(self, *words: object, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "learner", *map(str, words)],
            cwd=self.project,
            env={
                "HOME": str(self.home),
                "PATH": f"{self.home}/bin:/usr/local/bin:/usr/bin:/bin",
                "PYTHONPATH": str(ROOT),
                "LC_ALL": "C.UTF-8",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def learn(self, *words: object) -> Path:
        """Learn a command whose name is ``tool``; the file of its profile."""
        done = self.sbx("learn", "--verify", "off", "--", *words)
        assert done.returncode == 0, done.stderr
        return self.home / ".config/sbx/profiles/tool.toml"

    def run(self, *words: object) -> int:
        return self.sbx("run", "--enforcer", self.enforcer, "tool", "--", *words).returncode

    def diagnose(self, *words: object) -> subprocess.CompletedProcess[str]:
        return self.sbx("diagnose", "--enforcer", self.enforcer, *words)

    def program(self, text: str, name: str = "tool") -> Path:
        file = self.home / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)
        return file

    def take_away(self, profile: Path, path: Path) -> None:
        """Remove the grants on ``path``."""
        homes = (("CACHE", ".cache"), ("CONFIG", ".config"), ("DATA", ".local/share"), ("STATE", ".local/state"))
        xdg = tuple((f"XDG_{name}_HOME", f"{self.home}/{place}") for name, place in homes)
        variables = Variables(str(self.project), str(self.home), temporary="/tmp/sbx-none", xdg=xdg)
        known = load(str(profile), variables)
        left = tuple(g for g in known.policy.grants if g.path != str(path))
        assert left != known.policy.grants, [g.path for g in known.policy.grants]
        less = msgspec.structs.replace(known, policy=Policy(left, known.policy.network))
        profile.write_text(dumps(less, variables))


@pytest.fixture(params=["landlock", "layered"])
def ada(request: pytest.FixtureRequest, scratch: Path) -> Account:
    if request.param == "layered":
        require(not layered_obstacle(), layered_obstacle())
    home = scratch / "home"
    project = home / "project"
    (project / ".git").mkdir(parents=True)
    return Account(home, project, request.param)


def test_127_because_the_interpreter_lives_elsewhere(ada: Account) -> None:
    interpreter = ada.home / ".local/share/uv/python/sh"
    interpreter.parent.mkdir(parents=True)
    shutil.copy("/bin/sh", interpreter)
    tool = ada.program(f"#!{interpreter}\necho done > result\n")
    profile = ada.learn(tool)
    ada.take_away(profile, interpreter)
    (ada.project / "result").unlink()
    before = profile.read_bytes()

    assert ada.run(tool) in (126, 127)
    assert not (ada.project / "result").exists()
    found = ada.diagnose("--profile", "tool", "--", tool)
    assert found.returncode == 1, found.stderr
    assert found.stderr.startswith(f"cause: {tool} is a script, and its interpreter {interpreter} is ")
    assert f"the first line of {tool} names {interpreter}" in found.stderr
    assert 'path = "$XDG_DATA_HOME/uv/python/sh"' in found.stderr
    assert found.stderr.count("[[grant]]") == 1
    assert profile.read_bytes() == before

    mended = ada.diagnose("--apply", "--", "tool")
    assert mended.returncode == 0, mended.stderr
    assert "it works now" in mended.stderr
    (ada.project / "result").unlink()
    assert ada.run(tool) == 0
    assert (ada.project / "result").read_text() == "done\n"


def test_a_directory_that_may_not_be_written(ada: Account) -> None:
    trusted = ada.home / ".vibe"
    trusted.mkdir()
    (trusted / "trusted_folders.toml").write_text("a = 1\n")
    script = 'echo b > "$HOME/.vibe/new.tmp" && mv "$HOME/.vibe/new.tmp" "$HOME/.vibe/trusted_folders.toml"'
    tool = ada.program(f"#!/bin/sh\n{script}\n")
    profile = ada.learn(tool)
    ada.take_away(profile, trusted)
    (trusted / "trusted_folders.toml").write_text("a = 1\n")

    assert ada.run(tool) != 0
    assert (trusted / "trusted_folders.toml").read_text() == "a = 1\n"
    assert os.listdir(trusted) == ["trusted_folders.toml"]
    found = ada.diagnose("--json", "-", "--", "tool")
    assert found.returncode == 1, found.stderr
    [told] = json.loads(found.stdout)["rounds"]
    assert told["cause"]["rule"] in ("not-writable", "read-only", "swallowed", "hidden"), told["cause"]
    assert str(trusted) in told["cause"]["sentence"]
    assert [grant["path"] for grant in told["fix"]["grants"]] == ["$HOME/.vibe"]

    mended = ada.diagnose("--apply", "--", "tool")
    assert mended.returncode == 0, mended.stderr
    assert (trusted / "trusted_folders.toml").read_text() == "b\n"
    assert ada.run(tool) == 0


def test_a_config_that_is_a_link_into_dotfiles(ada: Account) -> None:
    target = ada.home / "dotfiles/vibe/config.toml"
    target.parent.mkdir(parents=True)
    target.write_text("model = 1\n")
    link = ada.home / ".vibe/config.toml"
    link.parent.mkdir()
    link.symlink_to(target)
    tool = ada.program('#!/bin/sh\ncat "$HOME/.vibe/config.toml" > result 2>/dev/null || { echo default > result; }\n')
    profile = ada.learn(tool)
    assert (ada.project / "result").read_text() == "model = 1\n"
    ada.take_away(profile, target)

    assert ada.run(tool) == 0  # the silent one: defaults were used
    assert (ada.project / "result").read_text() == "default\n"
    found = ada.diagnose("--", "tool")
    assert found.returncode == 1, found.stderr
    cause = found.stderr.split("\n")[0]
    assert str(link) in cause
    assert str(target) in cause
    assert 'path = "$HOME/dotfiles/vibe/config.toml"' in found.stderr

    mended = ada.diagnose("--apply", "--", "tool")
    assert mended.returncode == 0, mended.stderr
    assert (ada.project / "result").read_text() == "model = 1\n"
    (ada.project / "result").unlink()
    assert ada.run(tool) == 0
    assert (ada.project / "result").read_text() == "model = 1\n"


def test_a_command_that_works(ada: Account) -> None:
    tool = ada.program("#!/bin/sh\necho hello > result\n")
    profile = ada.learn(tool)
    before = profile.read_bytes()
    done = ada.diagnose("--apply", "--", "tool")
    assert done.returncode == 0, done.stderr
    assert "it works: exit status 0, as recorded" in done.stderr
    assert profile.read_bytes() == before


def test_a_failure_of_the_commands_own(ada: Account) -> None:
    tool = ada.program("#!/bin/sh\n[ $# = 0 ] || exit 3\n")
    ada.learn(tool)
    done = ada.diagnose("--", "tool", "fail")
    assert done.returncode == 5, done.stderr
    assert done.stderr.startswith("no cause found: exit status 3")


def test_something_new_that_is_refused(ada: Account) -> None:
    data = ada.home / "data"
    data.write_text("x\n")
    tool = ada.program('#!/bin/sh\n[ $# = 0 ] || read -r line < "$HOME/data"\n')
    ada.learn(tool)
    found = ada.diagnose("--", "tool", "more")
    assert found.returncode == 1, found.stderr
    [cause] = [line for line in found.stderr.split("\n") if line.startswith("cause: ")]
    assert str(data) in cause
    assert cause.endswith("(likely)")
    assert 'path = "$HOME/data"' in found.stderr


def test_without_a_recording_it_mends_step_by_step(ada: Account) -> None:
    data = ada.home / "data"
    data.write_text("x\n")
    tool = ada.program('#!/bin/sh\nread -r line < "$HOME/data" || exit 4\necho "$line" > result\n')
    profile = ada.learn(tool)
    ada.take_away(profile, data)
    shutil.rmtree(ada.home / ".local/state/sbx")
    (ada.project / "result").unlink()
    found = ada.diagnose("--", "tool")
    assert found.returncode == 1, found.stderr
    assert "no recorded run of tool is kept here" in found.stderr
    assert 'path = "$HOME/data"' in found.stderr
    mended = ada.diagnose("--apply", "--", "tool")
    assert mended.returncode == 0, mended.stderr
    assert (ada.project / "result").read_text() == "x\n"


def test_a_hang_ends_and_says_what_it_waits_for(ada: Account) -> None:
    os.mkfifo(ada.project / "pipe")
    tool = ada.program("#!/bin/sh\necho a > out\n[ $# = 0 ] || read -r line <> pipe\n")
    ada.learn(tool)
    started = time.monotonic()
    done = ada.diagnose("--timeout", "1", "--", "tool", "wait")
    assert time.monotonic() - started < 20
    assert done.returncode == 1, done.stderr
    assert "did not end in time" in done.stderr
    assert "pipe" in done.stderr


def test_a_command_that_is_not_there(ada: Account) -> None:
    tool = ada.program("#!/bin/sh\n")
    ada.learn(tool)
    tool.unlink()
    done = ada.diagnose("--", "tool")
    assert done.returncode == 127
    assert "command not found" in done.stderr


def test_run_hints_at_it_where_it_cannot_start(ada: Account) -> None:
    tool = ada.program("#!/bin/sh\n")
    profile = ada.learn(tool)
    ada.take_away(profile, tool)
    done = ada.sbx("run", "--enforcer", ada.enforcer, "tool")
    assert done.returncode in (126, 127)
    assert done.stderr.startswith(f"sbx: {tool}: ")
    assert f"sbx diagnose --profile tool -- {tool}" in done.stderr or f"sbx diagnose -- {tool}" in done.stderr


def at_a_terminal(ada: Account, *words: str) -> tuple[int, str]:
    """The status of ``sbx WORDS`` and what it wrote to a terminal of its own."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ada.project)
        os.environ.clear()
        env = {"HOME": str(ada.home), "PATH": f"{ada.home}/bin:/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
        os.execve(sys.executable, [sys.executable, "-P", "-m", "learner", *words], env)
    said = b""
    with contextlib.suppress(OSError):  # EIO: the last one who had it open is gone
        while more := os.read(terminal, 4096):
            said += more
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said.decode().replace("\r\n", "\n")


def test_run_hints_at_a_terminal_after_a_failure(ada: Account) -> None:
    tool = ada.program('#!/bin/sh\n[ "$1" = signal ] && kill -TERM $$\nexit ${1:-0}\n')
    ada.learn(tool)
    run = ("run", "--enforcer", ada.enforcer)
    assert at_a_terminal(ada, *run, "tool") == (0, "")
    status, said = at_a_terminal(ada, *run, "tool", "--", "tool", "3")
    assert status == 3
    assert said.startswith("sbx: if it works without a sandbox, something that it needs is not granted:\n")
    [words] = [line.strip() for line in said.splitlines() if "sbx diagnose" in line]
    assert words == "sbx diagnose -- tool 3"
    assert said.count("\n") == 3
    assert ada.sbx(*shlex.split(words)[1:]).returncode == 5  # a failure of its own
    assert at_a_terminal(ada, *run, "tool", "--", "tool", "signal") == (-15, "")
    assert ada.sbx(*run, "tool", "--", "tool", "3").stderr == ""  # no terminal, nobody to advise


def test_run_hints_at_a_level(ada: Account) -> None:
    status, said = at_a_terminal(ada, "run", "--enforcer", ada.enforcer, "--level", "standard", "--", "false")
    assert status == 1
    [words] = [line.strip() for line in said.splitlines() if "sbx diagnose" in line]
    assert words == "sbx diagnose --level standard -- false"
    assert ada.sbx(*shlex.split(words)[1:]).returncode == 5
    assert at_a_terminal(ada, "run", "--level", "none", "--", "false")[1].count("diagnose") == 0
    assert ada.sbx("diagnose", "--level", "standard", "--apply", "--", "false").returncode == 2


def test_sarif(ada: Account) -> None:
    data = ada.home / "data"
    data.write_text("x\n")
    tool = ada.program('#!/bin/sh\nread -r line < "$HOME/data" || exit 4\n')
    profile = ada.learn(tool)
    ada.take_away(profile, data)
    found = ada.diagnose("--sarif", "-", "--", "tool")
    assert found.returncode == 1, found.stderr
    [run] = json.loads(found.stdout)["runs"]
    [result] = run["results"]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    assert result["level"] == "error"
    assert str(data) in result["message"]["text"]
    [place] = result["locations"]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == f"file://{profile}"
    log = ada.project / "ci log"
    log.write_text("x\ncat: /etc/ssl/x.pem: Permission denied\n")
    told = ada.diagnose("--log", str(log), "--sarif", "-")
    assert told.returncode == 0, told.stderr
    [result] = json.loads(told.stdout)["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "ci%20log", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 2},
    }


def test_in_a_sandbox_of_the_users_own(ada: Account) -> None:
    bwrap = shutil.which("bwrap")
    require(bwrap, "bubblewrap is not installed")
    require(subprocess.run([bwrap or "", "--bind", "/", "/", "true"], check=False).returncode == 0, "bwrap cannot run")
    data = ada.home / "data"
    data.write_text("x\n")
    tool = ada.program('#!/bin/sh\ncat "$HOME/data" > result\n')
    ada.learn(tool)
    (ada.project / "result").unlink()
    box = ["bwrap", "--ro-bind", "/usr", "/usr"]
    for name in ("/bin", "/lib", "/lib64"):
        if os.path.islink(name) and name != "/lib64":
            box += ["--symlink", os.readlink(name), name]
    box += ["--bind", str(ada.project), str(ada.project), "--ro-bind", str(tool), str(tool)]

    def tried() -> subprocess.CompletedProcess[str]:
        return ada.sbx("diagnose", "--json", "-", "--sandbox", " ".join([*box, "--"]), "--", tool)

    for expected in ("/lib64", str(data)):
        found = tried()
        assert found.returncode == 1, found.stderr
        told = json.loads(found.stdout)
        assert expected in told["rounds"][0]["cause"]["sentence"], found.stderr
        box += told["arguments"]
    assert tried().returncode == 0
    assert (ada.project / "result").read_text() == "x\n"


@pytest.mark.parametrize("enforcer", ["landlock", "layered"])
@pytest.mark.parametrize("name", ["git", "python"])
def test_each_grant_removed_in_turn(name: str, enforcer: str, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if enforcer == "layered":
        require(not layered_obstacle(), layered_obstacle())
    monkeypatch.setenv("HOME", str(scratch))
    monkeypatch.setenv("PATH", "/usr/local/bin:/usr/bin:/bin")
    monkeypatch.chdir(scratch)
    [program] = [each for each in ablation.PROGRAMS if each.name == name]
    results = list(ablation.ablate(program, EnforcerName(enforcer), scratch, most=11))
    broke = [result for result in results if result.broke]
    assert len(broke) >= 3
    assert [r.said for r in broke if not (r.named and r.mended)] == []
    assert [(r.removed, r.said) for r in results if r.broader] == []


def test_the_command_itself_is_mended_without_a_recording(ada: Account) -> None:
    tool = ada.program("#!/bin/sh\necho done > result\n")
    profile = ada.learn(tool)
    ada.take_away(profile, tool)
    shutil.rmtree(ada.home / ".local/state/sbx")

    found = ada.diagnose("--profile", profile, "--", tool)
    assert found.returncode == 1, found.stderr
    assert found.stderr.count("[[grant]]") == 1, found.stderr
    assert 'path = "$HOME/bin/tool"' in found.stderr
