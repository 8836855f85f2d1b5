"""Brokers: real sockets of this process, and the tables."""

import os
import socket
from pathlib import Path

import pytest
from accesses import access
from accesses import socket as endpoint_access

from learner.access import Kind
from learner.audit import peers
from learner.audit.brokers import Reach, brokers, describe
from learner.audit.peers import Peer
from learner.policy import Grant, NetworkAction, NetworkGrant, Policy, Right, Scope
from tracers.events import Family, Operation, Transport

NOBODY = Peer(7, 0, "/usr/sbin/thing")


def test_the_peer_of_a_unix_socket_is_who_listens(scratch: Path) -> None:
    path = str(scratch / "agent.sock")
    assert peers.of_unix(path) is None
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        assert peers.of_unix(path) is None, "nobody listens yet"
        server.listen(4)
        found = peers.of_unix(path)
        assert found == Peer(os.getpid(), os.getuid(), os.readlink("/proc/self/exe"))
    assert peers.of_unix(path) is None, "the name is there still, the listener is not"


def test_a_plain_file_is_no_socket(scratch: Path) -> None:
    (scratch / "file").write_text("x")
    assert peers.of_unix(str(scratch / "file")) is None


def test_the_peer_of_an_abstract_socket() -> None:
    name = f"sbx-test-{os.getpid()}-{os.urandom(4).hex()}"
    assert peers.of_unix("@" + name) is None
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0" + name)
        server.listen(4)
        found = peers.of_unix("@" + name)
    assert found is not None
    assert found.pid == os.getpid()


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::1")]
)
def test_the_peer_of_a_loopback_port(family: socket.AddressFamily, host: str) -> None:
    with socket.socket(family) as server:
        try:
            server.bind((host, 0))
        except OSError:
            pytest.skip("no IPv6 loopback here")
        port = server.getsockname()[1]
        assert peers.of_port(port) is None
        server.listen(4)
        found = peers.of_port(port)
        assert found == Peer(os.getpid(), os.getuid(), os.readlink("/proc/self/exe"))
    assert peers.of_port(port) is None


def test_what_was_used_granted_and_is_there() -> None:
    run = (
        access(Operation.CONNECT, "/run/docker.sock", Kind.SOCKET),
        access(Operation.CONNECT, "/home/ada/own.sock", Kind.SOCKET),
        access(Operation.BIND, "/home/ada/own.sock", Kind.SOCKET),
        access(Operation.CONNECT, "/run/nscd/socket", Kind.SOCKET, outcome=2),
        endpoint_access(Operation.CONNECT, "127.0.0.1", 8001),
        endpoint_access(Operation.CONNECT, "10.0.0.1", 8001),
        endpoint_access(Operation.CONNECT, "127.0.0.1", 4000),
        endpoint_access(Operation.LISTEN, "127.0.0.1", 4000),
        endpoint_access(Operation.CONNECT, "/tmp/.X11-unix/X0", family=Family.ABSTRACT, transport=Transport.OTHER),
    )
    policy = Policy(
        (Grant("/tmp/tmux-1000/default", Scope.FILE, Right.CONNECT, ()),),
        (NetworkGrant(NetworkAction.CONNECT, "127.0.0.1", 9222, Transport.TCP, ()),),
    )
    found = brokers(policy, run, {"SSH_AUTH_SOCK": "/tmp/ssh-abc/agent.12"}, lambda _: NOBODY)
    assert [(b.kind, b.address, b.reach) for b in found if b.reach is not Reach.THERE] == [
        ("docker", "/run/docker.sock", Reach.USED),
        ("tmux", "/tmp/tmux-1000/default", Reach.GRANTED),
        ("Kubernetes proxy", "127.0.0.1:8001", Reach.USED),
        ("browser debugging", "127.0.0.1:9222", Reach.GRANTED),
        ("X11", "@/tmp/.X11-unix/X0", Reach.USED),
    ]
    assert ("ssh-agent", Reach.THERE) in {(b.kind, b.reach) for b in found}
    assert all(b.power for b in found)


def test_the_environment_tells_what_a_socket_is(scratch: Path) -> None:
    path = str(scratch / "S")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(4)
        found = brokers(Policy(), (), {"SSH_AUTH_SOCK": path, "TMUX": f"{scratch}/gone,12,0"})
        [broker] = [b for b in found if b.address.startswith(str(scratch))]
        assert (broker.kind, broker.reach, broker.power) == ("ssh-agent", Reach.THERE, "signs with your keys")
        assert broker.peer is not None
        assert broker.peer.pid == os.getpid()


def test_what_is_not_there_is_not_named_unless_it_was_used() -> None:
    run = (access(Operation.CONNECT, "/run/docker.sock", Kind.SOCKET),)
    policy = Policy((Grant("/tmp/tmux-1000/default", Scope.FILE, Right.CONNECT, ()),), ())
    [broker] = brokers(policy, run, {"SSH_AUTH_SOCK": "/tmp/ssh-abc/agent.12"}, lambda _: None)
    assert (broker.kind, broker.peer) == ("docker", None)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("/var/run/docker.sock", "docker"),
        ("/home/a/.docker/run/docker.sock", "docker"),
        ("/run/user/1000/podman/podman.sock", "podman"),
        ("/tmp/ssh-XXXX/agent.123", "ssh-agent"),
        ("/run/user/1000/keyring/ssh", "ssh-agent"),
        ("/run/user/1000/gnupg/S.gpg-agent.ssh", "ssh-agent"),
        ("/run/user/1000/gnupg/S.gpg-agent", "gpg-agent"),
        ("/run/user/1000/bus", "D-Bus session"),
        ("/run/dbus/system_bus_socket", "D-Bus system"),
        ("/tmp/tmux-0/default", "tmux"),
        ("/run/user/1000/vscode-ipc-ab.sock", "editor"),
        ("/tmp/x-mcp-server.sock", "MCP daemon"),
        ("/tmp/gopls-lsp.sock", "language server"),
        ("/srv/whatever.sock", "unknown helper"),
        ("127.0.0.1:2375", "docker"),
        ("127.0.0.1:65000", "unknown helper"),
    ],
)
def test_kinds(address: str, kind: str) -> None:
    assert describe(address, NOBODY)[0] == kind


def test_an_unknown_port_is_known_by_who_listens() -> None:
    assert describe("127.0.0.1:65000", Peer(1, 0, "/opt/bin/my-mcp-server"))[0] == "MCP daemon"
