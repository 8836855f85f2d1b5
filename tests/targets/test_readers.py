"""Formats read back: what a person wrote, what sbx wrote itself, and what is none."""

import pytest
from exports import HOME, POLICY, PROJECT, SAMPLE, VARIABLES

from learner.enforcers.landlock import fs_access
from learner.errors import InputFileError
from learner.policy import ANYWHERE, CHANGES, NetworkAction, Policy, Right, Scope
from learner.targets import bwrap, bwrap_words, landlock, landlock_form, vibecoding
from learner.targets.landlock_form import KNOWN

WRITTEN = """#!/bin/bash
# bwrap --bind / / would be too much
set -e
cd "$1" && mkdir -p out
exec /usr/bin/bwrap \\
    --unshare-all --share-net --die-with-parent --cap-drop ALL \\
    --ro-bind /usr /usr --symlink usr/bin /bin \\
    --bind "$HOME/.vibe" $HOME/.vibe/ --dev-bind-try /dev/dri /dev/dri \\
    --bind "$PWD" "$PWD" --bind ~/data /data --ro-bind "$OTHER" "$OTHER" --tmpfs /tmp --proc /proc --hostname box \\
    -- vibe --bind /etc /etc "$@"
echo done
"""


def test_a_script_with_bwrap_in_it() -> None:
    policy, gaps = bwrap_words.read(WRITTEN, "x", VARIABLES)
    assert {grant.path for grant in policy.grants} == {"/usr", f"{HOME}/.vibe", "/dev/dri", PROJECT, "/proc"}
    assert policy.rights_on("/usr/bin/sh") & CHANGES == Right(0)
    assert policy.rights_on(f"{HOME}/.vibe/x") & CHANGES == CHANGES
    assert Right.IOCTL in policy.rights_on("/dev/dri")
    assert policy.links == ("/bin",)
    assert {(n.action, n.host) for n in policy.network} == {(action, ANYWHERE) for action in NetworkAction}
    assert [gap.item for gap in gaps] == [
        "--hostname box",
        "--ro-bind $OTHER $OTHER",
        "--tmpfs /tmp",
        f"{HOME}/data at /data",
    ]


def test_our_own_script_says_what_is_not_read() -> None:
    _, gaps = bwrap_words.read(bwrap.SCRIPT.export(SAMPLE).data.decode(), "x", VARIABLES)
    assert "$@" in {gap.item for gap in gaps}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no command line of bwrap"),
        ("echo bwrap\n", "no command line of bwrap"),
        ("bwrap --ro-bind /usr\n", "--ro-bind lacks a word"),
        ("bwrap --nonesuch /usr\n", "no command line of bwrap"),
        ("bwrap --ro-bind / / --nonesuch\n", "--nonesuch is no option"),
        ("--bind\0/x\0", "--bind lacks a word"),
        ("bwrap --ro-bind '/us", "--ro-bind lacks a word"),
    ],
)
def test_what_is_no_command_line(text: str, said: str) -> None:
    with pytest.raises(InputFileError, match=said):
        bwrap_words.read(text, "x", VARIABLES)


def test_its_own_network_is_none() -> None:
    closed = SAMPLE._replace(profile=SAMPLE.profile.__class__("x", "x", Policy(POLICY.grants)))
    for target in (bwrap.SCRIPT, bwrap.ARGS):
        assert bwrap_words.read(target.export(closed).data.decode(), "x", VARIABLES)[0].network == ()


def test_landlock_says_the_same_again() -> None:
    for target in (landlock.TOML, landlock.JSON):
        policy, _ = landlock_form.read(target.export(SAMPLE).data.decode(), "x", VARIABLES)
        for grant in POLICY.grants:
            if grant.scope is Scope.TREE or not grant.rights & Right.LIST:
                wanted = fs_access(grant.rights) & KNOWN
                assert fs_access(policy.rights_on(grant.path)) & KNOWN & wanted == wanted, grant
        assert {(n.action, n.port) for n in policy.network} == {
            (NetworkAction.BIND, 0),
            (NetworkAction.CONNECT, 4000),
            (NetworkAction.CONNECT, 443),
        }


def test_landlock_with_variables_and_groups() -> None:
    text = """
abi = 5
[[variable]]
name = "own"
literal = ["/home/ada", "/srv"]
[[path_beneath]]
allowed_access = ["abi.read_execute"]
parent = ["/usr", "${own}/bin$$x"]
[[path_beneath]]
allowed_access = ["v5.read_write"]
parent = ["${own}/work", "."]
[[net_port]]
allowed_access = ["connect_tcp"]
port = [443]
"""
    policy, gaps = landlock_form.read(text, "x", VARIABLES)
    paths = {grant.path for grant in policy.grants}
    assert paths == {"/usr", "/home/ada/bin$x", "/srv/bin$x", "/home/ada/work", "/srv/work"}
    assert policy.rights_on("/usr/x") & (CHANGES & ~Right.MOVE) == Right(0)
    assert Right.EXEC not in policy.rights_on("/srv/work")
    assert Right.CREATE in policy.rights_on("/srv/work")
    assert {(n.action, n.host, n.port) for n in policy.network} == {
        (NetworkAction.CONNECT, "0.0.0.0", 443),
        (NetworkAction.BIND, ANYWHERE, 0),
    }
    assert [gap.item for gap in gaps] == [".", "hosts"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[path_beneath]]\nallowed_access = ['fly']\nparent = ['/']\n", "no right of Landlock"),
        ("[[path_beneath]]\nallowed_access = ['execute']\nparent = ['${x}']\n", "no variable"),
        ("[[path_beneath]]\nallowed_access = ['execute']\n", "parent"),
        ("[[net_port]]\nallowed_access = ['bind_tcp']\nport = [70000]\n", "port"),
        ("nonesuch = 1\n", "nonesuch"),
        ("{", "neither TOML nor JSON"),
        ("{}[]", "neither TOML nor JSON"),
    ],
)
def test_what_is_no_configuration_of_landlock(text: str, said: str) -> None:
    with pytest.raises(InputFileError, match=said):
        landlock_form.read(text, "x", VARIABLES)


def test_vibecoding() -> None:
    text = '{"sandbox": {"enabled": true, "level": "strict", "extraBinds": ["~/data", "/a:/b"], "allowNetwork": true}}'
    policy, gaps = vibecoding.read(text, "x", VARIABLES)
    assert [grant.path for grant in policy.grants] == [f"{HOME}/data"]
    assert policy.rights_on(f"{HOME}/data") & CHANGES == Right(0)
    assert len(policy.network) == 4
    assert [gap.item for gap in gaps] == ["bind /a at /b", "level strict"]
    with pytest.raises(InputFileError):
        vibecoding.read("[]", "x", VARIABLES)
