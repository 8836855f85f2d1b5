"""Edits change what was meant and nothing else: comments, order, layout and unknown keys stay."""

import json
import os
import re
import stat
import tomllib
from pathlib import Path

import pytest
from audited import Account
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from learner.audit.document import Format, parse
from learner.audit.edits import apply, changes, difference, edited
from learner.audit.finding import Action, Edit
from learner.errors import MachineError, SbxError

WORDS = st.sampled_from(["theme", "x-unknown", "ünï", "a.b", "models", "note", "enable_otel", "tools2"])
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(10**6), 10**6),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12),
)
VALUES = st.one_of(SCALARS, st.lists(SCALARS.filter(lambda v: isinstance(v, str)), max_size=4))
SWITCH = Edit("", Action.SET, ("enable_telemetry",), False)
ASK = Edit("", Action.SET, ("tools", "grep", "permission"), "ask")
DENY = Edit("", Action.EXTEND, ("tools", "read_file", "denylist"), ("**/.env", "**/.ssh/*", "**/.aws/*", "**/.kube/*"))
TAKE = Edit("", Action.REMOVE, ("tools", "bash", "allowlist"), ("git",))


def _toml_value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


@st.composite
def toml_files(draw: st.DrawFn) -> str:
    """A configuration with comments everywhere, unknown keys and tables, and the tables that are edited or not."""
    number = iter(range(10**6))
    lines = ["# first comment"]

    def comment() -> str:
        return f"  # comment {next(number)}" if draw(st.booleans()) else ""

    def pairs(reserved: frozenset[str] = frozenset()) -> None:
        for key, value in draw(st.dictionaries(WORDS, VALUES, max_size=4)).items():
            if key not in reserved:
                lines.append(f"{_toml_value(key)} = {_toml_value(value)}{comment()}")
        if draw(st.booleans()):
            lines.append(f"# alone {next(number)}")

    pairs()
    if draw(st.booleans()):
        lines.append(f"enable_telemetry   =  true{comment()}")
    for table in draw(st.permutations(["tools.bash", "tools.read_file", "tools.grep", "x-table", "[mcp_servers]"])):
        if draw(st.booleans()):
            lines.append("")
        if draw(st.booleans()) or table == "tools.bash":
            lines.append(f"[{table}]{comment()}")
            if table == "tools.bash":
                body = draw(
                    st.sampled_from(['["ls", "git"]', '[\n  "ls",\n  "git",\n  "cat"\n]', '["git"]', '[ "ls" ]'])
                )
                lines.append(f"allowlist = {body}{comment()}")
            if table == "tools.read_file" and draw(st.booleans()):
                lines.append(f'denylist = ["**/.env", "x"]{comment()}')
            pairs()
    ending = draw(st.sampled_from(["\n", "\r\n"]))
    return "\n".join(lines).replace("\n", ending) + draw(st.sampled_from(["", ending]))


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(toml_files(), st.lists(st.sampled_from([SWITCH, ASK, DENY, TAKE]), min_size=1, max_size=4))
def test_toml_keeps_comments_and_unknown_keys(text: str, todo: list[Edit]) -> None:
    try:
        before = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        assume(False)
    after = text
    for edit in todo:
        after = edited(parse("c.toml", after, Format.TOML), edit)
    now = tomllib.loads(after)
    assert re.findall(r"# (?:first|alone|comment).*?(?=\r?\n|\Z)", text) == re.findall(
        r"# (?:first|alone|comment).*?(?=\r?\n|\Z)", after
    )
    touched = {"enable_telemetry", "tools"}
    assert {k: v for k, v in before.items() if k not in touched} == {k: v for k, v in now.items() if k not in touched}
    assert [k for k in now if k in before] == list(before) or "tools" in before, "order"
    if TAKE in todo:
        assert "git" not in now["tools"]["bash"]["allowlist"]
    if DENY in todo:
        kept = before.get("tools", {}).get("read_file", {}).get("denylist", [])
        assert now["tools"]["read_file"]["denylist"] == [*kept, *(v for v in DENY.value if v not in kept)]  # type: ignore[attr-defined]
    edited_ones = re.compile(r"enable_telemetry|allowlist|denylist|^\s*\"(ls|git|cat)\"|^\]|permission")
    rest = iter(after.splitlines())
    for line in text.splitlines():
        assert edited_ones.search(line) or line in rest, f"{line!r} is gone, or has moved"


@pytest.mark.parametrize(
    ("text", "edit", "expected"),
    [
        ("# top\n\n[a]\n", SWITCH, "# top\nenable_telemetry = false\n\n[a]\n"),
        ("# of a\n[a]\n", SWITCH, "enable_telemetry = false\n# of a\n[a]\n"),
        ("", SWITCH, "enable_telemetry = false\n"),
        ("a = 1", SWITCH, "a = 1\nenable_telemetry = false\n"),
        ("a = 1", ASK, 'a = 1\n\n[tools.grep]\npermission = "ask"\n'),
        ("[tools.bash]\nx = 1\n[z]\n", ASK, '[tools.bash]\nx = 1\n\n[tools.grep]\npermission = "ask"\n\n[z]\n'),
        ("[tools]\ngrep.x = 1 # c\n", ASK, '[tools]\ngrep.x = 1 # c\ngrep.permission = "ask"\n'),
        ("tools.grep.x = 1\n[z]\n", ASK, 'tools.grep.x = 1\ntools.grep.permission = "ask"\n[z]\n'),
        ("tools = {grep = {x = 1}} # c\n", ASK, 'tools = {grep = {x = 1,permission = "ask"}} # c\n'),
        ("[tools]\ngrep = {permission = \"always\"} # c\n", ASK, '[tools]\ngrep = {permission = "ask"} # c\n'),
        ("[tools.grep]\r\npermission = 'always' # c\r\n", ASK, '[tools.grep]\r\npermission = "ask" # c\r\n'),
        ('[tools."bash"]\nallowlist = ["git", "ls"]\n', TAKE, '[tools."bash"]\nallowlist = ["ls"]\n'),
    ],
)  # fmt: skip
def test_the_least_change(text: str, edit: Edit, expected: str) -> None:
    assert edited(parse("c.toml", text, Format.TOML), edit) == expected


@st.composite
def json_values(draw: st.DrawFn) -> object:
    keys = st.sampled_from(["sandbox", "approval", "bashWhitelist", "level", "x", "ünï", "enabled"])
    leaf = st.one_of(SCALARS, st.none(), st.lists(st.sampled_from(["git ", "ls ", "make "]), max_size=4))
    return draw(st.recursive(leaf, lambda inner: st.dictionaries(keys, inner, max_size=4), max_leaves=12))


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(["sandbox", "approval", "zeta", "x"]), json_values(), max_size=4), st.data())
def test_json_keeps_all_else(document: dict[str, object], data: st.DataObject) -> None:
    indent = data.draw(st.sampled_from([None, 2, 4, "\t"]))
    text = json.dumps(document, indent=indent, ensure_ascii=data.draw(st.booleans()))
    todo = [
        Edit("", Action.SET, ("sandbox", "level"), "standard"),
        Edit("", Action.REMOVE, ("approval", "bashWhitelist"), ("git ",)),
        Edit("", Action.SET, ("approval", "bashWhitelist"), ()),
        Edit("", Action.EXTEND, ("x", "list"), ("one", "two")),
    ]
    edit = data.draw(st.sampled_from(todo))
    try:
        after = edited(parse("c.json", text, Format.JSON), edit)
    except SbxError:
        holder: object = document
        for key in edit.keys[:-1]:
            holder = holder.get(str(key), {}) if isinstance(holder, dict) else None
        value = holder.get(str(edit.keys[-1]), []) if isinstance(holder, dict) else None
        assert not isinstance(value, list) or edit.action is Action.REMOVE, "refused what could be edited"
        return
    now = json.loads(after)
    top = edit.keys[0]
    assert {k: v for k, v in now.items() if k != top} == {k: v for k, v in document.items() if k != top}
    assert [k for k in now if k in document] == list(document)


def test_a_json_edit_is_least(tmp_path: Path) -> None:
    text = '{\n    "a" : 1,   "sandbox": {"level":"none" , "unknown": [1,2]},\n\t"z": 2\n}\n'
    after = edited(parse("c.json", text, Format.JSON), Edit("", Action.SET, ("sandbox", "level"), "strict"))
    assert after == text.replace('"none"', '"strict"')
    after = edited(parse("c.json", text, Format.JSON), Edit("", Action.SET, ("y",), True))
    assert after == text.replace('"z": 2\n', '"z": 2,\n\t"y": true\n')


def test_duplicate_json_keys_are_not_edited() -> None:
    text = '{"sandbox": {"level": "none"}, "sandbox": {"level": "none"}, "a": {"b": 1}, "a": {"c": 2}}'
    after = edited(parse("c.json", text, Format.JSON), Edit("", Action.SET, ("sandbox", "level"), "strict"))
    assert json.loads(after)["sandbox"]["level"] == "strict"
    with pytest.raises(SbxError, match="cannot be edited safely"):
        edited(parse("c.json", text, Format.JSON), Edit("", Action.SET, ("a", "b"), 2))


def test_a_link_stays_and_its_target_is_edited(tmp_path: Path) -> None:
    account = Account(tmp_path)
    target = account.write("dotfiles/vibe.toml", "enable_telemetry = true # mine\n", 0o640)
    (account.home / ".vibe").mkdir()
    link = account.home / ".vibe/config.toml"
    link.symlink_to("../dotfiles/vibe.toml")
    assert "vibe-telemetry" in account.rules()
    account.fix()
    assert account.rules() == {}
    assert os.readlink(link) == "../dotfiles/vibe.toml"
    assert target.read_text().startswith("enable_telemetry = false # mine\n")
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_read_only_configuration_is_left_alone(tmp_path: Path) -> None:
    account = Account(tmp_path)
    path = account.write(".vibe/config.toml", "enable_telemetry = true\n", 0o400)
    with pytest.raises(MachineError, match="is read-only") as problem:
        account.fix()
    assert f"chmod u+w {path}" in problem.value.remedy
    assert path.read_text() == "enable_telemetry = true\n"


def test_the_difference_shows_no_secrets(tmp_path: Path) -> None:
    account = Account(tmp_path)
    account.write(".vibe/config.toml", 'enable_telemetry = true\napi_key = "hunter2hunter2"\napi_key_env_var = "KEY"\n')
    [change] = changes(account.audit().edits)
    shown = difference(change)
    assert "hunter2" not in shown
    assert "+enable_telemetry = false" in shown
    assert 'api_key_env_var = "KEY"' in shown
    apply(change)
    assert "hunter2" in Path(change.path).read_text()


def test_a_value_of_another_type_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(SbxError, match=r"tools\.grep\.permission cannot be edited safely"):
        edited(parse("c.toml", "tools = 3\n", Format.TOML), ASK)
