"""Who is at the other end: the process that listens on a unix socket or on a loopback port of this machine."""

import contextlib
import os
import re
import socket
import stat
import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

_SO_PEERCRED = struct.Struct("3i")  # struct ucred, unix(7): pid, uid, gid
_LISTENING = "0A"  # TCP_LISTEN, net/tcp_states.h, as /proc/net/tcp has it
_ACCEPTING = 1 << 16  # __SO_ACCEPTCON, linux/net.h, in the flags of /proc/net/unix
_TIMEOUT = 0.5
_INODE = re.compile(r"socket:\[(\d+)\]\Z")


class Peer(NamedTuple):
    """The process that listens. ``pid`` is 0 and ``program`` empty where the kernel does not tell."""

    pid: int
    uid: int
    program: str


def of_unix(path: str) -> Peer | None:
    """Who listens on the unix socket at ``path`` (``@name``: an abstract one), None if nobody does.

    The kernel is asked (SO_PEERCRED): the answer is whoever called listen(2), which may be a service manager that
    passed the socket on; then the process that holds the socket now is named, where it can be seen.
    """
    name = "\0" + path[1:] if path.startswith("@") else path
    if not path.startswith("@"):
        try:
            if not stat.S_ISSOCK(os.stat(path).st_mode):
                return None
        except OSError:
            return None
    if _accepting(path) is False:
        return None
    if not hasattr(socket, "SO_PEERCRED"):  # macOS tells only whose the socket is
        return Peer(0, os.stat(path).st_uid, "")
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)) as probe:
        probe.settimeout(_TIMEOUT)
        try:
            probe.connect(name)
            credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _SO_PEERCRED.size)
        except OSError:
            return _holder(path)
    pid, uid, _ = _SO_PEERCRED.unpack(credentials)
    return Peer(pid, uid, program(pid)) if pid and program(pid) else _holder(path) or Peer(pid, uid, "")


def of_port(port: int) -> Peer | None:
    """Who listens on ``port`` of loopback or of every address, None if nobody does."""
    for inode, uid in _tcp_listeners().get(port, ()):
        pid = _holders((inode,)).get(inode, 0)
        return Peer(pid, uid, program(pid))
    return None


def program(pid: int) -> str:
    """The executable of a process, or its name where that may not be seen; "" if it is gone."""
    try:
        return os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
    except OSError:
        pass
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read().strip()
    except OSError:
        return ""


def _accepting(path: str) -> bool | None:
    """Whether /proc/net/unix has a socket of that name which accepts connections; None if it cannot be read."""
    known = _unix_sockets()
    return None if known is None else any(accepting for name, accepting, _ in known if name == path)


def _holder(path: str) -> Peer | None:
    inodes = [inode for name, accepting, inode in _unix_sockets() or () if name == path and accepting]
    for pid in _holders(inodes).values():
        try:
            return Peer(pid, os.stat(f"/proc/{pid}").st_uid, program(pid))
        except OSError:
            continue
    return None


def _unix_sockets() -> list[tuple[str, bool, int]] | None:
    """(name, whether it accepts connections, inode) of the unix sockets that have a name."""
    found = []
    try:
        with open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as stream:
            next(stream, "")
            for line in stream:
                words = line.split(None, 7)
                if len(words) == 8:
                    found.append((words[7].rstrip("\n"), bool(int(words[3], 16) & _ACCEPTING), int(words[6])))
    except (OSError, ValueError):
        return None
    return found


def _tcp_listeners() -> Mapping[int, list[tuple[int, int]]]:
    """Port to (inode, uid) of listeners that loopback reaches."""
    found: dict[int, list[tuple[int, int]]] = {}
    for name in ("tcp", "tcp6"):
        try:
            with open(f"/proc/net/{name}", encoding="ascii") as stream:
                rows = [line.split() for line in stream][1:]
        except OSError:
            continue
        for row in rows:
            address, _, port = row[1].rpartition(":")
            if row[3] == _LISTENING and _is_here(address):
                found.setdefault(int(port, 16), []).append((int(row[9]), int(row[7])))
    return found


def _is_here(address: str) -> bool:
    """Whether a listener's address (hexadecimal words in the machine's order) is reached over loopback."""
    if not address.strip("0"):
        return True
    raw = b"".join(struct.pack("=I", int(address[at : at + 8], 16)) for at in range(0, len(address), 8))
    if len(raw) == 4:
        return raw[0] == 127
    return raw == b"\0" * 15 + b"\1" or raw.startswith(b"\0" * 10 + b"\xff\xff\x7f")


def _holders(inodes: Iterable[int]) -> dict[int, int]:
    """Inode to the lowest pid that has the socket open, for those whose descriptors may be seen."""
    wanted = set(inodes)
    found: dict[int, int] = {}
    for entry in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()) if wanted else ():
        try:
            descriptors = os.listdir(f"/proc/{entry}/fd")
        except OSError:
            continue
        for descriptor in descriptors:
            try:
                match = _INODE.match(os.readlink(f"/proc/{entry}/fd/{descriptor}"))
            except OSError:
                continue
            if match and int(match[1]) in wanted:
                found.setdefault(int(match[1]), entry)
    return found
