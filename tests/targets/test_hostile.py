"""No file name adds a rule: what is read back by other means than ours is the name itself, or nothing."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import nono_run
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import VARIABLES, hostile_names, network_grants, profiles

from learner.gaps import Gap
from learner.names import to_text
from learner.policy import Grant, NetworkGrant, Policy, Right, Scope
from learner.profile import Profile
from learner.targets.nono import NONO
from learner.targets.nono_flags import NONO_FLAGS
from learner.targets.srt import SRT
from learner.targets.target import Export, Request, Target

NASTY = st.sampled_from(
    [
        *(
            "$HOME",
            "$WORKDIR/x",
            "~",
            "*",
            "**",
            "a?",
            "[ab]",
            "]",
            "{a,b}",
            "@{HOME}",
            "${x}",
            "`id`",
            "$(id)",
            "%VAR%",
        ),
        *(
            "-- rm",
            "--allow",
            "-v",
            '"',
            "'",
            "\\",
            '"],"allow":["/"',
            "a b",
            "//x",
            "# x",
            "\n--allow\n/",
            "a,b",
            "...",
        ),
        *("\udcff", "\x1b[2J", "é", "\u202e", "\x7f", "\t", ";id", "|id", "&", "literal: true"),
    ]
).map(lambda name: name.replace("/", "_"))
NAMES = st.one_of(NASTY, hostile_names).filter(lambda name: name not in (".", "..", ""))
RIGHTS = st.sampled_from([Right.READ, Right.READ | Right.WRITE, Right.WRITE, Right.CONNECT])
LISTS = {*nono_run.LISTS, "unix_socket", "unix_socket_subtree", "bypass_protection"}
FILE = "/srv/own"


def exported(target: Target, path: str, scope: Scope, rights: Right) -> tuple[Export, Export]:
    """The export of a policy with a grant on ``path``, and that of one without."""
    own = Grant(FILE, Scope.FILE, Right.READ, ())

    def of(*grants: Grant) -> Export:
        return target.export(Request(Profile("tool", "tool", Policy((own, *grants))), ("tool", "-x"), VARIABLES))

    return of(Grant(path, scope, rights, ())), of()


def left_out(gaps: tuple[Gap, ...], path: str) -> bool:
    return f"left out: {to_text(path)}" in [gap.item for gap in gaps]


@settings(deadline=None)
@given(NAMES, st.sampled_from(Scope), RIGHTS)
def test_in_a_nono_profile(name: str, scope: Scope, rights: Right) -> None:
    path = f"/home/ada/{name}"
    with_it, without = exported(NONO, path, scope, rights)
    found, base = json.loads(with_it.data), json.loads(without.data)
    assert {*found["filesystem"]} <= LISTS
    added = [
        entry
        for key, entries in found["filesystem"].items()
        for entry in entries
        if entry not in base["filesystem"].get(key, [])
    ]
    assert bool(added) != (left_out(with_it.gaps, path) or (rights, scope) == (Right.CONNECT, Scope.TREE))
    for entry in added:
        assert not re.search(r"[*?\[\]{}]", entry)
        assert entry.replace("$HOME", "/home/ada", 1) == path
        assert entry.count("$") == 1
    for document in (found, base):
        del document["filesystem"], document["meta"]["description"]
    assert found == base


@pytest.mark.parametrize("shell", ["sh", "bash", "zsh"])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(name=NAMES, scope=st.sampled_from(Scope), rights=RIGHTS)
def test_in_a_nono_line(shell: str, name: str, scope: Scope, rights: Right, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    path = f"/home/ada/{name}"
    with_it, without = exported(NONO_FLAGS, path, scope, rights)
    words, base = (seen(shell, one.data, tmp_path) for one in (with_it, without))
    if left_out(with_it.gaps, path) or (rights, scope) == (Right.CONNECT, Scope.TREE):
        assert words == base
        return
    at = [index for index, word in enumerate(words) if word == path]
    assert at
    rest = [word for index, word in enumerate(words) if index not in at and index + 1 not in at]
    assert {words[index - 1] for index in at} <= {f"--{key.replace('_', '-')}" for key in LISTS} | {
        "--allow-unix-socket",
        "--allow-unix-socket-subtree",
    }
    assert rest == base


def seen(shell: str, script: bytes, directory: Path) -> list[str]:
    """The words that a program ``nono`` gets from the script."""
    program = directory / "nono"
    if not program.exists():
        program.write_text('#!/bin/sh\nprintf "%s\\0" "$@" > words\n')
        program.chmod(0o755)
    (directory / "words").unlink(missing_ok=True)
    done = subprocess.run(
        [shell, "-c", script],
        cwd=directory,
        env={"PATH": f"{directory}:/usr/bin:/bin"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(entry.name for entry in directory.iterdir()) == ["nono", "words"]
    return (directory / "words").read_bytes().decode(errors="surrogateescape").split("\0")[:-1]


@settings(deadline=None)
@given(NAMES, st.sampled_from(Scope), RIGHTS)
def test_in_srt_settings(name: str, scope: Scope, rights: Right) -> None:
    path = f"/home/ada/{name}"
    with_it, without = exported(SRT, path, scope, rights)
    found, base = json.loads(with_it.data), json.loads(without.data)
    added = []
    for key, entries in found["filesystem"].items():
        added += [entry for entry in entries if entry not in base["filesystem"][key]]
    added += found["network"].pop("allowUnixSockets", [])
    assert bool(added) != left_out(with_it.gaps, path)
    for entry in added:
        pattern = bool(re.search(r"[*?\[\]]", path)) and not isinstance(entry, str)
        assert entry == ({"path": path, "literal": True} if pattern else path)
    for document in (found, base):
        del document["filesystem"], document["_comment"]
    assert found == base


@settings(deadline=None)
@given(network_grants)
def test_no_host_adds_one(grant: NetworkGrant) -> None:
    policy = Policy((), (grant,))
    request = Request(Profile("tool", "tool", policy), ("tool",), VARIABLES)
    domains = json.loads(SRT.export(request).data)["network"]["allowedDomains"]
    assert len(domains) <= 1
    for domain in domains:
        host, _, port = domain.rpartition(":")
        assert re.fullmatch(r"\[[0-9a-f:.]+\]|(?:\*\.)?[a-z0-9_.-]+", host)
        assert int(port) == grant.port
    network = json.loads(NONO.export(request).data)["network"]
    assert all(re.fullmatch(r"(?:\*\.)?[a-z0-9_.-]+", domain) for domain in network.get("allow_domain", []))


@pytest.mark.parametrize("target", [NONO, NONO_FLAGS, SRT], ids=lambda target: target.name)
@settings(deadline=None)
@given(profile=profiles)
def test_any_profile_can_be_written(target: Target, profile: Profile) -> None:
    found = target.export(Request(profile, ("tool", profile.command), VARIABLES))
    assert found.data.endswith(b"\n")
    assert b"\x1b" not in found.data.replace(profile.command.encode(errors="surrogateescape"), b"")
    for gap in found.gaps:
        assert not re.search(r"[\x00-\x1f\x7f-\x9f]", gap.item + gap.reason)
    for line in target.admit(profile.policy.grants, profile.policy.network):
        assert "\n" not in line
