"""1-minimal under the real enforcer: what is needed is proved and stays, what nothing needs goes."""

import json
import os
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from accesses import access, policy, socket
from capability import require
from children import listing
from learning import Learned, account

from learner.access import Kind
from learner.enforcers.landlock import LandlockEnforcer, abi
from learner.minimal import AnyGrant, Minimal, minimal
from learner.policy import Grant, NetworkAction, NetworkGrant, Policy, Right, Scope, Witness
from learner.probe import NAME, Act, Probe
from learner.replay import replay
from tracers.events import Operation, Transport

pytestmark = pytest.mark.kernel

SCRIPT = """
exec 2>/dev/null
cat "$1/.toolrc" "$1/.config/tool/settings" > copy
ls "$1/.tool" > listing
echo state > "$1/.tool/state.new"
mv "$1/.tool/state.new" "$1/.tool/state"
mkdir "$1/.cache/tool"
echo cached > "$1/.cache/tool/entry"
rm "$1/.tool/old"
"$1/bin/helper"
"""


@pytest.fixture
def learned(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Learned:
    made = account(str(scratch), monkeypatch.chdir)
    for name in (".toolrc", ".config/tool/settings", ".tool/old", ".ssh/config", "bin/helper"):
        made.write(name, "#!/bin/sh\necho helped\n")
    os.chmod(f"{made.home}/bin/helper", 0o755)
    os.makedirs(f"{made.home}/.cache")
    found = made.shell(SCRIPT)
    assert found.trace.end is not None
    assert found.trace.end.status == 0
    return found


def shrink(found: Learned, *more: Grant) -> Minimal:
    grown = msgspec.structs.replace(found.cover.policy, grants=(*found.cover.policy.grants, *more))
    return minimal(found.labelled, grown, LandlockEnforcer())  # type: ignore[arg-type]


def of(*run: Any, granted: Policy) -> Minimal:
    """The minimum for accesses of one program."""
    return minimal([(one, "tool") for one in run], granted, LandlockEnforcer())


def kept(result: Minimal) -> set[AnyGrant]:
    return {*(p.grant for p in result.proved), *(u.grant for u in result.unproved)}


def test_what_was_learned_is_minimal(learned: Learned) -> None:
    before = listing(learned.variables.home)
    result = shrink(learned)
    assert result.dropped == ()
    assert result.policy == learned.cover.policy
    assert len(result.proved) > 8
    for one in result.unproved:
        assert isinstance(one.grant, Grant)
        assert one.grant.path.startswith("/dev/"), one
    by_path = {p.grant.path: p for p in result.proved if isinstance(p.grant, Grant)}
    toolrc = f"{learned.variables.home}/.toolrc"
    assert by_path[toolrc].refused == Probe(Act.READ, toolrc)
    assert by_path[toolrc].programs == ("cat",)
    assert listing(learned.variables.home) == before
    for top in (learned.variables.home, learned.variables.project, f"{learned.variables.home}/.tool", "/tmp"):
        assert not [name for name in os.listdir(top) if name.startswith(NAME)]


def test_what_nothing_needs_goes(learned: Learned) -> None:
    home = learned.variables.home
    extra = (
        Grant(f"{home}/.ssh/config", Scope.FILE, Right.READ, ()),
        Grant(f"{home}/.ssh", Scope.TREE, Right.READ | Right.LIST | Right.WRITE, ()),
        Grant(f"{home}/.tool/state", Scope.FILE, Right.READ, ()),
        Grant(f"{home}/.cache/tool/entry", Scope.FILE, Right.WRITE, ()),
        Grant(f"{home}/absent", Scope.TREE, Right.READ, ()),
    )
    result = shrink(learned, *extra)
    assert result.dropped == extra
    assert result.policy == learned.cover.policy


def test_a_wider_tree_goes_before_what_it_covers(learned: Learned) -> None:
    wide = Grant(learned.variables.home, Scope.TREE, ~Right(0), ())
    result = shrink(learned, wide)
    assert result.dropped == (wide,)
    assert result.policy == learned.cover.policy


def test_replay_admits_all_of_it_afterwards(learned: Learned) -> None:
    wide = Grant(f"{learned.variables.home}/.tool", Scope.TREE, ~Right(0), ())
    before = replay(learned.labelled, learned.cover.policy, LandlockEnforcer())  # type: ignore[arg-type]
    left = shrink(learned, wide).policy
    after = replay(learned.labelled, left, LandlockEnforcer())  # type: ignore[arg-type]
    assert after.refused == ()
    assert after == before
    assert shrink(learned).policy == left
    again = minimal(learned.labelled, left, LandlockEnforcer())  # type: ignore[arg-type]
    assert again.dropped == ()


@pytest.mark.parametrize("scope", Scope)
def test_of_two_that_do_for_each_other_one_goes(scope: Scope, scratch: Path) -> None:
    (scratch / "file").touch()
    path = str(scratch / "file") if scope is Scope.FILE else str(scratch)
    granted = policy((str(scratch), Scope.TREE, Right.READ | Right.LIST), (path, scope, Right.READ))
    result = of(access(Operation.READ, str(scratch / "file")), granted=granted)
    assert result.dropped == granted.grants[:1]
    assert result.policy.grants == granted.grants[1:]
    (proof,) = result.proved
    assert proof[1:] == (Probe(Act.READ, str(scratch / "file")), ("tool",))


def test_rights_that_nothing_takes_are_counted_and_stay(scratch: Path) -> None:
    (scratch / "file").touch()
    granted = policy((str(scratch), Scope.TREE, Right.READ | Right.LIST | Right.WRITE))
    result = of(access(Operation.READ, str(scratch / "file")), granted=granted)
    assert result.policy == granted
    assert result.spare == 2


# --- what cannot be decided stays


def test_what_cannot_be_tried_stays(scratch: Path) -> None:
    (scratch / "file").touch()
    (scratch / "made").mkdir()
    run = (
        access(Operation.IOCTL, "/dev/ptmx", Kind.CHAR),
        access(Operation.CHMOD, str(scratch / "file")),
        access(Operation.READ, str(scratch / "gone")),
        access(Operation.TRUNCATE, str(scratch / "file")),
        access(Operation.MKDIR, str(scratch / "made"), Kind.DIRECTORY, existed=False),
    )
    granted = Policy(
        (
            Grant("/dev/ptmx", Scope.FILE, Right.IOCTL, ()),
            Grant(str(scratch / "file"), Scope.FILE, Right.ATTRIBUTES | Right.TRUNCATE, ()),
            Grant(str(scratch / "gone"), Scope.FILE, Right.READ, ()),
            Grant(str(scratch / "made"), Scope.TREE, Right.LIST, (), ensure=True),
        )
    )
    result = of(*run, granted=granted)
    assert result.policy == granted
    assert [one.reason for one in result.unproved] == [
        "ioctl cannot be tried without side effects",
        "landlock does not see attributes; truncate cannot be tried without side effects",
        "what needs it is gone",
        "a launch makes it in the program's place",
    ]


def test_what_cannot_be_tried_stays_although_another_gives_it(scratch: Path) -> None:
    granted = policy((str(scratch / "gone"), Scope.FILE, Right.READ), (str(scratch), Scope.TREE, Right.READ))
    result = of(access(Operation.READ, str(scratch / "gone")), granted=granted)
    assert result.policy == granted


def test_what_another_grant_surely_gives_holds_none_back(scratch: Path) -> None:
    """Truncating cannot be tried; it alone must not keep a tree that another one makes superfluous."""
    (scratch / "inner").mkdir()
    (scratch / "inner" / "file").touch()
    rights = Right.WRITE | Right.TRUNCATE
    granted = policy((str(scratch), Scope.TREE, rights), (str(scratch / "inner"), Scope.TREE, rights))
    run = [access(o, str(scratch / "inner" / "file")) for o in (Operation.WRITE, Operation.TRUNCATE)]
    assert of(*run, granted=granted).dropped == granted.grants[:1]
    gone = policy((str(scratch), Scope.TREE, rights), (str(scratch / "inner" / "file"), Scope.FILE, Right.WRITE))
    assert of(*run, granted=gone).dropped == gone.grants[1:]


def test_what_only_the_enforcer_admits_stays(scratch: Path) -> None:
    """Landlock's rule on a directory holds beneath it; the policy grants the directory alone."""
    (scratch / "inner").mkdir()
    granted = policy((str(scratch), Scope.FILE, Right.LIST), (str(scratch / "inner"), Scope.FILE, Right.LIST))
    run = [access(Operation.LIST, str(path), Kind.DIRECTORY) for path in (scratch, scratch / "inner")]
    result = of(*run, granted=granted)
    assert result.policy == granted
    assert [p.grant.path for p in result.proved if isinstance(p.grant, Grant)] == [str(scratch)]
    assert [u.reason for u in result.unproved] == [f"landlock admits list {scratch / 'inner'} without it"]


def test_what_was_learned_from_another_recording_stays(scratch: Path) -> None:
    witness = Witness("other", (Operation.READ,), str(scratch / "elsewhere"))
    granted = Policy((Grant(str(scratch), Scope.TREE, Right.READ, (witness,)),))
    result = of(granted=granted)
    assert result.policy == granted
    assert [u.reason for u in result.unproved] == ["nothing in this recording shows its use"]


def test_ports(scratch: Path) -> None:
    require(abi() >= 4, "Landlock sees TCP from ABI 4 on")
    needed = NetworkGrant(NetworkAction.CONNECT, "192.0.2.1", 9, Transport.TCP, ())
    taken = NetworkGrant(NetworkAction.BIND, "0.0.0.0", 28791, Transport.TCP, ())
    udp = NetworkGrant(NetworkAction.CONNECT, "192.0.2.1", 53, Transport.UDP, ())
    named = NetworkGrant(NetworkAction.CONNECT, "example.org", 99, Transport.TCP, ())
    first = NetworkGrant(NetworkAction.CONNECT, "192.0.2.1", 80, Transport.TCP, ())
    second = NetworkGrant(NetworkAction.CONNECT, "192.0.2.2", 80, Transport.TCP, ())
    useless = NetworkGrant(NetworkAction.CONNECT, "192.0.2.1", 10, Transport.TCP, ())
    run = (
        socket(Operation.CONNECT, "192.0.2.1", 9),
        socket(Operation.BIND, "127.0.0.1", 28791),
        socket(Operation.SEND, "192.0.2.1", 53, Transport.UDP),
        socket(Operation.CONNECT, "192.0.2.7", 99),
        socket(Operation.CONNECT, "192.0.2.1", 80),
        socket(Operation.CONNECT, "192.0.2.2", 80),
    )
    granted = Policy(network=(needed, taken, udp, named, first, second, useless))
    result = of(*run, granted=granted)
    assert [p.grant for p in result.proved] == [needed, taken, named]
    assert [u.grant for u in result.unproved] == [udp, first, second]
    assert result.dropped == (useless,)


def test_plain_permissions_prove_nothing(scratch: Path) -> None:
    if os.getuid() == 0:
        pytest.skip("nothing is closed to root")
    (scratch / "closed").touch(0o000)
    granted = policy((str(scratch / "closed"), Scope.FILE, Right.READ))
    result = of(access(Operation.READ, str(scratch / "closed")), granted=granted)
    assert [u.reason for u in result.unproved] == ["it does not work unconfined either"]


def test_a_hundred_grants_in_a_few_seconds(scratch: Path) -> None:
    names = [str(scratch / f"{number:03}") for number in range(100)]
    for name in names:
        Path(name).touch()
    granted = policy(*((name, Scope.FILE, Right.READ) for name in names))
    started = time.monotonic()
    result = of(*(access(Operation.READ, name) for name in names), granted=granted)
    assert len(result.proved) == 100
    assert time.monotonic() - started < 10


# --- the command


def test_the_command_writes_back_what_is_left(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from learner.cli.main import main

    made = account(str(scratch), monkeypatch.chdir)
    monkeypatch.setenv("HOME", made.home)
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    made.write(".toolrc")
    made.write(".other")

    def sbx(*words: str) -> int:
        monkeypatch.setattr("sys.argv", ["sbx", *words])
        with pytest.raises(SystemExit) as ended:
            raise SystemExit(main())
        return int(ended.value.code or 0)

    def verified() -> dict[str, Any]:
        capfd.readouterr()
        assert sbx("verify", "--minimal", "--json", f"{scratch}/out.json", "tool") == 0
        found: dict[str, Any] = json.loads(Path(f"{scratch}/out.json").read_text())["verify"]["minimal"]
        return found

    assert sbx("learn", "--name", "tool", "--minimal", "--", "cat", f"{made.home}/.toolrc") == 0
    (profile,) = Path(made.home).rglob("tool.toml")
    learned = profile.read_bytes()
    found = verified()
    assert found["dropped"] == []
    assert found["proved"] >= 3
    assert profile.read_bytes() == learned
    written = profile.stat().st_mtime_ns

    with profile.open("a") as file:
        file.write('\n[[grant]]\npath = "$HOME/.other"\nscope = "file"\nrights = ["read"]\n')
    found = verified()
    assert found["dropped"] == [f"{made.home}/.other (read)"]
    assert "dropped" in capfd.readouterr().err
    assert profile.read_bytes() == learned
    assert profile.stat().st_mtime_ns > written

    assert sbx("verify", "--json", f"{scratch}/out.json", "tool") == 0
    assert json.loads(Path(f"{scratch}/out.json").read_text())["verify"]["minimal"] is None
