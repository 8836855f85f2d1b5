"""Root's capabilities that reach past Landlock, and giving them up.

Landlock asks what a process does to files, ports and other processes. Some capabilities change or read the same things
by another way, which has no hook, or is decided before Landlock is asked (capabilities(7)). A program under a policy
goes without them; what makes an ordinary root stays: file ownership and modes, users and groups, low ports, chroot.
"""

import ctypes
import os
import struct
from typing import NamedTuple

_PR_CAPBSET_DROP, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_LOWER = 24, 47, 3  # linux/prctl.h
_VERSION_3 = 0x20080522  # linux/capability.h
_SETPCAP = 8


class Beyond(NamedTuple):
    """A capability (linux/capability.h), and how it reaches past Landlock."""

    number: int
    name: str
    reason: str


BEYOND = (
    Beyond(2, "CAP_DAC_READ_SEARCH", "opens files by handle, without a path; reading is left to CAP_DAC_OVERRIDE"),
    Beyond(12, "CAP_NET_ADMIN", "redirects a granted port to one that is not"),
    Beyond(16, "CAP_SYS_MODULE", "runs code in the kernel"),
    Beyond(17, "CAP_SYS_RAWIO", "reads all memory through /proc/kcore and I/O ports"),
    Beyond(19, "CAP_SYS_PTRACE", "reads processes of other users"),
    Beyond(21, "CAP_SYS_ADMIN", "is also CAP_PERFMON and CAP_BPF, enters namespaces, types into terminals"),
    Beyond(22, "CAP_SYS_BOOT", "starts another kernel, or ends this one"),
    Beyond(30, "CAP_AUDIT_CONTROL", "switches off the records of what was refused"),
    Beyond(32, "CAP_MAC_OVERRIDE", "passes other security modules"),
    Beyond(33, "CAP_MAC_ADMIN", "changes other security modules"),
    Beyond(34, "CAP_SYSLOG", "shows addresses in the kernel"),
    Beyond(37, "CAP_AUDIT_READ", "reads what every process was refused"),
    Beyond(
        38, "CAP_PERFMON", "reads /proc/PID/environ and maps of any process: asked before Landlock (measured, 6.18)"
    ),
    Beyond(39, "CAP_BPF", "loads programs that read the kernel's memory"),
    Beyond(40, "CAP_CHECKPOINT_RESTORE", "opens the files that any process has mapped"),
)
"""What is given up, by number."""

_libc = ctypes.CDLL(None, use_errno=True)


def held() -> tuple[Beyond, ...]:
    """Those of :data:`BEYOND` that this thread has or may use. Raises OSError."""
    _, permitted, _ = _sets()
    return tuple(beyond for beyond in BEYOND if permitted >> beyond.number & 1)


def give_up() -> None:
    """Take :data:`BEYOND` from this thread, for good: no exec brings them back. Raises OSError.

    Needs no_new_privs where CAP_SETPCAP is missing: then the bounding set stays, and only that keeps them away.
    """
    effective, permitted, inheritable = _sets()
    mask = sum(1 << beyond.number for beyond in BEYOND)
    if not (permitted | inheritable) & mask:
        return
    for beyond in BEYOND:
        # An older kernel does not know the newer ones: EINVAL. Nothing ambient is left without its inheritable twin.
        _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_LOWER, ctypes.c_ulong(beyond.number), 0, 0)
        if effective >> _SETPCAP & 1:
            _libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(beyond.number), 0, 0, 0)
    words = [s & ~mask for s in (effective, permitted, inheritable)]
    low, high = [w & 0xFFFFFFFF for w in words], [w >> 32 for w in words]
    data = ctypes.create_string_buffer(struct.pack("=6I", *low, *high), 24)
    _check(_libc.capset(_header(), data))


def _header() -> "ctypes.Array[ctypes.c_char]":
    return ctypes.create_string_buffer(struct.pack("=Ii", _VERSION_3, 0), 8)


def _sets() -> tuple[int, int, int]:
    """(effective, permitted, inheritable) of this thread (capget(2))."""
    data = ctypes.create_string_buffer(24)
    _check(_libc.capget(_header(), data))
    low, high = struct.unpack("=3I", data.raw[:12]), struct.unpack("=3I", data.raw[12:])
    effective, permitted, inheritable = (one | other << 32 for one, other in zip(low, high, strict=True))
    return effective, permitted, inheritable


def _check(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{os.strerror(code)} (giving up capabilities)")
