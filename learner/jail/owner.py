"""Which process has a socket of a jail: through /proc, best effort (it may be gone, or not be ours to look at)."""

import os
from typing import NamedTuple

_LISTEN = "0A"  # TCP_LISTEN, net/tcp_states.h


class Owner(NamedTuple):
    """``program``: the name that the kernel has for it (a script's own, not its interpreter's)."""

    program: str = ""
    pid: int = 0


def owner(jailed: int, protocol: str, port: int) -> Owner:
    """Who holds the socket on local ``port`` in the network namespace of the process ``jailed``.

    ``protocol`` is ``tcp`` or ``udp``. Reads the namespace's own socket table (proc_pid_net(5)), then the
    descriptors of every process in that namespace.
    """
    inodes = {inode for table in (protocol, f"{protocol}6") for inode in _inodes(jailed, table, port)}
    if not inodes:
        return Owner()
    wanted = {f"socket:[{inode}]" for inode in inodes}
    try:
        namespace = os.readlink(f"/proc/{jailed}/ns/net")
        everybody = sorted((int(name) for name in os.listdir("/proc") if name.isdigit()), reverse=True)
    except OSError:
        return Owner()
    for pid in everybody:  # the youngest first: a shell keeps no socket of the program that it started
        try:
            if os.readlink(f"/proc/{pid}/ns/net") == namespace and _holds(pid, wanted):
                return Owner(_name(pid), pid)
        except OSError:
            continue
    return Owner()


def _inodes(jailed: int, table: str, port: int) -> list[str]:
    """Inodes of the sockets of a table that are on ``port`` and do not listen."""
    try:
        with open(f"/proc/{jailed}/net/{table}") as file:
            rows = [line.split() for line in file][1:]
    except OSError:
        return []
    local = f":{port:04X}"
    return [row[9] for row in rows if row[1].endswith(local) and row[3] != _LISTEN and row[9] != "0"]


def _holds(pid: int, wanted: set[str]) -> bool:
    place = f"/proc/{pid}/fd"
    for descriptor in os.listdir(place):
        try:
            if os.readlink(f"{place}/{descriptor}") in wanted:
                return True
        except OSError:
            continue
    return False


def _name(pid: int) -> str:
    with open(f"/proc/{pid}/comm", errors="surrogateescape") as file:
        return file.read().rstrip("\n")
