"""Which words of ``sbx run`` are the profile's and which the command's."""

import json
from pathlib import Path

import pytest

from learner.cli import ground as grounds
from learner.cli import main
from learner.cli.run import run
from learner.errors import UsageError
from learner.levels import Level
from learner.policy import Right
from learner.variables import Variables
from tracers.tracer import Command


@pytest.mark.parametrize(
    ("args", "profile", "command"),
    [
        (["vibe"], "vibe", ()),
        (["vibe", "--"], "vibe", ("--",)),
        (["vibe", "--", "vibe", "-p", "x"], "vibe", ("--", "vibe", "-p", "x")),
        (["-v", "vibe", "--", "vibe"], "vibe", ("--", "vibe")),
        (["vibe", "vibe", "--", "x"], "vibe", ("vibe", "--", "x")),
        (["vibe", "--", "git", "--", "x"], "vibe", ("--", "git", "--", "x")),
        (["--level", "strict", "--", "make", "-v"], None, ("make", "-v")),
        (["--level", "strict", "--", "git", "log", "--", "x"], None, ("git", "log", "--", "x")),
        (["--level", "strict", "--", "--", "x"], None, ("--", "x")),
        (["--level", "strict", "vibe", "--", "vibe"], "vibe", ("--", "vibe")),
        (["--level=strict", "--limit", "time=3", "vibe"], "vibe", ()),
        (["--level", "strict"], None, ()),
        ([], None, ()),
    ],
)
def test_dashes(args: list[str], profile: str | None, command: tuple[str, ...]) -> None:
    ctx = run.make_context("run", list(args))
    assert (ctx.params["profile"], ctx.params["command"]) == (profile, command)


def test_neither_profile_nor_level(account: Variables) -> None:
    with pytest.raises(UsageError, match="which profile, or which level") as caught:
        grounds.find_ground(None, None, None, ("make",), account)
    assert "--level" in caught.value.remedy


def test_a_level_without_a_command(account: Variables) -> None:
    with pytest.raises(UsageError, match="no command was given"):
        grounds.find_ground(None, "strict", None, (), account)


@pytest.mark.usefixtures("vibe")
def test_a_profile_alone(account: Variables) -> None:
    found = grounds.find_ground("vibe", None, None, (), account)
    assert found.words == ("vibe",)
    assert (found.description, found.environment, found.gaps, found.unmet) == ("", (), (), ())
    assert grounds.admitting(found, Command("/usr/bin/nonesuch", ("x",))) is found


def test_a_level_alone(account: Variables) -> None:
    found = grounds.find_ground(None, "standard", None, ("make", "--", "x"), account)
    assert found.words == ("make", "--", "x")
    assert found.profile.policy.rights_on(account.project) & Right.WRITE
    assert dict(found.environment)["XDG_CACHE_HOME"].startswith(account.temporary)
    assert found.description.startswith("level standard")


@pytest.mark.usefixtures("vibe")
def test_a_profile_on_a_level(account: Variables) -> None:
    found = grounds.find_ground("vibe", "strict", None, (), account)
    policy = found.profile.policy
    assert found.words == ("vibe",)
    assert policy.rights_on("/usr/bin/env") & Right.EXEC  # the level's
    assert policy.rights_on(f"{account.home}/.vibe/logs") & Right.WRITE  # the profile's
    assert not policy.rights_on(account.project) & Right.WRITE  # neither's
    assert policy.network
    assert found.environment == ()


def test_settings(account: Variables, tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"defaultMode": "plan", "sandbox": {"enabled": True, "allowNetwork": True, "x": 1}}))
    found = grounds.find_ground(None, None, str(file), ("make",), account)
    assert found.description == "level strict: project read-only, system read-only, any network"
    assert [gap.item for gap in found.unmet] == ["sandbox.x"]
    assert all(grant.anywhere for grant in found.profile.policy.network)
    louder = grounds.find_ground(None, "standard", str(file), ("make",), account)
    assert louder.description.startswith("level standard")


def test_none_is_said(account: Variables) -> None:
    found = grounds.find_ground(None, Level.NONE, None, ("make",), account)
    assert not found.confined
    assert [gap.item for gap in found.unmet] == ["everything"]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["run"], "which profile, or which level"),
        (["run", "--level", "harsh", "--", "x"], "'harsh' is not one of"),
        (["run", "--limit", "x=1", "--level", "none", "--", "true"], '"x=1" is no limit'),
        (["run", "--level", "none", "vibe"], "no profile can hold"),
    ],
)
@pytest.mark.usefixtures("vibe")
def test_usage_errors(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(argv) == 2
    assert says in capsys.readouterr().err


def test_settings_that_are_no_json(account: Variables, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "settings.json"
    file.write_text("{")
    assert main.main(["run", "--settings", str(file), "--", "true"]) == 4
    assert f"{file}:1: not JSON" in capsys.readouterr().err
    assert account.project
