import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from accesses import HEADER, PROGRAMS, access, trace
from hypothesis import given
from hypothesis import strategies as st
from samples import VARIABLES, hostile_names, paths, profiles

from learner.access import Kind
from learner.agent import Agent, Known, Ran, Source
from learner.agent_version import TIMEOUT, ask, find_agent, find_version, sha256
from learner.interpreters import Interpreter, Via
from learner.policy import Grant, Policy, Right, Scope
from learner.profile import Profile, dumps, loads
from learner.ran import programs
from learner.trace import Trace
from tracers.events import Operation
from tracers.programs import Program


def write(path: Path, text: str = "", mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture
def venv(scratch: Path) -> Path:
    """A virtual environment with the package mistral-vibe 3.0.3 in it, and another one."""
    site = scratch / "tool/lib/python3.12/site-packages"
    info = site / "mistral_vibe-3.0.3.dist-info"
    write(info / "METADATA", "Metadata-Version: 2.1\nName: mistral-vibe\nVersion: 3.0.3\n\nVersion: 9\n")
    write(info / "entry_points.txt", "[console_scripts]\nvibe = vibe.cli:main\n\n[other]\npip = x\n")
    write(info / "RECORD", "vibe/_bin/vibe-rs,sha256=x,10\n../../../bin/vibe-app-server,sha256=y,3\n")
    other = site / "other-1.0.dist-info"
    write(other / "METADATA", "Name: other\nVersion: 1.0\n")
    write(other / "entry_points.txt", "not [ini\n")
    write(site / "broken.dist-info/METADATA", "\n")
    write(site / "vibe/_bin/vibe-rs", "native", 0o755)
    write(scratch / "tool/bin/vibe", "#!/usr/bin/python3\n", 0o755)
    write(scratch / "tool/bin/vibe-app-server", "#!/usr/bin/python3\n", 0o755)
    write(scratch / "tool/bin/unknown", "#!/bin/sh\n", 0o755)
    return scratch / "tool"


def test_from_the_packages_of_a_virtual_environment(venv: Path, scratch: Path) -> None:
    vibe = Known("3.0.3", "mistral-vibe", Source.DIST_INFO)
    link = scratch / "bin/vibe"
    link.parent.mkdir()
    link.symlink_to(venv / "bin/vibe")  # as `uv tool install` and pipx do
    helper = venv / "lib/python3.12/site-packages/vibe/_bin/vibe-rs"
    for file in (venv / "bin/vibe", link, venv / "bin/vibe-app-server", helper):
        assert find_version(str(file)) == vibe
    assert find_version(str(venv / "bin/unknown")) is None
    assert find_version(str(venv / "bin/missing")) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": "a"}', '{"name": "a", "version": 3}', "[" * 100_000])
def test_a_package_json_that_says_nothing(content: str, scratch: Path) -> None:
    write(scratch / "node_modules/a/package.json", content)
    assert find_version(str(write(scratch / "node_modules/a/cli.js", mode=0o755))) is None


def test_from_package_json(scratch: Path) -> None:
    package = scratch / "lib/node_modules/@me/pi"
    write(package / "package.json", json.dumps({"name": "@me/pi", "version": "0.51.2"}))
    cli = write(package / "dist/cli.js", "#!/usr/bin/env node\n", 0o755)
    (scratch / "bin").mkdir()
    (scratch / "bin/pi").symlink_to(cli)
    assert find_version(str(scratch / "bin/pi")) == Known("0.51.2", "@me/pi", Source.PACKAGE_JSON)
    write(scratch / "lib/node_modules/package.json", '{"name": "above", "version": "1.0"}')
    stray = write(scratch / "lib/node_modules/stray.js", mode=0o755)
    assert find_version(str(stray)) is None


def test_hashes(scratch: Path) -> None:
    file = write(scratch / "file", "x" * 3_000_000)
    assert sha256(str(file)) == hashlib.sha256(b"x" * 3_000_000).hexdigest()
    os.mkfifo(scratch / "fifo")
    started = time.monotonic()
    assert sha256(str(scratch / "missing")) == sha256(str(scratch)) == ""
    sha256(str(scratch / "fifo"))
    assert time.monotonic() - started < 2


def ran_trace(venv: Path) -> Trace:
    vibe = str(venv / "bin/vibe")
    programs = (
        PROGRAMS[0],
        Program(vibe, "/usr/bin/python3.11", 0),
        Program(str(venv / "lib/python3.12/site-packages/vibe/_bin/vibe-rs"), "", 1),
        Program("/bin/sh", "/usr/bin/dash", 2),
        Program("/tmp/sbx-1000/build-1/probe", "", 3),
    )
    started = access(Operation.EXEC, "/usr/bin/python3.11", Kind.FILE, program=0)
    started = msgspec.structs.replace(started, call=f"interpreter of {vibe}")
    header = msgspec.structs.replace(HEADER, temporary="/tmp/sbx-1000")
    made = trace(started, access(Operation.EXEC, vibe, program=0))
    found = {vibe: (Interpreter(Via.SHEBANG, "/usr/bin/python3"),)}
    return msgspec.structs.replace(made, programs=programs, interpreted=found, header=header)


def test_what_an_agent_ran(venv: Path) -> None:
    found = programs(ran_trace(venv))
    assert [(ran.name, ran.path.removeprefix(str(venv)), ran.by, ran.interpreter) for ran in found] == [
        ("sh", "/bin/sh", ("vibe-rs",), False),
        ("vibe", "/bin/vibe", (), False),
        ("vibe-rs", "/lib/python3.12/site-packages/vibe/_bin/vibe-rs", ("vibe",), False),
        ("probe", "/tmp/sbx-1000/*/*", ("sh",), False),
        ("python3.11", "/usr/bin/python3.11", ("vibe",), True),
    ]
    agent = find_agent(ran_trace(venv), str(venv / "bin/vibe"))
    assert agent.known == Known("3.0.3", "mistral-vibe", Source.DIST_INFO)
    assert agent.sha256 == sha256(str(venv / "bin/vibe"))
    by_name = {ran.name: ran for ran in agent.ran}
    assert by_name["vibe-rs"].known == agent.known
    assert by_name["sh"].sha256 == sha256("/bin/sh")
    assert [ran.sha256 for ran in agent.ran if "*" in ran.path] == [""]


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("script", "version"),
    [
        ("echo tool version v1.22.333-rc.4", "1.22.333-rc.4"),
        ('[ "$1" = --version ] && read x; echo "$x 2.0"', "2.0"),
        ("echo nothing", None),
        ("echo 1.0; exit 3", None),
        ("sleep 60; echo 1.0", None),
        ("echo 1.5; sleep 60 >/dev/null &", "1.5"),
        ("echo 1.5; sleep 60 &", None),
        ('cat "$SECRET" && echo 1.0', None),
    ],
)
def test_a_program_is_asked_confined_and_with_a_time_limit(
    script: str,
    version: str | None,
    scratch: Path,
    require: Callable[[object, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from learner.enforcers.landlock import abi

    require(abi(), "Landlock")
    monkeypatch.setattr("learner.agent_version.TIMEOUT", 1.0)
    assert TIMEOUT == 5.0
    secret = write(scratch / "secret", "s")
    text = f"#!/bin/sh\nSECRET={secret}\n{script}\n"
    tool = write(scratch / "bin/tool", text, 0o755)
    readable = Right.READ | Right.LIST | Right.EXEC
    places = ("/usr", "/lib", "/lib64", "/bin", str(scratch / "bin"))
    policy = Policy(tuple(Grant(place, Scope.TREE, readable, ()) for place in places if os.path.isdir(place)))
    agent = Agent("tool", str(tool))
    started = time.monotonic()
    found = ask(agent, trace(), policy)
    assert time.monotonic() - started < 4
    assert found.known == (Known(version, "", Source.ASKED) if version else None)


known = st.one_of(
    st.none(), st.builds(Known, hostile_names, st.one_of(st.just(""), hostile_names), st.sampled_from(Source))
)
ran = st.builds(
    Ran,
    hostile_names,
    paths,
    st.lists(hostile_names, max_size=2, unique=True).map(lambda some: tuple(sorted(some))),
    st.sampled_from(["", "ab" * 32]),
    known,
    st.booleans(),
)
agents = st.builds(
    Agent,
    hostile_names,
    paths,
    st.sampled_from(["", "ab" * 32]),
    known,
    st.lists(ran, max_size=3, unique_by=lambda one: (one.path, one.name)).map(
        lambda some: tuple(sorted(some, key=lambda one: (one.path, one.name)))
    ),
)


@given(profiles, agents)
def test_a_profile_keeps_it(profile: Profile, agent: Agent) -> None:
    text = dumps(msgspec.structs.replace(profile, agent=agent), VARIABLES)
    again = loads(text, "x", VARIABLES)
    assert again.agent == agent
    assert dumps(again, VARIABLES) == text


def test_an_older_profile_has_none() -> None:
    assert loads('version = 1\nname = "a"\ncommand = "a"\n', "x", VARIABLES).agent is None
