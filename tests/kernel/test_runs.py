"""``sbx learn`` of several runs, and on top of a profile that is there."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from learner.policy import Right, Scope
from learner.profile import Profile, load
from learner.temporary import private_directory
from learner.trace import read_trace
from learner.variables import Variables
from tracers.events import Operation

pytestmark = pytest.mark.kernel

STATEFUL = """
cat /dev/null >> "$HOME/ran"
number=$(wc -l < "$HOME/ran")
set -- ann bob eve dan
shift "$number"
echo x >> "$HOME/ran"
mkdir "$HOME/.state/$1"
echo kept > "$HOME/.state/$1/note"
"""
"""Makes a directory that is named differently each time, in one that it finds."""


class Machine:
    """An account with a home, a project, and sbx."""

    def __init__(self, top: Path) -> None:
        self.home, self.project = top / "home", top / "project"
        for directory in (self.home / ".state", self.project):
            directory.mkdir(parents=True)
        self.variables = Variables(str(self.project), str(self.home), private_directory())

    def sbx(self, *words: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "learner", *map(str, words)],
            cwd=self.project,
            env={
                **os.environ,
                "HOME": str(self.home),
                "XDG_CONFIG_HOME": f"{self.home}/config",
                "XDG_STATE_HOME": f"{self.home}/state",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, done.stderr
        return done

    def learn(self, script: str, *options: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        return self.sbx("learn", "-n", "t", *options, "--", "/bin/sh", "-c", script, status=status)

    @property
    def profile(self) -> Profile:
        return load(f"{self.home}/config/sbx/profiles/t.toml", self.variables)

    @property
    def trace(self) -> Path:
        return self.home / "state/sbx/traces/t.jsonl"

    def summary(self) -> Any:
        return json.loads((self.project / "s.json").read_text())


@pytest.fixture
def machine(scratch: Path, require: Callable[[bool, str], None]) -> Machine:
    from learner.enforcers.landlock import abi

    require(abi() >= 1, "this kernel has no Landlock")
    return Machine(scratch)


def news(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line.strip() for line in done.stderr.splitlines() if line.startswith("  new  ")]


def test_two_runs_show_which_names_change(machine: Machine) -> None:
    done = machine.learn(STATEFUL, "--runs", "2")
    assert [line for line in done.stderr.splitlines() if line.startswith("sbx: run")] == ["sbx: run 2 of 2"]
    assert done.stderr.startswith("sbx: run 2 of 2\n")
    grants = {g.path: g for g in machine.profile.policy.grants}
    state = f"{machine.home}/.state"
    assert [path for path in grants if path.startswith(state)] == [state]
    assert grants[state].scope is Scope.TREE
    assert grants[state].rights & Right.MKDIR

    trace = read_trace(machine.trace)
    made = {a.object for a in trace.accesses if a.operation is Operation.MKDIR and a.outcome == 0}
    assert made >= {f"{state}/ann", f"{state}/bob"}
    assert set(trace.header.changing) == {f"{state}/ann", f"{state}/bob"}
    assert (trace.skipped, machine.trace.stat().st_mode & 0o777) == (0, 0o600)
    machine.sbx("verify", "t")
    # What the policy is for: a third run, whose names nobody has seen.
    machine.sbx("run", "t", "--", "/bin/sh", "-c", STATEFUL)
    assert (machine.home / ".state/eve/note").read_text() == "kept\n"
    # A kept trace knows what changes as well.
    machine.sbx("learn", "-n", "again", "--from-trace", machine.trace)
    again = load(f"{machine.home}/config/sbx/profiles/again.toml", machine.variables)
    assert again.policy == machine.profile.policy


def test_one_run_is_as_ever(machine: Machine) -> None:
    done = machine.learn(STATEFUL)
    assert "sbx: run" not in done.stderr
    assert f"{machine.home}/.state/ann" in {g.path for g in machine.profile.policy.grants}


def test_the_worst_status_counts(machine: Machine) -> None:
    script = "test -e done && exit 0; : > done; exit 3"
    machine.learn(script, "--runs", "2", "--json", "s.json", status=1)
    assert machine.summary()["command_status"] == 3
    assert machine.summary()["new"] is None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--runs", "0", "--", "true"], "0 is not in the range"),
        (["--runs", "2", "--from-trace", "x"], "exclude each other"),
    ],
)
def test_numbers_of_runs_that_make_no_sense(words: list[str], says: str, machine: Machine) -> None:
    assert says in machine.sbx("learn", *words, status=2).stderr


def test_an_update_adds_only_what_is_new(machine: Machine) -> None:
    first, second = machine.home / "first", machine.home / "second"
    first.write_text("1\n")
    second.write_text("2\n")
    learned = machine.learn('cat "$HOME/first"', "--update")
    assert news(learned) == []
    assert "nothing new" not in learned.stderr
    file = machine.home / "config/sbx/profiles/t.toml"
    file.write_text(file.read_text() + '\n[[grant]]\npath = "$HOME/by-hand"\nscope = "file"\nrights = ["write"]\n')
    before = {(g.path, g.scope): g for g in machine.profile.policy.grants}

    updated = machine.learn('cat "$HOME/second"', "--update", "--json", "s.json")
    assert news(updated) == [f"new  {second}  read"]
    assert machine.summary()["new"] == [{"item": str(second), "rights": "read"}]
    after = {(g.path, g.scope): g for g in machine.profile.policy.grants}
    assert set(after) - set(before) == {(str(second), Scope.FILE)}
    assert all(after[anchor].rights == grant.rights for anchor, grant in before.items())
    # The trace holds both sessions, so that verifying tries both.
    assert {str(first), str(second)} <= {a.object for a in read_trace(machine.trace).accesses}
    machine.sbx("verify", "t")
    for name in ("first", "second"):
        machine.sbx("run", "t", "--", "/bin/sh", "-c", f'cat "$HOME/{name}"')

    text = file.read_bytes()
    again = machine.learn('cat "$HOME/second"', "--update", "--verify", "live")
    assert news(again) == []
    assert "  nothing new\n" in again.stderr
    assert file.read_bytes() == text


def test_an_update_of_a_broken_profile_costs_no_run(machine: Machine) -> None:
    machine.learn("true")
    file = machine.home / "config/sbx/profiles/t.toml"
    file.write_text("version =\n")
    machine.learn(": > ran", "--update", status=4)
    assert not (machine.project / "ran").exists()
    assert file.read_text() == "version =\n"


def test_an_update_with_a_trace_that_cannot_be_read_says_so(machine: Machine) -> None:
    machine.learn("true")
    machine.trace.write_text("no trace\n")
    assert "the earlier trace was replaced" in machine.learn("true", "--update", status=1).stderr
    assert read_trace(machine.trace).end is not None


READER = 'cat "$HOME"/data/*/*'
"""Reads three files in each of four directories, two of which hold much else."""


@pytest.fixture
def full(machine: Machine) -> Machine:
    for name in "abcd":
        directory = machine.home / "data" / name
        directory.mkdir(parents=True)
        for number in range(3):
            (directory / str(number)).write_text("x\n")
        if name in "cd":
            for number in range(300):
                (directory / f".other-{number}").touch()
    return machine


def _in_data(machine: Machine) -> set[tuple[str, Scope]]:
    data = f"{machine.home}/data"
    return {(g.path.removeprefix(data), g.scope) for g in machine.profile.policy.grants if g.path.startswith(data)}


def test_the_price_of_a_grant_decides_how_narrow_the_policy_is(full: Machine) -> None:
    done = full.learn(READER)
    lists = {("", Scope.FILE), ("/c", Scope.FILE), ("/d", Scope.FILE)}
    files = {(f"/{name}/{number}", Scope.FILE) for name in "cd" for number in range(3)}
    assert _in_data(full) == {("/a", Scope.TREE), ("/b", Scope.TREE)} | lists | files
    assert "excess" in done.stderr
    full.learn(READER, "--granularity", "0.01")
    assert {scope for _, scope in _in_data(full)} == {Scope.FILE}
    full.learn(READER, "--granularity", "50")
    assert _in_data(full) == {("", Scope.TREE)}
    full.sbx("run", "t", "--", "/bin/sh", "-c", READER)


def test_no_more_grants_than_wanted(full: Machine) -> None:
    full.learn(READER)
    default = len(full.profile.policy.grants)
    full.learn(READER, "--max-grants", str(default - 5), "--json", "s.json")
    assert len(full.profile.policy.grants) <= default - 5
    assert len(full.summary()["grants"]) == len(full.profile.policy.grants)
    done = full.learn(READER, "--max-grants", "1", "-v")
    assert "at most 1 grants" in done.stderr
    full.sbx("run", "t", "--", "/bin/sh", "-c", READER)


def test_the_excess_is_told_with_where_it_lies(full: Machine) -> None:
    full.learn(READER, "--granularity", "50", "--json", "s.json")
    [item] = [one for one in full.summary()["surface"]["items"] if one["path"].endswith("/data")]
    assert item["excess"] == 600


def test_learning_the_minimum_drops_what_the_kernel_would_not_refuse(machine: Machine) -> None:
    done = machine.learn('cat "$HOME/.state/note" 2>/dev/null; ls "$HOME" >/dev/null', "--minimal", "--json", "s.json")
    assert "1-minimal" in done.stderr
    found = machine.summary()["verify"]["minimal"]
    assert found["proved"] + len(found["unproved"]) == len(machine.profile.policy.grants)
    assert machine.variables.temporary not in {g.path for g in machine.profile.policy.grants}
    again = machine.sbx("verify", "--minimal", "t")
    assert "0 dropped" in again.stderr
    machine.learn("true", "--minimal", "--verify", "off", status=2)


def test_learning_twice_gives_the_same_bytes(full: Machine) -> None:
    full.learn(READER)
    first = Path(full.home / "config/sbx/profiles/t.toml").read_bytes()
    full.learn(READER)
    assert Path(full.home / "config/sbx/profiles/t.toml").read_bytes() == first
