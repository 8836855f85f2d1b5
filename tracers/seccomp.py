"""The BPF filter that makes only interesting system calls stop.

Encodings are those of linux/filter.h and linux/seccomp.h. Calls that the filter lets pass are answered from the
kernel's per-filter bitmap, so they cost nothing measurable.
"""

import struct
import termios

from tracers.abi import X32_BIT, Abi
from tracers.calls import CONTEXT, SHAPES
from tracers.filters import Filter as Filter

_LD_W_ABS, _JEQ, _JGE, _RET = 0x20, 0x15, 0x35, 0x06
_ALLOW, _TRACE = 0x7FFF0000, 0x7FF00000
_NR, _ARCH = 0, 4

DATAGRAM_MIN, DATAGRAM_MAX = 17, 1500
"""Sends without an address stop only for these sizes: a DNS question is at least 12 + 5 bytes (RFC 1035), a datagram
at most one Ethernet frame. Streams use the same call, and stopping on each of their writes would cost a lot."""

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

_Ins = tuple[int, int, int, int]


def _low(index: int) -> int:
    """Offset of the low word of argument ``index`` in struct seccomp_data (little endian)."""
    return 16 + 8 * index


def _special(name: str) -> list[_Ins] | None:
    """Body for a call whose arguments decide; it ends in a return on every way."""
    trace, allow = (_RET, 0, 0, _TRACE), (_RET, 0, 0, _ALLOW)
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


def _table(abi: Abi, native: bool) -> list[_Ins]:
    body: list[_Ins] = [(_LD_W_ABS, 0, 0, _NR)]
    if native:
        body += [(_JGE, 0, 1, X32_BIT), (_RET, 0, 0, _TRACE)]
    for number, name in sorted(abi.names.items()):
        if name not in SHAPES and name not in CONTEXT and not (name == "socketcall" and not native):
            continue
        special = _special(name) if native else None
        inner = special or [(_RET, 0, 0, _TRACE)]
        body += [(_JEQ, 0, len(inner), number), *inner]
    return [*body, (_RET, 0, 0, _ALLOW)]


def program(native: Abi, foreign: Abi) -> bytes:
    """The filter as packed ``struct sock_filter``: traced calls of ``native`` and ``foreign`` stop, all others pass.

    Every call of an architecture that has no table stops, so that it can be recorded at least by number.
    """
    other = _table(foreign, native=False) if foreign.names else [(_RET, 0, 0, _TRACE)]
    own = _table(native, native=True)
    # The own table is longer than a jump reaches (255): the foreign one stands first, behind an inverted test.
    hop: list[_Ins] = [(_LD_W_ABS, 0, 0, _ARCH), (_JEQ, 1, 0, native.audit_arch), (0x05, 0, 0, len(own))]
    code = [*hop, *own, (_JEQ, 1, 0, foreign.audit_arch), (_RET, 0, 0, _TRACE), *other]
    return b"".join(struct.pack("=HBBI", *ins) for ins in code)
