"""The calls that programs make most, all of which only look something up: what to ask to know how they will end.

One faccessat2(2) of ours tells whether such a call will end as an equal one did before; the rest is asked once for each
path and answer.
"""

import errno
import os
import stat

from tracers.calls import AT_SYMLINK_NOFOLLOW
from tracers.deduced_opens import kind_error
from tracers.entry import Plan

_STATS = frozenset({"stat", "lstat", "newfstatat", "statx", "statfs", "stat64", "lstat64", "fstatat64", "statfs64"})
_MODE_AT = {"access": 1, "faccessat": 2, "faccessat2": 2}
_OPENS = frozenset({"open", "openat"})
_READLINKS = frozenset({"readlink", "readlinkat"})
_NOFOLLOW = frozenset({"lstat", "lstat64"}) | _READLINKS
_MODES = (os.R_OK, os.W_OK, os.R_OK | os.W_OK, os.R_OK | os.W_OK)  # by O_ACCMODE
_NOT_FOUND = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})


class Quick:
    """How to ask for one call. ``path``, ``dirfd`` and ``flags`` are argument indices, -1 where there is none."""

    __slots__ = ("_asked", "_elsewhere", "_mode_at", "dirfd", "flags", "number", "opens", "path", "plan")

    def __init__(self, number: int, plan: Plan, elsewhere: int) -> None:
        """``elsewhere``: the device of /proc, where a lookup of ours may have ended in our own process."""
        self.number = number
        self._elsewhere = elsewhere
        self.plan = plan
        self.path, self.dirfd, self.flags = plan.path, plan.dirfd, plan.number
        self.opens = plan.name in _OPENS
        self._mode_at = _MODE_AT.get(plan.name, -1)
        self._asked: dict[tuple[int, int], tuple[int, bool]] = {}

    def question(self, args: tuple[int, ...], flags: int) -> tuple[int, bool]:
        """(what to ask access(2) for, whether a final link is not followed)."""
        mode = args[self._mode_at] if self._mode_at >= 0 else 0
        found = self._asked.get((flags, mode))
        if found is None:
            if len(self._asked) > 1000:
                self._asked.clear()
            found = self._asked[flags, mode] = self._question(flags, mode)
        return found

    def _question(self, flags: int, mode: int) -> tuple[int, bool]:
        if not self.opens:
            return mode & 7, self.plan.name in _NOFOLLOW or bool(self.plan.number >= 0 and flags & AT_SYMLINK_NOFOLLOW)
        if flags & os.O_PATH:
            return os.F_OK, bool(flags & os.O_NOFOLLOW)
        wanted = _MODES[flags & os.O_ACCMODE] | (os.W_OK if flags & os.O_TRUNC else 0)
        return wanted, bool(flags & (os.O_NOFOLLOW | os.O_EXCL))

    def kind(self, at: bytes, nofollow: bool) -> int:
        """The ``st_mode`` type bits of what an open finds, on which its outcome hangs too; 0 if it hangs on more."""
        try:
            status = os.stat(at, follow_symlinks=not nofollow)
        except OSError:
            return 0
        found = stat.S_IFMT(status.st_mode)
        return 0 if found == stat.S_IFCHR or status.st_dev == self._elsewhere else found

    def answer(self, code: int, kind: int, at: bytes, flags: int, nofollow: bool) -> tuple[int, int] | None:
        """(outcome, kind) of a call of which we were told ``code`` and ``kind``; None if it takes more."""
        if self.opens and flags & (os.O_CREAT | _TMPFILE):
            return None
        if code:
            return (code, 0) if code in _NOT_FOUND else None
        if self.opens:
            return (kind_error(kind, flags), kind) if kind else None
        try:
            kind = stat.S_IFMT(os.stat(at, follow_symlinks=not nofollow).st_mode)
        except OSError:
            return None
        wrong = self.plan.name in _READLINKS and kind != stat.S_IFLNK
        return errno.EINVAL if wrong else 0, kind

    def repeats(self, code: int) -> bool:
        """Whether an equal call of which we are told ``code`` will end alike, if it took more to tell how.

        How opening something fails hangs on its kind, and making it on the directory.
        """
        return not (self.opens and code)


_TMPFILE = os.O_TMPFILE & ~os.O_DIRECTORY


def quick(known: dict[int, Plan]) -> dict[int, Quick]:
    """Those among the traced calls, by number."""
    names = _STATS | _OPENS | _READLINKS | _MODE_AT.keys()
    elsewhere = os.stat("/proc").st_dev
    return {number: Quick(number, plan, elsewhere) for number, plan in known.items() if plan.name in names}
