import json
import os
import socket
from pathlib import Path

import pytest
from children import area_of
from samples import VARIABLES

from learner.cli.main import main
from learner.policy import Grant, Policy, Right, Scope
from learner.profile import Profile, dumps
from learner.store import profile_path, write_atomically
from learner.variables import Variables

GOLDEN = Path(__file__).parents[2] / "fixtures/golden"


def test_no_profiles_yet(account: Variables, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "sbx learn" in captured.err


def test_a_broken_profile_is_listed_with_the_others(vibe: str, capsys: pytest.CaptureFixture[str]) -> None:
    broken = Path(vibe).with_name("broken.toml")
    broken.write_text("version = \n")
    assert main(["list"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"broken  cannot be used: {broken}:1: not TOML: Invalid value",
        f"        {broken}",
        "vibe    runs vibe: 8 grants, 3 on the network, partial",
        f"        {vibe}",
    ]


@pytest.mark.parametrize("by_file", [False, True])
def test_show(by_file: bool, vibe: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["show", vibe if by_file else "vibe"]) == 0
    assert capsys.readouterr().out == (GOLDEN / "show.txt").read_text()


def test_show_json(vibe: str, account: Variables, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "vibe", "--json"]) == 0
    golden = json.loads((GOLDEN / "show.json").read_text())
    assert golden["variables"] == dict(VARIABLES.items())
    shown = json.loads(capsys.readouterr().out)
    assert shown == golden | {"variables": dict(account.items()), "brokers": []}


def test_a_broker_is_shown_with_who_listens(
    account: Variables, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with area_of(os.getuid()) as area, socket.socket(socket.AF_UNIX) as listener:
        agent = f"{area}/agent.7"  # in a short path, as sockets need
        monkeypatch.setenv("SSH_AUTH_SOCK", agent)
        profile = Profile("tool", "tool", Policy((Grant(agent, Scope.FILE, Right.CONNECT, ()),)))
        write_atomically(profile_path("tool"), dumps(profile, account).encode())
        listener.bind(agent)
        listener.listen()
        assert main(["show", "tool"]) == 0
        assert f"broker  ssh-agent, granted: {agent}: signs with your keys; " in capsys.readouterr().out
        assert main(["show", "tool", "--json"]) == 0
        [broker] = json.loads(capsys.readouterr().out)["brokers"]
        assert broker["peer"]["pid"] == os.getpid()
    assert main(["show", "tool"]) == 0
    assert "broker" not in capsys.readouterr().out, "nobody listens any more"


def test_a_missing_profile(account: Variables, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "nope"]) == 4
    assert "there is no such profile" in capsys.readouterr().err
