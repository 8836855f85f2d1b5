"""How changing an object, or reading its extended attributes, will end."""

import errno
import os
import stat

from tracers.caller import (
    Caller,
    Verdict,
    descriptor,
    follows,
)
from tracers.site import Site


def _change(caller: Caller) -> Verdict | tuple[Site, os.stat_result]:
    """What must hold for every change of an object: it is there, on a file system that can be written."""
    nofollow = not follows(caller)
    site = caller.argument(nofollow=nofollow)
    if isinstance(site, int):
        return Verdict(site)
    code = site.check(nofollow=nofollow)
    status = site.stat(nofollow=nofollow)
    if code or status is None:
        return Verdict(code or errno.ENOENT)
    code = site.check(os.W_OK, nofollow=nofollow)
    return Verdict(code) if code == errno.EROFS else (site, status)


def truncate(caller: Caller) -> Verdict:
    """truncate, by path."""
    found = _change(caller)
    if isinstance(found, Verdict):
        return found
    site, status = found
    if stat.S_ISDIR(status.st_mode):
        return Verdict(errno.EISDIR)
    return Verdict(site.check(os.W_OK) if stat.S_ISREG(status.st_mode) else errno.EINVAL)


def owned(caller: Caller) -> Verdict:
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


def times(caller: Caller) -> Verdict:
    """utimensat and its kin: the owner, or who may write if the times are those of now."""
    found = _change(caller)
    if isinstance(found, Verdict):
        return found
    site, status = found
    if caller.user() in (0, status.st_uid):
        return Verdict()
    given = caller.args[1 if caller.plan.name in ("utime", "utimes") else 2]
    return Verdict(errno.EPERM if given else site.check(os.W_OK))


def attribute(caller: Caller) -> Verdict:
    """Extended attributes: reading one tells whether the file system has such, too."""
    name = caller.plan.name
    nofollow = not follows(caller)
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


def ftruncate(caller: Caller) -> Verdict:
    """ftruncate: what was opened to be written."""
    try:
        with open(f"/proc/{caller.task.tid}/fdinfo/{descriptor(caller.args[0])}") as file:
            flags = next(int(line.split()[1], 8) for line in file if line.startswith("flags:"))
    except (OSError, StopIteration):
        return Verdict(errno.EBADF)
    return Verdict(errno.EINVAL if flags & os.O_ACCMODE == os.O_RDONLY else 0)
