"""Namespaces alone: what they hold without Landlock and seccomp, and what they say they do not."""

import errno
import os
import subprocess
from collections.abc import Iterator

import boxes
import pytest
from boxes import Box, attempt, box_of, box_policy, start
from capability import require
from children import NOBODY, in_child

from learner.enforcers import choice
from learner.enforcers.choice import explain, namespace_obstacle
from learner.enforcers.enforcer import Confinement
from learner.enforcers.namespaces import NamespaceConfinement
from learner.policy import NetworkAction, NetworkGrant, Policy, Right, Scope
from tracers.events import Transport

pytestmark = pytest.mark.kernel
SOME = NetworkGrant(NetworkAction.CONNECT, "127.0.0.1", 9, Transport.TCP, ())


@pytest.fixture
def box(user: int) -> Iterator[Box]:
    require(not namespace_obstacle(), namespace_obstacle())
    with box_of(user) as made:
        yield made


def alone(policy: Policy) -> Confinement:
    return NamespaceConfinement(policy)


@pytest.mark.parametrize(
    ("attack", "refusals"),
    [
        (boxes.READ, {errno.ENOENT}),
        (boxes.STAT, {errno.ENOENT}),
        (boxes.UNIX, {errno.ENOENT}),
        (boxes.ABSTRACT, {errno.ECONNREFUSED}),
        (boxes.OVERWRITE, {errno.EROFS}),
        (boxes.CREATE, {errno.EROFS}),
        (boxes.CHMOD, {errno.EROFS}),
        (boxes.ENVIRON, {errno.EACCES}),
        (boxes.ROOT, {errno.EACCES}),
        (boxes.INHERITED, {errno.EBADF}),
    ],
)
def test_attacks(attack: str, refusals: set[int], box: Box) -> None:
    boxes.refused(alone, box, attack, refusals)


def test_what_is_granted_works(box: Box) -> None:
    script = "set -e; echo one > a; mv a b; cat b; cat <(echo two); python3 -c 'print(3)'; cat $0/book"
    ended = start(alone, box_policy(box), box, "/bin/bash", "-c", script, f"{box.top}/library")
    assert (ended.status, ended.said) == (0, "one\ntwo\n3\nswordfish\n")
    with open(f"{box.project}/b") as kept:
        assert kept.read() == "one\n"


def test_a_read_only_bind_stays_read_only_in_a_namespace_within(box: Box) -> None:
    # Without the companion the program may make namespaces of its own, and have every capability in them.
    policy = box_policy(box)
    remount = "check(libc.unshare(0x10020000)); check(libc.mount(None, b'<library>', None, 0x1020, None))"
    assert attempt(alone, policy, box, remount) == errno.EPERM
    detach = "check(libc.unshare(0x10020000)); check(libc.umount2(b'<library>', 2)); open('<library>/book')"
    assert attempt(alone, policy, box, detach) == errno.EINVAL
    assert sorted(os.listdir(f"{box.top}/library")) == ["book"]


def test_no_capability_is_left_or_comes_back(box: Box) -> None:
    show = "grep -E '^(Cap|NoNewPrivs)' /proc/self/status"
    policy = box_policy(box)
    ended = start(alone, policy, box, "/bin/sh", "-c", show)
    values = dict(line.split(":\t") for line in ended.said.splitlines())
    assert {int(value, 16) for name, value in values.items() if name.startswith("Cap")} == {0}
    assert values["NoNewPrivs"] == "1"


def test_the_new_root_holds_what_was_planned_and_cannot_be_changed(box: Box) -> None:
    policy = box_policy(box)
    names = {"bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc", "dev", "proc", box.top.split("/")[1]}
    line = f"assert set(os.listdir('/')) <= {names}"
    assert attempt(alone, policy, box, line) == 0
    assert attempt(alone, policy, box, "os.mkdir('/new')") == errno.EROFS
    assert attempt(alone, policy, box, "os.mkdir('/tmp/new')") == errno.EROFS
    assert attempt(alone, policy, box, "os.rename('/etc', '/old')") == errno.EROFS
    assert not os.path.exists("/new")


def test_the_network_is_all_or_nothing(box: Box) -> None:
    names = "assert [n for _, n in socket.if_nameindex()] == ['lo']"
    up = "import urllib.request; s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname())"
    assert attempt(alone, box_policy(box), box, names) == 0
    assert attempt(alone, box_policy(box), box, up) == 0
    far = "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 9))"
    assert attempt(alone, box_policy(box), box, far) == errno.ENETUNREACH
    opened = box_policy(box, network=(SOME,))
    assert attempt(alone, opened, box, boxes.ABSTRACT) == 0
    items = {gap.item for gap in alone(opened).gaps}
    assert {"TCP", "hosts", "abstract unix sockets and signals"} <= items
    assert "TCP" not in {gap.item for gap in alone(box_policy(box)).gaps}


def test_what_it_does_not_hold_is_said(box: Box) -> None:
    policy = box_policy(box)
    items = {gap.item for gap in alone(policy).gaps}
    assert attempt(alone, policy, box, boxes.SIGNAL) == 0
    assert "abstract unix sockets and signals" in items
    with open(f"{box.project}/socket", "w"):
        pass
    assert {"kinds of rights", "unix sockets in granted trees"} <= items


def test_ipc_and_host_name_are_its_own(box: Box) -> None:
    policy = box_policy(box)
    shared = "check(libc.shmget(0x5b5b, 4096, 0))"
    key = in_child(lambda: _shared_memory(0x5B5B))
    try:
        assert attempt(None, policy, box, shared) == 0
        assert attempt(alone, policy, box, shared) == errno.ENOENT
    finally:
        subprocess.run(["ipcrm", "-m", str(key)], check=True)


def _shared_memory(key: int) -> int:
    import ctypes

    made = ctypes.CDLL(None).shmget(key, 4096, 0o1000 | 0o666)
    assert made >= 0
    return int(made)


def test_nothing_is_left_of_it(box: Box) -> None:
    with open("/proc/self/mountinfo") as mounts:
        before = mounts.read()
    start(alone, box_policy(box), box, "/bin/true")
    with open("/proc/self/mountinfo") as mounts:
        assert mounts.read() == before


def test_a_child_of_an_unprivileged_user_needs_no_root() -> None:
    require(os.getuid() == 0, "compares root with an ordinary user")
    require(not namespace_obstacle(), namespace_obstacle())
    assert in_child(lambda: choice.namespace_obstacle.__wrapped__(), NOBODY) == ""


@pytest.mark.parametrize(
    ("code", "where", "words"),
    [
        (errno.ENOSPC, "No space left on device (unshare)", "user.max_user_namespaces"),
        (errno.EINVAL, "Invalid argument (unshare)", "without user namespaces"),
        (errno.EPERM, "Operation not permitted (unshare)", "refused to this process"),
        (errno.ENOSYS, "Function not implemented (mount_setattr)", "too old"),
        (errno.EACCES, "Permission denied (mount on /)", "Permission denied (mount on /)"),
    ],
)
def test_why_it_cannot_be_done(code: int, where: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "read_setting", lambda _path: "")
    monkeypatch.setattr(choice, "_in_container", lambda: False)
    assert words in explain(code, where)
    monkeypatch.setattr(choice, "_in_container", lambda: True)
    assert ("container" in explain(code, where)) == (code == errno.EPERM)
    monkeypatch.setattr(
        choice, "read_setting", lambda path: "1" if path.endswith("apparmor_restrict_unprivileged_userns") else ""
    )
    assert "AppArmor" in explain(code, where)


def test_a_refusal_is_found_by_trying(box: Box) -> None:
    # Inside of a layered confinement nothing can be confined a second time in the same way.
    from learner.enforcers.layered import LayeredEnforcer

    def nested() -> str:
        os.chdir(box.project)
        LayeredEnforcer().prepare(box_policy(box, ("/sys", Scope.TREE, Right.READ))).apply()
        return choice.namespace_obstacle.__wrapped__()

    said = in_child(nested, box.user)
    assert "refused to this process" in said
