"""Reading back: never more than was written, and never more than the file grants."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import VARIABLES, profiles

from learner.cli.main import main
from learner.errors import InputFileError, UsageError
from learner.policy import ALWAYS, NO_RIGHT, NetworkAction, Right, Scope
from learner.profile import Profile, loads
from learner.targets.coarse import given as coarse
from learner.targets.importing import READERS, Imported, Reader, find
from learner.targets.nono import NONO
from learner.targets.settling import settle
from learner.targets.srt import SRT
from learner.targets.srt_reader import THERE
from learner.targets.target import Request
from learner.variables import Variables
from tracers.events import Transport


@settings(deadline=None)
@given(profiles)
def test_what_was_written_for_nono_is_read_back_as_no_more(profile: Profile) -> None:
    exported = NONO.export(Request(profile, ("tool",), VARIABLES))
    found = find("nono").read(exported.data.decode(), "file", VARIABLES)
    allowed = coarse((*ALWAYS, *profile.policy.grants))
    for grant in found.grants:
        rights = allowed.get((grant.path, grant.scope), NO_RIGHT)
        rights |= Right.IOCTL if grant.path.startswith("/dev") else NO_RIGHT
        if Right.CONNECT in rights and grant.scope is Scope.FILE:
            rights |= Right.READ | Right.EXEC  # of a socket: nothing
        assert not grant.rights & ~rights, grant
    if any(grant.anywhere for grant in found.network):
        assert any(grant.anywhere for grant in profile.policy.network)


@settings(deadline=None)
@given(profiles)
def test_what_was_written_for_srt_is_read_back_as_no_more(profile: Profile) -> None:
    exported = SRT.export(Request(profile, ("tool",), VARIABLES))
    found = find("srt").read(exported.data.decode(), "file", VARIABLES)
    allowed = coarse(profile.policy.grants)
    for grant in found.grants:
        if grant in THERE or grant.path in ("/usr", "/etc/hosts"):
            continue
        scopes = [rights for (path, _), rights in allowed.items() if path == grant.path]
        assert scopes or grant.path in profile.policy.links
        if grant.rights & Right.WRITE:
            assert any(rights & Right.WRITE for rights in scopes)
    ends = {(grant.host, grant.port) for grant in profile.policy.network if grant.transport is Transport.TCP}
    assert {(grant.host, grant.port) for grant in found.network} <= {
        *ends,
        *((address, port) for host, port in ends for address in ("127.0.0.1", "::1") if host == "localhost"),
        *((host.lower().removesuffix("."), port) for host, port in ends),
        *((found.host, found.port) for found in found.network if not found.host.isascii() or "xn--" in found.host),
        *((found.host, found.port) for found in found.network if ":" in found.host or found.host[0].isdigit()),
    }


def read(name: str, document: object, variables: Variables = VARIABLES) -> Imported:
    return find(name).read(json.dumps(document), "file", variables)


def test_what_nono_refuses_beneath_a_grant_is_not_granted(scratch: Path) -> None:
    for path in ("src/a", "keys/key", "keys/deep/key", "keys/public"):
        (scratch / path).parent.mkdir(parents=True, exist_ok=True)
        (scratch / path).touch()
    (scratch / "link").symlink_to(scratch / "src")
    document = {
        "filesystem": {"allow": [str(scratch)], "deny": [f"{scratch}/keys/key", f"{scratch}/keys/*/key"]},
        "network": {"block": True},
    }
    policy, _ = settle(read("nono", document))
    granted = {path: bool(policy.rights_on(f"{scratch}/{path}") & Right.READ) for path in ("src/a", "keys/public")}
    assert granted == {"src/a": True, "keys/public": True}
    assert not policy.rights_on(f"{scratch}/keys/key")
    assert not policy.rights_on(f"{scratch}/keys/deep/key")
    assert policy.rights_on(str(scratch)) == Right.LIST
    assert policy.network == ()


@pytest.mark.parametrize(
    ("allowed", "denied", "left"),
    [
        ([], ["evil.test"], set()),  # not the rest of the network
        (["a.test", "b.test"], ["b.test"], {"a.test"}),
        (["a.test", "x.ads.test", "*.ads.test"], ["*.ADS.test"], {"a.test"}),
        (["*.a.test", "b.test"], ["x.a.test"], {"b.test"}),
    ],
)
def test_a_domain_that_nono_denies_is_not_granted(allowed: list[str], denied: list[str], left: set[str]) -> None:
    found = read("nono", {"network": {"allow_domain": allowed, "deny_domain": denied}})
    assert {grant.host for grant in found.network} == left


def test_what_srt_denies_and_allows_again(scratch: Path) -> None:
    for path in ("home/.ssh/id", "home/.ssh/config", "home/work/a", "other/b"):
        (scratch / path).parent.mkdir(parents=True, exist_ok=True)
        (scratch / path).touch()
    document = {
        "network": {"allowedDomains": ["example.org", "*.x.org:443", "y.org:22"], "deniedDomains": ["y.org"]},
        "filesystem": {
            "denyRead": [f"{scratch}/home/.ssh"],
            "allowRead": [f"{scratch}/home/.ssh/config"],
            "allowWrite": [f"{scratch}/home/work"],
            "denyWrite": [f"{scratch}/home/work/a"],
        },
    }
    policy, gaps = settle(read("srt", document))
    assert policy.rights_on(f"{scratch}/other/b") & Right.READ
    assert policy.rights_on(f"{scratch}/home/.ssh/config") & Right.READ
    assert not policy.rights_on(f"{scratch}/home/.ssh/id")
    assert policy.rights_on(f"{scratch}/home/work/a") & Right.READ
    assert not policy.rights_on(f"{scratch}/home/work/a") & Right.WRITE
    assert [(n.host, n.port) for n in policy.network] == [("example.org", 80), ("example.org", 443)]
    assert any(gap.item == "deniedDomains y.org" for gap in gaps)


def test_a_granted_link_becomes_its_target(scratch: Path) -> None:
    (scratch / "target").touch()
    (scratch / "link").symlink_to("target")
    policy, gaps = settle(read("nono", {"filesystem": {"read_file": [f"{scratch}/link", f"{scratch}/gone"]}}))
    assert [(grant.path, grant.scope) for grant in policy.grants] == [(f"{scratch}/target", Scope.FILE)]
    assert policy.links == (f"{scratch}/link",)
    assert [gap.item for gap in gaps] == [f"left out: {scratch}/gone"]
    assert [(grant.action, grant.anywhere) for grant in policy.network] == [(NetworkAction.CONNECT, True)]


def test_what_is_not_understood_grants_nothing() -> None:
    document = {
        "extends": "claude-code",
        "groups": {"include": ["node_runtime"]},
        "filesystem": {
            "read": ["$HOME/a*", "$NONO_CONFIG/x", "relative", {"path": "/b", "when": {"os": "macos"}}, "/../etc"],
            "unix_socket_dir_bind": ["/run/x"],
        },
        "network": {"network_profile": "minimal", "custom": 1},
        "hooks": {},
    }
    found = read("nono", document)
    assert (found.grants, found.network) == ((), ())
    items = [gap.item for gap in found.gaps]
    for start in (
        "hooks",
        "extends",
        "groups.include",
        "network.custom",
        "left out: read /b",
        "left out: read relative",
    ):
        assert any(item.startswith(start) for item in items), (start, items)
    assert len(items) == 11


@pytest.mark.parametrize("reader", ["nono", "srt"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "file:1: not JSON"),
        ("{\n  // one\n  'a': 1}", "file:3: not JSON"),
        ("[]", "file:1: expected an object"),
        ('{"filesystem": {"a": 1, "a": 2}}', "stands there twice"),
        ('{"filesystem": {"read": ["\\ud800"]}}', "half a character"),
        ('{"filesystem": {"read": ["\\u0000"]}}', "or a NUL"),
        ("[" * 100_000, "file"),
        ('{"filesystem": []}', "filesystem: expected a table"),
        ('{"filesystem": {"read": [1], "denyRead": [1]}}', r"filesystem\.\S+\[0\]"),
    ],
)
def test_a_file_that_cannot_be_used(reader: str, text: str, said: str) -> None:
    with pytest.raises(InputFileError, match=said):
        find(reader).read(text, "file", VARIABLES)


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)
    )
)
@pytest.mark.parametrize("reader", [find(name) for name in sorted(READERS)], ids=lambda reader: reader.name)
def test_any_json_is_read_or_refused(reader: Reader, value: object) -> None:
    for document in (
        value,
        {"filesystem": value},
        {"network": value},
        {"filesystem": {"read": value, "denyRead": value}},
    ):
        try:
            reader.read(json.dumps(document), "file", VARIABLES)
        except InputFileError as problem:
            assert str(problem).startswith("file")


def test_comments_and_last_commas() -> None:
    text = '{\n // a "quoted" remark\n "filesystem": {"read_file": ["/a//b", "/c/*d*/",], /* } */ }, }'
    assert [grant.path for grant in find("nono").read(text, "file", VARIABLES).grants] == ["/a/b"]


def test_the_command_line(scratch: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HOME", str(scratch))
    monkeypatch.chdir(scratch)
    (scratch / "notes").touch()
    (scratch / "agent.json").write_text('{"meta": {"name": "agent"}, "filesystem": {"read_file": ["$HOME/notes"]}}')
    assert main(["import", "agent.json", "--from", "nono", "-o", "out.toml"]) == 0
    profile = loads((scratch / "out.toml").read_text(), "out.toml", Variables.here())
    assert (profile.name, profile.command) == ("agent", "agent")
    assert [grant.path for grant in profile.policy.grants] == [str(scratch / "notes")]
    assert (scratch / "out.toml").stat().st_mode & 0o777 == 0o600
    assert main(["import", "gone.json", "--from", "srt"]) == InputFileError.status
    assert main(["import", "agent.json", "--from", "tar"]) == UsageError.status
    assert main(["import", "agent.json"]) == UsageError.status
    assert main(["import", "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == sorted(READERS)


def test_links_of_a_command_line_are_kept(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(scratch))
    (scratch / "notes").touch()
    (scratch / "start").write_text(f"bwrap --ro-bind {scratch}/notes {scratch}/notes --symlink usr/bin /bin -- sh\n")
    assert main(["import", str(scratch / "start"), "--from", "bwrap", "-o", str(scratch / "out.toml")]) == 0
    policy = loads((scratch / "out.toml").read_text(), "out.toml", Variables.here()).policy
    assert (policy.links, [grant.path for grant in policy.grants]) == (("/bin",), [str(scratch / "notes")])
