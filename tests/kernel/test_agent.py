"""End to end, with a real coding agent from PyPI: learned, run under what was learned, and kept out of the rest."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from agent import AgentRun, find_python, install_vibe, lay_out, run_agent, stub_model

from learner.enforcers.landlock import abi

pytestmark = [pytest.mark.kernel, pytest.mark.agent]

SBX = (sys.executable, "-m", "learner")
STEAL = 'read -r line < ../elsewhere/secret; echo "got:$line" > copy.txt'


@pytest.fixture(scope="module")
def vibe(cache_directory: Path) -> Path:
    given = os.environ.get("SBX_TEST_VIBE")
    return Path(given) if given else install_vibe(cache_directory.resolve() / "vibe", find_python())


def sbx(*words: str) -> tuple[str, ...]:
    return (*SBX, *words)


def write_elsewhere(run: AgentRun) -> None:
    elsewhere = run.project.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "secret").write_text("swordfish\n")


def test_vibe_learned_verified_and_confined(scratch: Path, vibe: Path, require: object) -> None:
    assert callable(require)
    require(abi() >= 4, "Landlock with TCP rights (Linux 6.7)")
    profile, report = scratch / "vibe.toml", scratch / "report.json"
    with stub_model(scratch / "stub") as url:
        run = lay_out(scratch, vibe, url)
        learned = run_agent(run, sbx("learn", "--verify", "live", "-o", str(profile), "--json", str(report), "--"))
        assert learned.returncode == 0, learned.stderr
        found = json.loads(report.read_text())
        assert found["command_status"] == 0
        assert found["findings"] == []
        assert found["lost"] == 0
        assert found["verify"]["live"]["holds"]
        assert found["verify"]["refused"] == []
        assert found["verify"]["canaries"]["refused"] >= 8
        assert all(canary["gap"] for canary in found["verify"]["canaries"]["through"])
        assert found["sensitive"] == []
        assert all(grant["witnesses"] for grant in found["grants"])
        changed = {g["path"] for g in found["grants"] if "create" in g["rights"]}
        assert not changed & {str(run.home), "/", "/etc", str(run.project.parent)}

        # The learned policy lets the agent do its task: by its effect, for exit 0 proves nothing.
        (run.project / "hello.txt").unlink()
        confined = run_agent(run, sbx("run", str(profile), "--"))
        assert confined.returncode == 0, confined.stderr
        assert (run.project / "hello.txt").read_text()


def test_two_runs_of_one_version_do_not_differ(scratch: Path, vibe: Path) -> None:
    files: dict[str, list[str]] = {"toml": [], "jsonl": []}
    with stub_model(scratch / "stub") as url:
        for name in ("one", "other"):  # each in a home and a project of its own, from nothing
            profile, trace = (str(scratch / f"{name}.{ending}") for ending in files)
            words = ("learn", "--verify", "off", "-o", profile, "--trace", trace, "--")
            done = run_agent(lay_out(scratch / name, vibe, url), sbx(*words))
            assert done.returncode == 0, done.stderr
            files["toml"].append(profile)
            files["jsonl"].append(trace)
    for pair in files.values():
        diff = subprocess.run([*sbx("diff", "--fail-on", "any"), *pair], capture_output=True, text=True, check=False)
        assert diff.stdout.endswith(": no difference\n"), diff.stdout + diff.stderr


def test_a_talked_into_vibe_cannot_read_another_project(scratch: Path, vibe: Path, require: object) -> None:
    assert callable(require)
    require(abi() >= 1, "Landlock")
    steal = [{"run": STEAL}, {"say": "done"}]
    profile = scratch / "vibe.toml"
    honest = [{"read": "README.md"}, {"write": "hello.txt", "content": "hello\n"}, {"run": "true"}, {"say": "done"}]
    with stub_model(scratch / "stub", honest) as url:
        run = lay_out(scratch, vibe, url)
        write_elsewhere(run)
        learned = run_agent(run, sbx("learn", "-o", str(profile), "--"))
        assert learned.returncode == 0, learned.stderr
        port = url.rpartition(":")[2]
    with stub_model(scratch / "thief", steal) as url:
        lay_out(scratch, vibe, url)
        # The thief's model listens elsewhere: grant its port, so that only the file is at stake.
        other = url.rpartition(":")[2]
        profile.write_text(profile.read_text().replace(f"port = {port}", f"port = {other}"))
        control = run_agent(run)
        assert control.returncode == 0, control.stderr
        assert (run.project / "copy.txt").read_text() == "got:swordfish\n"
        (run.project / "copy.txt").unlink()
        confined = run_agent(run, sbx("run", str(profile), "--"))
        assert confined.returncode == 0, confined.stderr
        assert (run.project / "copy.txt").read_text() == "got:\n"
        assert (scratch / "elsewhere" / "secret").read_text() == "swordfish\n"
