import errno
import os
from pathlib import Path

import pytest
from accesses import HOME, PROJECT, access, policy, socket, trace

from learner import denials as module
from learner.access import Access, Kind
from learner.denials import as_done, denials, refused
from learner.enforcers.landlock import LandlockEnforcer
from learner.enforcers.layered import LayeredEnforcer
from learner.policy import NO_RIGHT, Grant, NetworkAction, NetworkGrant, Policy, Right, Scope
from tracers.events import Family, Operation, Transport

EACCES = errno.EACCES
NONE = Policy()


@pytest.fixture(autouse=True)
def _newest_kernel_but_no_udp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learner.enforcers.landlock.abi", lambda: 7)


def found(*accesses: Access, policy: Policy = NONE, learned: tuple[Access, ...] = ()) -> list[tuple[str, Right, bool]]:
    return [
        (d.access.object, d.missing, d.recorded)
        for d in denials(trace(*accesses), policy, LandlockEnforcer(), trace(*learned))
    ]


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_refused_access_that_the_policy_lacks(code: int) -> None:
    assert found(access(Operation.READ, "/etc/x", outcome=code)) == [("/etc/x", Right.READ, False)]


@pytest.mark.parametrize("code", [0, errno.ENOENT, errno.EEXIST, errno.EXDEV, errno.EIO])
def test_other_results_are_no_denials(code: int) -> None:
    assert found(access(Operation.READ, "/etc/x", outcome=code)) == []


@pytest.mark.parametrize(
    "operation", [Operation.RENAME_FROM, Operation.RENAME_TO, Operation.LINK_FROM, Operation.LINK_TO]
)
def test_landlock_says_exdev_for_a_refused_move(operation: Operation) -> None:
    move = access(operation, "/w/a/x", outcome=errno.EXDEV, peer="/w/b/x")
    assert refused(move)
    [(_, missing, _)] = found(move)
    assert Right.MOVE in missing


def test_recorded_tells_what_the_learned_run_was_allowed() -> None:
    denied = access(Operation.READ, "/etc/x", outcome=EACCES)
    other = access(Operation.WRITE, "/etc/y", outcome=EACCES)
    assert found(denied, other, learned=(as_done(denied), access(Operation.READ, "/etc/y"))) == [
        ("/etc/x", Right.READ, True),
        ("/etc/y", Right.WRITE, False),
    ]


def test_what_the_machine_refuses_by_itself_is_no_denial() -> None:
    denied = access(Operation.READ, "/etc/x", outcome=EACCES)
    assert found(denied, learned=(denied,)) == []
    # Refused to one program and allowed to another: the enforcer may be the one.
    assert found(denied, learned=(denied, access(Operation.READ, "/etc/x", program=2))) == [
        ("/etc/x", Right.READ, True)
    ]


def test_what_the_policy_grants_was_refused_by_someone_else() -> None:
    denied = access(Operation.READ, "/etc/x", outcome=EACCES)
    assert found(denied, policy=policy(("/etc/x", Scope.FILE, Right.READ))) == []
    assert found(denied, policy=policy(("/etc/x", Scope.FILE, Right.WRITE))) == [("/etc/x", Right.READ, False)]


@pytest.mark.parametrize("operation", [Operation.STAT, Operation.READLINK, Operation.CHMOD, Operation.GETXATTR])
def test_what_landlock_does_not_see_it_does_not_refuse(operation: Operation) -> None:
    assert found(access(operation, "/etc/x", outcome=errno.EPERM)) == []


def test_plain_file_permissions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.touch()
    denied = access(Operation.READ, str(closed), outcome=EACCES)
    make = access(Operation.CREATE, str(closed / "x"), outcome=EACCES)
    assert found(denied)
    asked: list[tuple[str, int]] = []

    def closed_to_us(path: str, mode: int, **_: bool) -> bool:
        asked.append((path, mode))
        return False

    monkeypatch.setattr(os, "access", closed_to_us)
    assert found(denied, make) == []
    assert asked == [(str(closed), os.R_OK), (str(closed), os.W_OK | os.X_OK)]


def test_what_cannot_even_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(path: str) -> os.stat_result:
        raise PermissionError(EACCES, "", path)

    monkeypatch.setattr(module.os, "stat", unreachable)
    assert found(access(Operation.READ, "/root/x", outcome=EACCES)) == []


def test_one_for_each_program_and_object() -> None:
    read = access(Operation.READ, "/etc/x", outcome=EACCES)
    again = access(Operation.READ, "/etc/x", outcome=errno.EPERM)
    by_git = access(Operation.READ, "/etc/x", outcome=EACCES, program=2)
    given = denials(trace(by_git, again, read), NONE, LandlockEnforcer(), trace())
    assert [d.program for d in given] == ["git", "vibe"]


def grant(action: NetworkAction, port: int, transport: Transport = Transport.TCP, abstract: bool = False) -> Policy:
    return Policy(network=(NetworkGrant(action, "192.0.2.1", port, transport, (), abstract),))


CONNECT, BIND = NetworkAction.CONNECT, NetworkAction.BIND
TO_443 = socket(Operation.CONNECT, "192.0.2.1", 443, outcome=EACCES)


@pytest.mark.parametrize(
    ("one", "granted", "denied"),
    [
        (TO_443, NONE, True),
        (TO_443, grant(CONNECT, 443), False),
        (TO_443, grant(CONNECT, 80), True),
        (TO_443, grant(BIND, 443), True),
        (TO_443, grant(CONNECT, 443, Transport.UDP), True),  # QUIC
        (TO_443, grant(CONNECT, 0), True),  # an own port: of the ephemeral range only
        (TO_443, grant(CONNECT, 0, Transport.OTHER, abstract=True), True),
        (socket(Operation.CONNECT, "127.0.0.1", 40000, outcome=EACCES), grant(CONNECT, 0), False),
        (socket(Operation.BIND, "0.0.0.0", 8080, outcome=EACCES), NONE, True),
        (socket(Operation.BIND, "0.0.0.0", 8080, outcome=EACCES), grant(BIND, 0), True),
        (socket(Operation.BIND, "0.0.0.0", 8080, outcome=EACCES), grant(BIND, 8080), False),
        (socket(Operation.BIND, "0.0.0.0", 0, outcome=EACCES), grant(BIND, 0), False),
        (socket(Operation.SEND, "192.0.2.1", 53, Transport.UDP, outcome=errno.EPERM), NONE, False),
        (socket(Operation.CONNECT, "192.0.2.1", 443, outcome=errno.ECONNREFUSED), NONE, False),
        (socket(Operation.LISTEN, "192.0.2.1", 443, outcome=EACCES), NONE, False),
    ],
)
def test_sockets(one: Access, granted: Policy, denied: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ephemeral_ports", lambda: range(32768, 61000))
    assert bool(found(one, policy=granted)) is denied
    if denied:
        assert found(one, policy=granted) == [(one.object, NO_RIGHT, False)]


@pytest.mark.parametrize("operation", [Operation.CONNECT, Operation.SEND])
def test_abstract_sockets(operation: Operation) -> None:
    denied = socket(operation, "name", 0, Transport.OTHER, Family.ABSTRACT, outcome=errno.EPERM)
    assert found(denied) == [("@name", NO_RIGHT, False)]
    assert found(denied, policy=grant(CONNECT, 0, Transport.OTHER, abstract=True)) == []
    assert found(denied, policy=grant(CONNECT, 0)) == [("@name", NO_RIGHT, False)]


def test_older_kernels_refuse_less(monkeypatch: pytest.MonkeyPatch) -> None:
    abstract = socket(Operation.CONNECT, "name", 0, Transport.OTHER, Family.ABSTRACT, outcome=errno.EPERM)
    truncate = access(Operation.TRUNCATE, PROJECT + "/x", outcome=EACCES)
    read = access(Operation.READ, HOME + "/x", outcome=EACCES)
    for version, kept in ((1, [read]), (3, [read, truncate]), (4, [TO_443, read, truncate])):
        monkeypatch.setattr("learner.enforcers.landlock.abi", lambda version=version: version)
        assert {o for o, _, _ in found(abstract, TO_443, truncate, read)} == {a.object for a in kept}


def test_opaque_things_are_nobodys() -> None:
    assert found(access(Operation.READ, "/memfd:x", Kind.OPAQUE, EACCES)) == []


def test_what_would_have_been_made_has_its_kind() -> None:
    absent = Kind.ABSENT
    run = trace(
        access(Operation.MKDIR, "/w/made", absent, EACCES),
        access(Operation.RENAME_FROM, "/w/old", Kind.DIRECTORY, EACCES, peer="/w/new"),
        access(Operation.RENAME_TO, "/w/new", absent, EACCES, existed=False, peer="/w/old"),
    )
    given = {d.access.object: (d.access.kind, d.missing) for d in denials(run, NONE, LandlockEnforcer(), trace())}
    assert given == {
        "/w/made": (Kind.DIRECTORY, Right.MKDIR),
        "/w/old": (Kind.DIRECTORY, Right.RMDIR),
        "/w/new": (Kind.DIRECTORY, Right.MKDIR),
    }


def test_a_directory_that_a_launch_makes_is_not_missing() -> None:
    made = Policy((Grant("/w/own", Scope.TREE, Right.LIST, (), ensure=True),))
    denied = access(Operation.MKDIR, "/w/own", Kind.DIRECTORY, EACCES)
    assert found(denied) == [("/w/own", Right.MKDIR, False)]
    assert found(denied, policy=made) == []


def test_what_is_hidden_is_a_denial_where_the_enforcer_hides(tmp_path: Path) -> None:
    real = tmp_path.resolve()
    (real / "there").write_text("x")
    (real / "link").symlink_to("there")
    seen = trace(
        access(Operation.READ, f"{real}/there", Kind.ABSENT, errno.ENOENT),
        access(Operation.READ, f"{real}/link", Kind.ABSENT, errno.ENOENT),
        access(Operation.READ, f"{real}/absent", Kind.ABSENT, errno.ENOENT),
        access(Operation.CREATE, f"{real}/new", Kind.ABSENT, errno.ENOENT),
        access(Operation.STAT, f"{real}/there", Kind.ABSENT, errno.ENOENT),
    )
    assert denials(seen, NONE, LandlockEnforcer(), trace()) == ()
    hidden = denials(seen, NONE, LayeredEnforcer(), trace())
    # Each under the name that a grant on it has, whatever link led there.
    assert {(d.access.object, d.missing) for d in hidden} == {
        (f"{real}/there", Right.READ),
        (str(real / "new"), Right.CREATE),
    }
    granted = policy((str(real), Scope.TREE, Right.READ | Right.CREATE))
    assert denials(seen, granted, LayeredEnforcer(), trace()) == ()
