"""Namespaces, seccomp and Landlock together: what is granted works, and nothing on the list gets through."""

import errno
import os
import shutil
from collections.abc import Iterator

import boxes
import pytest
from boxes import Box, attempt, box_of, box_policy, start
from capability import require

from learner.enforcers.choice import layered_obstacle
from learner.enforcers.enforcer import Confinement, Strength
from learner.enforcers.landlock import abi
from learner.enforcers.layered import LayeredEnforcer
from learner.policy import NetworkAction, NetworkGrant, Policy, Right, Scope
from tracers.abi import abis
from tracers.events import Transport

pytestmark = pytest.mark.kernel
GONE, DENIED = {errno.ENOENT}, {errno.EACCES, errno.EPERM}


@pytest.fixture
def box(user: int) -> Iterator[Box]:
    require(not layered_obstacle(), layered_obstacle())
    with box_of(user) as made:
        yield made


def layered(policy: Policy) -> Confinement:
    return LayeredEnforcer().prepare(policy)


@pytest.mark.parametrize(
    ("attack", "refusals"),
    [
        (boxes.READ, GONE),
        (boxes.STAT, GONE),
        (boxes.UNIX, GONE),
        (boxes.ABSTRACT, {errno.EPERM, errno.ECONNREFUSED}),
        (boxes.OVERWRITE, {errno.EROFS}),
        (boxes.CREATE, {errno.EROFS}),
        (boxes.CHMOD, {errno.EROFS}),
        (boxes.SIGNAL, {errno.EPERM}),
        (boxes.ENVIRON, DENIED),
        (boxes.ROOT, DENIED),
        (boxes.INHERITED, {errno.EBADF}),
        (boxes.UDP, {errno.EACCES}),
        (boxes.MPTCP, {errno.EACCES}),
        (boxes.IO_URING, {errno.ENOSYS}),
        (boxes.TIOCSTI, {errno.EPERM}),
        (boxes.KEYRING, {errno.ENOSYS}),
        (boxes.NESTED, {errno.EPERM}),
        (boxes.REMOUNT, {errno.EPERM}),
        (boxes.INT80, {errno.ENOSYS}),
    ],
)
def test_attacks(attack: str, refusals: set[int], box: Box) -> None:
    if attack in (boxes.ABSTRACT, boxes.SIGNAL):
        require(abi() >= 6, "Landlock scopes signals and abstract sockets from ABI 6 on")
    found = abis()
    if attack == boxes.INT80 and (found is None or found[1].prefix != "i386"):
        pytest.skip("no 32-bit calls on this architecture")
    boxes.refused(layered, box, attack, refusals)


def test_what_is_granted_works(box: Box) -> None:
    policy = box_policy(box, ("/etc/passwd", Scope.FILE, Right.READ))
    script = (
        "set -e; echo one > a; mv a b; mkdir d; ln -s b c; cat c; cat <(echo two); python3 -c 'print(3)'; cat $0/book"
    )
    ended = start(layered, policy, box, "/bin/bash", "-c", script, f"{box.top}/library")
    assert (ended.status, ended.said) == (0, "one\ntwo\n3\nswordfish\n")
    with open(f"{box.project}/b") as kept:  # on the host, not in some copy
        assert kept.read() == "one\n"
    git = "git init -q . && git add b && git -c user.name=t -c user.email=t@t commit -qm x && git log --oneline | wc -l"
    ended = start(layered, policy, box, "/bin/sh", "-c", git)
    assert (ended.status, ended.said.strip()) == (0, "1")
    assert start(layered, policy, box, "/bin/sh", "-c", "exit 7").status == 7
    assert start(layered, policy, box, "/bin/sh", "-c", "kill -TERM $$").status == -15
    who = start(layered, policy, box, "/usr/bin/id", "-u")
    assert who.said.strip() == str(box.user)
    if shutil.which("node") == "/usr/bin/node":
        ended = start(
            layered, policy, box, "/usr/bin/node", "-e", "require('fs').writeFileSync('n', '4'); console.log(5)"
        )
        assert (ended.status, ended.said) == (0, "5\n")


def test_a_compiler_works(box: Box) -> None:
    require(shutil.which("gcc"), "no gcc")
    policy = box_policy(box)
    script = "echo 'int main(void){return 42;}' > m.c && TMPDIR=. gcc m.c -o m && ./m"
    assert start(layered, policy, box, "/bin/sh", "-c", script).status == 42


def test_kinds_of_rights_are_told_apart(box: Box) -> None:
    policy = box_policy(box)
    os.chmod(f"{box.top}/library/book", 0o755)
    run = "os.execv('<library>/book', ['book'])"  # readable, but not granted exec
    assert attempt(None, policy, box, run) == errno.ENOEXEC
    assert attempt(layered, policy, box, run) == errno.EACCES


def test_names_of_a_directory_that_may_be_listed(box: Box) -> None:
    policy = box_policy(box, (box.top, Scope.FILE, Right.LIST))
    line = "assert sorted(os.listdir('<project>/..')) == ['library', 'project', 'secret', 'socket']"
    assert attempt(layered, policy, box, line) == 0
    assert attempt(layered, policy, box, boxes.READ) == errno.EACCES


def test_loopback_of_its_own_and_no_other(box: Box) -> None:
    import socket

    with socket.socket() as service:
        service.bind(("127.0.0.1", 0))
        service.listen()
        port = service.getsockname()[1]
        connect = f"socket.socket().connect(('127.0.0.1', {port}))"
        closed = box_policy(box)
        assert attempt(None, closed, box, connect) == 0
        assert attempt(layered, closed, box, connect) in {errno.EACCES, errno.ECONNREFUSED}
        granted = NetworkGrant(NetworkAction.CONNECT, "127.0.0.1", port, Transport.TCP, ())
        opened = box_policy(box, network=(granted,))
        assert attempt(layered, opened, box, connect) == 0
        other = f"socket.socket().connect(('127.0.0.1', {port + 1 if port < 65535 else port - 1}))"
        assert attempt(None, opened, box, other) == errno.ECONNREFUSED
        assert attempt(layered, opened, box, other) == errno.EACCES
        assert attempt(layered, opened, box, boxes.UDP) == errno.EACCES
        dns = NetworkGrant(NetworkAction.CONNECT, "127.0.0.1", 9, Transport.UDP, ())
        assert attempt(layered, box_policy(box, network=(granted, dns)), box, boxes.UDP) == 0


def test_a_swapped_link_is_not_followed(box: Box) -> None:
    inner = f"{box.project}/inner"
    os.symlink(f"{box.top}/secret", inner)
    policy = box_policy(box, (inner, Scope.FILE, Right.READ))
    assert attempt(None, policy, box, "open('<project>/inner').read()") == 0
    assert attempt(layered, policy, box, "open('<project>/inner').read()") == errno.ENOENT
    confinement = layered(policy)
    assert inner in {gap.item for gap in confinement.gaps}
    confinement.close()


def test_the_home_and_a_link_to_the_program(box: Box) -> None:
    os.mkdir(f"{box.top}/bin")
    os.symlink("/usr/bin/python3", f"{box.top}/bin/tool")
    policy = box_policy(box)
    ended = start(layered, policy, box, f"{box.top}/bin/tool", "-I", "-c", "print('linked')")
    assert (ended.status, ended.said) == (0, "linked\n")


def test_new_terminals(box: Box) -> None:
    every = Right.READ | Right.WRITE | Right.IOCTL
    policy = box_policy(box, ("/dev/ptmx", Scope.FILE, every), ("/dev/pts", Scope.TREE, every | Right.LIST))
    assert attempt(layered, policy, box, "import pty; a, b = os.openpty(); os.ttyname(b)") == 0


def test_it_says_what_stays_open(box: Box) -> None:
    confinement = layered(box_policy(box))
    assert confinement.strength is Strength.PARTIAL
    items = {gap.item for gap in confinement.gaps}
    assert not items & {"metadata", "unix sockets by path", "kinds of rights", "hosts"}
    if abi() >= 7:
        assert not items & {"TCP", "UDP", "other sockets", "abstract unix sockets and signals"}
    assert "unix sockets in granted trees" in items
