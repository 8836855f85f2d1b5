"""Which calls make an equal path lead elsewhere from then on, so that what was remembered of it must be dropped."""

import os
import stat
from collections.abc import Container, Sequence

from tracers.calls import RENAME_EXCHANGE, RESOLUTION_CHANGES

MOVES = frozenset({"rename", "renameat", "renameat2", "link", "linkat"})
REMOVES = frozenset({"unlink", "unlinkat"})
_MAKES = frozenset({"open", "openat", "openat2", "creat", "mkdir", "mkdirat", "mknod", "mknodat", "bind", "rmdir"})
_PERMITS = frozenset({"chmod", "fchmodat", "fchmodat2", "chown", "lchown", "fchownat", "chown32", "lchown32"})
_PERMITS |= {"setxattr", "lsetxattr", "setxattrat", "removexattr", "lremovexattr", "removexattrat"}


def leads_elsewhere(call: str, flags: int, names: Sequence[bytes], links: Container[str]) -> bool:
    """Whether a successful ``call`` changed where paths through its names lead.

    ``names``: its path arguments, where they can be looked at now, the new one last; ``b""`` for an unreadable one.
    ``links``: last components of the symlinks that were walked before.
    """
    if call in RESOLUTION_CHANGES:
        return True
    if call in REMOVES:
        return any(_last(name) in links for name in names)
    if call not in MOVES:
        return False
    moved = names if flags & RENAME_EXCHANGE and call == "renameat2" else names[-1:]
    return _last(names[-1]) in links or any(_redirects(name) for name in moved)


def may_lead_elsewhere(call: str, flags: int, names: Sequence[bytes], links: Container[str]) -> bool:
    """The same of a call that has not been made yet; true also for some that then change nothing."""
    if call in MOVES and names and _last(names[-1]) in links:
        return True
    return leads_elsewhere(call, flags, names[::-1], links)  # what is moved is still where it was


def touched(call: str, names: Sequence[bytes]) -> frozenset[bytes] | None:
    """The components without which a path leads to the same object before and after a ``call``; None if any may not.

    ``names``: as of :func:`leads_elsewhere`, before the call was made.
    """
    if call in RESOLUTION_CHANGES or call in _PERMITS:
        return None
    if call not in MOVES and call not in REMOVES and call not in _MAKES:
        return frozenset()
    ways = (stat.S_IFLNK, stat.S_IFDIR) if call in MOVES else (stat.S_IFLNK,)
    parts = frozenset(name.rstrip(b"/").rpartition(b"/")[2] for name in names)
    if not parts.isdisjoint(_NOWHERE) or any(_kind(name) in ways for name in names):
        return None
    return parts or None


_NOWHERE = (b"", b".", b"..")


def _last(name: bytes) -> str:
    return os.fsdecode(name.rstrip(b"/").rpartition(b"/")[2])


def _redirects(name: bytes) -> bool:
    """Whether a directory or symlink stands at ``name``; true if that cannot be told."""
    return _kind(name) in (0, stat.S_IFDIR, stat.S_IFLNK)


def _kind(name: bytes) -> int:
    """The type bits of what stands at ``name``, 0 if nothing does or it cannot be told."""
    try:
        return stat.S_IFMT(os.lstat(name).st_mode)
    except OSError:
        return 0
