"""The inside of a jail: what the program's own process does before it becomes the program.

The namespaces need no privileges (user_namespaces(7)). A failure is an OSError whose ``filename`` is the step.
"""

import ipaddress
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from learner.enforcers import kernel
from learner.jail import dns, netlink, nft
from learner.jail.addresses import NETWORK, OWN
from learner.settings import map_ids, write_setting

LISTENER_PORT = 1
"""Where redirected connections arrive: a port that no program uses (tcpmux, RFC 1078, historic)."""

OWN6 = ipaddress.IPv6Address("fd73:6278::1")
"""The jail's IPv6 address (unique local, RFC 4193)."""

BYPASSES = ("/run/systemd/resolve/io.systemd.Resolve", "/run/nscd/socket", "/var/run/nscd/socket")
"""Sockets by which the C library's nss modules ask a resolver outside, past our DNS."""

_ROUTE = 0  # NETLINK_ROUTE


class Door(NamedTuple):
    """A socket of the jail that the filter serves. ``address`` is empty where connections of any address arrive."""

    kind: socket.SocketKind
    address: str
    port: int


@contextmanager
def _step(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise OSError(problem.errno, os.strerror(problem.errno or 0), name) from None


def separate(hide: Iterable[str] = ()) -> None:
    """Enter a user and network namespace of our own; also a mount namespace in which files ``hide`` are unreachable."""
    hidden = [path for path in hide if os.path.exists(path)]
    uid, gid = os.geteuid(), os.getegid()
    flags = kernel.CLONE_NEWUSER | kernel.CLONE_NEWNET | (kernel.CLONE_NEWNS if hidden else 0)
    whole = uid == 0 and _mapped_by_helper(flags)
    if not whole:
        with _step("user namespace"):
            if uid != 0:
                kernel.unshare(flags)
            map_ids(uid, gid)
    if hidden:
        with _step("mount namespace"):
            kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
            for path in hidden:
                kernel.mount("/dev/null", path, None, kernel.MS_BIND)


def _mapped_by_helper(flags: int) -> bool:
    """Unshare as root, so that all ids stay what they are: only a process outside may write such a map.

    False if it was not permitted; the namespaces are entered all the same.
    """
    maps = {name: _identity(f"/proc/self/{name}") for name in ("uid_map", "gid_map")}
    ready_read, ready_write = os.pipe()
    parent = os.getpid()
    helper = os.fork()
    if helper == 0:
        status = 1
        try:
            os.close(ready_write)
            if os.read(ready_read, 1):
                for name, text in maps.items():
                    write_setting(f"/proc/{parent}/{name}", text)
                status = 0
        except OSError:
            pass
        finally:
            os._exit(status)
    os.close(ready_read)
    try:
        with _step("user namespace"):
            kernel.unshare(flags)
        os.write(ready_write, b"x")
    finally:
        os.close(ready_write)
        _, status = os.waitpid(helper, 0)
    return status == 0


def _identity(path: str) -> str:
    """A map of every id that this namespace has to itself."""
    with open(path) as file:
        rows = [line.split() for line in file]
    return "".join(f"{inside} {inside} {count}\n" for inside, _, count in rows)


def network(servers: Iterable[str]) -> None:
    """Make every address lead to this namespace's own loopback, and all TCP to :data:`LISTENER_PORT`."""
    packed = [ipaddress.ip_address(server) for server in servers]
    with _step("loopback"):
        netlink.exchange(_ROUTE, [netlink.loopback_up()])
    with _step("addresses"):
        addresses = [netlink.add_address(OWN.packed, NETWORK.prefixlen)]
        addresses += [netlink.add_address(s.packed, s.max_prefixlen) for s in packed if _to_add(s)]
        netlink.exchange(_ROUTE, [*addresses, netlink.everything_local(OWN.packed)])
        if has_ipv6():
            netlink.exchange(_ROUTE, [netlink.add_address(OWN6.packed, 128), netlink.everything_local(OWN6.packed)])
    with _step("nftables"):
        netlink.exchange(nft.PROTOCOL, nft.ruleset(LISTENER_PORT, [str(s) for s in packed if not s.is_loopback]))


def _to_add(server: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return not server.is_loopback and (server.version == 4 or has_ipv6())


def has_ipv6() -> bool:
    """Whether this namespace has IPv6: it can be switched off at boot, and for new interfaces."""
    try:
        with open("/proc/sys/net/ipv6/conf/lo/disable_ipv6") as setting:
            return setting.read().strip() == "0"
    except OSError:
        return False


def doors(servers: Iterable[str], loopback: Iterable[tuple[str, int]]) -> list[tuple[Door, socket.socket]]:
    """The listening sockets: redirected connections, DNS, and the host's services that are let in."""
    wanted = [Door(socket.SOCK_STREAM, "", LISTENER_PORT)]
    for server in servers:
        wanted += [Door(socket.SOCK_DGRAM, server, dns.PORT), Door(socket.SOCK_STREAM, server, dns.PORT)]
    wanted += [Door(socket.SOCK_STREAM, address, port) for address, port in loopback]
    found = []
    with _step("listeners"):
        for door in dict.fromkeys(wanted):
            addresses = [door.address] if door.address else ["127.0.0.1", *(["::1"] if has_ipv6() else [])]
            found += [(door, _open(door, address)) for address in addresses if ":" not in address or has_ipv6()]
    return found


def _open(door: Door, address: str) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, door.kind)
    made.bind((address, door.port))
    if door.kind is socket.SOCK_STREAM:
        made.listen(512)
    return made
