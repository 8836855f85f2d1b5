"""How opening and executing a file will end."""

import errno
import os
import stat
import struct

from tracers.caller import (
    Caller,
    Verdict,
    Version,
    descriptor,
    is_directory,
    may_create_in,
    no_way,
    version,
)
from tracers.calls import (
    AT_EMPTY_PATH,
    AT_SYMLINK_NOFOLLOW,
    CREAT_FLAGS,
    OPEN_TMPFILE,
)
from tracers.events import Memory
from tracers.site import AT_FDCWD, Site, open_path
from tracers.tracee import Task, read_bytes, read_string

_NEEDS = {os.O_RDONLY: os.R_OK, os.O_WRONLY: os.W_OK, os.O_RDWR: os.R_OK | os.W_OK}
_W_X = os.W_OK | os.X_OK
_HOW_SIZE = 24  # OPEN_HOW_SIZE_VER0, linux/openat2.h
_RESOLVE_CACHED = 0x20
_MAX_INTERPRETERS = 5  # BINPRM_MAX_RECURSION, linux/binfmts.h
_MAX_HEADS = 1000
_heads: dict[Version, bytes | None] = {}
"""How executed files begin, 256 bytes each."""


def opens(caller: Caller) -> Verdict:
    """open, openat and creat."""
    flags = CREAT_FLAGS if caller.plan.name == "creat" else caller.number
    exclusive = bool(flags & os.O_CREAT and flags & os.O_EXCL)
    nofollow = exclusive or bool(flags & os.O_NOFOLLOW)
    site = caller.argument(nofollow=nofollow)
    if isinstance(site, int):
        return Verdict(site)
    caller.opened, caller.nofollow = site, nofollow
    if flags & OPEN_TMPFILE == OPEN_TMPFILE:
        return Verdict(site.check() or (0 if is_directory(site) else errno.ENOTDIR) or site.check(_W_X))
    code = site.check(nofollow=nofollow)
    made = site if nofollow or caller.task.root or not flags & os.O_CREAT else site.through()
    if flags & os.O_CREAT and made.slashed and made.plain().last not in (b".", b".."):
        return Verdict(no_way(made.parent()) or errno.EISDIR)
    if code == errno.ENOENT and flags & os.O_CREAT:
        code = may_create_in(made.parent())
        return Verdict(code) if code else Verdict(0, lambda: not site.check(nofollow=nofollow), created=True)
    if code == 0 and exclusive:
        return Verdict(errno.EEXIST)
    return Verdict(code or may_open(site, flags, caller.task, nofollow=nofollow))


def may_open(site: Site, flags: int, task: Task, *, nofollow: bool) -> int:
    """The errno of opening an object that is there, 0 if it can be opened."""
    status = site.stat(nofollow=nofollow)
    if status is None:
        return site.check(nofollow=nofollow)
    code = kind_error(stat.S_IFMT(status.st_mode), flags)
    if not code and stat.S_ISCHR(status.st_mode) and status.st_rdev == _DEV_TTY and not flags & os.O_PATH:
        code = 0 if _has_terminal(task) else errno.ENXIO
    return code or (0 if flags & os.O_PATH else site.check(_need(flags)))


def _need(flags: int) -> int:
    return _NEEDS.get(flags & os.O_ACCMODE, os.R_OK | os.W_OK) | (os.W_OK if flags & os.O_TRUNC else 0)


def kind_error(kind: int, flags: int) -> int:
    """The errno of opening an object of this kind (``st_mode`` type bits), 0 if only permission is left to ask for."""
    if kind == stat.S_IFREG:
        return errno.ENOTDIR if flags & os.O_DIRECTORY else 0
    if kind == stat.S_IFDIR:
        return errno.EISDIR if not flags & os.O_PATH and (_need(flags) & os.W_OK or flags & os.O_CREAT) else 0
    if kind == stat.S_IFLNK:
        return 0 if flags & os.O_PATH and not flags & os.O_DIRECTORY else errno.ELOOP
    if flags & os.O_DIRECTORY:
        return errno.ENOTDIR
    return errno.ENXIO if kind == stat.S_IFSOCK and not flags & os.O_PATH else 0


_DEV_TTY = os.makedev(5, 0)


def _has_terminal(task: Task) -> bool:
    try:
        with open(f"/proc/{task.tid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[4] != b"0"
    except OSError:
        return True


def openat2(caller: Caller) -> Verdict:
    """openat2: its own resolution, repeated."""
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
        code = directory.error or may_create_in(directory)
        caller.opened, caller.nofollow = Site(directory.name + b"/" + os.path.basename(path)), True
        return Verdict(code) if code else Verdict(0, lambda: _appeared(find(path, os.O_NOFOLLOW)), created=True)
    if not site.error and flags & os.O_CREAT and flags & os.O_EXCL:
        return Verdict(errno.EEXIST)
    return Verdict(site.error or may_open(site, flags, caller.task, nofollow=False))


def _appeared(site: Site) -> bool:
    site.close()
    return not site.error


def executes(caller: Caller) -> Verdict:
    """execve and execveat, with the interpreters that the file names."""
    flags = caller.number if caller.plan.name == "execveat" else 0
    nofollow = bool(flags & AT_SYMLINK_NOFOLLOW)
    site: Site | int
    if flags & AT_EMPTY_PATH and caller.text(1) == b"":
        site = caller.on_descriptor(descriptor(caller.args[0]))
    else:
        site = caller.argument(nofollow=nofollow)
    return Verdict(site if isinstance(site, int) else _may_run(site, caller, nofollow, 0))


def _head(site: Site, status: os.stat_result) -> bytes | None:
    """The first bytes of a file, read once as long as it stays as it is; None if we may not."""
    key = version(status)
    if key not in _heads:
        if len(_heads) >= _MAX_HEADS:
            _heads.clear()
        _heads[key] = site.read(256)
    return _heads[key]


def _may_run(site: Site, caller: Caller, nofollow: bool, depth: int) -> int:
    status = None if site.error else site.stat(nofollow=nofollow)
    if status is None:
        return site.check(nofollow=nofollow) or errno.ENOENT
    if stat.S_ISLNK(status.st_mode):
        return errno.ELOOP
    if not stat.S_ISREG(status.st_mode):
        return errno.EACCES
    code = site.check(os.X_OK)
    if code:
        return code
    caller.opened, caller.nofollow = site, nofollow
    head = _head(site, status)
    if head is None or head.startswith(b"\x7fELF"):
        caller.file = version(status) if head and not depth else None
        return 0
    words = head[2:].split(b"\n", 1)[0].split() if head.startswith(b"#!") else []
    if not words:
        return errno.ENOEXEC
    if depth >= _MAX_INTERPRETERS:
        return errno.ELOOP
    return _may_run(caller.site(words[0]), caller, False, depth + 1)
