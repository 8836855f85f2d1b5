"""The benchmark of least privilege: what it counts, what it calls refused, and that a confined run is compared."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from accesses import HEADER, HOME, PROJECT, access, made

from learner.access import Access, Kind
from learner.enforcers.landlock import LandlockEnforcer, abi
from learner.policy import CHANGES, NO_RIGHT, Grant, Policy, Right, Scope
from learner.trace import Header, Trace
from tracers.events import Operation
from tracers.programs import Program

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))

import agents
import least_privilege
import measure
import outcomes
import scripts
from confined import Confined
from scripts import Home, Project

OTHER = msgspec.structs.replace(HEADER, project="/home/bob/ledger", cwd="/home/bob/ledger", home="/home/bob")
PROGRAMS = (Program("sbx", "", -1), Program("/usr/bin/vibe", "/usr/bin/python3", 0))


def trace(*accesses: Access, header: Header = HEADER) -> Trace:
    return Trace(header, PROGRAMS, accesses, {}, {}, None)


def grant(path: str, rights: Right, scope: Scope = Scope.TREE, ensure: bool = False) -> Grant:
    return Grant(path, scope, rights, (), ensure)


def candidate(*grants: Grant) -> measure.Candidate:
    return measure.Candidate("ours", Confined(Policy(grants)))


def refused(ours: measure.Candidate, later: Trace) -> list[tuple[str, Operation, tuple[str, ...]]]:
    found = measure.refusals(ours, HEADER, later, LandlockEnforcer())
    return [(each.object, each.operation, each.lacks) for each in found]


def test_tasks_and_decoys_are_what_the_benchmark_promises() -> None:
    assert len(scripts.DECOYS) >= 25
    tools = [agents.subject(tool.name, Path("/keep"), Path("/bed")) for tool in scripts.TOOLS]
    for who in (agents.subject("pi", Path("/keep"), Path("/bed")), *tools):
        tasks = who.tasks()
        assert len({who.kept(task) for task in (who.learn_task, *tasks)}) == 11
        assert {(task.home, task.project) for task in tasks} == {(h, p) for h in Home for p in Project}


def test_an_unknown_agent_is_refused() -> None:
    with pytest.raises(agents.BenchmarkError, match="no agent or tool is called emacs"):
        agents.subject("emacs", Path("/keep"), Path("/bed"))


def test_without_the_testbed_it_says_what_is_missing(scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--agents", "pi", "--testbed", str(scratch / "none"), "--keep", str(scratch / "keep")]
    assert least_privilege.main(words) == 1
    assert "name the testbed's folder with --testbed DIR" in capsys.readouterr().err


def test_what_cannot_be_recorded_is_left_out_and_said(
    scratch: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_who: agents.Subject) -> None:
        raise agents.BenchmarkError("no python here")

    monkeypatch.setattr(agents, "learn", fails)
    assert least_privilege.main(["--agents", "python", "--keep", str(scratch / "keep")]) == 1
    assert "python: left out: no python here" in capsys.readouterr().err


def test_recordings_are_used_by_one_process_at_a_time(scratch: Path) -> None:
    with agents.in_use(scratch), pytest.raises(agents.BenchmarkError, match="another run"), agents.in_use(scratch):
        pass
    with agents.in_use(scratch):
        pass


def test_what_an_interrupted_run_borrowed_is_put_back(scratch: Path) -> None:
    who = agents.subject("pi", scratch, scratch)
    for name, content in (("rest", "as learned"), ("world", "half done"), ("second", "half done")):
        (who.directory / name).mkdir(parents=True)
        (who.directory / name / "file").write_text(content)
    agents.recover(who)
    assert (who.world / "file").read_text() == "as learned"
    assert os.listdir(who.directory) == ["world"]
    agents.recover(who)
    assert (who.world / "file").read_text() == "as learned"


def test_what_a_later_run_needs_and_the_policy_lacks_is_refused() -> None:
    ours = candidate(grant(PROJECT, Right.READ), grant("/usr", Right.READ))
    read = access(Operation.READ, f"{PROJECT}/a")
    write = access(Operation.WRITE, f"{PROJECT}/a")
    assert refused(ours, trace(read, write)) == [(f"{PROJECT}/a", Operation.WRITE, ("write",))]
    assert refused(ours, trace(read, access(Operation.READ, "/usr/lib/x", outcome=2))) == []


def test_a_policy_moves_with_the_project_and_the_home_directory() -> None:
    ours = candidate(grant(PROJECT, Right.READ), grant(f"{HOME}/.vibe", Right.READ))
    here = [access(Operation.READ, "/home/bob/ledger/a"), access(Operation.READ, "/home/bob/.vibe/log")]
    foreign = access(Operation.READ, f"{PROJECT}/a")
    assert refused(ours, trace(*here, header=OTHER)) == []
    assert refused(ours, trace(*here, foreign, header=OTHER)) == [(f"{PROJECT}/a", Operation.READ, ("read",))]


def test_refusing_secrets_and_what_the_launch_makes_is_no_loss() -> None:
    ours = candidate(grant(f"{HOME}/.vibe", Right.READ, ensure=True))
    secret = access(Operation.READ, f"{HOME}/.ssh/id_ed25519")
    assert refused(ours, trace(secret, made(f"{HOME}/.vibe", Kind.DIRECTORY))) == []
    other = made(f"{HOME}/.other", Kind.DIRECTORY)
    assert refused(ours, trace(secret, other)) == [(f"{HOME}/.other", Operation.MKDIR, ("mkdir",))]


@pytest.fixture
def world(scratch: Path) -> tuple[agents.Subject, Trace]:
    """A subject whose home holds decoys, and its learned run, which read one project file."""
    who = agents.subject("pi", scratch, scratch)
    agents._seed(who.world, other=False)
    project = str(who.world / "proj")
    header = msgspec.structs.replace(HEADER, project=project, cwd=project, home=str(who.world / "home"))
    return who, trace(access(Operation.READ, f"{project}/README.md"), header=header)


def test_the_objects_that_a_policy_opens_are_counted(world: tuple[agents.Subject, Trace]) -> None:
    who, learned = world
    exact = candidate(grant(f"{who.world}/proj/README.md", Right.READ, Scope.FILE))
    opened = measure.opened(exact, learned, who)
    assert (opened.granted, opened.needed, opened.excess, opened.exposed, opened.writable) == (1, 1, 0, 0, 0)
    source = candidate(grant(f"{who.world}/proj/src", Right.READ), *exact.confined.policy.grants)
    opened = measure.opened(source, learned, who)
    files = 1 + len(os.listdir(who.world / "proj/src"))
    assert (opened.granted, opened.needed, opened.excess, opened.private) == (files + 1, 1, files, files)


def test_secrets_that_a_policy_opens_are_counted(world: tuple[agents.Subject, Trace]) -> None:
    who, learned = world
    home = str(who.world / "home")
    readable = measure.opened(candidate(grant(home, Right.READ)), learned, who)
    inside = {os.path.normpath(f"{home}/{name}") for name in scripts.DECOYS if not name.startswith("..")}
    assert set(readable.readable_secrets) == inside
    assert readable.writable_secrets == ()
    # A directory in which one may remove and make files lets its files be replaced.
    replaced = measure.opened(candidate(grant(f"{home}/.ssh", Right.CREATE, Scope.FILE)), learned, who)
    assert set(replaced.writable_secrets) == {f"{home}/.ssh/{name}" for name in ("id_ed25519", "id_rsa", "known_hosts")}
    assert replaced.writable_at == ("$HOME/.ssh",)


def test_deny_rules_and_private_directories_are_subtracted(world: tuple[agents.Subject, Trace]) -> None:
    who, learned = world
    home = str(who.world / "home")
    policy = Policy((grant(home, Right.READ | CHANGES),))
    hidden = Confined(
        policy,
        denied=lambda path: Right.READ | CHANGES if path.startswith(f"{home}/.ssh") else NO_RIGHT,
        private=lambda path: path.startswith(f"{home}/.aws"),
    )
    opened = measure.opened(measure.Candidate("peer", hidden), learned, who)
    assert f"{home}/.vault-token" in opened.readable_secrets
    assert f"{home}/.vault-token" in opened.writable_secrets
    closed = (f"{home}/.ssh", f"{home}/.aws")
    assert not [p for p in (*opened.readable_secrets, *opened.writable_secrets) if p.startswith(closed)]
    everything = measure.opened(measure.Candidate("peer", Confined(policy)), learned, who)
    assert everything.granted > opened.granted


def test_what_a_confined_run_did_otherwise_is_told() -> None:
    control = outcomes.Outcome(0, ("a\nb\n",), {"x": "1", "y": "2"}, ("init",))
    assert control.differs(control) == ()
    other = outcomes.Outcome(1, ("a\nc\n",), {"x": "3", "z": "2"}, ("init",))
    assert control.differs(other) == (
        "exit status 1, not 0",
        "result 1: 'a\\nc\\n', not 'a\\nb\\n'",
        "other content: x",
        "missing: y",
        "extra: z",
    )


def test_what_is_another_one_each_time_is_no_difference() -> None:
    control = outcomes.Outcome(0, ('"/tmp/a1","status":0 [topic 0a1b2c3d] 0.3s',), {}, ())
    again = outcomes.Outcome(0, ('"/tmp/b2","status":0 [topic 4e5f6a7b] 1.25s',), {}, ())
    failed = outcomes.Outcome(0, ('"/tmp/b2","status":1 [topic 4e5f6a7b] 1.25s',), {}, ())
    assert control.differs(again) == ()
    assert control.differs(failed)


def test_tool_results_are_those_of_the_longest_request(scratch: Path) -> None:
    def request(*results: str) -> str:
        return json.dumps({"body": {"messages": [{"role": "tool", "content": [{"text": r}]} for r in results]}})

    dump = scratch / "dump.jsonl"
    dump.write_text("\n".join([request("one"), request("one", "[topic 0a1b2c3d] in 0.3s"), request()]))
    assert outcomes.tool_results(dump) == ("one", "[topic 0a1b2c3d] in 0.3s")
    assert outcomes.tool_results(scratch / "none") == ()


@pytest.mark.kernel
def test_a_learned_run_that_fails_is_no_benchmark(scratch: Path) -> None:
    broken = scripts.Tool("python", ("python3", "-c", "raise SystemExit(3)"), ())
    who = agents.subject("python", scratch, scratch)._replace(tool=broken)
    with pytest.raises(agents.BenchmarkError, match="does not even work unconfined"):
        agents.learn(who)


@pytest.mark.kernel
def test_a_real_tool_from_learning_to_a_confined_run(
    scratch: Path, require: Callable[[object, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    require(abi(), "Landlock")
    file, refusals = scratch / "all.json", scratch / "refused.txt"
    words = ["--agents", "python", "--runs", "1", "--no-peers", "--keep", str(scratch / "keep"), "--json", str(file)]
    assert least_privilege.main([*words, "--refused", str(refusals)]) == 0
    (result,) = msgspec.json.decode(file.read_bytes(), type=list[least_privilege.Result])
    assert result.later[0].differs == ()
    assert result.scores[0].opened.exposed == 0
    assert "as unconfined" in capsys.readouterr().out
    assert refusals.read_text().startswith("# python\n")

    who = agents.subject("python", scratch / "keep", scratch)
    task = who.tasks()[0]
    control = agents.recorded(who, task)
    assert control is not None
    assert "out.csv" in control.files
    assert agents.recorded(who, task._replace(argv=("python3", "-V"))) is None  # another command: not what was recorded
    # The twin: under a profile without the project the same run fails, so that a confined run is a confined one.
    learned = who.trace(who.learn_task)
    some = Policy((grant("/usr", Right.READ | Right.LIST | Right.EXEC), grant("/etc", Right.READ)))
    failed = agents.confined(who, task, measure.profile_text("python", some, learned.header))
    assert "missing: out.csv" in control.differs(failed)
