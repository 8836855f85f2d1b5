"""The session that sbx began with, as a recorded log: learning gives the grants that its author found by hand."""

from pathlib import Path

import pytest

from learner.cli.main import main
from learner.policy import Right, Scope
from learner.profile import load
from learner.store import profile_path, trace_path
from learner.trace import read_trace
from learner.variables import Variables

LOGS = Path(__file__).parents[1] / "fixtures/macos"
HOME = "/Users/ada"
VARIABLES = Variables(HOME, HOME)
PYTHON = f"{HOME}/.local/share/uv/python/cpython-3.12.11-macos-aarch64-none"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def test_the_story(capfd: pytest.CaptureFixture[str]) -> None:
    """Exit 127 on the interpreter, EPERM on the trust file, the target of a link into dotfiles: that, and no more."""
    assert main(["learn", "--from-log", str(LOGS / "story.ndjson"), "--minimal", "--", "vibe"]) == 0
    said = capfd.readouterr().err
    assert "15 of 15 accesses admitted" in said
    assert "0 through" in said
    assert "1-minimal" in said
    assert "the judge of SBPL: no Mac is here" in said
    profile = load(profile_path("vibe"), VARIABLES)
    assert (profile.command, profile.platform) == ("vibe", "darwin")
    assert {(g.path, g.scope, g.rights) for g in profile.policy.grants} == {
        (PYTHON, Scope.TREE, Right.READ | Right.LIST),
        (f"{PYTHON}/bin/python3.12", Scope.FILE, Right.EXEC),
        (f"{HOME}/.vibe/trusted_folders.toml", Scope.FILE, Right.READ | Right.WRITE),
        (f"{HOME}/dotfiles/.vibe/config.toml", Scope.FILE, Right.READ),
    }
    assert profile.policy.probes == (
        f"{HOME}/.local/share/uv/tools/mistral-vibe/bin/python",  # a link to the interpreter
        f"{HOME}/.vibe/config.toml",  # the link into the dotfiles
    )
    assert (profile.policy.network, profile.policy.services) == ((), ())
    assert read_trace(Path(trace_path("vibe"))).header.platform == "darwin"


def test_it_is_verified_and_exported_on_any_machine(capfd: pytest.CaptureFixture[str]) -> None:
    main(["learn", "--from-log", str(LOGS / "story.ndjson"), "--", "vibe"])
    assert main(["verify", "--minimal", "vibe"]) == 0
    assert "4 grants proved needed" in capfd.readouterr().err
    assert main(["verify", "--mode", "live", "vibe", "--", "true"]) == 1
    assert "darwin" in capfd.readouterr().err
    assert main(["export", "vibe", "--to", "seatbelt"]) == 0
    assert "(deny default)" in capfd.readouterr().out
    assert main(["show", "vibe"]) == 0
    capfd.readouterr()
    assert main(["run", "-v", "vibe", "--", "/bin/true"]) != 0
    assert "not held: this system: it was learned on darwin" in capfd.readouterr().err


def test_a_profile_that_lacks_something_does_not_pass(capfd: pytest.CaptureFixture[str]) -> None:
    main(["learn", "--from-log", str(LOGS / "session.ndjson"), "--log-project", f"{HOME}/work/engine", "--", "vibe"])
    path = Path(profile_path("vibe"))
    wide = path.read_text().replace('path = "$HOME/.gitconfig"\nscope = "file"', 'path = "$HOME"\nscope = "tree"')
    path.write_text(wide)
    capfd.readouterr()
    assert main(["verify", "vibe"]) == 1
    assert "the canary got through: list the home directory" in capfd.readouterr().err


def test_a_directory_of_logs_and_a_choice_of_programs(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for name in ("story.ndjson", "session.ndjson"):
        (logs / name).write_bytes((LOGS / name).read_bytes())
    assert main(["learn", "--from-log", str(logs), "--log-only", "git", "-n", "git"]) == 0
    found = load(profile_path("git"), VARIABLES)
    assert {program.program for g in found.policy.grants for program in g.witnesses} == {"git"}
    assert main(["learn", "--from-log", str(logs), "--log-only", "nobody"]) == 4
    assert "the log has reports of" in capfd.readouterr().err
    empty = tmp_path / "empty.log"
    empty.write_text("nothing\n")
    assert main(["learn", "--from-log", str(empty)]) == 4
    assert main(["learn", "--from-log", str(tmp_path / "gone")]) == 4
