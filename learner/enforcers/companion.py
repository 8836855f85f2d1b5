"""The seccomp companion: refuses the system calls that neither Landlock nor a namespace holds.

A table of reasons, made into one filter. What programs probe for is answered as a kernel without it would (ENOSYS,
EAFNOSUPPORT), so that they fall back; what only an attack wants is EPERM. Not in the table: ptrace and its like, which
Landlock and user namespaces keep from processes outside.
"""

import errno
import platform
import struct
from typing import NamedTuple

from learner.enforcers.enforcer import only_on_macos
from learner.gaps import Gap
from learner.policy import Policy
from tracers.events import Transport
from tracers.filters import Filter

_LD_W_ABS, _JEQ, _JGE, _JSET, _AND, _RET, _JA = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06, 0x05  # linux/filter.h
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000  # linux/seccomp.h
_NR, _ARCH = 0, 4
_X32_BIT = 0x40000000  # __X32_SYSCALL_BIT, arch/x86/include/uapi/asm/unistd.h

AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16  # linux/socket.h
_SOCK_STREAM, _SOCK_DGRAM, _SOCK_TYPE_MASK = 1, 2, 0xF  # linux/net.h
_TCP, _UDP, _NETLINK_ROUTE = 6, 17, 0
_MSG_FASTOPEN = 0x20000000  # linux/socket.h
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C  # asm-generic/ioctls.h
_NEW_NAMESPACES = 0x7E020000 | 0x80
"""CLONE_NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET, NEWNS, and NEWTIME for unshare (linux/sched.h)."""

_Ins = tuple[int, int, int, int]


class Refused(NamedTuple):
    """Calls that are refused whatever their arguments."""

    names: tuple[str, ...]
    errno: int
    reason: str


REFUSED = (
    Refused(
        ("io_uring_setup", "io_uring_enter", "io_uring_register"),
        errno.ENOSYS,
        "opens and connects without system calls, past this filter; programs fall back",
    ),
    Refused(
        ("keyctl", "add_key", "request_key"),
        errno.ENOSYS,
        "the session's keyrings are shared with everything that the user runs",
    ),
    Refused(
        ("clone3",), errno.ENOSYS, "its flags lie in memory, out of the filter's sight; libraries fall back to clone"
    ),
    Refused(("setns",), errno.EPERM, "enters other namespaces"),
    Refused(
        (
            "mount",
            "umount2",
            "pivot_root",
            "chroot",
            "fsopen",
            "fsconfig",
            "fsmount",
            "fspick",
            "open_tree",
            "move_mount",
            "mount_setattr",
            "open_tree_attr",
        ),
        errno.EPERM,
        "changes which files the names stand for",
    ),
    Refused(("open_by_handle_at",), errno.EPERM, "opens files without a path, past every namespace"),
    Refused(("userfaultfd",), errno.EPERM, "stops the kernel in the middle of a copy: a tool of exploits"),
    Refused(("bpf", "perf_event_open"), errno.EPERM, "observes the kernel, and a large part of its attack surface"),
    Refused(
        (
            "kexec_load",
            "kexec_file_load",
            "init_module",
            "finit_module",
            "delete_module",
            "reboot",
            "swapon",
            "swapoff",
        ),
        errno.EPERM,
        "changes the machine itself",
    ),
)

NUMBERS = {
    "x86_64": {
        "add_key": 248,
        "bpf": 321,
        "chroot": 161,
        "clone": 56,
        "clone3": 435,
        "delete_module": 176,
        "finit_module": 313,
        "fsconfig": 431,
        "fsmount": 432,
        "fsopen": 430,
        "fspick": 433,
        "init_module": 175,
        "io_uring_enter": 426,
        "io_uring_register": 427,
        "io_uring_setup": 425,
        "ioctl": 16,
        "kexec_file_load": 320,
        "kexec_load": 246,
        "keyctl": 250,
        "mount": 165,
        "mount_setattr": 442,
        "move_mount": 429,
        "open_by_handle_at": 304,
        "open_tree": 428,
        "open_tree_attr": 467,
        "perf_event_open": 298,
        "pivot_root": 155,
        "reboot": 169,
        "request_key": 249,
        "sendmmsg": 307,
        "sendmsg": 46,
        "sendto": 44,
        "setns": 308,
        "socket": 41,
        "swapoff": 168,
        "swapon": 167,
        "umount2": 166,
        "unshare": 272,
        "userfaultfd": 323,
    },
    "aarch64": {
        "add_key": 217,
        "bpf": 280,
        "chroot": 51,
        "clone": 220,
        "clone3": 435,
        "delete_module": 106,
        "finit_module": 273,
        "fsconfig": 431,
        "fsmount": 432,
        "fsopen": 430,
        "fspick": 433,
        "init_module": 105,
        "io_uring_enter": 426,
        "io_uring_register": 427,
        "io_uring_setup": 425,
        "ioctl": 29,
        "kexec_file_load": 294,
        "kexec_load": 104,
        "keyctl": 219,
        "mount": 40,
        "mount_setattr": 442,
        "move_mount": 429,
        "open_by_handle_at": 265,
        "open_tree": 428,
        "open_tree_attr": 467,
        "perf_event_open": 241,
        "pivot_root": 41,
        "reboot": 142,
        "request_key": 218,
        "sendmmsg": 269,
        "sendmsg": 211,
        "sendto": 206,
        "setns": 268,
        "socket": 198,
        "swapoff": 225,
        "swapon": 224,
        "umount2": 39,
        "unshare": 97,
        "userfaultfd": 282,
    },
}
"""System calls by ``uname -m`` (asm/unistd.h). Beside :mod:`tracers.abi`, whose whole tables take 10 ms to load."""

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # linux/audit.h


def program(machine: str, udp: bool) -> bytes:
    """The filter as packed ``struct sock_filter``, for a ``uname -m``. ``udp``: datagram sockets are granted.

    Every call of another architecture, and of x32, is ENOSYS: their socketcall has its arguments in memory, and each
    call has another number there. So 32-bit programs do not run.
    """
    plain = {name: entry.errno for entry in REFUSED for name in entry.names}
    special = {
        "socket": _socket(udp),
        "ioctl": _ioctl(),
        "unshare": _namespaces(0xFF),
        "clone": _namespaces(0),
        "sendto": _no_fast_open(3),
        "sendmsg": _no_fast_open(2),
        "sendmmsg": _no_fast_open(3),
    }
    body: list[_Ins] = [(_LD_W_ABS, 0, 0, _NR), (_JGE, 0, 1, _X32_BIT), _refuse(errno.ENOSYS)]
    for name, number in sorted(NUMBERS[machine].items()):
        inner = special.get(name) or ([_refuse(plain[name])] if name in plain else [])
        if inner:
            body += [(_JEQ, 0, len(inner), number), *inner]
    head: list[_Ins] = [(_LD_W_ABS, 0, 0, _ARCH), (_JEQ, 1, 0, AUDIT_ARCH[machine]), _refuse(errno.ENOSYS)]
    return b"".join(struct.pack("=HBBI", *ins) for ins in [*head, *body, (_RET, 0, 0, _ALLOW)])


def supported() -> bool:
    """Whether this architecture's calls are known."""
    return platform.machine() in NUMBERS


def code_for(policy: Policy) -> bytes | None:
    """The filter for a policy on this machine; None for an architecture without a table."""
    return program(platform.machine(), grants_udp(policy)) if supported() else None


def companion(policy: Policy) -> Filter | None:
    """:func:`code_for`, ready to be installed in a child."""
    code = code_for(policy)
    return Filter(code) if code is not None else None


def grants_udp(policy: Policy) -> bool:
    """Whether a policy grants any datagram endpoint."""
    return any(n.transport is Transport.UDP and not n.abstract for n in policy.network)


def gaps(policy: Policy) -> tuple[Gap, ...]:
    """What the companion leaves open, or closes against the wish."""
    if not supported():
        return (Gap("system calls", "this architecture has no table of system calls, so none is refused"),)
    found = [Gap("32-bit programs", "their system calls are not filtered one by one, so they do not run at all")]
    found += only_on_macos(policy)
    if grants_udp(policy):
        found.append(Gap("UDP", "some is granted, and the filter can only open all of it: DNS and QUIC to any host"))
    return tuple(found)


def _refuse(code: int) -> _Ins:
    return (_RET, 0, 0, _ERRNO | code)


def _low(index: int) -> int:
    """Offset of the low word of argument ``index`` (little endian): the kernel reads these arguments as 32 bits."""
    return 16 + 8 * index


def _ioctl() -> list[_Ins]:
    """Typing into the terminal from which sbx was started."""
    refuse, allow = _refuse(errno.EPERM), (_RET, 0, 0, _ALLOW)
    return [(_LD_W_ABS, 0, 0, _low(1)), (_JEQ, 2, 0, _TIOCSTI), (_JEQ, 1, 0, _TIOCLINUX), allow, refuse]


def _namespaces(low: int) -> list[_Ins]:
    """New namespaces, in which a program has every capability. ``low``: which low ones count (clone's are a signal)."""
    flags = _NEW_NAMESPACES & (0xFFFFFF00 | low)
    return [(_LD_W_ABS, 0, 0, _low(0)), (_JSET, 1, 0, flags), (_RET, 0, 0, _ALLOW), _refuse(errno.EPERM)]


def _no_fast_open(flags: int) -> list[_Ins]:
    """Connecting by sending, past Landlock's ports: answered as a kernel that has it switched off (tcp(7)).

    ``flags``: which argument they are.
    """
    refuse = _refuse(errno.EOPNOTSUPP)
    return [(_LD_W_ABS, 0, 0, _low(flags)), (_JSET, 1, 0, _MSG_FASTOPEN), (_RET, 0, 0, _ALLOW), refuse]


def _socket(udp: bool) -> list[_Ins]:
    """Families and kinds of sockets that somebody holds: Landlock TCP by port, namespaces unix sockets.

    So no MPTCP (which connects past Landlock's ports), no raw or packet or vsock sockets, no netlink but for the list
    of addresses and routes, which getaddrinfo(3) reads. Name resolution needs datagrams, and has them when granted.
    """
    load_family, load_protocol = (_LD_W_ABS, 0, 0, _low(0)), (_LD_W_ABS, 0, 0, _low(2))
    load_type: list[_Ins] = [(_LD_W_ABS, 0, 0, _low(1)), (_AND, 0, 0, _SOCK_TYPE_MASK)]
    allow: _Ins = (_RET, 0, 0, _ALLOW)
    denied = _refuse(errno.EACCES)
    inet: list[_Ins] = [
        *load_type,
        (_JEQ, 0, 4, _SOCK_STREAM),
        load_protocol,
        (_JEQ, 1, 0, 0),
        (_JEQ, 0, 1, _TCP),
        allow,
    ]
    if udp:
        inet += [
            *load_type,
            (_JEQ, 0, 4, _SOCK_DGRAM),
            load_protocol,
            (_JEQ, 1, 0, 0),
            (_JEQ, 0, 1, _UDP),
            allow,
        ]
    inet.append(denied)
    netlink: list[_Ins] = [load_protocol, (_JEQ, 0, 1, _NETLINK_ROUTE), allow, denied]
    return [
        load_family,
        (_JEQ, 0, 1, AF_UNIX),
        allow,
        (_JEQ, 0, len(netlink), AF_NETLINK),
        *netlink,
        (_JEQ, 1, 0, AF_INET),
        (_JEQ, 0, len(inet), AF_INET6),
        *inet,
        _refuse(errno.EAFNOSUPPORT),
    ]
