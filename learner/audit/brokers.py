"""Brokers: helpers that act *for* the agent outside of the gate, because they were there before it.

A daemon that is reached over a unix socket or over loopback runs with its own rights: what it is asked to do, no
policy of the agent's holds. So the socket is the grant, and this says what it amounts to, and who listens.
"""

import enum
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from learner.access import Access, Kind, Meaning
from learner.audit import peers
from learner.audit.peers import Peer
from learner.audit.servers import is_loopback
from learner.policy import NetworkAction, Policy, Right
from tracers.events import Operation, Transport


class Reach(enum.StrEnum):
    """How the agent gets there."""

    USED = "used"
    """It was seen to talk to it."""
    GRANTED = "granted"
    """The policy grants it."""
    THERE = "there"
    """It is not granted, but it listens, and an enforcer that cannot hold unix sockets by path lets it through."""


class Broker(NamedTuple):
    """``kind``: what it is. ``address``: a path, ``@abstract`` or ``host:port``. ``power``: what it does for the agent.

    ``peer`` is None where nobody listens now, or it cannot be told who.
    """

    kind: str
    address: str
    power: str
    reach: Reach
    peer: Peer | None


class _Known(NamedTuple):
    kind: str
    pattern: str
    power: str


_ROOT = "starts containers that have the whole machine: root outside of the sandbox"
_SIGNS = "signs with your keys"
_RUNS = "starts programs outside of the sandbox"
_TABLE = tuple(
    _Known(kind, pattern, power)
    for kind, pattern, power in (
        ("docker", r"(/var)?/run/docker\.sock|.*/\.docker/(run|desktop)/.*\.sock|.*/docker\.sock", _ROOT),
        ("podman", r".*/podman/podman.*\.sock", _ROOT),
        ("containerd", r".*/containerd/containerd\.sock|.*/crio\.sock|.*/buildkitd\.sock", _ROOT),
        ("libvirt", r".*/libvirt/.*-sock", "starts virtual machines with any disk of this machine"),
        ("lxd", r".*/(lxd|incus)/unix\.socket", _ROOT),
        ("ssh-agent", r".*/ssh-[^/]+/agent\.\d+|.*/(keyring|openssh_agent|gcr)/?(ssh)?|.*/S\.gpg-agent\.ssh", _SIGNS),
        ("gpg-agent", r".*/S\.(gpg-agent|keyboxd|scdaemon|dirmngr)[^/]*", _SIGNS + ", and decrypts"),
        ("keyring", r".*/keyring/(control|pkcs11)", "hands out stored passwords"),
        ("password manager", r".*/(1password|bitwarden|keepassxc)[^/]*(/.*)?|.*KeePassXC.*", "hands out passwords"),
        (
            "D-Bus session",
            r"/run/user/\d+/bus|/tmp/dbus-[^/]+|@/tmp/dbus-.*|@.*/dbus/.*",
            _RUNS + " (systemd, portals)",
        ),
        ("D-Bus system", r"(/var)?/run/dbus/system_bus_socket", "asks system services, as polkit allows you"),
        ("systemd", r".*/systemd/(private|userdb/.*|io\.system.*)", _RUNS),
        ("tmux", r".*/tmux-\d+/.*", "types into your other terminals"),
        ("screen", r".*/(screen|screens)/S-.*|.*/\.screen/.*", "types into your other terminals"),
        ("zellij", r".*/zellij/.*", "types into your other terminals"),
        ("terminal", r".*/(kitty|wezterm|alacritty)[^/]*(/.*)?|@kitty.*", "types into your other terminals"),
        ("X11", r"@?/tmp/\.X11-unix/X\d+", "sees the screen, and types into every window"),
        ("Wayland", r"/run/user/\d+/wayland-\d+", "shows windows, and reads the clipboard"),
        ("editor", r".*/(vscode|cursor)-(ipc|git)-[^/]*\.sock|.*/nvim\.[^/]*/.*|.*/emacs\d*/.*", _RUNS),
        ("Nix daemon", r"/nix/var/nix/daemon-socket/socket", "builds and installs"),
        ("file watcher", r".*/watchman(-state)?/.*|.*/\.watchman.*", "runs triggers when files change"),
        ("build daemon", r".*/(bazel|gradle|buck|sccache|turbod?|nailgun)[^/]*(/.*)?\.?(sock|socket)?", _RUNS),
        ("MCP daemon", r".*[/_.-]mcp[/_.-].*", "runs the tools that it offers"),
        ("language server", r".*[/_.-](lsp|language-?server)[/_.-]?.*", "reads the project, and runs its build"),
        ("name service", r"(/var)?/run/nscd/socket|/run/systemd/resolve/.*", "looks names up: DNS from outside"),
        ("logging", r"/dev/log|/run/systemd/journal/.*", "writes to the system's log"),
    )
)
"""By the socket's path, from each program's manual. The first that fits counts."""

_PORTS: Mapping[int, tuple[str, str]] = {
    2375: ("docker", _ROOT),
    2376: ("docker", _ROOT),
    6443: ("Kubernetes", "starts containers in the cluster"),
    8001: ("Kubernetes proxy", "acts in the cluster as you"),
    9222: ("browser debugging", "reads and drives your browser, signed in as you"),
    9229: ("node debugging", _RUNS),
    11434: ("model server", "answers prompts"),
    4444: ("browser automation", "drives a browser"),
    6000: ("X11", "sees the screen, and types into every window"),
}
"""Registered or documented default ports."""
_PROGRAMS = (
    (re.compile(r"mcp"), "MCP daemon", "runs the tools that it offers"),
    (
        re.compile(r"lsp|langserver|language-?server|gopls|rust-analyzer|clangd|pyright"),
        "language server",
        "reads the project",
    ),
    (re.compile(r"dockerd|containerd|podman"), "docker", _ROOT),
    (re.compile(r"ssh-agent"), "ssh-agent", _SIGNS),
    (re.compile(r"gpg-agent"), "gpg-agent", _SIGNS),
    (re.compile(r"dbus-(daemon|broker)"), "D-Bus session", _RUNS),
    (re.compile(r"tmux"), "tmux", "types into your other terminals"),
)
_HARMLESS = frozenset({"name service", "logging"})
_UNKNOWN = "acts with its own rights, whatever it is asked"


def brokers(
    policy: Policy,
    accesses: Iterable[Access] = (),
    environ: Mapping[str, str] | None = None,
    look: Callable[[str], Peer | None] | None = None,
) -> tuple[Broker, ...]:
    """The helpers outside of the gate that are used, granted or merely there, with who listens; sorted by address.

    ``accesses``: of the run that ``policy`` was learned from. What the run itself listened on is left out.
    ``environ``: for ``SSH_AUTH_SOCK`` and the like. ``look``: finds the peer of an address, for tests.
    """
    look = look or peer
    accesses = tuple(accesses)
    hints = dict(_named(environ or {}))
    found: dict[str, Reach] = {}
    own = {a.object for a in accesses if a.operation in (Operation.BIND, Operation.LISTEN) and a.outcome == 0}
    own_ports = {a.endpoint.port for a in accesses if a.operation is Operation.LISTEN and a.endpoint}
    for address, reach in (
        *_used(accesses),
        *_granted(policy),
        *((a, Reach.THERE) for a in (*_there(environ or {}), *hints)),
    ):
        port = address.rpartition(":")[2] if not address.startswith(("/", "@")) else ""
        if address in own or (port.isdigit() and int(port) in own_ports):
            continue
        found.setdefault(address, reach)
    result = []
    for address, reach in sorted(found.items()):
        who = look(address)
        if reach is not Reach.USED and who is None:
            continue  # a name that nobody listens on does nothing for anybody
        kind, power = describe(address, who)
        if power == _UNKNOWN and address in hints:
            kind, power = next((known.kind, known.power) for known in _TABLE if known.kind == hints[address])
        if kind not in _HARMLESS:
            result.append(Broker(kind, address, power, reach, who))
    return tuple(result)


def peer(address: str) -> Peer | None:
    """Who listens at an address of a :class:`Broker`."""
    if address.startswith(("/", "@")):
        return peers.of_unix(address)
    return peers.of_port(int(address.rpartition(":")[2]))


def describe(address: str, who: Peer | None) -> tuple[str, str]:
    """(kind, power) by the address, or else by the program that listens."""
    if address.startswith(("/", "@")):
        for known in _TABLE:
            if re.fullmatch(known.pattern, address):
                return known.kind, known.power
    else:
        port = int(address.rpartition(":")[2])
        if port in _PORTS:
            return _PORTS[port]
    for pattern, kind, power in _PROGRAMS if who is not None else ():
        if who is not None and pattern.search(os.path.basename(who.program)):
            return kind, power
    return "unknown helper", _UNKNOWN


def _used(accesses: tuple[Access, ...]) -> Iterator[tuple[str, Reach]]:
    for access in accesses:
        if access.operation not in (Operation.CONNECT, Operation.SEND) or access.meaning is not Meaning.DONE:
            continue
        if access.endpoint is None:
            if access.kind is Kind.SOCKET and access.object.startswith("/"):
                yield access.object, Reach.USED
        elif access.endpoint.transport is Transport.TCP and is_loopback(access.endpoint.address):
            yield f"{access.endpoint.address}:{access.endpoint.port}", Reach.USED
        elif access.object.startswith("@"):
            yield access.object, Reach.USED


def _granted(policy: Policy) -> Iterator[tuple[str, Reach]]:
    for grant in policy.grants:
        if grant.rights & Right.CONNECT:
            yield grant.path, Reach.GRANTED
    for endpoint in policy.network:
        if endpoint.action is not NetworkAction.CONNECT:
            continue
        if endpoint.abstract:
            yield f"@{endpoint.host}", Reach.GRANTED
        elif is_loopback(endpoint.host) and endpoint.port and endpoint.transport is Transport.TCP:
            yield f"{endpoint.host}:{endpoint.port}", Reach.GRANTED


def _there(environ: Mapping[str, str]) -> Iterator[str]:
    """Sockets at well-known places, and those that the environment names."""
    yield from ("/run/docker.sock", "/run/dbus/system_bus_socket", "/run/containerd/containerd.sock")
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/"):
        yield from (f"{runtime}/{name}" for name in ("bus", "gnupg/S.gpg-agent", "podman/podman.sock", "docker.sock"))


def _named(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(path, kind) of the sockets that variables of the environment name, wherever they are."""
    kinds = {"SSH_AUTH_SOCK": "ssh-agent", "TMUX": "tmux", "NVIM": "editor", "VSCODE_IPC_HOOK_CLI": "editor"}
    for name, kind in kinds.items():
        path = environ.get(name, "").partition(",")[0]  # TMUX holds more, tmux(1)
        if path.startswith("/"):
            yield path, kind
    host = environ.get("DOCKER_HOST", "").removeprefix("unix://")
    if host.startswith("/"):
        yield host, "docker"
    for part in environ.get("DBUS_SESSION_BUS_ADDRESS", "").replace(";", ",").split(","):
        kind, _, path = part.partition("=")
        if kind == "unix:path" and path.startswith("/"):
            yield path, "D-Bus session"
