"""A call whose caller waits, and what can be said of how it will end."""

import errno
import os
import stat
from collections.abc import Callable
from typing import NamedTuple

from tracers.calls import AT_SYMLINK_NOFOLLOW
from tracers.entry import Entry, Where
from tracers.events import Memory
from tracers.site import AT_FDCWD, Site
from tracers.tracee import Task, descriptor_path, read_bytes, read_string

UNEXPLAINED = errno.EPERM
"""Stands for the error of a change that should have succeeded and did not take place."""

NOFOLLOW = frozenset({"lstat", "lstat64", "oldlstat", "readlink", "readlinkat", "lchown", "lchown32"})
NOFOLLOW |= {"lsetxattr", "lremovexattr", "lgetxattr", "llistxattr"}
"""Calls that never follow a final link."""


Version = tuple[int, int, int, int, int]
"""What tells a file with this content, owner and mode from all others."""


def version(status: os.stat_result) -> Version:
    """The version of a file with this status."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


class Verdict(NamedTuple):
    """``outcome``: 0 or an errno, as far as can be told now.

    ``done``: for a call that changes something, whether that can be seen; None if nothing has to be waited for.
    ``otherwise``: the outcome if the caller came back and it still cannot be seen (0: that proves nothing).
    ``created``: the call makes a name that was not there.
    """

    outcome: int = 0
    done: Callable[[], bool] | None = None
    otherwise: int = UNEXPLAINED
    created: bool = False


class Caller:
    """A waiting call: who, what, with which arguments, and the sites of its paths. Close it."""

    def __init__(self, task: Task, entry: Entry, args: tuple[int, ...], where: Where) -> None:
        self.task = task
        self.entry = entry
        self.plan = entry.plan
        self.args = args
        self.number = entry.number
        self._where = where
        self.opened: Site | None = None
        """Where an opened object is found, and :attr:`nofollow`."""
        self.nofollow = False
        self.file: Version | None = None
        """Of an exec: the file that runs, if it needs no other to interpret it."""
        self._sites: list[Site] = []

    def site(self, path: bytes, dirfd: int = AT_FDCWD, base: bytes = b"", *, nofollow: bool = False) -> Site:
        """Where a path of the caller's leads."""
        if not base and path[:1] != b"/":
            base = self._where(self.task)
        found = Site.of(self.task, path, dirfd, base, nofollow)
        self._sites.append(found)
        return found

    def argument(self, index: int = 0, *, nofollow: bool = False) -> Site | int:
        """The site of the path argument number ``index``; the errno if there is no such path or directory."""
        where, path = self.plan.shape.paths[index], self.entry.text[index]
        if path is None or isinstance(path, Memory):
            return self._unreadable(self.args[where.at])
        if not path:
            return errno.ENOENT
        dirfd = AT_FDCWD if where.dirfd is None else descriptor(self.args[where.dirfd])
        base = self.entry.base[index]
        if dirfd != AT_FDCWD and path[:1] != b"/" and not base:
            return errno.EBADF
        return self.site(path, dirfd, base, nofollow=nofollow)

    def keep(self, *sites: Site) -> None:
        """Close these with the call."""
        self._sites.extend(sites)

    def on_descriptor(self, fd: int) -> Site | int:
        """The site of an open descriptor of the caller's."""
        if descriptor_path(self.task, fd) is None:
            return errno.EBADF
        return Site(b"/proc/%d/fd/%d" % (self.task.tid, fd))

    def text(self, index: int) -> bytes:
        """A string argument that is no path; empty if it cannot be read."""
        found = read_string(self.task, self.args[index]) if self.args[index] else b""
        return b"" if isinstance(found, Memory) else found

    def kernel_name(self) -> bytes | None:
        """The kernel's name of what the call opens or runs; its own process where our lookup ended in ours."""
        if self.opened is None:
            return None
        name, ours = self.opened.kernel_name(nofollow=self.nofollow), b"/proc/%d/" % os.getpid()
        return b"/proc/%d/%b" % (self.task.pid, name[len(ours) :]) if name and name.startswith(ours) else name

    def user(self) -> int:
        """The effective user id."""
        try:
            return os.stat(f"/proc/{self.task.tid}").st_uid
        except OSError:
            return os.geteuid()

    def close(self) -> None:
        """Close what the sites opened."""
        for site in self._sites:
            site.close()

    def _unreadable(self, address: int) -> int:
        whole = address and len(read_bytes(self.task, address, 4096)) == 4096
        return errno.ENAMETOOLONG if whole else errno.EFAULT


def descriptor(argument: int) -> int:
    """A descriptor argument as the kernel takes it: an int."""
    low = argument & 0xFFFFFFFF
    return low - (1 << 32) if low >> 31 else low


def follows(caller: Caller) -> bool:
    """Whether the call follows a final link."""
    flagged = caller.plan.number >= 0 and caller.number & AT_SYMLINK_NOFOLLOW
    return not (flagged or caller.plan.name in NOFOLLOW)


def is_directory(site: Site) -> bool:
    """Whether a directory is there."""
    status = site.stat()
    return status is not None and stat.S_ISDIR(status.st_mode)


def no_directory(site: Site) -> int:
    """Why there is no directory, 0 if there is one."""
    code = site.check()
    return code or (0 if is_directory(site) else errno.ENOTDIR)


def no_way(directory: Site) -> int:
    """Why no name can be looked up in a directory, 0 if one can."""
    return no_directory(directory) or directory.check(os.X_OK)


def may_create_in(directory: Site) -> int:
    """Why no name can be made in a directory, 0 if one can."""
    code = no_directory(directory)
    if code:
        return code
    status = directory.stat()
    removed = status is not None and not status.st_nlink
    return errno.ENOENT if removed else directory.check(os.W_OK | os.X_OK)


def identity(status: os.stat_result) -> tuple[int, int]:
    """What tells an object from all others."""
    return status.st_dev, status.st_ino


def look(caller: Caller) -> Verdict:
    """Whatever only looks something up."""
    if not caller.plan.shape.paths:
        return Verdict()
    nofollow = not follows(caller)
    site = caller.argument(nofollow=nofollow)
    return Verdict(site if isinstance(site, int) else site.check(nofollow=nofollow))
