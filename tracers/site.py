"""Where a supervisor finds what a waiting caller calls by a path, and what it may do there.

A lookup is repeated from outside: through ``/proc/TID/cwd`` or ``/proc/TID/fd/N`` for a relative path, with the
caller's own ``/proc/self``, and below ``/proc/TID/root`` if that is another directory than ours.
"""

import ctypes
import errno
import os
import re
import struct

from tracers.tracee import Task, root_directory

AT_FDCWD, AT_EACCESS, AT_SYMLINK_NOFOLLOW = -100, 0x200, 0x100  # linux/fcntl.h
_RESOLVE_IN_ROOT = 0x10  # linux/openat2.h
_FACCESSAT2, _OPENAT2 = ctypes.c_long(439), ctypes.c_long(437)  # the same on every architecture
_AT_CWD = ctypes.c_int(AT_FDCWD)
_HOW = struct.Struct("=QQQ")

# Looking something up does not wait (but for a network file system), and giving up the interpreter lock costs more.
_syscall = ctypes.PyDLL(None, use_errno=True)["syscall"]
_syscall.restype = ctypes.c_long

_SELF = re.compile(rb"/+proc/+(?:\./+)*(self|thread-self)(?=/|$)")
_STREAMS = {b"/dev/fd": b"", b"/dev/stdin": b"/0", b"/dev/stdout": b"/1", b"/dev/stderr": b"/2"}
_MAX_LINKS = 40  # MAXSYMLINKS, linux/namei.h
_A_PROCESS = re.compile(rb"/proc/\d+(/|$)")


def check(path: bytes, mode: int = os.F_OK, flags: int = 0, fd: int = AT_FDCWD) -> int:
    """faccessat2(2) of ours: 0, or the errno."""
    where = _AT_CWD if fd == AT_FDCWD else ctypes.c_int(fd)
    if _syscall(_FACCESSAT2, where, path, ctypes.c_int(mode), ctypes.c_int(flags)) == 0:
        return 0
    return ctypes.get_errno()


def open_path(path: bytes, flags: int, resolve: int, fd: int = AT_FDCWD) -> int:
    """A descriptor that only names an object (O_PATH), found as openat2(2) resolves; or ``-errno``."""
    how = ctypes.create_string_buffer(_HOW.pack(flags | os.O_PATH | os.O_CLOEXEC, 0, resolve), _HOW.size)
    found = int(_syscall(_OPENAT2, ctypes.c_int(fd), path, how, ctypes.c_size_t(_HOW.size)))
    return found if found >= 0 else -ctypes.get_errno()


def own_names(task: Task, path: bytes) -> bytes:
    """``path`` with the names by which a process means itself replaced by those by which we mean it."""
    if path.startswith(b"/dev/"):
        for name, rest in _STREAMS.items():
            if path == name or (not rest and path.startswith(name + b"/")):
                return b"/proc/%d/fd%b%b" % (task.pid, rest, path[len(name) :])
    found = _SELF.match(path)
    if found is None:
        return path
    thread = b"/task/%d" % task.tid if found[1] == b"thread-self" else b""
    return b"/proc/%d%b%b" % (task.pid, thread, path[found.end() :])


def visible_at(task: Task, path: bytes, dirfd: int, base: bytes) -> bytes:
    """What we call a path of a caller with our own root; ``dirfd``: AT_FDCWD or the number of its directory."""
    if path[:1] == b"/":
        return own_names(task, path) if b"self" in path or path[:5] == b"/dev/" else path
    if b"self" in path and base[:5] == b"/proc":
        return own_names(task, base + b"/" + path)
    if dirfd == AT_FDCWD:
        return b"/proc/%d/cwd/%b" % (task.tid, path)
    return b"/proc/%d/fd/%d/%b" % (task.tid, dirfd, path)


class Site:
    """A name in a directory that we can reach. ``fd`` is AT_FDCWD or a descriptor of ours that ``name`` starts at."""

    __slots__ = ("_opened", "error", "fd", "name")

    def __init__(self, name: bytes, fd: int = AT_FDCWD, opened: tuple[int, ...] = (), error: int = 0) -> None:
        self.name = name
        self.fd = fd
        self.error = error
        """Why there is no way to it: the errno of the whole lookup."""
        self._opened = opened

    @classmethod
    def of(cls, task: Task, path: bytes, dirfd: int, base: bytes, nofollow: bool) -> "Site":
        """The site of a caller's path argument."""
        if task.root:
            return cls._below(task, path, base, nofollow)
        name = visible_at(task, path, dirfd, base)
        if name[-len(path) - 1 :] != b"/" + path or path[:1] == b"/":
            return cls(name)
        # Held open: the caller may be gone when we look again.
        try:
            fd = os.open(name[: -len(path) - 1], os.O_PATH | os.O_CLOEXEC)
        except OSError as problem:
            return cls(b"", error=problem.errno or errno.EIO)
        return cls(path, fd, (fd,))

    @classmethod
    def _below(cls, task: Task, path: bytes, base: bytes, nofollow: bool) -> "Site":
        """In another root directory: links are followed as in there."""
        inside = own_names(task, path)
        if _A_PROCESS.match(inside):
            return cls(inside)  # the numbers are ours, and its links jump
        if path[:1] != b"/":
            jail = root_directory(task).rstrip(b"/")  # the kernel's names begin at our root
            if jail and base != jail and not base.startswith(jail + b"/"):
                return cls(b"/proc/%d/cwd/%b" % (task.tid, path))
            inside = (base[len(jail) :] or b"/") + b"/" + path
        try:
            root = os.open(task.root, os.O_PATH | os.O_CLOEXEC)
        except OSError as problem:
            return cls(b"", error=problem.errno or errno.EIO)
        found = open_path(inside, os.O_NOFOLLOW if nofollow else 0, _RESOLVE_IN_ROOT, root)
        if found >= 0 and not nofollow:
            return cls(b"/proc/self/fd/%d" % found, opened=(root, found))
        if found >= 0:
            os.close(found)
        directory, name = _split(inside)
        above = open_path(directory, os.O_DIRECTORY, _RESOLVE_IN_ROOT, root)
        if above < 0:
            os.close(root)
            return cls(b"", error=-above)
        return cls(name, above, (root, above), -found if found < 0 and found != -errno.ENOENT else 0)

    def check(self, mode: int = os.F_OK, *, nofollow: bool = False) -> int:
        """The errno of asking for ``mode`` with the effective ids, 0 if it is permitted."""
        flags = AT_EACCESS | (AT_SYMLINK_NOFOLLOW if nofollow else 0)
        return self.error or check(self.name, mode, flags, self.fd)

    def stat(self, *, nofollow: bool = False) -> os.stat_result | None:
        """Its status, None if there is none."""
        try:
            return os.stat(self.name, dir_fd=self._dir_fd, follow_symlinks=not nofollow)
        except OSError:
            return None

    @property
    def slashed(self) -> bool:
        """Whether slashes stand behind it, so that it must be a directory."""
        return self.name.endswith(b"/")

    def plain(self) -> "Site":
        """The same without slashes behind it."""
        return Site(self.name.rstrip(b"/") or b"/", self.fd, error=self.error) if self.slashed else self

    def parent(self) -> "Site":
        """The directory that the name is in."""
        return Site(_split(self.name)[0], self.fd, error=self.error)

    def pinned(self) -> "Site":
        """The same in its directory as it is now, wherever that goes. Close it."""
        try:
            fd = os.open(self.parent().name, os.O_PATH | os.O_CLOEXEC, dir_fd=self._dir_fd)
        except OSError as problem:
            return Site(self.name, self.fd, error=self.error or problem.errno or errno.EIO)
        return Site(self.last, fd, (fd,), self.error)

    @property
    def path(self) -> bytes:
        """Its name for calls that take no directory."""
        return self.name if self.fd == AT_FDCWD else b"/proc/self/fd/%d/%b" % (self.fd, self.name)

    @property
    def last(self) -> bytes:
        """The last component."""
        return _split(self.name)[1]

    def through(self) -> "Site":
        """Where the links end that stand at the name itself."""
        found = self
        for _ in range(_MAX_LINKS):
            try:
                text = os.readlink(found.name, dir_fd=found._dir_fd)
            except OSError:
                break
            name = text if text[:1] == b"/" else found.parent().name + b"/" + text
            found = Site(name, AT_FDCWD if text[:1] == b"/" else found.fd, error=found.error)
        return found

    def kernel_name(self, *, nofollow: bool = False) -> bytes | None:
        """The kernel's name of what is there, None if nothing is."""
        try:
            flags = os.O_PATH | os.O_CLOEXEC | (os.O_NOFOLLOW if nofollow else 0)
            fd = os.open(self.name, flags, dir_fd=self._dir_fd)
        except OSError:
            return None
        try:
            return os.readlink(b"/proc/self/fd/%d" % fd)
        finally:
            os.close(fd)

    def read(self, size: int) -> bytes | None:
        """The first bytes of a regular file, None if we may not."""
        try:
            fd = os.open(self.name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY, dir_fd=self._dir_fd)
        except OSError:
            return None
        try:
            return os.read(fd, size)
        except OSError:
            return None
        finally:
            os.close(fd)

    def entries(self) -> bool | None:
        """Whether something is in a directory, None if that cannot be told."""
        try:
            fd = os.open(self.name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._dir_fd)
        except OSError:
            return None
        try:
            with os.scandir(fd) as found:
                return any(True for _ in found)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Close what was opened on the way."""
        for fd in self._opened:
            os.close(fd)
        self._opened = ()

    @property
    def _dir_fd(self) -> int | None:
        return None if self.fd == AT_FDCWD else self.fd


def _split(path: bytes) -> tuple[bytes, bytes]:
    """(directory, last component) of a path, slashes behind it ignored."""
    directory, slash, name = path.rstrip(b"/").rpartition(b"/")
    return (directory or (b"/" if slash else b".")), name or b"."
