"""Exports against the schemas that nono and landlockconfig publish, as far as an export could come into conflict.

Stated here anew after ``nono-profile.schema.json`` (nolabs-ai/nono, 01ead4c) and ``schema/landlockconfig.json``
(landlock-lsm/landlockconfig, 1b3da07): which keys there are, of which types, and that there are no others.
"""

import json
from typing import Any

import jsonschema
import pytest
from exports import POLICY, SAMPLE, request_of
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.policy import Grant, NetworkAction, NetworkGrant, Policy, Right, Scope
from learner.targets.table import find
from tracers.events import Transport

TEXT: Any = {"type": "string"}
MAYBE_TEXT: Any = {"type": ["string", "null"]}
PORTS: Any = {"type": "array", "items": {"type": "integer"}}


def record(required: tuple[str, ...] = (), **properties: object) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": list(required),
    }


def some(item: object) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": item}


def conditional(key: str) -> dict[str, Any]:
    """A text, or an object that puts it under a condition."""
    return {"type": "array", "items": {"oneOf": [TEXT, record((key,), **{key: TEXT, "when": {}})]}}


NONO = record(
    meta=record(name=TEXT, version=TEXT, description=MAYBE_TEXT, author=MAYBE_TEXT),
    groups=record(include=conditional("name"), exclude=conditional("name")),
    workdir=record(access={"enum": ["none", "read", "write", "readwrite"]}),
    environment={"type": "object", "properties": {"set_vars": {"type": "object", "additionalProperties": TEXT}}},
    filesystem=record(
        **dict.fromkeys(
            (
                *("allow", "read", "write", "allow_file", "read_file", "write_file", "deny"),
                *("unix_socket", "unix_socket_dir", "unix_socket_subtree"),
                *("unix_socket_bind", "unix_socket_dir_bind", "unix_socket_subtree_bind"),
                *("bypass_protection", "suppress_save_prompt", "ignore"),
            ),
            conditional("path"),
        )
    ),
    network=record(
        block={"type": "boolean"},
        allow_domain={"type": "array", "items": TEXT},
        deny_domain={"type": "array", "items": TEXT},
        open_port=PORTS,
        connect_port=PORTS,
        listen_port=PORTS,
    ),
)

RIGHTS = some(
    {
        "enum": [
            *("abi.all", "abi.read_execute", "abi.read_write", "execute", "write_file", "read_file", "read_dir"),
            *("remove_dir", "remove_file", "make_char", "make_dir", "make_reg", "make_sock", "make_fifo"),
            *("make_block", "make_sym", "refer", "truncate", "ioctl_dev"),
        ]
    }
)
TCP = some({"enum": ["abi.all", "bind_tcp", "connect_tcp"]})
SCOPES = some({"enum": ["abi.all", "abstract_unix_socket", "signal"]})
LANDLOCK = record(
    abi={"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
    variable=some(record(("name",), name=TEXT, literal=some(TEXT))),
    ruleset=some({**record(handledAccessFs=RIGHTS, handledAccessNet=TCP, scoped=SCOPES), "minProperties": 1}),
    pathBeneath=some(record(("allowedAccess", "parent"), allowedAccess=RIGHTS, parent=some(TEXT))),
    netPort=some(
        record(
            ("allowedAccess", "port"),
            allowedAccess=TCP,
            port=some({"type": "integer", "minimum": 0, "maximum": 2**64 - 1}),
        )
    ),
) | {"anyOf": [{"required": [key]} for key in ("variable", "ruleset", "pathBeneath", "netPort")]}

SCHEMAS = {"nono": NONO, "landlock-json": LANDLOCK}

grants = st.builds(
    Grant,
    st.text(st.characters(exclude_characters="\0/"), min_size=1, max_size=6).map(lambda name: f"/srv/{name}"),
    st.sampled_from(Scope),
    st.integers(1, (~Right(0)).value).map(Right),
    st.just(()),
)
connects = st.builds(
    NetworkGrant,
    st.sampled_from(NetworkAction),
    st.sampled_from(["127.0.0.1", "api.test", "*.test", "*"]),
    st.integers(0, 65535),
    st.sampled_from(Transport),
    st.just(()),
)
policies = st.builds(
    Policy,
    st.lists(grants, max_size=4, unique_by=lambda grant: grant.path).map(tuple),
    st.lists(connects, max_size=3).map(tuple),
)


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_sample_fits_the_published_schema(name: str) -> None:
    document = json.loads(find(name).export(SAMPLE).data)
    jsonschema.validate(document, SCHEMAS[name])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document | {"more": 1}, SCHEMAS[name])


@pytest.mark.parametrize("name", SCHEMAS)
@settings(max_examples=60, deadline=None)
@given(policy=policies)
def test_any_policy_fits_the_published_schema(name: str, policy: Policy) -> None:
    jsonschema.validate(json.loads(find(name).export(request_of(policy)).data), SCHEMAS[name])


def test_the_sample_says_something() -> None:
    assert json.loads(find("nono").export(SAMPLE).data)["filesystem"]
    assert len(json.loads(find("landlock-json").export(request_of(POLICY)).data)["pathBeneath"]) > 3
