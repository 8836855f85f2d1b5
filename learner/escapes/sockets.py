"""Unix sockets of services outside, where such services have theirs."""

import array
import os
import socket

from learner.escapes.escape import UNREACHED, Escape, Family, Ground, Void

SERVICES = ("docker.sock", "ssh-agent", "D-Bus", "syslog", "helper")
"""What the listeners look like. ``syslog`` takes datagrams; ``helper`` hands an open file to whoever connects."""


def _place(ground: Ground, service: str) -> str:
    place = ground.shared.sockets.get(service)
    if place is None:
        raise Void("no listener could be made outside of what is granted")
    return place


def _connect(ground: Ground, service: str) -> None:
    with socket.socket(socket.AF_UNIX) as own:
        own.settimeout(1)
        own.connect(_place(ground, service))


def _send(ground: Ground) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
        own.setblocking(False)
        own.sendto(b"", _place(ground, "syslog"))


def _abstract(ground: Ground) -> None:
    with socket.socket(socket.AF_UNIX) as own:
        own.settimeout(1)
        own.connect("\0" + ground.shared.abstract)


def _receive_file(ground: Ground) -> None:
    """A file that is not granted, opened by a helper outside and handed over (SCM_RIGHTS, unix(7))."""
    with socket.socket(socket.AF_UNIX) as own:
        own.settimeout(1)
        own.connect(_place(ground, "helper"))
        _, control, _, _ = own.recvmsg(1, socket.CMSG_SPACE(4))
    found = array.array("i")
    for _, _, data in control:
        found.frombytes(data[:4])
    for fd in found:
        ground.found(os.pread(fd, 65536, 0))
        os.close(fd)
    if not found:
        ground.found(b"")


def _own_path(ground: Ground) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as own:
        os.chdir(ground.inside)  # a path in an address has at most 107 bytes
        listener.bind("own.sock")
        listener.listen()
        own.connect("own.sock")


def _own_abstract(ground: Ground) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as own:
        listener.bind("\0" + ground.shared.abstract + "-own")
        listener.listen()
        own.connect("\0" + ground.shared.abstract + "-own")


_U = Family.UNIX
_PATHS = ("unix sockets by path",)
ESCAPES = (
    Escape("a socket like docker.sock", _U, lambda g: _connect(g, "docker.sock"), UNREACHED, _PATHS, twin=_own_path),
    Escape("a socket like an ssh-agent's", _U, lambda g: _connect(g, "ssh-agent"), UNREACHED, _PATHS),
    Escape("a socket like D-Bus's", _U, lambda g: _connect(g, "D-Bus"), UNREACHED, _PATHS),
    Escape("a datagram to a socket like syslog's", _U, _send, UNREACHED, _PATHS),
    Escape("an open file from a helper outside (SCM_RIGHTS)", _U, _receive_file, UNREACHED, _PATHS),
    Escape(
        "an abstract socket",
        _U,
        _abstract,
        UNREACHED,
        ("abstract unix sockets and signals", "abstract sockets"),
        twin=_own_abstract,
    ),
)
