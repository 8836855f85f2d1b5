"""No name of a file can add a rule: each format is read by a parser of it, and holds exactly what was meant.

Formats with a parser of their own on this machine (sh, AppArmor) are asked there; the others are JSON, TOML, or lines.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from capability import require
from exports import HOME, TRICKS, holding, request_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import hostile_names

from learner.gaps import Gap
from learner.names import to_text
from learner.policy import CHANGES, Grant, NetworkAction, NetworkGrant, Policy, Right, Scope
from learner.targets import (
    bwrap,
    bwrap_words,
    claude_code,
    codex,
    firejail,
    landlock,
    landlock_form,
    lulu,
    systemd,
    vibe,
    vibecoding,
)
from learner.targets.apparmor import TARGET as APPARMOR
from learner.targets.target import Export
from tracers.events import Transport

READ = Right.READ | Right.LIST
names = st.one_of(
    st.sampled_from(TRICKS),
    hostile_names,
    st.text("ab\\*?[]{}@^'\" $%\n", min_size=1),
).filter(lambda name: name not in (".", ".."))
_lists = st.lists(names.map(lambda name: f"{HOME}/{name}"), min_size=1, max_size=4, unique=True)
_paths = st.one_of(_lists, _lists, _lists, st.just([f"{HOME}/{trick}" for trick in TRICKS]))
SETTINGS = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def exported(target: object, paths: list[str], denied: list[str]) -> Export:
    """Files to read at ``paths``, and names to be refused."""
    grants = tuple(Grant(path, Scope.FILE, Right.READ, ()) for path in sorted(paths))
    found = target.export(request_of(Policy(grants), denied, holding([*paths, *denied])))  # type: ignore[attr-defined]
    assert isinstance(found, Export)
    return found


def shown(gaps: tuple[Gap, ...]) -> set[str]:
    return {gap.item.removeprefix("left out: ") for gap in gaps}


def uncommented(data: bytes, sign: str = "#") -> list[str]:
    return [line for line in data.decode().split("\n") if line and not line.startswith(sign)]


@SETTINGS
@given(_paths)
@pytest.mark.parametrize("form", ["landlock", "landlock-json"])
def test_landlock(form: str, paths: list[str]) -> None:
    target = landlock.TOML if form == "landlock" else landlock.JSON
    export = exported(target, paths, [])
    policy, _ = landlock_form.read(export.data.decode(), "x", request_of(Policy()).variables)
    sayable = {path for path in paths if path.encode(errors="replace").decode() == path}
    assert {g.path for g in policy.grants} - {
        f"/dev/{n}" for n in ("full", "null", "random", "urandom", "zero")
    } == sayable
    assert {to_text(path) for path in {*paths} - sayable} <= shown(export.gaps)
    assert all(g.rights == Right.READ for g in policy.grants if g.path in sayable)


@SETTINGS
@given(_paths, _paths)
def test_bwrap_arguments(paths: list[str], denied: list[str]) -> None:
    denied = [path for path in denied if path not in paths]
    export = exported(bwrap.ARGS, paths, denied)
    words = [os.fsdecode(word) for word in export.data.split(b"\0")[:-1]]
    policy, gaps = bwrap_words.read("\0".join(words) + "\0", "x", request_of(Policy()).variables)
    assert {grant.path for grant in policy.grants} == {*paths}
    assert {to_text(path) for path in denied} <= shown(gaps)


@pytest.fixture
def stub(tmp_path: Path) -> dict[str, str]:
    """An environment in which bwrap and mkdir only say their words."""
    for name in ("bwrap", "mkdir"):
        tool = tmp_path / name
        tool.write_text(f"#!/bin/sh\nprintf '%s\\0' {name} \"$@\"\n")
        tool.chmod(0o755)
    return {"PATH": f"{tmp_path}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_paths, _paths)
def test_bwrap_script(stub: dict[str, str], paths: list[str], denied: list[str]) -> None:
    """Run by sh: bwrap is given just the words that the list of arguments has, and mkdir the directories."""
    denied = [path for path in denied if path not in paths]
    made = Grant(f"{paths[0]}.d", Scope.TREE, READ | CHANGES, (), ensure=True)
    request = request_of(Policy((*(Grant(p, Scope.FILE, Right.READ, ()) for p in paths), made)), (), holding(paths))
    script = bwrap.SCRIPT.export(request).data
    done = subprocess.run(
        ["/bin/sh", "-s", "--", "more words"], input=script, env=stub, cwd="/", capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    said = done.stdout.split(b"\0")[:-1]
    options = bwrap.ARGS.export(request).data.split(b"\0")[:-1]
    assert said[:6] == [b"mkdir", b"-p", b"-m", b"700", b"--", os.fsencode(made.path)]
    assert said[6:] == [b"bwrap", *options, b"--chdir", b"/", b"--", b"vibe", b"-p", b"it's", b"more words"]


@SETTINGS
@given(_paths)
def test_bwrap_script_is_read_back(paths: list[str]) -> None:
    text = exported(bwrap.SCRIPT, paths, []).data.decode(errors="surrogateescape")
    policy, _ = bwrap_words.read(text, "x", request_of(Policy()).variables)
    assert {grant.path for grant in policy.grants} == {*paths}


@SETTINGS
@given(st.lists(names, max_size=5))
def test_shell_words_are_those_of_sh(words: list[str]) -> None:
    line = "bwrap --bind / / --setenv A " + " ".join(map(shlex.quote, ["x", *words])) + " # more\n"
    found = [token.text for token in bwrap_words._command(line, request_of(Policy()).variables)]
    assert found == ["--bind", "/", "/", "--setenv", "A", "x", *words]


@SETTINGS
@given(_paths, _paths)
def test_firejail(paths: list[str], denied: list[str]) -> None:
    """A profile is lines: a command, a blank, and all that follows."""
    export = exported(firejail.TARGET, paths, denied)
    lines = uncommented(export.data)
    meant = {f"{what} {path}" for path in paths for what in ("whitelist", "read-only")}
    meant |= {f"blacklist {path}" for path in denied}
    assert [line for line in lines if HOME in line and line not in meant] == []
    commands = {
        "whitelist",
        "blacklist",
        "read-only",
        "read-write",
        "protocol",
        "caps.drop",
        "net",
        "dbus-user",
        "nonewprivs",
    }
    commands |= {"dbus-system", "seccomp", "noroot", "nogroups", "ipc-namespace", "machine-id"}
    assert {line.split(" ")[0] for line in lines} <= commands
    lost = {path for path in (*paths, *denied) if not {f"whitelist {path}", f"blacklist {path}"} & {*lines}}
    assert {to_text(path) for path in lost} <= shown(export.gaps)


@SETTINGS
@given(_paths, _paths)
def test_systemd(paths: list[str], denied: list[str]) -> None:
    """A unit is lines; a word in quotes ends at the next quote, and a backslash would join lines or escape."""
    export = exported(systemd.TARGET, paths, denied)
    lines = uncommented(export.data)
    found = set()
    for line in [line for line in lines if HOME in line]:
        match = re.fullmatch(r'(BindReadOnlyPaths|InaccessiblePaths)="-([^"\\\n]*)"(:"([^"\\\n]*)":rbind)?', line)
        assert match, line
        assert match[4] in (None, match[2])
        assert "%" not in match[2].replace("%%", "")
        found.add(match[2].replace("%%", "%"))
    assert found <= {*paths, *denied}
    assert {to_text(path) for path in {*paths, *denied} - found} <= shown(export.gaps)
    assert [line for line in lines if "=" not in line] == ["[Service]"]


@SETTINGS
@given(_paths, _paths)
def test_codex(paths: list[str], denied: list[str]) -> None:
    export = exported(codex.TARGET, paths, denied)
    document = tomllib.loads(export.data.decode())
    [(name, profile)] = document["permissions"].items()
    assert document["default_permissions"] == name == "sbx-vibe"
    meant = dict.fromkeys(paths, "read") | dict.fromkeys(denied, "deny")
    found = {path: access for path, access in profile["filesystem"].items() if path != ":minimal"}
    assert found.items() <= meant.items()
    assert not any(set("*?[]{}!") & set(path) for path in found)
    assert {to_text(path) for path in {*meant} - {*found}} <= shown(export.gaps)
    assert {*document} == {"default_permissions", "permissions"}


def _rules_of(document: dict[str, dict[str, list[str]]]) -> list[str]:
    return document["permissions"]["allow"] + document["permissions"]["deny"]


@SETTINGS
@given(_paths, _paths)
def test_claude_code(paths: list[str], denied: list[str]) -> None:
    export = exported(claude_code.TARGET, paths, denied)
    document = json.loads(export.data)
    assert all(re.fullmatch(r"(Read|Edit)\(//[^()*?\[\]!\\]*(/\*\*)?\)", rule) for rule in _rules_of(document))
    found = {rule.removeprefix("Read(/").removesuffix(")") for rule in document["permissions"]["allow"]}
    assert found <= {*paths}
    assert {*document["sandbox"]["filesystem"]["allowRead"]} == found
    refused = {*document["sandbox"]["filesystem"]["denyWrite"]}
    assert refused <= {*denied}
    assert {to_text(path) for path in {*paths, *denied} - found - refused} <= shown(export.gaps)


@SETTINGS
@given(_paths)
def test_vibe(denied: list[str]) -> None:
    """As Vibe matches: what is denied is refused, and what differs from it in one character is not."""
    import fnmatch

    export = exported(vibe.TARGET, [], denied)
    tools = tomllib.loads(export.data.decode())["tools"]
    own = [pattern for pattern in tools["read"]["denylist"] if not pattern.startswith("**/")]
    for path in denied:
        if to_text(path) in shown(export.gaps):
            continue
        assert any(fnmatch.fnmatchcase(path, pattern) for pattern in own)
        other = HOME + "/z" + path.removeprefix(HOME + "/")
        assert other in denied or not any(fnmatch.fnmatchcase(other, pattern) for pattern in own)


@SETTINGS
@given(_paths)
def test_vibecoding(paths: list[str]) -> None:
    export = exported(vibecoding.TARGET, paths, [])
    policy, _ = vibecoding.read(export.data.decode(), "x", request_of(Policy()).variables)
    found = {grant.path for grant in policy.grants}
    assert found <= {*paths}
    assert {to_text(path) for path in {*paths} - found} <= shown(export.gaps)


@SETTINGS
@given(names)
def test_lulu(name: str) -> None:
    ends = tuple(NetworkGrant(NetworkAction.CONNECT, host, 443, Transport.TCP, ()) for host in (name, *TRICKS))
    export = lulu.TARGET.export(request_of(Policy((), ends)))
    rules = [rule for of in json.loads(export.data).values() for rule in of]
    assert {rule["endpointAddr"] for rule in rules} <= {name, *TRICKS}
    assert [rule["action"] for rule in rules if rule["endpointAddr"] == "*"] == ["0"]


# --- AppArmor's own automaton


def _dump(text: str, what: str) -> str:
    command = ["apparmor_parser", "-Q", "-K", "-T", *what.split()]
    done = subprocess.run(command, input=os.fsencode(text), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return os.fsdecode(done.stdout + done.stderr)


def _accepted(states: str, name: bytes) -> bool:
    """Whether the automaton that the parser dumps comes to an accepting state with ``name``."""
    accepting = {int(found[1]) for found in re.finditer(r"^\{(\d+)\} \(0x", states, re.MULTILINE)}
    moves: dict[int, dict[int, int]] = {}
    state = 1
    for line in states.split("\n"):
        if match := re.match(r"\{(\d+)\} perms:", line):
            moves[state := int(match[1])] = {}
        elif match := re.search(r"0x([0-9a-f]{1,2}) -> \{(\d+)\}", line):
            moves[state][int(match[1], 16)] = int(match[2])
    at = 1
    for byte in name:
        if byte not in moves.get(at, {}):
            return False
        at = moves[at][byte]
    return at in accepting


@settings(max_examples=25, deadline=None)
@given(st.one_of(st.lists(names, min_size=1, max_size=4, unique=True), st.just([*TRICKS])), names)
def test_apparmor(meant: list[str], other: str) -> None:
    """The rules fit the names that were meant, and none that differs in a character; none reaches into the next."""
    require(shutil.which("apparmor_parser"), "the package apparmor is not installed")
    rules = APPARMOR.admit(tuple(Grant(f"/{name}", Scope.FILE, Right.READ, ()) for name in meant), ())
    text = "profile x {\n" + "\n".join(rules) + "\n}\n"
    states = _dump(text, "-D dfa-states")
    assert [name for name in meant if not _accepted(states, os.fsencode(f"/{name}"))] == []
    near = [name[:at] + more + name[at + 1 :] for name in meant for at in range(len(name)) for more in ("", "z", "zz")]
    strange = {other, *near} - {*meant, ""}
    assert [name for name in strange if _accepted(states, os.fsencode(f"/{name}"))] == []
    assert _dump(text, "-d").count("\tName:\t") == len(meant)
