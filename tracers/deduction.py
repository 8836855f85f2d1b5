"""What a call will do, told from the state of the file system while its caller waits.

A supervisor lets a call go on without seeing its result. So it repeats the lookup, asks what the kernel would ask
(path_resolution(7), and the order of checks in fs/namei.c), and for a call that changes something says what must be
true afterwards (:attr:`Verdict.done`): only then is it known to have succeeded.
"""

import errno
import os
import stat
from collections.abc import Callable

from tracers.caller import (
    Caller,
    Verdict,
    descriptor,
    look,
)
from tracers.calls import (
    AT_SYMLINK_NOFOLLOW,
)
from tracers.deduced_attributes import attribute, ftruncate, owned, times, truncate
from tracers.deduced_names import link, make_name, mkdir, mknod, remove, rename
from tracers.deduced_opens import executes, openat2, opens
from tracers.deduced_views import chdir, mount, setns, unshare
from tracers.events import Memory
from tracers.sockets import sockaddr
from tracers.tracee import descriptor_path, read_bytes


def deduce(caller: Caller) -> Verdict:
    """What the waiting call will do."""
    return _RULES.get(caller.plan.name, look)(caller)


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


def _watch(caller: Caller) -> Verdict:
    site = caller.argument()
    return Verdict(site if isinstance(site, int) else site.check() or site.check(os.R_OK))


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
        made = make_name(caller.site(path, nofollow=True))
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
    **dict.fromkeys(("open", "openat", "creat"), opens),
    "openat2": openat2,
    **dict.fromkeys(("access", "faccessat", "faccessat2"), _access),
    **dict.fromkeys(("readlink", "readlinkat"), _readlink),
    **dict.fromkeys(("mkdir", "mkdirat"), mkdir),
    **dict.fromkeys(("symlink", "symlinkat"), mkdir),
    **dict.fromkeys(("mknod", "mknodat"), mknod),
    **dict.fromkeys(("unlink", "unlinkat", "rmdir"), remove),
    **dict.fromkeys(("rename", "renameat", "renameat2"), rename),
    **dict.fromkeys(("link", "linkat"), link),
    **dict.fromkeys(("truncate", "truncate64"), truncate),
    **dict.fromkeys(("ftruncate", "ftruncate64"), ftruncate),
    **dict.fromkeys(("chmod", "fchmodat", "fchmodat2"), owned),
    **dict.fromkeys(("chown", "lchown", "fchownat", "chown32", "lchown32"), owned),
    **dict.fromkeys(("utime", "utimes", "futimesat", "utimensat", "utimensat_time64"), times),
    **dict.fromkeys(("setxattr", "lsetxattr", "removexattr", "lremovexattr", "setxattrat", "removexattrat"), attribute),
    **dict.fromkeys(("getxattr", "lgetxattr", "listxattr", "llistxattr", "getxattrat", "listxattrat"), attribute),
    **dict.fromkeys(("chdir", "chroot"), chdir),
    "inotify_add_watch": _watch,
    **dict.fromkeys(("mount", "umount2", "pivot_root", "move_mount", "mount_setattr", "open_tree", "fspick"), mount),
    "unshare": unshare,
    "setns": setns,
    **dict.fromkeys(("execve", "execveat"), executes),
    **dict.fromkeys(("connect", "bind"), _connect),
    **dict.fromkeys(("sendto", "sendmsg", "sendmmsg"), _send),
    "memfd_create": _memfd,
}
