"""The BPF filter that makes only interesting system calls stop.

Encodings are those of linux/filter.h and linux/seccomp.h. Calls that the filter lets pass are answered from the
kernel's per-filter bitmap, so they cost nothing measurable.
"""

import enum
import os
import struct
import termios
from collections.abc import Container

from tracers.abi import X32_BIT, Abi
from tracers.calls import AT_EMPTY_PATH, CONTEXT, SHAPES

_LD_W_ABS, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW = 0x7FFF0000
_NR, _ARCH = 0, 4

DATAGRAM_MIN, DATAGRAM_MAX = 17, 1500
"""Sends without an address stop only for these sizes: a DNS question is at least 12 + 5 bytes (RFC 1035), a datagram
at most one Ethernet frame. Streams use the same call, and stopping on each of their writes would cost a lot."""

LISTENS, NEW_LISTENER = "seccomp", 1 << 3
"""The call that makes a listener, and the flag that asks for one: SECCOMP_FILTER_FLAG_NEW_LISTENER."""

CLONE_NEWNS = 0x20000
"""Asks for a mount namespace, linux/sched.h. Of clone(2) the filter sees it, of clone3(2) it does not."""

BY_DESCRIPTOR = {"newfstatat": 3, "statx": 2}
"""Calls that are fstat(2) by another name if their flags (at this index) are AT_EMPTY_PATH and nothing else: a quarter
of what a Python program does when it starts. Let pass without a look at the path, which could only be a name where
somebody asked for a flag that he has no use for."""

SKIPPED_IOCTLS = (
    termios.TCGETS if hasattr(termios, "TCGETS") else 0x5401,
    termios.TIOCGWINSZ,
    termios.FIONBIO,
    termios.FIOCLEX,
    termios.FIONCLEX,
    termios.FIONREAD,
    termios.FIOASYNC,
)
"""Asked of every descriptor by standard libraries (isatty, non-blocking mode); they change nothing on a device."""


class Action(enum.IntEnum):
    """What the filter does with a traced call: SECCOMP_RET_TRACE, SECCOMP_RET_USER_NOTIF."""

    TRACE = 0x7FF00000
    NOTIFY = 0x7FC00000


_Ins = tuple[int, int, int, int]


def _low(index: int) -> int:
    """Offset of the low word of argument ``index`` in struct seccomp_data (little endian)."""
    return 16 + 8 * index


def _special(name: str, action: Action) -> list[_Ins] | None:
    """Body for a call whose arguments decide; it ends in a return on every way."""
    trace, allow = (_RET, 0, 0, action), (_RET, 0, 0, _ALLOW)
    if name in BY_DESCRIPTOR and action is Action.NOTIFY:
        return [(_LD_W_ABS, 0, 0, _low(BY_DESCRIPTOR[name])), (_JEQ, 0, 1, AT_EMPTY_PATH), allow, trace]
    if name == LISTENS:
        return [(_LD_W_ABS, 0, 0, _low(1)), (_JSET, 0, 1, NEW_LISTENER), trace, allow]
    if name == "clone":
        return [(_LD_W_ABS, 0, 0, _low(0)), (_JSET, 0, 1, CLONE_NEWNS), trace, allow]
    if name == "ioctl":
        body: list[_Ins] = [(_LD_W_ABS, 0, 0, _low(1))]
        for command in SKIPPED_IOCTLS:
            body += [(_JEQ, 0, 1, command), allow]
        return [*body, trace]
    if name == "sendto":
        return [
            (_LD_W_ABS, 0, 0, _low(4)),
            (_JEQ, 0, 2, 0),  # low word of the address is set: trace
            (_LD_W_ABS, 0, 0, _low(4) + 4),
            (_JEQ, 1, 0, 0),
            trace,
            (_LD_W_ABS, 0, 0, _low(2)),
            (_JGE, 0, 2, DATAGRAM_MIN),
            (_JGE, 1, 0, DATAGRAM_MAX + 1),
            trace,
            allow,
        ]
    return None


def _unless_creating(name: str, action: Action) -> list[_Ins] | None:
    """Body for a call that passes unless it opens with O_CREAT; None if it always passes."""
    flags = {"open": 1, "openat": 2}.get(name)
    if flags is None:
        return None
    return [(_LD_W_ABS, 0, 0, _low(flags)), (_JSET, 0, 1, os.O_CREAT), (_RET, 0, 0, action), (_RET, 0, 0, _ALLOW)]


def _table(
    abi: Abi, native: bool, action: Action, watched: Container[str], free: Container[str] = frozenset()
) -> list[_Ins]:
    body: list[_Ins] = [(_LD_W_ABS, 0, 0, _NR)]
    if native:
        body += [(_JGE, 0, 1, X32_BIT), (_RET, 0, 0, action)]
    for number, name in sorted(abi.names.items()):
        foreign = name == "socketcall" and not native
        if name not in SHAPES and name not in CONTEXT and not foreign and name not in watched:
            continue
        special = _special(name, action) if native else None
        if name in free:
            special = _unless_creating(name, action)
            if special is None:
                continue
        inner = special or [(_RET, 0, 0, action)]
        body += [(_JEQ, 0, len(inner), number), *inner]
    return [*body, (_RET, 0, 0, _ALLOW)]


def program(
    native: Abi,
    foreign: Abi,
    action: Action = Action.TRACE,
    *,
    watched: Container[str] = frozenset(),
    free: Container[str] = frozenset(),
) -> bytes:
    """The filter as packed ``struct sock_filter``: traced calls of ``native`` and ``foreign`` stop, all others pass.

    ``action`` is how they stop. ``watched``: calls that stop besides; of LISTENS and clone those that matter.

    Every call of an architecture that has no table stops, so that it can be recorded at least by number. ``free``:
    traced calls of ``native`` that pass all the same, unless they open with O_CREAT.
    """
    other = _table(foreign, False, action, watched) if foreign.names else [(_RET, 0, 0, action)]
    own = _table(native, True, action, watched, free)
    # The own table is longer than a jump reaches (255): the foreign one stands first, behind an inverted test.
    hop: list[_Ins] = [(_LD_W_ABS, 0, 0, _ARCH), (_JEQ, 1, 0, native.audit_arch), (0x05, 0, 0, len(own))]
    code = [*hop, *own, (_JEQ, 1, 0, foreign.audit_arch), (_RET, 0, 0, action), *other]
    return b"".join(struct.pack("=HBBI", *ins) for ins in code)
