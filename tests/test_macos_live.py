"""Watching and confining as on a Mac, by the same code, with stand-ins for its programs (:mod:`macos_tools`)."""

import os
import signal
import sys
import time
from pathlib import Path

import msgspec
import pytest
from macos_tools import Mode, make_tools

from learner import watch
from learner.access import Access
from learner.cli.main import main
from learner.derivation import Derived
from learner.enforcers import choice
from learner.enforcers.seatbelt import SeatbeltEnforcer
from learner.errors import MachineError
from learner.limits import Limits, hold, tasks_of
from learner.machine import State
from learner.machine_darwin import on_darwin
from learner.policy import Grant, Policy, Right, Scope
from learner.seatbelt.emit import emit, text, watching
from learner.seatbelt.evaluate import Decision, Judge, Request
from learner.session import Run, derive, live, record
from learner.store import profile_path, trace_path
from learner.variables import Variables
from tracers import seatbelt
from tracers.events import Operation
from tracers.process_table import processes
from tracers.seatbelt import SeatbeltTracer
from tracers.tracer import Command, TracerError

VARIABLES = Variables("/Users/ada/work/engine", "/Users/ada")
EXITS = Command("/bin/sh", ("/bin/sh", "-c", "exit 3"))


def watched(directory: Path, mode: Mode) -> Run:
    return record(EXITS, SeatbeltTracer(watching, tools=make_tools(directory, mode)), VARIABLES)


def done(run: Run) -> set[Access]:
    return {msgspec.structs.replace(access, program=0) for access in run.trace.accesses}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return watched(tmp_path_factory.mktemp("mac"), Mode.PLAIN)


def test_a_session_is_watched(plain: Run) -> None:
    assert (plain.end.status, plain.end.lost, plain.end.notes) == (3, 0, ())
    assert plain.trace.header.platform == "darwin"
    labels = {program.label for program in plain.trace.programs}
    assert labels == {"sbx", "vibe", "git", "Code Helper (Plugin)", "ps"}
    read = {a.object for a in plain.trace.accesses if a.operation is Operation.READ}
    assert "/Users/ada/.gitconfig" in read
    assert "/private/etc/hosts" not in read  # the canary is ours


@pytest.mark.parametrize("mode", [Mode.SLOW, Mode.BURSTY, Mode.COLD])
def test_however_the_log_arrives_the_same_is_learned(mode: Mode, plain: Run, tmp_path: Path) -> None:
    run = watched(tmp_path, mode)
    assert done(run) == done(plain)
    assert run.end.lost == 0


def test_what_the_stream_did_not_say_the_logs_memory_does(plain: Run, tmp_path: Path) -> None:
    run = watched(tmp_path, Mode.CUT)
    assert done(run) == done(plain)


def test_loss_is_said(plain: Run, tmp_path: Path) -> None:
    run = watched(tmp_path, Mode.LOSS)
    assert done(run) < done(plain)
    assert run.end.lost > 5
    assert any("dropped" in note for note in run.end.notes)


@pytest.mark.parametrize(("mode", "words"), [(Mode.SILENT, "administrator"), (Mode.REFUSED, "not permitted")])
def test_a_mac_that_cannot_watch_says_why(mode: Mode, words: str, tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=words):
        watched(tmp_path, mode)


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    tools = make_tools(tmp_path)._replace(sandbox_exec=str(tmp_path / "gone"))
    with pytest.raises(TracerError, match="gone is missing"):
        SeatbeltTracer(tools=tools)
    with pytest.raises(MachineError, match="gone is missing"):
        SeatbeltEnforcer(tools).prepare(Policy())
    with pytest.raises(MachineError, match="macOS"):
        choice.choose(choice.EnforcerName.SEATBELT)


def test_a_confined_run_is_repaired_until_nothing_is_denied(plain: Run, tmp_path: Path) -> None:
    found = derive(plain.trace, frozenset())
    fewer = msgspec.structs.replace(
        found.policy,
        grants=tuple(g for g in found.policy.grants if not g.path.endswith((".gitconfig", "cert.pem"))),
        services=tuple(s for s in found.policy.services if s.operation != "mach-lookup"),
        probes=(),
    )
    seen = msgspec.structs.replace(
        plain.trace, accesses=tuple(a for a in plain.trace.accesses if not a.object.endswith(".gitconfig"))
    )
    enforcer = SeatbeltEnforcer(make_tools(tmp_path))
    result = live(EXITS, seen, Derived(fewer, (), ()), enforcer, VARIABLES, frozenset())
    assert result.holds
    assert result.rounds == 2
    assert {
        "/Users/ada/.gitconfig",
        "/private/etc/ssl/cert.pem",
        "mach-lookup com.apple.SecurityServer",
        "/Users/ada/.vibe/agents",
    } <= {denial.access.object for denial in result.repaired}
    repaired = result.cover.policy
    assert {g.path for g in repaired.grants} == {g.path for g in found.policy.grants}
    assert (repaired.probes, [s.name for s in repaired.services]) == (
        found.policy.probes,
        [s.name for s in found.policy.services],
    )


def test_the_commands_of_sbx_on_a_mac(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(seatbelt, "TOOLS", make_tools(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    here = VARIABLES._replace(temporary=str(tmp_path / "temporary"))
    monkeypatch.setattr(Variables, "here", classmethod(lambda _cls, _file="": here))
    monkeypatch.setattr(sys, "platform", "darwin")
    assert main(["learn", "--tracer", "seatbelt", "--verify", "live", "-n", "exits", "--", *EXITS.argv]) == 1
    said = capfd.readouterr().err
    assert "live: 1 confined run, exit status 3, nothing denied" in said
    profile = Path(profile_path("exits")).read_text()
    assert 'platform = "darwin"' in profile
    assert main(["run", "-v", "exits", "--", "/bin/sh", "-c", "exit 7"]) == 7
    assert "seatbelt" in capfd.readouterr().err
    assert main(["run", "--enforcer", "landlock", "exits"]) == 125
    assert "a part of Linux" in capfd.readouterr().err
    less = profile.replace('path = "$HOME/.gitconfig"', 'path = "$HOME/other"')
    Path(profile_path("exits")).write_text(less)
    assert main(["diagnose", "--profile", "exits", "--", *EXITS.argv]) in (1, 5)
    assert "$HOME/.gitconfig" in capfd.readouterr().err
    assert on_darwin()[0].state is State.YES


@pytest.fixture
def a_mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The commands of sbx do as on a Mac, where the profile ``exits`` was learned. Its programs are in here."""
    monkeypatch.setattr(seatbelt, "TOOLS", make_tools(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", VARIABLES.home)
    here = VARIABLES._replace(temporary=str(tmp_path / "temporary"))
    monkeypatch.setattr(Variables, "here", classmethod(lambda _cls, _file="": here))
    monkeypatch.setattr(sys, "platform", "darwin")
    assert main(["learn", "--verify", "off", "-n", "exits", "--", *EXITS.argv]) == 1
    return tmp_path


def test_check_tells_what_is_needed_from_what_is_not(a_mac: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "exits"]) == 0
    assert "no difference" in capfd.readouterr().err
    path = Path(profile_path("exits"))
    spare = '\n[[service]]\noperation = "mach-lookup"\nname = "com.apple.spare"\n'
    path.write_text(path.read_text().replace("com.apple.SecurityServer", "com.apple.another") + spare)
    assert main(["check", "--trace", str(a_mac / "none.jsonl"), "exits"]) == 4
    Path(trace_path("exits")).unlink()
    capfd.readouterr()
    assert main(["check", "exits"]) == 1
    said = capfd.readouterr().err
    assert "+ may use mach-lookup com.apple.SecurityServer  the keychain" in said
    assert "by vibe" in said
    assert "- may use mach-lookup com.apple.spare" in said
    assert "- may use mach-lookup com.apple.another" in said
    assert said.count("\n  - ") == 2
    assert main(["run", "--watch", "exits", "--", *EXITS.argv]) == 3
    assert "+ may use mach-lookup com.apple.SecurityServer" in capfd.readouterr().err


def test_a_run_whose_log_was_lost_is_not_called_clean(
    a_mac: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(seatbelt, "TOOLS", make_tools(a_mac, Mode.LOSS))
    capfd.readouterr()
    main(["check", "exits"])
    assert "records were lost" in capfd.readouterr().err
    assert main(["verify", "--mode", "live", "exits", "--", *EXITS.argv]) == 1
    said = capfd.readouterr().err
    assert "nothing denied" not in said
    assert "a denial may be among them" in said
    main(["diagnose", "--profile", "exits", "--", "/bin/sh", "-c", "exit 1"])
    assert "a refusal may be among them" in capfd.readouterr().err


def test_secrets_are_masked_while_nothing_else_is_confined(a_mac: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--protect", "-v", "--", "/bin/sh", "-c", "exit 7"]) == 7
    assert "sensitive places are masked" in capfd.readouterr().err
    assert main(["learn", "--protect", "-v", "-n", "safe", "--", *EXITS.argv]) == 1
    said = capfd.readouterr().err
    assert "not granted: mach-lookup com.apple.SecurityServer: vibe asked for it; it was masked (the keychain" in said
    assert "not granted: forbidden-exec-sugid" in said  # which no profile can grant
    assert "com.apple.SecurityServer" not in Path(profile_path("safe")).read_text()
    assert main(["learn", "--names", "-n", "safe", "--", *EXITS.argv]) == 3
    assert "knows no hosts" in capfd.readouterr().err


def test_time_and_processes_are_limited(
    a_mac: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(signal, "sigtimedwait")
    monkeypatch.setattr(watch, "GRACE_SECONDS", 0.5)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    began = time.monotonic()
    pids = a_mac / "pids"
    script = f"sh -c 'trap : TERM; sleep 60; sleep 60' & echo $! > {pids}; sleep 60; echo never"
    assert main(["run", "--limit", "time=1s", "exits", "--", "/bin/sh", "-c", script]) == 124
    assert 1 <= time.monotonic() - began < 5
    assert "the time is over (1 s)" in capfd.readouterr().err
    assert int(pids.read_text()) not in {one.pid for one in processes()}  # though it does not listen, and is an orphan
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert (
        main(["run", "--limit", "time=60s,memory=1G,files=64", "exits", "--", "/bin/sh", "-c", "exit $(ulimit -n)"])
        == 64
    )
    assert "not limited: memory" in capfd.readouterr().err
    assert main(["run", "-v", "exits", "--", "/bin/sh", "-c", "kill -TERM $$"]) == 143
    assert "SIGTERM" in capfd.readouterr().err
    held = hold(Limits(procs=7, time=3), exempt=False)
    assert (held.rlimits, held.unmet) == (("procs",), ())
    assert tasks_of(os.getuid()) >= 2  # pytest's and what started it


def test_a_diagnosis_ends_in_time(a_mac: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", "--timeout", "1", "--profile", "exits", "--", "/bin/sh", "-c", "sleep 60"]) == 1
    assert "did not end in time" in capfd.readouterr().err


def test_what_denies_within_a_tree_bears_the_tag() -> None:
    policy = Policy((Grant("/Users/ada", Scope.TREE, Right.READ, ()),))
    profile = text(emit(policy, ["/Users/ada/.ssh"]), tag="sbx-1")
    decision = Judge(profile).decide(Request("file-read-data", "/Users/ada/.ssh/id"))
    assert decision == Decision(admitted=False, reported=True, message="sbx-1")
    told = Judge(text(emit(policy), tag="sbx-1", report=True))
    assert told.decide(Request("file-read-data", "/Users/ada/x")) == Decision(True, True, "sbx-1")
    assert not told.decide(Request("file-read-data", "/usr/lib/x")).reported
