"""The records that ``bpf/observe.bpf.c`` writes: their layout, and its way to say names."""

import re
import struct
from functools import lru_cache

HEADER = struct.Struct("=IIqQHHHHIiQQ")
"""tid, kind, result, pointer; from :data:`MEANING` on: call, sizes of path, base and opened, flags, outcome, number,
digest."""
MEANING = 24
"""Records of calls of one program are equal from this offset on exactly if they say the same."""

CALL, RESULT, FORK, EXEC, EXIT = range(1, 6)
HAS_BASE, HAS_OPENED, BASE_DELETED, OPENED_DELETED, CUT, UNREAD, NO_POINTER, OF_PROCESS = (1 << bit for bit in range(8))
SKIP, SIMPLE, GATED = range(3)

CALL_PLAN = struct.Struct("=BbbbB")  # struct call: kind, path, dirfd, number, opens
CALL_SLOTS = 512
COUNTERS = struct.Struct("=QQQ")  # struct counts: repeated, dropped, control_dropped
RING_SIZE = 1 << 24
TASK_SIZE = 7776  # sizeof(struct task)
_task = struct.Struct("=II")

_UNPLACED = {1: b"pipe:[0]", 2: b"socket:[0]", 3: b"anon_inode:", 4: b"ns:[0]"}


def first_task(pid: int) -> bytes:
    """The mark of the process ``pid``, which is not inside of a call that concerns us."""
    return _task.pack(pid, pid).ljust(TASK_SIZE, b"\0")


@lru_cache(maxsize=4096)
def name(raw: bytes, deleted: bool) -> bytes:
    """The kernel's name of a directory or file, as readlink of ``/proc/PID/fd/N`` has it, from its parts leaf first."""
    if len(raw) == 1:
        return _UNPLACED[raw[0]]
    parts = raw.split(b"\0")
    parts.reverse()  # an empty one stands first: behind the last NUL
    return (b"/".join(parts) or b"/") + (b" (deleted)" if deleted else b"")


_OWN_LINK = re.compile(rb"/proc/(?:thread-)?self/(?:cwd|fd/[0-9]+)/+(?=[^/])")


def behind_own_link(path: bytes) -> bytes:
    """What follows ``/proc/self/cwd/`` or ``/proc/self/fd/N/``, all of ``path`` if that is nothing."""
    return _OWN_LINK.sub(b"", path, count=1)
