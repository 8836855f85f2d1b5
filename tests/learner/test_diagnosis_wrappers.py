"""Sandboxes of the user's own: what their words open, and a fix in them."""

import json
import shutil
from pathlib import Path

import pytest
from capability import require

from learner.diagnosis.case import Fix
from learner.diagnosis.wrappers.table import parse as parse_words
from learner.diagnosis.wrappers.wrapper import Wrapper
from learner.errors import InputFileError, UsageError
from learner.policy import Grant, NetworkAction, NetworkGrant, Right, Scope
from learner.variables import Variables
from tracers.events import Transport
from tracers.tracer import Command

PORT = NetworkGrant(NetworkAction.CONNECT, "127.0.0.1", 80, Transport.TCP, ())


def parse(text: str) -> Wrapper:
    return parse_words(text, Variables.here())


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


def test_what_nono_opens(scratch: Path) -> None:
    profile = scratch / "profile.json"
    document = {
        "groups": {"exclude": ["system_read_linux"]},
        "filesystem": {"read": [f"{scratch}/lib"], "deny": [f"{scratch}/lib/key"]},
        "network": {"block": True},
    }
    profile.write_text(json.dumps(document) + "// the end\n")
    (scratch / "lib").mkdir()
    (scratch / "lib/key").touch()
    (scratch / "lib/other").touch()
    (scratch / "out").mkdir()
    (scratch / "f").touch()
    words = f"nono -s run --profile {profile} -w {scratch}/out --allow-file={scratch}/f --allow-domain x.org -- "
    policy = parse(words).policy
    assert policy.rights_on(f"{scratch}/lib/other") & Right.EXEC
    assert not policy.rights_on(f"{scratch}/lib/key")
    assert policy.rights_on(f"{scratch}/out/new") & Right.CREATE
    assert not policy.rights_on(f"{scratch}/out/new") & Right.READ
    assert policy.rights_on(f"{scratch}/f") & Right.WRITE
    assert not policy.rights_on("/usr/bin/git")
    assert parse("nono run --").policy.rights_on("/usr/bin/git")
    assert [grant.host for grant in policy.network] == ["x.org", "x.org"]


@pytest.mark.parametrize(
    ("text", "open_network"),
    [("", True), ("--block-net", False), ("--allow-domain x.org", False), ("--credential openai", False)],
)
def test_when_nono_limits_the_network(text: str, open_network: bool) -> None:
    assert parse(f"nono run {text} --").network is open_network


def test_what_srt_opens(scratch: Path) -> None:
    (scratch / "a").mkdir()
    (scratch / "settings.json").write_text(
        json.dumps({"network": {}, "filesystem": {"denyRead": ["/"], "allowRead": [f"{scratch}/a"], "allowWrite": []}})
    )
    policy = parse(f"srt --settings {scratch}/settings.json").policy
    assert policy.rights_on(f"{scratch}/a/b") & Right.READ
    assert not policy.rights_on(f"{scratch}/b")
    assert not parse(f"srt -s={scratch}/settings.json").network


def test_the_command_stands_behind_the_dashes() -> None:
    require(shutil.which("bwrap"), "bubblewrap is not installed")
    held = parse("bwrap --proc /proc --")
    wrapped = held.prepare(held.policy).wrap(Command("/usr/bin/git", ("git", "status")))
    assert wrapped.argv == ("bwrap", "--proc", "/proc", "--", "git", "status")


@pytest.mark.parametrize(
    "text",
    [
        *("", "bwrap '", "--", "firejail --", "nono learn --", "nono run --read", "nono run vibe --"),
        *("nono run --open-port x --", "srt -c 'rm -rf x'", "srt vibe", "srt --settings"),
    ],
)
def test_what_is_not_understood(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text)


@pytest.mark.parametrize("text", ["nono run --profile {} --", "srt --settings {}"])
def test_a_configuration_that_cannot_be_used(text: str, scratch: Path) -> None:
    with pytest.raises(InputFileError, match=r"missing\.json"):
        parse(text.format(scratch / "missing.json"))
    (scratch / "bad.json").write_text('{\n  "filesystem": {\n')
    with pytest.raises(InputFileError, match=r"bad\.json:3: not JSON"):
        parse(text.format(scratch / "bad.json"))


def fix(link: Path) -> Fix:
    return Fix(
        (
            Grant("/srv/a", Scope.FILE, Right.READ, ()),
            Grant("/srv/b", Scope.TREE, Right.READ | Right.WRITE, ()),
            Grant("/srv/c", Scope.FILE, Right.CREATE | Right.REMOVE, ()),
            Grant(str(link), Scope.FILE, Right.EXEC, ()),
        ),
        (PORT,),
    )


def test_a_fix_in_the_words_of_each(scratch: Path) -> None:
    link = scratch / "link"
    link.symlink_to("target")
    assert parse("bwrap").remedy(fix(link)).arguments == (
        *("--ro-bind", "/srv/a", "/srv/a"),
        *("--bind", "/srv/b", "/srv/b"),
        *("--bind", "/srv/c", "/srv/c"),
        *("--symlink", "target", str(link)),
        "--share-net",
    )
    wider = ("this opens everything beneath /srv/c, since no smaller grant can say /srv/c",)
    found = parse("nono run").remedy(fix(link))
    assert found.arguments == (
        *("--read-file", "/srv/a"),
        *("--allow", "/srv/b"),
        *("--write", "/srv/c"),
        *("--read-file", str(link)),
        *("--allow-connect-port", "80"),
    )
    first = tuple(f"make /srv/{name} first: nono skips what does not exist when it starts" for name in "abc")
    assert (found.settings, found.words) == ((), (*wider, *first))
    (scratch / "p.json").write_text("{}")
    settings = parse(f"nono run --profile {scratch}/p.json").remedy(fix(link)).settings
    assert [json.loads(line) for line in settings] == [
        {"filesystem": {"read_file": ["/srv/a"]}},
        {"filesystem": {"allow": ["/srv/b"]}},
        {"filesystem": {"write": ["/srv/c"]}},
        {"filesystem": {"read_file": [str(link)]}},
        {"network": {"connect_port": [80]}},
    ]
    found = parse("srt").remedy(fix(link))
    assert [json.loads(line) for line in found.settings] == [
        {"filesystem": {"allowRead": ["/srv/a"]}},
        {"filesystem": {"allowWrite": ["/srv/b"]}},
        {"filesystem": {"allowWrite": ["/srv/c"]}},
        {"filesystem": {"allowRead": [str(link)]}},
        {"network": {"allowedDomains": ["127.0.0.1:80"]}},
    ]
    assert (found.arguments, found.words[:1]) == ((), wider)


def test_a_link_to_a_directory_opens_nothing_in_srt(scratch: Path) -> None:
    (scratch / "directory").mkdir()
    link = scratch / "link"
    link.symlink_to("directory")
    found = parse("srt").remedy(Fix((Grant(str(link), Scope.FILE, Right.READ, ()),)))
    assert (found.arguments, found.settings) == ((), ())
    assert found.words == (f"srt cannot show {link}, a symlink to a directory: use what it leads to",)
