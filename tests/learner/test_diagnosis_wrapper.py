"""A sandbox of the user's own: what its words open, and a fix in them."""

import shutil
from pathlib import Path

import pytest
from capability import require

from learner.diagnosis.case import Fix
from learner.diagnosis.wrapper import arguments, parse
from learner.errors import UsageError
from learner.policy import Grant, NetworkAction, NetworkGrant, Right, Scope
from tracers.events import Transport
from tracers.tracer import Command


def test_what_bubblewrap_opens() -> None:
    held = parse(
        "bwrap --unshare-all --ro-bind /usr /usr --bind /srv/x /srv/x --setenv A /b --symlink usr/lib /l --tmpfs /t --"
    )
    policy = held.policy
    assert policy.rights_on("/usr/bin/git") & Right.EXEC
    assert not policy.rights_on("/usr/bin/git") & Right.WRITE
    assert policy.rights_on("/srv/x/y") & Right.CREATE
    assert policy.rights_on("/l")
    assert not policy.rights_on("/t/x")
    assert not policy.rights_on("/b")
    assert not held.network
    assert parse("bwrap --unshare-all --share-net").network


def test_the_command_stands_behind_the_dashes() -> None:
    require(shutil.which("bwrap"), "bubblewrap is not installed")
    held = parse("bwrap --proc /proc --")
    wrapped = held.prepare(held.policy).wrap(Command("/usr/bin/git", ("git", "status")))
    assert wrapped.argv == ("bwrap", "--proc", "/proc", "--", "git", "status")


@pytest.mark.parametrize("text", ["", "nono run --", "bwrap '", "--"])
def test_what_is_not_understood(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text)


def test_a_fix_in_its_words(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("target")
    fix = Fix(
        (
            Grant("/srv/a", Scope.FILE, Right.READ, ()),
            Grant("/srv/b", Scope.TREE, Right.READ | Right.WRITE, ()),
            Grant(str(link), Scope.FILE, Right.EXEC, ()),
        ),
        (NetworkGrant(NetworkAction.CONNECT, "127.0.0.1", 80, Transport.TCP, ()),),
    )
    assert arguments(fix) == (
        *("--ro-bind", "/srv/a", "/srv/a"),
        *("--bind", "/srv/b", "/srv/b"),
        *("--symlink", "target", str(link)),
        "--share-net",
    )
