import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from samples import VARIABLES, VIBE, profiles

from learner.profile import Profile, dumps
from learner.profile_form import schema

PUBLISHED = Path(__file__).parents[2] / "docs/profile.schema.json"
REFRESH = "python -c 'import json; from learner.profile_form import schema; print(json.dumps(schema(), indent=2))'"


def valid(value: Any, rule: dict[str, Any], root: dict[str, Any]) -> bool:
    """Whether ``value`` obeys ``rule``: the keywords that our schema uses, and no others."""
    for keyword, wanted in rule.items():
        match keyword:
            case "$ref":
                ok = valid(value, root["$defs"][wanted.removeprefix("#/$defs/")], root)
            case "anyOf" | "allOf":
                ok = (any if keyword == "anyOf" else all)(valid(value, each, root) for each in wanted)
            case "type":
                kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
                ok = type(value) is kinds[wanted]
            case "properties":
                ok = all(valid(value[key], each, root) for key, each in wanted.items() if key in value)
            case "required":
                ok = set(wanted) <= set(value)
            case "additionalProperties":
                ok = wanted or set(value) <= set(rule["properties"])
            case "items":
                ok = all(valid(each, wanted, root) for each in value)
            case "enum":
                ok = value in wanted
            case "minLength":
                ok = len(value) >= wanted
            case "minimum":
                ok = value >= wanted
            case "maximum":
                ok = value <= wanted
            case "$schema" | "$defs" | "title" | "description" | "default":
                ok = True
            case _:
                raise AssertionError(f"the tiny validator does not know {keyword}")
        if not ok:
            return False
    return True


def test_the_published_schema_is_up_to_date() -> None:
    assert json.loads(PUBLISHED.read_text()) == json.loads(json.dumps(schema())), (
        f"{REFRESH} > docs/profile.schema.json"
    )


@given(profiles)
def test_the_schema_accepts_what_is_written(profile: Profile) -> None:
    assert valid(tomllib.loads(dumps(profile, VARIABLES)), schema(), schema())


@pytest.mark.parametrize(
    ("pattern", "instead"),
    [
        ("version = 1", "version = 2"),
        ('scope = "file"', 'scope = "dir"'),
        ('rights = \\["list"\\]', 'rights = ["lsit"]'),
        ("port = 4000", "port = 65536"),
        ('name = "vibe"', ""),
        ("partial = true", "partial = true\nx = 1"),
    ],
)
def test_the_schema_refuses_what_loading_refuses(pattern: str, instead: str) -> None:
    text, count = re.subn(pattern, instead, dumps(VIBE, VARIABLES), count=1)
    assert count == 1
    assert not valid(tomllib.loads(text), schema(), schema())
