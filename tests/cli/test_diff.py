import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from accesses import HEADER, access, trace
from samples import VARIABLES, VIBE

from learner.access import Kind as ObjectKind
from learner.agent import Agent, Known, Ran, Source
from learner.cli.main import main
from learner.history import keep
from learner.policy import Grant, NetworkAction, NetworkGrant, Policy, Right, Scope, Witness
from learner.profile import Profile, dumps
from learner.store import profile_path, write_atomically
from learner.trace import encode_trace
from learner.variables import Variables
from tracers.events import Operation, Transport

GOLDEN = Path(__file__).parents[2] / "fixtures/golden"


def agent(version: str, *ran: Ran) -> Agent:
    return Agent("vibe", "/usr/bin/vibe", "ab" * 32, Known(version, "mistral-vibe", Source.DIST_INFO), ran)


@pytest.fixture
def versions(account: Variables) -> tuple[str, str]:
    """Two profiles: the second changes, runs, connects and reads more, and no longer reads one thing."""
    home = account.home
    git = Grant("/usr/bin", Scope.TREE, Right.READ | Right.EXEC, (Witness("vibe", (Operation.EXEC,), "/usr/bin/git"),))
    writer = (Witness("gcc", (Operation.CREATE, Operation.WRITE), f"{home}/.cache/cc/a", 7),)
    old = Policy((git, Grant("/etc/hosts", Scope.FILE, Right.READ, ())))
    new = Policy(
        (
            git,
            Grant("/etc/magic", Scope.FILE, Right.READ, (Witness("file", (Operation.READ,), "/etc/magic"),)),
            Grant(f"{home}/.cache/cc", Scope.TREE, Right.WRITE | Right.CREATE, writer),
            Grant(f"{home}/.ssh/known_hosts", Scope.FILE, Right.READ, (Witness("vibe", (Operation.READ,), "/x"),)),
            Grant(f"{home}/notes|`x`", Scope.FILE, Right.READ, ()),
        ),
        (NetworkGrant(NetworkAction.CONNECT, "telemetry.example.org", 443, Transport.TCP, ()),),
    )
    vibe = Ran("vibe", "/usr/bin/vibe")
    ran = (Ran("gcc", "/usr/bin/gcc", ("vibe",)), vibe)
    paths = []
    for version, policy, programs in (("2.26.1", old, (vibe,)), ("3.0.3", new, ran)):
        profile = Profile("vibe", "vibe", policy, agent=agent(version, *programs))
        text = dumps(profile, account)
        keep("vibe", profile, text)
        paths.append(profile_path(f"v{version[0]}"))
        write_atomically(paths[-1], text.encode())
    return paths[0], paths[1]


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def shown(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    assert main(["diff", *words]) == status
    return capsys.readouterr().out


@pytest.mark.parametrize(("form", "ending"), [("console", "txt"), ("markdown", "md")])
def test_as_text(form: str, ending: str, versions: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "v2", "v3", "--format", form, "--fail-on", "write", status=1)
    assert text == (GOLDEN / f"diff.{ending}").read_text()
    assert shown(capsys, "vibe@2", "vibe@3", "--format", form, "--fail-on", "write", status=1) == text.replace(
        "v2", "vibe@2"
    ).replace("v3", "vibe@3")


def test_as_json(versions: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(shown(capsys, *versions, "--format", "json"))
    assert [(c["severity"], c["kind"], c["what"]) for c in found["added"]] == [
        ("sensitive", "read", "$HOME/.ssh/known_hosts"),
        ("outside", "write", "$XDG_CACHE_HOME/cc/**"),
        ("executable", "run", "/usr/bin/gcc"),
        ("host", "connect", "telemetry.example.org:443/tcp"),
        ("home", "read", "$HOME/notes|`x`"),
        ("system", "read", "/etc/magic"),
    ]
    assert found["added"][1]["by"] == ["vibe → gcc"]
    assert found["added"][1]["objects"] == 7
    assert [c["what"] for c in found["removed"]] == ["/etc/hosts"]
    assert found["versions"] == [{"name": "vibe", "old": "2.26.1", "new": "3.0.3"}]
    back = json.loads(shown(capsys, *versions[::-1], "--format", "json"))
    assert (back["added"], back["removed"]) == (found["removed"], found["added"])


def required(value: Any, *keys: str) -> Any:
    """The first of ``keys`` of an object that has them all."""
    assert isinstance(value, dict)
    assert set(keys) <= set(value), f"{set(keys) - set(value)} is missing"
    return value[keys[0]]


def test_as_sarif(versions: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "out.sarif"
    assert shown(capsys, "v2", "v3", "--format", "sarif", "-o", str(file), "--fail-on", "write", status=1) == ""
    found = json.loads(file.read_text())
    # SARIF 2.1.0: 3.13 (log), 3.14 (run), 3.18 (tool), 3.27 (result), 3.49 (rule), 3.11 (message)
    assert required(found, "version", "runs") == "2.1.0"
    assert found["$schema"].endswith("sarif-2.1.0.json")
    [run] = found["runs"]
    driver = required(required(run, "tool"), "driver")
    assert required(driver, "name") == "sbx"
    rules = driver["rules"]
    assert len({required(rule, "id") for rule in rules}) == len(rules)
    assert len(run["results"]) == 6
    for result in run["results"]:
        assert required(required(result, "message"), "text")
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in {"none", "note", "warning", "error"}
        [place] = result["locations"]
        uri = required(required(required(place, "physicalLocation"), "artifactLocation"), "uri")
        assert "\\" not in uri and " " not in uri
        assert place["physicalLocation"]["region"]["startLine"] >= 1
        assert all(isinstance(value, str) for value in result["partialFingerprints"].values())
    assert [result["level"] for result in run["results"]] == ["error", "error", "warning", "warning", "note", "note"]
    assert len({r["partialFingerprints"]["change/v1"] for r in run["results"]}) == 6


@pytest.mark.parametrize("form", ["console", "markdown", "json", "sarif"])
def test_nothing_differs(form: str, versions: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "v3", versions[1], "--format", form, "--fail-on", "any")
    if form == "console":
        assert text == f"v3 → {versions[1]}: no difference\n"
    elif form == "sarif":
        assert json.loads(text)["runs"][0]["results"] == []


@pytest.mark.parametrize(
    ("gates", "status"),
    [
        (["sensitive"], 1),
        (["write"], 1),
        (["exec"], 1),
        (["network"], 1),
        (["any"], 1),
        ([], 0),
    ],
)
def test_what_it_fails_on(
    gates: list[str], status: int, versions: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    options = [word for gate in gates for word in ("--fail-on", gate)]
    assert main(["diff", *options, *versions]) == status
    assert main(["diff", *(o for o in options if o != "any" and "any" not in gates), *versions[::-1]]) == 0
    assert "to be reviewed" in capsys.readouterr().out or not gates


def test_each_gate_lets_the_rest_pass(account: Variables) -> None:
    write_atomically(profile_path("none"), dumps(Profile("x", "x", Policy()), account).encode())
    only_read = Policy((Grant("/etc/hosts", Scope.FILE, Right.READ, ()),))
    write_atomically(profile_path("some"), dumps(Profile("x", "x", only_read), account).encode())
    for gate in ("sensitive", "write", "exec", "network"):
        assert main(["diff", "none", "some", "--fail-on", gate]) == 0
    assert main(["diff", "none", "some", "--fail-on", "any"]) == 1
    project = Policy((Grant(account.project, Scope.TREE, Right.WRITE, ()),))
    write_atomically(profile_path("some"), dumps(Profile("x", "x", project), account).encode())
    assert main(["diff", "none", "some", "--fail-on", "write"]) == 0


def test_accepted_changes_are_not_shown_again(versions: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "v2", "v3", "--accept"]) == 0
    file = versions[0].removesuffix(".toml") + ".accepted"
    assert capsys.readouterr().err == f"sbx: 6 changes accepted in {file}\n"
    assert os.stat(file).st_mode & 0o777 == 0o600
    text = shown(capsys, "v2", "v3", "--fail-on", "any")
    assert text.splitlines()[0] == "v2 → v3: 0 added, 1 gone, 6 accepted earlier"
    first = Path(file).read_bytes()
    assert main(["diff", "v2", "v3", "--accept"]) == 0
    assert Path(file).read_bytes() == first
    assert main(["list"]) == 0
    assert ".accepted" not in capsys.readouterr().out

    text = Path(file).read_text()
    assert text.startswith("# Reviewed changes: ")
    assert "may touch" not in text
    assert "needed_by = [\n  {program = " in text, "a review tells who needed it"

    # What comes on top of what was accepted is shown.
    text = Path(versions[1]).read_text()
    assert '["write", "create"]' in text
    Path(versions[1]).write_text(text.replace('["write", "create"]', '["write", "create", "remove"]'))
    found = json.loads(shown(capsys, "v2", "v3", "--format", "json", "--fail-on", "write", status=1))
    assert [(c["what"], c["rights"]) for c in found["added"]] == [("$XDG_CACHE_HOME/cc/**", ["remove"])]
    assert main(["diff", "v2", "v3", "--accepted", os.devnull + "x", "--fail-on", "sensitive"]) == 1
    capsys.readouterr()
    Path(file).write_text("version = \n")
    assert main(["diff", "v2", "v3"]) == 4
    assert capsys.readouterr().err.startswith(f"sbx: {file}:1: not TOML")


def test_traces(account: Variables, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = [access(Operation.EXEC, "/usr/bin/git"), access(Operation.READ, "/etc/hosts", program=2)]
    more = [
        access(Operation.READ, "/home/ada/.netrc", program=2),
        access(Operation.CREATE, "/home/ada/.x/new", ObjectKind.FILE, existed=False),
    ]
    files = []
    for name, accesses in (("one", base), ("two", [*base, *more])):
        files.append(str(tmp_path / f"{name}.jsonl"))
        Path(files[-1]).write_bytes(encode_trace(trace(*accesses)))
    found = json.loads(shown(capsys, *files, "--format", "json", "--fail-on", "sensitive", status=1))
    first = found["added"][0]
    assert (first["severity"], first["what"], first["granted"], first["by"]) == (
        "sensitive",
        "$HOME/.netrc",
        False,
        ["vibe → git"],
    )
    assert {c["kind"] for c in found["added"]} == {"read", "write"}
    assert main(["diff", *files, "--accept"]) == 0
    assert main(["diff", *files, "--fail-on", "any"]) == 0
    later = msgspec.structs.replace(HEADER, home="/home/bob", project="/home/bob/p", cwd="/home/bob/p", started=9.5)
    moved = msgspec.structs.replace(trace(*base), header=later)
    Path(files[1]).write_bytes(encode_trace(moved))
    capsys.readouterr()
    assert "no difference" in shown(capsys, *files)


def test_what_was_recorded_in_part_is_said_to_be(
    account: Variables, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    data = encode_trace(trace(access(Operation.READ, "/etc/hosts"), access(Operation.READ, "/etc/passwd")))
    whole.write_bytes(data)
    cut.write_bytes(data[: data.rindex(b'{"type":"end"')])
    assert main(["diff", str(whole), str(cut)]) == 0
    assert capsys.readouterr().err == f"sbx: {cut} was recorded in part: what it lacks may only not have been seen\n"
    assert main(["diff", str(whole), str(whole), "--accept"]) == 0
    assert "nothing is accepted" in capsys.readouterr().err
    assert not (tmp_path / "whole.accepted").exists()


def test_names_of_files_do_no_harm(account: Variables, capsys: pytest.CaptureFixture[str]) -> None:
    write_atomically(profile_path("none"), dumps(Profile("x", "x", Policy()), VARIABLES).encode())
    write_atomically(profile_path("vibe"), dumps(VIBE, VARIABLES).encode())
    for form in ("console", "markdown", "json", "sarif"):
        text = shown(capsys, "none", "vibe", "--format", form)
        assert "\x1b" not in text
        assert "red" in text


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["nope", "v3"], 4, "there is no such profile"),
        (["v2", "vibe@9"], 4, "there is no version 9"),
        (["v2", "vibe@"], 4, "there is no version"),
        (["v2", "none.jsonl"], 4, "No such file"),
        (["v2", "mac"], 4, "for one platform"),
        (["v2", "v3", "--accept", "--fail-on", "any"], 2, "--accept"),
        (["v2", "v3", "--fail-on", "all"], 2, "all"),
        (["v2"], 2, "NEW"),
        (["v2", "newer"], 4, "newer than this sbx"),
    ],
)
def test_what_is_refused(
    words: list[str],
    status: int,
    said: str,
    versions: tuple[str, str],
    account: Variables,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mac = Profile("mac", "x", Policy(), platform="darwin")
    write_atomically(profile_path("mac"), dumps(mac, account).encode())
    write_atomically(profile_path("newer"), b'version = 9\nname = "a"\ncommand = "a"\n')
    assert main(["diff", *words]) == status
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_a_console_report_fits_a_screen(account: Variables, capsys: pytest.CaptureFixture[str]) -> None:
    grants = tuple(Grant(f"/etc/x{n:03}", Scope.FILE, Right.READ, ()) for n in range(200))
    secret = Grant(f"{account.home}/.ssh/id_rsa", Scope.FILE, Right.READ, ())
    for name, policy in (("none", Policy()), ("many", Policy((*grants, secret)))):
        write_atomically(profile_path(name), dumps(Profile("x", "x", policy), account).encode())
    text = shown(capsys, "none", "many")
    assert len(text.splitlines()) == 40
    assert ".ssh/id_rsa" in text.splitlines()[2]
    assert "-v" in text.splitlines()[-1]
    assert len(shown(capsys, "none", "many", "-v").splitlines()) == 204
    assert len(shown(capsys, "none", "many", "--fail-on", "any", status=1).splitlines()) == 40


def test_the_history(versions: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "--history", "vibe"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["2.26.1", "3.0.3"]
    assert lines[1].endswith("5 grants, 2 programs")
    assert main(["show", "--history", "vibe", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["version"], row["source"], row["grants"]) for row in rows] == [
        ("2.26.1", "dist-info", 2),
        ("3.0.3", "dist-info", 5),
    ]
    assert main(["show", "vibe@3", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["grants"]) == 5
    assert main(["show", "--history", "other"]) == 0
    assert "no versions of other are kept" in capsys.readouterr().err
