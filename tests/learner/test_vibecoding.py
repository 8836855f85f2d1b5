"""VibeCoding's settings: read, refused with the key and the line, written with everything else left alone."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learner.errors import InputFileError
from learner.levels import READING, WORKING, Level
from learner.places import Map
from learner.policy import Grant, NetworkAction, NetworkGrant, Policy, Right, Scope
from learner.vibecoding import (
    MODES,
    Bind,
    Sandbox,
    bind_grants,
    load,
    loads,
    parse_bind,
    save,
    to_settings,
    updated,
)
from tracers.events import Transport

HOME, PROJECT = "/home/ada", "/home/ada/work/engine"
PLACES = Map(PROJECT, HOME, "/tmp/sbx-1000")

DOCUMENTED = """{
  "providers": {"deepseek-openai": {"apiKey": "${DEEPSEEK_API_KEY}", "models": []}},
  "defaultMode": "plan",
  "sandbox": {
    "enabled": true,
    "level": "standard",
    "allowNetwork": false,
    "allowDevices": true,
    "extraBinds": [
      "/path/to/extra:/mnt/extra",
      "~/data"
    ]
  }
}
"""


def test_the_documented_table() -> None:
    found = loads(DOCUMENTED, "s.json", HOME)
    assert found.gaps == ()
    assert found.sandbox == Sandbox(
        enabled=True,
        level=Level.STANDARD,
        allow_network=False,
        allow_devices=True,
        extra_binds=(Bind("/path/to/extra", "/mnt/extra"), Bind(f"{HOME}/data", f"{HOME}/data")),
    )


@pytest.mark.parametrize("text", ["{}", '{"sandbox": {}}'])
def test_defaults(text: str) -> None:
    assert loads(text, "s.json", HOME).sandbox == Sandbox(False, None, False, False, ())


@pytest.mark.parametrize(("mode", "level"), [("plan", Level.STRICT), ("agent", Level.STANDARD), ("yolo", Level.NONE)])
def test_modes(mode: str, level: Level) -> None:
    assert MODES[mode] is level
    assert loads(json.dumps({"defaultMode": mode}), "s.json", HOME).sandbox.level is level
    text = json.dumps({"defaultMode": mode, "sandbox": {"level": "strict"}})
    assert loads(text, "s.json", HOME).sandbox.level is Level.STRICT  # what is said outright wins


def test_keys_that_are_not_known_are_gaps_and_never_silent() -> None:
    found = loads('{"sandbox": {"enabled": true, "deniedPaths": ["/x"], "tmpSize": "1G"}}', "s.json", HOME)
    assert [gap.item for gap in found.gaps] == ["sandbox.deniedPaths", "sandbox.tmpSize"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "s.json:1: not JSON"),
        ('{\n "sandbox": {,}\n}', "s.json:2: not JSON"),
        ("[]", "s.json: expected a table, found a list"),
        ('{"sandbox": []}', "s.json: sandbox (line 1): expected a table, found a list"),
        ('{"sandbox": {"enabled": "yes"}}', 'sandbox.enabled (line 1): expected true or false, found "yes"'),
        ('{"sandbox": {"enabled": 1}}', "sandbox.enabled (line 1): expected true or false, found the number 1"),
        ('{"sandbox": {\n"level": "strct"}}', 'sandbox.level (line 2): expected one of "none", "standard", "strict"'),
        ('{"sandbox": {"level": ""}}', "sandbox.level (line 1): expected text that is not empty"),
        ('{"sandbox": {"level": 3}}', "sandbox.level (line 1): expected text that is not empty, found the number 3"),
        ('{"sandbox": {"allowNetwork": null}}', "sandbox.allowNetwork (line 1): expected true or false"),
        ('{"sandbox": {"extraBinds": "/a:/b"}}', 'sandbox.extraBinds (line 1): expected a list, found "/a:/b"'),
        ('{"sandbox": {"extraBinds": [3]}}', "sandbox.extraBinds (line 1)[0]: expected text, found the number 3"),
        (
            '{"sandbox": {\n\n"extraBinds": ["/a", "b:/c"]}}',
            'sandbox.extraBinds (line 3)[1]: "b:/c": "b" is no absolute',
        ),
        ('{"sandbox": {"extraBinds": ["/a:/b:ro"]}}', '"/a:/b:ro" has more than one colon'),
        ('{"sandbox": {"extraBinds": [":/b"]}}', '"" is no absolute path'),
        ('{"sandbox": {"extraBinds": ["/a/../b:/c"]}}', "holds .."),
        ('{"sandbox": {"extraBinds": ["/a\\u0000:/c"]}}', "a NUL"),
        ('{"defaultMode": "turbo"}', 'defaultMode (line 1): expected one of "plan", "agent", "yolo", found "turbo"'),
        ('{"sandbox": {}, "sandbox": {"enabled": true}}', 'the key "sandbox" stands there twice'),
        ('{"a": NaN}', "NaN is no JSON"),
        ("[" * 100_000, "s.json"),
    ],
)
def test_what_is_malformed_is_refused_by_name(text: str, says: str) -> None:
    with pytest.raises(InputFileError) as caught:
        loads(text, "s.json", HOME)
    message = str(caught.value)
    assert says in message
    assert message.startswith("s.json")
    assert "\n" not in message
    assert caught.value.remedy


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        loads(text, "s.json", HOME)
    except InputFileError as problem:
        assert min(str(problem)) >= " "


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["strict", "/a:/b", "~"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
_keys = st.sampled_from(["enabled", "level", "allowNetwork", "allowDevices", "extraBinds", "other"])


@given(st.dictionaries(_keys, _values))
def test_any_table_is_read_or_refused(table: dict[str, object]) -> None:
    try:
        loads(json.dumps({"sandbox": table}), "s.json", HOME)
    except InputFileError as problem:
        assert "sandbox" in str(problem)


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="No such file"):
        load(str(tmp_path / "none.json"), HOME)
    with pytest.raises(InputFileError, match="directory"):
        load(str(tmp_path), HOME)
    bad = tmp_path / "bad.json"
    bad.write_bytes(b'{\n"a": "\xff"}')
    with pytest.raises(InputFileError, match=r"bad.json:2: not UTF-8"):
        load(str(bad), HOME)
    bad.write_bytes(b" " * (1 << 20) + b"{}")
    with pytest.raises(InputFileError, match="larger"):
        load(str(bad), HOME)


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("/src:/dst", Bind("/src", "/dst")),
        ("/src", Bind("/src", "/src")),
        ("~:/mnt/home", Bind(HOME, "/mnt/home")),
        ("//a//b/./c/:/d/", Bind("/a/b/c", "/d")),
    ],
)
def test_binds(text: str, bind: Bind) -> None:
    assert parse_bind(text, HOME) == bind


def test_binds_become_grants_or_gaps(scratch: Path) -> None:
    places = Map(str(scratch / "project"), str(scratch), "")
    tree, file, ssh = scratch / "tree", scratch / "file", scratch / ".ssh"
    tree.mkdir()
    ssh.mkdir()
    file.write_text("")
    link = scratch / "link"
    link.symlink_to(".ssh")
    here = [str(p) for p in (tree, file, ssh, link, scratch / "none", scratch, "/", "/etc")]
    binds = (*(Bind(p, p) for p in here), Bind(str(tree), "/mnt"))
    grants, gaps = bind_grants(binds, Level.STANDARD, places)
    assert [(g.path, g.scope, g.rights) for g in grants] == [
        (str(file), Scope.FILE, Right.READ | Right.WRITE | Right.EXEC | Right.TRUNCATE | Right.CONNECT),
        (str(tree), Scope.TREE, WORKING),
    ]
    reasons = {gap.item: gap.reason for gap in gaps}
    assert reasons.pop(f"bind {tree} at /mnt") == "only what keeps its place can be granted"
    assert set(reasons) == {f"bind {p}" for p in (ssh, link, scratch / "none", scratch, "/", "/etc")}
    assert "SSH keys" in reasons[f"bind {link}"]
    strict, _ = bind_grants(binds, Level.STRICT, places)
    assert [g.rights for g in strict] == [Right.READ | Right.EXEC, READING]


def grant(path: str, rights: Right, scope: Scope = Scope.TREE) -> Grant:
    return Grant(path, scope, rights, ())


BASE = Policy((grant("/usr", READING), grant(PROJECT, WORKING)))


def test_a_policy_as_settings() -> None:
    endpoint = NetworkGrant(NetworkAction.CONNECT, "10.0.0.1", 443, Transport.TCP, ())
    policy = Policy(
        (
            grant("/", Right.LIST, Scope.FILE),
            grant("/home/ada/a:b", Right.READ),
            grant("/proc", Right.READ),
            grant("/usr/lib", READING),
            grant(f"{HOME}/.vibe", WORKING),
            grant(f"{HOME}/.vibe/logs", WORKING),
            grant(f"{HOME}/notes", Right.READ | Right.LIST),
            grant(PROJECT, WORKING),
        ),
        (endpoint,),
    )
    table, gaps = to_settings(policy, PLACES, BASE)
    assert table == {
        "enabled": True,
        "level": "standard",
        "allowNetwork": True,
        "allowDevices": False,
        "extraBinds": [f"{HOME}/.vibe:{HOME}/.vibe", f"{HOME}/notes:{HOME}/notes"],
    }
    assert {gap.item for gap in gaps} == {"/", "/home/ada/a:b/**", "/proc/**", f"{HOME}/notes", "hosts"}


def test_a_policy_that_changes_nothing_is_strict() -> None:
    table, gaps = to_settings(Policy((grant(PROJECT, READING),)), PLACES, BASE)
    assert (table["level"], table["allowNetwork"], table["extraBinds"], gaps) == ("strict", False, [], ())


def test_what_is_written_is_read_again() -> None:
    table, _ = to_settings(Policy((grant(f"{HOME}/.vibe", WORKING),)), PLACES, BASE)
    found = loads(updated("", "s.json", table), "s.json", HOME)
    assert found.gaps == ()
    assert found.sandbox.extra_binds == (Bind(f"{HOME}/.vibe", f"{HOME}/.vibe"),)
    assert found.sandbox.level is Level.STANDARD


def test_other_keys_stay_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    before = '{"z": [1, 2.50, "ü"], "sandbox": {"tmpSize": "1G", "level": "strict"}, "a": {"b": null}}'
    file.write_text(before)
    save(str(file), {"level": "standard", "enabled": True})
    after = json.loads(file.read_text())
    assert list(after) == ["z", "sandbox", "a"]
    assert after["sandbox"] == {"tmpSize": "1G", "level": "standard", "enabled": True}
    assert {k: after[k] for k in "za"} == {k: json.loads(before)[k] for k in "za"}
    assert "ü" in file.read_text()


def test_a_file_that_is_no_settings_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    for text in ("{", "[]", '{"sandbox": 3}'):
        file.write_text(text)
        with pytest.raises(InputFileError):
            save(str(file), {"level": "standard"})
        assert file.read_text() == text
    assert os.listdir(tmp_path) == ["settings.json"]
    save(str(tmp_path / "new.json"), {"level": "strict"})
    assert json.loads((tmp_path / "new.json").read_text()) == {"sandbox": {"level": "strict"}}
