"""Landlock for real: each right refused without its grant, admitted with exactly that grant, as root and as nobody."""

import errno
import fcntl
import os
import shutil
import signal
import socket
import stat
import subprocess
import termios
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from capability import require
from children import area_of, in_child, listing

from learner.enforcers.enforcer import Strength
from learner.enforcers.landlock import LandlockEnforcer, abi, kernel_gaps
from learner.errors import MachineError
from learner.gaps import Gap
from learner.policy import NO_RIGHT, Grant, NetworkAction, NetworkGrant, Policy, Right, Scope
from learner.ports import ephemeral_ports
from tracers.events import Transport

pytestmark = pytest.mark.kernel

TREE, FILE = Scope.TREE, Scope.FILE
SYSTEM = [
    (d, TREE, Right.READ | Right.LIST | Right.EXEC) for d in ("/usr", "/bin", "/lib", "/lib64") if os.path.isdir(d)
]
Grants = list[tuple[str, Scope, Right]]


@pytest.fixture
def area(user: int) -> Iterator[str]:
    """file (``content``), prog, dir/{file,sub/}, other/; all of it the user's."""
    with area_of(user) as top:

        def fill() -> None:
            for name in ("dir/sub", "other"):
                os.makedirs(f"{top}/{name}")
            for name in ("file", "dir/file"):
                with open(f"{top}/{name}", "w") as file:
                    file.write("content")
            shutil.copy("/bin/true", f"{top}/prog")

        in_child(fill, user)
        yield top


def make(grants: Grants, network: tuple[NetworkGrant, ...] = ()) -> Policy:
    return Policy(tuple(Grant(path, scope, rights, ()) for path, scope, rights in grants), network)


def confined(
    policy: Policy | None, work: Callable[[], Any], user: int, before: Callable[[], None] | None = None
) -> Any:
    """``work()`` in a child under ``policy`` (None: unconfined); ``before`` runs there before it is confined."""

    def go() -> Any:
        if before is not None:
            before()
        if policy is not None:
            LandlockEnforcer().prepare(policy).apply()
        return work()

    return in_child(go, user)


def network(action: NetworkAction, port: int, *, abstract: bool = False) -> tuple[NetworkGrant, ...]:
    transport = Transport.OTHER if abstract else Transport.TCP
    return (NetworkGrant(action, "127.0.0.1", port, transport, (), abstract),)


# --- each right


def _write(path: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, b"CHANGED")


def _exec(path: str) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            os.execv(path, [path])
        except OSError as problem:
            os._exit(problem.errno or 1)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise OSError(code, "exec")


def _bind(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path)


def _read(path: str) -> None:
    with open(path) as file:
        file.read()


def _device(path: str) -> None:
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(0, 0))  # the one device that anybody may make


class Case(NamedTuple):
    """``act`` on the area takes ``right`` at ``at``; ``also`` is granted all along."""

    right: Right
    act: Callable[[str], object]
    at: tuple[str, ...]
    scope: Scope
    also: tuple[tuple[str, Scope, Right], ...] = ()
    code: int = errno.EACCES
    changes: bool = True


CASES = [
    Case(Right.READ, lambda a: _read(f"{a}/file"), ("file",), FILE, changes=False),
    Case(Right.LIST, lambda a: os.listdir(f"{a}/dir"), ("dir",), TREE, changes=False),
    Case(Right.EXEC, lambda a: _exec(f"{a}/prog"), ("prog",), FILE, (("prog", FILE, Right.READ),), changes=False),
    Case(Right.WRITE, lambda a: _write(f"{a}/file"), ("file",), FILE, (("file", FILE, Right.READ),)),
    Case(Right.TRUNCATE, lambda a: os.truncate(f"{a}/file", 1), ("file",), FILE, (("file", FILE, Right.WRITE),)),
    Case(Right.CREATE, lambda a: os.mknod(f"{a}/dir/new", 0o600), ("dir",), TREE),
    Case(Right.MKDIR, lambda a: os.mkdir(f"{a}/dir/new"), ("dir",), TREE),
    Case(Right.SYMLINK, lambda a: os.symlink("x", f"{a}/dir/new"), ("dir",), TREE),
    Case(Right.SOCKET, lambda a: _bind(f"{a}/dir/new"), ("dir",), TREE),
    Case(Right.FIFO, lambda a: os.mkfifo(f"{a}/dir/new"), ("dir",), TREE),
    Case(Right.DEVICE, lambda a: _device(f"{a}/dir/new"), ("dir",), TREE),
    Case(Right.REMOVE, lambda a: os.unlink(f"{a}/dir/file"), ("dir",), TREE),
    Case(Right.RMDIR, lambda a: os.rmdir(f"{a}/dir/sub"), ("dir",), TREE),
    Case(
        Right.MOVE,
        lambda a: os.rename(f"{a}/dir/file", f"{a}/other/file"),
        ("dir", "other"),
        TREE,
        (("dir", TREE, Right.CREATE | Right.REMOVE), ("other", TREE, Right.CREATE | Right.REMOVE)),
        errno.EXDEV,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.right.name)
def test_each_right(case: Case, area: str, user: int) -> None:
    mediated = LandlockEnforcer().mediates(case.right)
    require(mediated == case.right, f"Landlock ABI {abi()} does not know {case.right.name}")
    also: Grants = [*SYSTEM, *((f"{area}/{path}", scope, rights) for path, scope, rights in case.also)]
    everything_else: Grants = [(f"{area}/{path}", case.scope, ~case.right) for path in case.at]
    exact: Grants = [(f"{area}/{path}", case.scope, case.right) for path in case.at]
    before = listing(area)

    def work() -> int:
        case.act(area)
        return 0

    assert confined(make(also), work, user) == -case.code
    # No other right stands in for it; only EXEC brings READ along.
    if case.right is not Right.READ:
        assert confined(make([*SYSTEM, *everything_else]), work, user) == -case.code
    assert listing(area) == before
    assert confined(make([*also, *exact]), work, user) == 0
    assert (listing(area) != before) is case.changes


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.right.name)
def test_the_unconfined_control(case: Case, area: str, user: int) -> None:
    before = listing(area)
    assert confined(None, lambda: case.act(area) and None, user) is None
    assert (listing(area) != before) is case.changes


def test_every_right_that_is_mediated_has_a_test() -> None:
    tested = {case.right for case in CASES} | {Right.IOCTL, Right.CONNECT}
    assert {right for right in Right if LandlockEnforcer().mediates(right)} <= tested
    assert LandlockEnforcer().mediates(Right.ATTRIBUTES) == NO_RIGHT


def test_device_control(user: int) -> None:
    require(LandlockEnforcer().mediates(Right.IOCTL), f"Landlock ABI {abi()} does not see ioctl")

    def work(rights: Right | None) -> Callable[[], int]:
        def go() -> int:
            terminal = os.ttyname(os.openpty()[1])
            if rights is not None:
                LandlockEnforcer().prepare(make([(terminal, FILE, rights)])).apply()
            fd = os.open(terminal, os.O_RDWR | os.O_NOCTTY)
            return len(fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))

        return go

    both = Right.READ | Right.WRITE
    assert in_child(work(None), user) == 8
    assert in_child(work(both), user) == -errno.EACCES
    assert in_child(work(both | Right.IOCTL), user) == 8


def test_unix_sockets_by_path(area: str, user: int) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as _spare:
        name = f"{area}/agent.sock"
        listener.bind(name)
        os.chmod(name, 0o777)
        listener.listen()

        def work() -> int:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(name)
            return 0

        assert confined(None, work, user) == 0
        refusable = bool(LandlockEnforcer().mediates(Right.CONNECT))
        assert (confined(make([]), work, user) < 0) is refusable
        assert any(g.item == "unix sockets by path" for g in kernel_gaps(abi())) is not refusable
        assert confined(make([(name, FILE, Right.CONNECT)]), work, user) == 0


# --- sockets and signals


@pytest.fixture
def tcp() -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener


def connecting(port: int) -> Callable[[], int]:
    def work() -> int:
        with socket.socket() as client:
            client.connect(("127.0.0.1", port))
        return 0

    return work


def binding(port: int) -> Callable[[], int]:
    def work() -> int:
        with socket.socket() as server:
            server.bind(("127.0.0.1", port))
            return 0

    return work


def fixed_port() -> int:
    """A free port that the kernel does not hand out by itself."""
    for port in range(20000, ephemeral_ports().start):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    pytest.skip("no free port below the ephemeral range")


def test_tcp_connect(tcp: socket.socket, user: int) -> None:
    require(abi() >= 4, "Landlock sees TCP from ABI 4 on")
    port = tcp.getsockname()[1]
    assert confined(None, connecting(port), user) == 0
    assert confined(make([]), connecting(port), user) == -errno.EACCES
    assert confined(make([], network(NetworkAction.CONNECT, port)), connecting(port), user) == 0
    assert confined(make([], network(NetworkAction.BIND, port)), connecting(port), user) == -errno.EACCES
    assert confined(make([], network(NetworkAction.CONNECT, 1)), connecting(port), user) == -errno.EACCES


def test_tcp_bind(user: int) -> None:
    require(abi() >= 4, "Landlock sees TCP from ABI 4 on")
    port = fixed_port()
    assert confined(None, binding(port), user) == 0
    assert confined(make([]), binding(port), user) == -errno.EACCES
    assert confined(make([], network(NetworkAction.BIND, port)), binding(port), user) == 0
    assert confined(make([], network(NetworkAction.CONNECT, port)), binding(port), user) == -errno.EACCES
    assert confined(make([]), binding(0), user) == -errno.EACCES
    assert confined(make([], network(NetworkAction.BIND, 0)), binding(0), user) == 0
    assert confined(make([], network(NetworkAction.BIND, 0)), binding(port), user) == -errno.EACCES


def test_a_connection_to_an_own_port(tcp: socket.socket, user: int) -> None:
    require(abi() >= 4, "Landlock sees TCP from ABI 4 on")
    own = make([], network(NetworkAction.CONNECT, 0))
    assert confined(own, connecting(tcp.getsockname()[1]), user) == 0
    port = fixed_port()
    with socket.socket() as fixed:
        fixed.bind(("127.0.0.1", port))
        fixed.listen()
        assert confined(None, connecting(port), user) == 0
        assert confined(own, connecting(port), user) == -errno.EACCES
    assert "own ports" in {gap.item for gap in LandlockEnforcer().prepare(own).gaps}


def test_abstract_sockets(user: int) -> None:
    require(abi() >= 6, "Landlock sees abstract sockets from ABI 6 on")
    name = f"\0sbx-test-{os.getpid()}-{user}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()

        def work() -> int:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(name)
            return 0

        assert confined(None, work, user) == 0
        assert confined(make([]), work, user) == -errno.EPERM
        granted = make([], network(NetworkAction.CONNECT, 0, abstract=True))
        assert confined(granted, work, user) == 0
        assert "abstract sockets" in {gap.item for gap in LandlockEnforcer().prepare(granted).gaps}


def _waiting() -> int:
    """A child that waits to be killed."""
    pid = os.fork()
    if pid == 0:
        os.closerange(3, 1024)  # whoever waits for the end of a pipe must not wait for this one
        signal.alarm(60)
        signal.pause()
        os._exit(0)
    return pid


@pytest.mark.parametrize("policy", [make([]), make([], network(NetworkAction.CONNECT, 0, abstract=True))])
def test_signals(policy: Policy, user: int) -> None:
    require(abi() >= 6, "Landlock scopes signals from ABI 6 on")

    def work(confine: bool) -> Callable[[], list[int]]:
        def go() -> list[int]:
            outside = _waiting()
            if confine:
                LandlockEnforcer().prepare(policy).apply()
            results = []
            for pid in (outside, _waiting()):
                try:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                    results.append(0)
                except OSError as problem:
                    results.append(problem.errno or 0)
            return [*results, outside]

        return go

    assert in_child(work(False), user)[:2] == [0, 0]
    *results, survivor = in_child(work(True), user)
    os.kill(survivor, signal.SIGKILL)
    assert results == [errno.EPERM, 0]


# --- policies


def test_what_is_granted_stays_granted_over_exec(area: str, user: int) -> None:
    policy = make([*SYSTEM, (f"{area}/file", FILE, Right.READ)])

    def work() -> list[object]:
        said = subprocess.run(["/bin/cat", f"{area}/file", f"{area}/dir/file"], capture_output=True, text=True)
        return [said.returncode, said.stdout, "Permission denied" in said.stderr]

    assert confined(policy, work, user) == [1, "content", True]


def test_setuid_programs_gain_nothing(user: int) -> None:
    with open("/proc/self/status") as status:
        assert "NoNewPrivs:" in status.read()

    def work() -> bool:
        with open("/proc/self/status") as status:
            return "NoNewPrivs:\t1" in status.read()

    assert confined(make([("/proc", TREE, Right.READ)]), work, user) is True


def test_a_missing_path_is_a_gap(area: str) -> None:
    absent, beneath = f"{area}/absent\n", f"{area}/file/x"
    policy = make([(absent, TREE, Right.READ), (beneath, FILE, Right.READ), (f"{area}/file", FILE, Right.READ)])
    confinement = LandlockEnforcer().prepare(policy)
    confinement.close()
    reason = "not there, so nothing was granted on it"
    assert {g for g in confinement.gaps if g.reason == reason} == {
        Gap(f"{area}/absent\\x0a", reason),
        Gap(beneath, reason),
    }


def test_every_right_on_a_regular_file(area: str, user: int) -> None:
    assert confined(make([(f"{area}/file", FILE, ~NO_RIGHT)]), lambda: _write(f"{area}/file"), user) is None


def test_a_single_directory_is_a_gap(area: str) -> None:
    confinement = LandlockEnforcer().prepare(make([(f"{area}/dir", FILE, Right.LIST)]))
    confinement.close()
    assert "single directories" in {gap.item for gap in confinement.gaps}


def test_a_tree_reaches_down_and_not_sideways(area: str, user: int) -> None:
    policy = make([(f"{area}/dir", TREE, Right.READ)])
    assert confined(policy, lambda: _read(f"{area}/dir/file"), user) is None
    assert confined(policy, lambda: _read(f"{area}/file"), user) == -errno.EACCES


def test_links_lead_nowhere_else(area: str, user: int) -> None:
    os.symlink(f"{area}/file", f"{area}/dir/link")
    policy = make([(f"{area}/dir", TREE, Right.READ)])
    assert confined(policy, lambda: _read(f"{area}/dir/link"), user) == -errno.EACCES


def test_a_thousand_grants(area: str, user: int) -> None:
    for number in range(1001):
        with open(f"{area}/other/{number}", "w"):
            os.chmod(f"{area}/other/{number}", 0o644)
    policy = make([(f"{area}/other/{number}", FILE, Right.READ) for number in range(1000)])

    def work() -> int:
        for number in range(1000):
            _read(f"{area}/other/{number}")
        return -1 if os.path.exists(f"{area}/other/1000") else 0

    assert confined(policy, work, user) == -1
    assert confined(policy, lambda: _read(f"{area}/other/1000"), user) == -errno.EACCES


def test_what_stays_open_is_returned() -> None:
    confinement = LandlockEnforcer().prepare(make([], network(NetworkAction.CONNECT, 443)))
    confinement.close()
    assert confinement.strength is Strength.PARTIAL
    assert set(kernel_gaps(abi())) <= set(confinement.gaps)
    assert "hosts" in {gap.item for gap in confinement.gaps}
    assert list(confinement.gaps) == sorted(set(confinement.gaps))


def test_newer_kernels_have_fewer_gaps() -> None:
    numbers = [len(kernel_gaps(version)) for version in range(1, 12)]
    assert numbers == sorted(numbers, reverse=True)
    assert {gap.item for gap in kernel_gaps(99)} - {"terminal"} == {
        "TCP Fast Open",
        "attributes",
        "inherited descriptors",
        "keyrings",
        "metadata",
        "other processes",
        "other sockets",
        "programs in memory",
        "shared memory and queues",
    }


def test_a_kernel_without_landlock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learner.enforcers.landlock.abi", lambda: 0)
    with pytest.raises(MachineError, match="no Landlock") as caught:
        LandlockEnforcer().prepare(make([]))
    assert "lsm=" in caught.value.remedy


def test_what_the_user_cannot_reach(area: str, user: int) -> None:
    if user == 0:
        pytest.skip("root reaches everything")
    os.chmod(area, 0)

    def work() -> str:
        try:
            LandlockEnforcer().prepare(make([(f"{area}/file", FILE, Right.READ)]))
        except MachineError as problem:
            return str(problem)
        return ""

    try:
        assert in_child(work, user) == f"{area}/file: Permission denied"
    finally:
        os.chmod(area, 0o755)


def test_rulesets_are_closed(area: str) -> None:
    before = set(os.listdir("/proc/self/fd"))
    LandlockEnforcer().prepare(make([(area, TREE, Right.READ)])).close()
    with pytest.raises((MachineError, ValueError)):
        LandlockEnforcer().prepare(make([], network(NetworkAction.CONNECT, 70000)))
    assert set(os.listdir("/proc/self/fd")) == before
