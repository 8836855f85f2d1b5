"""What a call will do, told from the state of the file system while its caller waits.

A supervisor lets a call go on without seeing its result. So it repeats the lookup, asks what the kernel would ask
(path_resolution(7), and the order of checks in fs/namei.c), and for a call that changes something says what must be
true afterwards (:attr:`Verdict.done`): only then is it known to have succeeded.
"""

import errno
import os
import stat
import struct
from collections.abc import Callable
from typing import NamedTuple

from tracers.calls import (
    AT_EMPTY_PATH,
    AT_REMOVEDIR,
    AT_SYMLINK_FOLLOW,
    AT_SYMLINK_NOFOLLOW,
    CREAT_FLAGS,
    NAMESPACE_FLAGS,
    OPEN_TMPFILE,
    RENAME_EXCHANGE,
)
from tracers.entry import Entry
from tracers.events import Memory
from tracers.site import AT_FDCWD, Site, open_path
from tracers.sockets import sockaddr
from tracers.tracee import Task, descriptor_path, read_bytes, read_string

UNEXPLAINED = errno.EPERM
"""Stands for the error of a change that should have succeeded and did not take place."""

_W_X = os.W_OK | os.X_OK
_RENAME_NOREPLACE = 1
_NEEDS = {os.O_RDONLY: os.R_OK, os.O_WRONLY: os.W_OK, os.O_RDWR: os.R_OK | os.W_OK}
_MAX_INTERPRETERS = 5  # BINPRM_MAX_RECURSION, linux/binfmts.h
_CAP_SYS_ADMIN = 21
_HOW_SIZE = 24  # OPEN_HOW_SIZE_VER0, linux/openat2.h
_RESOLVE_CACHED = 0x20
_NAMESPACES = {
    0x00020000: "mnt",
    0x02000000: "cgroup",
    0x04000000: "uts",
    0x08000000: "ipc",
    0x10000000: "user",
    0x20000000: "pid_for_children",
    0x40000000: "net",
    0x00000080: "time_for_children",
}


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

    def __init__(self, task: Task, entry: Entry, args: tuple[int, ...], cwd: bytes) -> None:
        self.task = task
        self.entry = entry
        self.plan = entry.plan
        self.args = args
        self.number = entry.number
        self.cwd = cwd
        self.opened: Site | None = None
        """Where an opened object is found, and :attr:`nofollow`."""
        self.nofollow = False
        self._sites: list[Site] = []

    def site(self, path: bytes, dirfd: int = AT_FDCWD, base: bytes = b"", *, nofollow: bool = False) -> Site:
        """Where a path of the caller's leads."""
        found = Site.of(self.task, path, dirfd, base or self.cwd, nofollow)
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


def deduce(caller: Caller) -> Verdict:
    """What the waiting call will do."""
    return _RULES.get(caller.plan.name, _look)(caller)


def _look(caller: Caller) -> Verdict:
    """Whatever only looks something up."""
    if not caller.plan.shape.paths:
        return Verdict()
    nofollow = caller.plan.name in _NOFOLLOW or bool(caller.number & AT_SYMLINK_NOFOLLOW and caller.plan.number >= 0)
    site = caller.argument(nofollow=nofollow)
    return Verdict(site if isinstance(site, int) else site.check(nofollow=nofollow))


_NOFOLLOW = frozenset({"lstat", "lstat64", "oldlstat", "readlink", "readlinkat", "lchown", "lchown32"})
_NOFOLLOW |= {"lsetxattr", "lremovexattr", "lgetxattr", "llistxattr"}


# --- opening


def _open(caller: Caller) -> Verdict:
    flags = CREAT_FLAGS if caller.plan.name == "creat" else caller.number
    exclusive = bool(flags & os.O_CREAT and flags & os.O_EXCL)
    nofollow = exclusive or bool(flags & os.O_NOFOLLOW)
    site = caller.argument(nofollow=nofollow)
    if isinstance(site, int):
        return Verdict(site)
    caller.opened, caller.nofollow = site, nofollow
    if flags & OPEN_TMPFILE == OPEN_TMPFILE:
        return Verdict(site.check() or (0 if _is_directory(site) else errno.ENOTDIR) or site.check(_W_X))
    code = site.check(nofollow=nofollow)
    if flags & os.O_CREAT and site.slashed and (code or not _is_directory(site)):
        return Verdict(_no_directory(site.parent()) or errno.EISDIR)
    if code == errno.ENOENT and flags & os.O_CREAT:
        directory, there = site.parent(), site.stat(nofollow=True)
        if there is not None and not nofollow and not caller.task.root:
            directory = Site(os.path.dirname(os.path.realpath(site.path)))  # through a dangling link
        code = _may_create_in(directory)
        return Verdict(code) if code else Verdict(0, lambda: not site.check(nofollow=nofollow), created=True)
    if code == 0 and exclusive:
        return Verdict(errno.EEXIST)
    return Verdict(code or may_open(site, flags, caller.task, nofollow=nofollow))


def may_open(site: Site, flags: int, task: Task, *, nofollow: bool) -> int:
    """The errno of opening an object that is there, 0 if it can be opened."""
    status = site.stat(nofollow=nofollow)
    if status is None:
        return site.check(nofollow=nofollow)
    code = kind_error(status, flags, task)
    return code or (0 if flags & os.O_PATH else site.check(_need(flags)))


def _need(flags: int) -> int:
    return _NEEDS.get(flags & os.O_ACCMODE, os.R_OK | os.W_OK) | (os.W_OK if flags & os.O_TRUNC else 0)


def kind_error(status: os.stat_result, flags: int, task: Task) -> int:
    """The errno of opening an object of this kind, 0 if only permission is left to ask for."""
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFREG:
        return errno.ENOTDIR if flags & os.O_DIRECTORY else 0
    if kind == stat.S_IFDIR:
        return errno.EISDIR if not flags & os.O_PATH and (_need(flags) & os.W_OK or flags & os.O_CREAT) else 0
    if kind == stat.S_IFLNK:
        return 0 if flags & os.O_PATH and not flags & os.O_DIRECTORY else errno.ELOOP
    if flags & os.O_DIRECTORY:
        return errno.ENOTDIR
    if flags & os.O_PATH:
        return 0
    if kind == stat.S_IFSOCK:
        return errno.ENXIO
    return errno.ENXIO if kind == stat.S_IFCHR and status.st_rdev == _DEV_TTY and not _has_terminal(task) else 0


_DEV_TTY = os.makedev(5, 0)


def _has_terminal(task: Task) -> bool:
    try:
        with open(f"/proc/{task.tid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[4] != b"0"
    except OSError:
        return True


def _openat2(caller: Caller) -> Verdict:
    size = caller.args[3]
    if size < _HOW_SIZE:
        return Verdict(errno.EINVAL)
    how = read_bytes(caller.task, caller.args[2], min(size, 4096))
    if len(how) < min(size, 4096):
        return Verdict(errno.EFAULT)
    if any(how[_HOW_SIZE:]):
        return Verdict(errno.E2BIG)
    flags, _mode, resolve = struct.unpack_from("=QQQ", how)
    path = read_string(caller.task, caller.args[1]) if caller.args[1] else Memory.UNREADABLE
    if isinstance(path, Memory):
        return Verdict(errno.EFAULT)
    number = descriptor(caller.args[0])
    start = b"/proc/%d/cwd" % caller.task.tid if number == AT_FDCWD else b"/proc/%d/fd/%d" % (caller.task.tid, number)
    base = open_path(start, 0, 0)
    if base < 0:
        return Verdict(errno.EBADF)
    resolve &= ~_RESOLVE_CACHED

    def find(name: bytes, keep: int) -> Site:
        found = open_path(name, flags & keep, resolve, base)
        return Site(b"", error=-found) if found < 0 else Site(b"/proc/self/fd/%d" % found, opened=(found,))

    site = find(path, os.O_NOFOLLOW | os.O_DIRECTORY)
    caller.keep(site, Site(b"", opened=(base,)))
    caller.opened = site
    if site.error == errno.ENOENT and flags & os.O_CREAT:
        directory = find(os.path.dirname(path) or b".", 0)
        caller.keep(directory)
        code = directory.error or _may_create_in(directory)
        caller.opened, caller.nofollow = Site(directory.name + b"/" + os.path.basename(path)), True
        return Verdict(code) if code else Verdict(0, lambda: _appeared(find(path, os.O_NOFOLLOW)), created=True)
    if not site.error and flags & os.O_CREAT and flags & os.O_EXCL:
        return Verdict(errno.EEXIST)
    return Verdict(site.error or may_open(site, flags, caller.task, nofollow=False))


def _appeared(site: Site) -> bool:
    site.close()
    return not site.error


# --- making and removing names


def _is_directory(site: Site) -> bool:
    status = site.stat()
    return status is not None and stat.S_ISDIR(status.st_mode)


def _no_directory(site: Site) -> int:
    """Why there is no directory, 0 if there is one."""
    code = site.check()
    return code or (0 if _is_directory(site) else errno.ENOTDIR)


def _no_way(directory: Site) -> int:
    """Why no name can be looked up in a directory, 0 if one can."""
    return _no_directory(directory) or directory.check(os.X_OK)


def _may_create_in(directory: Site) -> int:
    code = _no_directory(directory)
    if code:
        return code
    status = directory.stat()
    removed = status is not None and not status.st_nlink
    return errno.ENOENT if removed else directory.check(_W_X)


def _make(site: Site, *, directory: bool = False) -> Verdict:
    """A name that must not be there."""
    plain = site.plain()
    if site.slashed and not plain.check(nofollow=True):
        return Verdict(errno.EEXIST)
    if site.slashed and not directory:
        return Verdict(_no_directory(site.parent()) or errno.ENOENT)
    code = plain.check(nofollow=True)
    if code != errno.ENOENT:
        return Verdict(code or errno.EEXIST)
    code = _may_create_in(site.parent())
    return Verdict(code) if code else Verdict(0, lambda: not site.check(nofollow=True), created=True)


def _mkdir(caller: Caller) -> Verdict:
    site = caller.argument(nofollow=True)
    return Verdict(site) if isinstance(site, int) else _make(site, directory=caller.plan.name.startswith("mkdir"))


def _mknod(caller: Caller) -> Verdict:
    device = stat.S_IFMT(caller.number) in (stat.S_IFCHR, stat.S_IFBLK)
    verdict = _mkdir(caller)
    return Verdict(errno.EPERM) if device and not verdict.outcome and caller.user() else verdict


def _may_remove(site: Site, caller: Caller) -> int:
    """Whether the directory lets the caller take the name ``site`` out of it."""
    directory = site.parent()
    code = directory.check(_W_X)
    if code:
        return code
    above, there, user = directory.stat(), site.stat(nofollow=True), caller.user()
    if above is None or there is None or not above.st_mode & stat.S_ISVTX:
        return 0
    return 0 if user in (0, above.st_uid, there.st_uid) else errno.EPERM


def _remove(caller: Caller) -> Verdict:
    site = caller.argument(nofollow=True)
    if isinstance(site, int):
        return Verdict(site)
    slashed, site = site.slashed, site.plain()
    code = site.check(nofollow=True)
    status = site.stat(nofollow=True)
    if code or status is None:
        return Verdict(code or errno.ENOENT)
    directory = stat.S_ISDIR(status.st_mode)
    if caller.plan.name == "rmdir" or (caller.plan.name == "unlinkat" and caller.number & AT_REMOVEDIR):
        if site.last in (b".", b".."):
            return Verdict(errno.EINVAL if site.last == b"." else errno.ENOTEMPTY)
        code = _may_remove(site, caller) or (0 if directory else errno.ENOTDIR)
        above = site.parent().stat()
        if not code and above is not None and above.st_dev != status.st_dev:
            code = errno.EBUSY  # something is mounted there
        code = code or (errno.ENOTEMPTY if site.entries() else 0)
    else:
        code = errno.ENOTDIR if slashed and not directory else 0
        code = code or _may_remove(site, caller) or (errno.EISDIR if directory else 0)
    return Verdict(code) if code else Verdict(0, lambda: _identity(site) != _id(status))


def _identity(site: Site) -> tuple[int, int] | None:
    status = site.stat(nofollow=True)
    return None if status is None else _id(status)


def _id(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _rename(caller: Caller) -> Verdict:
    old, new = caller.argument(0, nofollow=True), caller.argument(1, nofollow=True)
    for site in (old, new):
        if isinstance(site, int):
            return Verdict(site)
    assert isinstance(old, Site) and isinstance(new, Site)
    flags = caller.number if caller.plan.name == "renameat2" else 0
    slashed = old.slashed or new.slashed
    old, new = old.plain(), new.plain()
    source, target = old.stat(nofollow=True), new.stat(nofollow=True)
    above_old, above_new = old.parent().stat(), new.parent().stat()
    code = _no_way(old.parent()) or _no_way(new.parent())
    if code or above_old is None or above_new is None:
        return Verdict(code or errno.ENOENT)
    if above_old.st_dev != above_new.st_dev:
        return Verdict(errno.EXDEV)
    if {old.last, new.last} & {b".", b".."}:
        return Verdict(errno.EBUSY)
    if source is None:
        return Verdict(old.check(nofollow=True) or errno.ENOENT)
    if target is None and new.check(nofollow=True) != errno.ENOENT:
        return Verdict(new.check(nofollow=True))
    if target is not None and flags & _RENAME_NOREPLACE:
        return Verdict(errno.EEXIST)
    if flags & RENAME_EXCHANGE and target is None:
        return Verdict(errno.ENOENT)
    if slashed and not stat.S_ISDIR(source.st_mode):
        return Verdict(errno.ENOTDIR)
    if stat.S_ISDIR(source.st_mode) and _is_within(new.parent(), old):
        return Verdict(errno.EINVAL)
    code = _may_remove(old, caller) or (_may_remove(new, caller) if target else _may_create_in(new.parent()))
    if code:
        return Verdict(code)
    before = _id(source)
    if flags & RENAME_EXCHANGE:
        assert target is not None
        other = _id(target)
        return Verdict(0, lambda: _identity(new) == before and _identity(old) == other)
    if target is not None and before != _id(target):
        of_directory, onto_directory = stat.S_ISDIR(source.st_mode), stat.S_ISDIR(target.st_mode)
        if of_directory and not onto_directory:
            return Verdict(errno.ENOTDIR)
        if onto_directory and not of_directory:
            return Verdict(errno.EISDIR)
        if onto_directory and new.entries():
            return Verdict(errno.ENOTEMPTY)
    return Verdict(0, lambda: _identity(new) == before)


def _is_within(site: Site, directory: Site) -> bool:
    inner, outer = site.kernel_name(), directory.kernel_name(nofollow=True)
    return inner is not None and outer is not None and (inner + b"/").startswith(outer.rstrip(b"/") + b"/")


def _link(caller: Caller) -> Verdict:
    flags = caller.number if caller.plan.name == "linkat" else 0
    follow = bool(flags & AT_SYMLINK_FOLLOW)
    old: Site | int
    if flags & AT_EMPTY_PATH and caller.text(caller.plan.shape.paths[0].at) == b"":
        old, follow = caller.on_descriptor(descriptor(caller.args[0])), True
    else:
        old = caller.argument(0, nofollow=not follow)
    new = caller.argument(1, nofollow=True)
    for site in (old, new):
        if isinstance(site, int):
            return Verdict(site)
    assert isinstance(old, Site) and isinstance(new, Site)
    status = old.stat(nofollow=not follow)
    if status is None:
        return Verdict(old.check(nofollow=not follow) or errno.ENOENT)
    made = _make(new)
    above = new.parent().stat()
    if made.outcome:
        return made
    if above is not None and above.st_dev != status.st_dev:
        return Verdict(errno.EXDEV)
    return Verdict(errno.EPERM) if stat.S_ISDIR(status.st_mode) else made


# --- changing attributes


def _change(caller: Caller) -> Verdict | tuple[Site, os.stat_result]:
    """What must hold for every change of an object: it is there, on a file system that can be written."""
    nofollow = caller.plan.name in _NOFOLLOW or bool(caller.number & AT_SYMLINK_NOFOLLOW and caller.plan.number >= 0)
    site = caller.argument(nofollow=nofollow)
    if isinstance(site, int):
        return Verdict(site)
    code = site.check(nofollow=nofollow)
    status = site.stat(nofollow=nofollow)
    if code or status is None:
        return Verdict(code or errno.ENOENT)
    code = site.check(os.W_OK, nofollow=nofollow)
    return Verdict(code) if code == errno.EROFS else (site, status)


def _truncate(caller: Caller) -> Verdict:
    found = _change(caller)
    if isinstance(found, Verdict):
        return found
    site, status = found
    if stat.S_ISDIR(status.st_mode):
        return Verdict(errno.EISDIR)
    return Verdict(site.check(os.W_OK) if stat.S_ISREG(status.st_mode) else errno.EINVAL)


def _owned(caller: Caller) -> Verdict:
    """chmod and chown: the owner's right (and another owner root's alone)."""
    found = _change(caller)
    if isinstance(found, Verdict):
        return found
    _, status = found
    user = caller.user()
    if user and user != status.st_uid:
        return Verdict(errno.EPERM)
    at = _OWNER_AT.get(caller.plan.name)
    if at is not None and user and descriptor(caller.args[at]) not in (-1, status.st_uid):
        return Verdict(errno.EPERM)
    return Verdict()


_OWNER_AT = {"chown": 1, "lchown": 1, "chown32": 1, "lchown32": 1, "fchownat": 2}


def _times(caller: Caller) -> Verdict:
    found = _change(caller)
    if isinstance(found, Verdict):
        return found
    site, status = found
    if caller.user() in (0, status.st_uid):
        return Verdict()
    given = caller.args[1 if caller.plan.name in ("utime", "utimes") else 2]
    return Verdict(errno.EPERM if given else site.check(os.W_OK))


def _attribute(caller: Caller) -> Verdict:
    """Extended attributes: reading one tells whether the file system has such, too."""
    name = caller.plan.name
    nofollow = name in _NOFOLLOW or bool(caller.plan.number >= 0 and caller.number & AT_SYMLINK_NOFOLLOW)
    site = caller.argument(nofollow=nofollow)
    if isinstance(site, int):
        return Verdict(site)
    code = site.check(nofollow=nofollow)
    if code:
        return Verdict(code)
    asked = caller.text(3 if name.endswith("at") else 1)
    size = caller.args[2 if "list" in name else 3]
    try:
        if "list" in name:
            found = b"\0".join(os.fsencode(each) for each in os.listxattr(site.path, follow_symlinks=not nofollow))
        else:
            found = os.getxattr(site.path, asked, follow_symlinks=not nofollow)
    except OSError as problem:
        code = problem.errno or errno.EIO
        if "set" in name and code == errno.ENODATA:
            code = 0
    if "get" in name or "list" in name:
        short = not code and not name.endswith("at") and 0 < size < len(found)
        return Verdict(errno.ERANGE if short else code)
    return Verdict(site.check(os.W_OK, nofollow=nofollow) or code)


def _ftruncate(caller: Caller) -> Verdict:
    try:
        with open(f"/proc/{caller.task.tid}/fdinfo/{descriptor(caller.args[0])}") as file:
            flags = next(int(line.split()[1], 8) for line in file if line.startswith("flags:"))
    except (OSError, StopIteration):
        return Verdict(errno.EBADF)
    return Verdict(errno.EINVAL if flags & os.O_ACCMODE == os.O_RDONLY else 0)


# --- the rest


def _readlink(caller: Caller) -> Verdict:
    site = caller.argument(nofollow=True)
    if isinstance(site, int):
        return Verdict(site)
    status = site.stat(nofollow=True)
    if status is None:
        return Verdict(site.check(nofollow=True) or errno.ENOENT)
    return Verdict(0 if stat.S_ISLNK(status.st_mode) else errno.EINVAL)


def _access(caller: Caller) -> Verdict:
    site = caller.argument(nofollow=bool(caller.plan.name == "faccessat2" and caller.number & AT_SYMLINK_NOFOLLOW))
    if isinstance(site, int):
        return Verdict(site)
    mode = caller.args[1 if caller.plan.name == "access" else 2]
    if mode & ~7:
        return Verdict(errno.EINVAL)
    return Verdict(site.check(mode, nofollow=bool(caller.plan.name == "faccessat2" and caller.number & 0x100)))


def _chdir(caller: Caller) -> Verdict:
    site = caller.argument()
    if isinstance(site, int):
        return Verdict(site)
    code = site.check()
    status = site.stat()
    if code or status is None:
        return Verdict(code or errno.ENOENT)
    if not stat.S_ISDIR(status.st_mode):
        return Verdict(errno.ENOTDIR)
    code = site.check(os.X_OK)
    where = "root" if caller.plan.name == "chroot" else "cwd"
    if code == 0 and where == "root" and not _privileged(caller.task):
        return Verdict(errno.EPERM)
    return Verdict(code) if code else Verdict(0, lambda: _stands_in(caller.task, where, status), otherwise=0)


def stands(task: Task, where: str) -> tuple[int, int] | None:
    """The identity of a directory that a task has (``cwd``, ``root``, ``fd/N``), None if it has none."""
    try:
        return _id(os.stat(f"/proc/{task.tid}/{where}"))
    except OSError:
        return None


def _stands_in(task: Task, where: str, status: os.stat_result) -> bool:
    return stands(task, where) == _id(status)


def _watch(caller: Caller) -> Verdict:
    site = caller.argument()
    return Verdict(site if isinstance(site, int) else site.check() or site.check(os.R_OK))


def _mount(caller: Caller) -> Verdict:
    looked = _look(caller)
    if looked.outcome:
        return looked
    if not _privileged(caller.task):
        return Verdict(errno.EPERM)
    before = _mounts(caller.task)
    return Verdict(0, lambda: _mounts(caller.task) != before, otherwise=0)


def _mounts(task: Task) -> bytes:
    try:
        with open(f"/proc/{task.tid}/mountinfo", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _privileged(task: Task) -> bool:
    """Whether a task has CAP_SYS_ADMIN in its own user namespace."""
    try:
        with open(f"/proc/{task.tid}/status", "rb") as file:
            effective = next(line for line in file if line.startswith(b"CapEff:"))
    except (OSError, StopIteration):
        return True
    return bool(int(effective.split()[1], 16) >> _CAP_SYS_ADMIN & 1)


def _unshare(caller: Caller) -> Verdict:
    asked = caller.args[0] & NAMESPACE_FLAGS
    return _enters(caller.task, [name for flag, name in _NAMESPACES.items() if asked & flag], UNEXPLAINED)


def _setns(caller: Caller) -> Verdict:
    if descriptor_path(caller.task, descriptor(caller.args[0])) is None:
        return Verdict(errno.EBADF)
    return _enters(caller.task, list(_NAMESPACES.values()), 0)


def _enters(task: Task, names: list[str], otherwise: int) -> Verdict:
    if not names:
        return Verdict()
    before = {name: _namespace(task, name) for name in names}
    return Verdict(0, lambda: any(_namespace(task, n) != was for n, was in before.items()), otherwise=otherwise)


def _namespace(task: Task, name: str) -> str:
    try:
        return os.readlink(f"/proc/{task.tid}/ns/{name}")
    except OSError:
        return ""


def _exec(caller: Caller) -> Verdict:
    flags = caller.number if caller.plan.name == "execveat" else 0
    nofollow = bool(flags & AT_SYMLINK_NOFOLLOW)
    site: Site | int
    if flags & AT_EMPTY_PATH and caller.text(1) == b"":
        site = caller.on_descriptor(descriptor(caller.args[0]))
    else:
        site = caller.argument(nofollow=nofollow)
    return Verdict(site if isinstance(site, int) else _may_run(site, caller, nofollow, 0))


def _may_run(site: Site, caller: Caller, nofollow: bool, depth: int) -> int:
    code = site.check(nofollow=nofollow)
    status = site.stat(nofollow=nofollow)
    if code or status is None:
        return code or errno.ENOENT
    if stat.S_ISLNK(status.st_mode):
        return errno.ELOOP
    if not stat.S_ISREG(status.st_mode):
        return errno.EACCES
    code = site.check(os.X_OK)
    if code:
        return code
    caller.opened, caller.nofollow = site, nofollow
    head = site.read(256)
    if head is None or head.startswith(b"\x7fELF"):
        return 0
    words = head[2:].split(b"\n", 1)[0].split() if head.startswith(b"#!") else []
    if not words:
        return errno.ENOEXEC
    if depth >= _MAX_INTERPRETERS:
        return errno.ELOOP
    return _may_run(caller.site(words[0]), caller, False, depth + 1)


def _connect(caller: Caller) -> Verdict:
    size = caller.args[2] & 0xFFFFFFFF
    if descriptor_path(caller.task, descriptor(caller.args[0])) is None:
        return Verdict(errno.EBADF)
    if size > 128:
        return Verdict(errno.EINVAL)
    raw = read_bytes(caller.task, caller.args[1], size)
    if len(raw) < size:
        return Verdict(errno.EFAULT)
    if size < 2:
        return Verdict(errno.EINVAL)
    found = sockaddr(raw)
    return _reach(caller, found) if isinstance(found, bytes) else Verdict()


def _send(caller: Caller) -> Verdict:
    found = sockaddr(caller.entry.data[0][0]) if caller.entry.data else None
    return _reach(caller, found) if isinstance(found, bytes) else Verdict()


def _reach(caller: Caller, path: bytes) -> Verdict:
    """A unix socket by its name: to be made by bind, there for all others."""
    if caller.plan.name == "bind":
        made = _make(caller.site(path, nofollow=True))
        return Verdict(errno.EADDRINUSE) if made.outcome == errno.EEXIST else made
    site = caller.site(path)
    code = site.check()
    status = site.stat()
    if code or status is None:
        return Verdict(code or errno.ENOENT)
    return Verdict(errno.ECONNREFUSED if not stat.S_ISSOCK(status.st_mode) else site.check(os.W_OK))


def _memfd(caller: Caller) -> Verdict:
    return Verdict(errno.EFAULT if isinstance(caller.entry.text[0], Memory) else 0)


_RULES: dict[str, Callable[[Caller], Verdict]] = {
    **dict.fromkeys(("open", "openat", "creat"), _open),
    "openat2": _openat2,
    **dict.fromkeys(("access", "faccessat", "faccessat2"), _access),
    **dict.fromkeys(("readlink", "readlinkat"), _readlink),
    **dict.fromkeys(("mkdir", "mkdirat"), _mkdir),
    **dict.fromkeys(("symlink", "symlinkat"), _mkdir),
    **dict.fromkeys(("mknod", "mknodat"), _mknod),
    **dict.fromkeys(("unlink", "unlinkat", "rmdir"), _remove),
    **dict.fromkeys(("rename", "renameat", "renameat2"), _rename),
    **dict.fromkeys(("link", "linkat"), _link),
    **dict.fromkeys(("truncate", "truncate64"), _truncate),
    **dict.fromkeys(("ftruncate", "ftruncate64"), _ftruncate),
    **dict.fromkeys(("chmod", "fchmodat", "fchmodat2"), _owned),
    **dict.fromkeys(("chown", "lchown", "fchownat", "chown32", "lchown32"), _owned),
    **dict.fromkeys(("utime", "utimes", "futimesat", "utimensat", "utimensat_time64"), _times),
    **dict.fromkeys(
        ("setxattr", "lsetxattr", "removexattr", "lremovexattr", "setxattrat", "removexattrat"), _attribute
    ),
    **dict.fromkeys(("getxattr", "lgetxattr", "listxattr", "llistxattr", "getxattrat", "listxattrat"), _attribute),
    **dict.fromkeys(("chdir", "chroot"), _chdir),
    "inotify_add_watch": _watch,
    **dict.fromkeys(("mount", "umount2", "pivot_root", "move_mount", "mount_setattr", "open_tree", "fspick"), _mount),
    "unshare": _unshare,
    "setns": _setns,
    **dict.fromkeys(("execve", "execveat"), _exec),
    **dict.fromkeys(("connect", "bind"), _connect),
    **dict.fromkeys(("sendto", "sendmsg", "sendmmsg"), _send),
    "memfd_create": _memfd,
}
