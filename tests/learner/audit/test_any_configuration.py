"""Whatever a configuration says: the audit tells or refuses, and after --fix nothing that it can mend is left."""

import json
import tempfile
from pathlib import Path
from typing import Any

import tomlkit
from audited import Account
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from learner.audit.edits import apply, changes

ODD = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.just(""), st.just("x"), st.just([]), st.just({}))
ENTRY = st.sampled_from(["git", "ls", "find", "*", "", "git status", "make "])
TEXTS = st.lists(ENTRY, max_size=5)
TOOL = st.fixed_dictionaries(
    {},
    optional={
        "permission": st.one_of(st.sampled_from(["always", "ask", "never", "ALWAYS"]), ODD),
        "allowlist": st.one_of(TEXTS, ODD),
        "denylist": st.one_of(st.lists(st.sampled_from(["**/.env", "*", "x"]), max_size=3), ODD),
    },
)
NAMES = ("bash", "read_file", "grep", "write_file", "edit", "web_fetch", "unknown")
URL = st.sampled_from(
    ["http://x.example/v1?token=a", "https://x.example", "http://127.0.0.1:1", "http://[bad", "ws://h"]
)
VIBE = st.fixed_dictionaries(
    {},
    optional={
        "enable_auto_update": st.one_of(st.booleans(), ODD),
        "enable_telemetry": st.one_of(st.booleans(), ODD),
        "bypass_tool_permissions": st.booleans(),
        "default_agent": st.sampled_from(["auto-approve", "ask", "accept-edits"]),
        "enabled_tools": st.lists(st.sampled_from(["bash", "re:(", "*", "read*"]), max_size=2),
        "applied_migrations": st.one_of(st.just(["bash_read_only_defaults_v1"]), ODD),
        "tools": st.one_of(st.dictionaries(st.sampled_from(NAMES), st.one_of(TOOL, TOOL, ODD), max_size=5), ODD),
        "providers": st.one_of(st.lists(st.fixed_dictionaries({"api_base": st.one_of(URL, ODD)}), max_size=3), ODD),
        "mcp_servers": st.lists(st.fixed_dictionaries({"command": st.one_of(TEXTS, ENTRY, ODD)}), max_size=2),
    },
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "defaultMode": st.one_of(st.just("yolo"), ODD),
        "sandbox": st.one_of(
            ODD,
            st.fixed_dictionaries(
                {},
                optional={
                    "enabled": st.one_of(st.booleans(), ODD),
                    "level": st.one_of(st.sampled_from(["none", "strict"]), ODD),
                    "allowNetwork": st.one_of(st.booleans(), ODD),
                    "extraBinds": st.one_of(st.lists(st.sampled_from(["/:/x", "~/.ssh", "a:b:c", "/usr"])), ODD),
                },
            ),
        ),
        "approval": st.one_of(st.fixed_dictionaries({"bashWhitelist": st.one_of(TEXTS, ODD)}), ODD),
        "providers": st.one_of(st.dictionaries(st.just("p"), st.dictionaries(st.just("baseUrl"), URL)), ODD),
    },
)


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(each) for key, each in value.items() if each is not None}
    return [_without_none(each) for each in value if each is not None] if isinstance(value, list) else value


def _mended(name: str, text: str) -> None:
    with tempfile.TemporaryDirectory() as top:
        account = Account(Path(top))
        account.write(name, text)
        todo = changes(account.audit().edits)
        for change in todo:
            assert all("cannot be edited safely: change it by hand" in refusal for refusal in change.refused)
            apply(change)
        left = {edit for change in changes(account.audit().edits) for edit in change.refused}
        assert left == {refusal for change in todo for refusal in change.refused}
        assert left or account.audit().edits == ()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VIBE)
def test_vibe(config: dict[str, Any]) -> None:
    _mended(".vibe/config.toml", tomlkit.dumps(_without_none(config)))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SETTINGS, st.sampled_from([None, 2]))
def test_vibecoding(config: dict[str, Any], indent: int | None) -> None:
    _mended(".vibecoding/settings.json", json.dumps(config, indent=indent))
