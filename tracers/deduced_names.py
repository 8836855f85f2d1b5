"""How making, removing and moving names will end, and by what it shows."""

import errno
import os
import stat

from tracers.caller import (
    UNEXPLAINED,
    Caller,
    Verdict,
    descriptor,
    identity,
    may_create_in,
    no_directory,
    no_way,
)
from tracers.calls import (
    AT_EMPTY_PATH,
    AT_REMOVEDIR,
    AT_SYMLINK_FOLLOW,
    RENAME_EXCHANGE,
)
from tracers.site import Site

_W_X = os.W_OK | os.X_OK
_RENAME_NOREPLACE = 1


def make_name(site: Site, *, directory: bool = False) -> Verdict:
    """A name that must not be there."""
    plain = site.plain()
    if site.slashed and not plain.check(nofollow=True):
        return Verdict(errno.EEXIST)
    if site.slashed and not directory:
        return Verdict(no_directory(site.parent()) or errno.ENOENT)
    code = plain.check(nofollow=True)
    if code != errno.ENOENT:
        return Verdict(code or errno.EEXIST)
    code = may_create_in(site.parent())
    return Verdict(code) if code else Verdict(0, lambda: not site.check(nofollow=True), created=True)


def mkdir(caller: Caller) -> Verdict:
    """Calls that make one name: mkdir, symlink."""
    site = caller.argument(nofollow=True)
    return Verdict(site) if isinstance(site, int) else make_name(site, directory=caller.plan.name.startswith("mkdir"))


def mknod(caller: Caller) -> Verdict:
    """mknod: devices are for root."""
    device = stat.S_IFMT(caller.number) in (stat.S_IFCHR, stat.S_IFBLK)
    verdict = mkdir(caller)
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


def remove(caller: Caller) -> Verdict:
    """unlink and rmdir."""
    site = caller.argument(nofollow=True)
    if isinstance(site, int):
        return Verdict(site)
    slashed, site = site.slashed, site.plain()
    unlink = caller.plan.name != "rmdir" and not (caller.plan.name == "unlinkat" and caller.number & AT_REMOVEDIR)
    if unlink and site.last in (b".", b".."):
        return Verdict(no_way(site.parent()) or errno.EISDIR)
    code = site.check(nofollow=True)
    status = site.stat(nofollow=True)
    if code or status is None:
        return Verdict(code or errno.ENOENT)
    directory, otherwise = stat.S_ISDIR(status.st_mode), UNEXPLAINED
    if not unlink:
        if site.last in (b".", b".."):
            return Verdict(errno.EINVAL if site.last == b"." else errno.ENOTEMPTY)
        code = _may_remove(site, caller) or (0 if directory else errno.ENOTDIR)
        above = site.parent().stat()
        if not code and above is not None and above.st_dev != status.st_dev:
            code = errno.EBUSY  # something is mounted there
        code = code or (errno.ENOTEMPTY if site.entries() else 0)
        otherwise = errno.ENOTEMPTY
    else:
        kind = errno.EISDIR if directory else errno.ENOTDIR if slashed else 0
        code = (kind if slashed else 0) or _may_remove(site, caller) or kind
    return Verdict(code) if code else Verdict(0, lambda: _identity(site) != identity(status), otherwise)


def _identity(site: Site) -> tuple[int, int] | None:
    status = site.stat(nofollow=True)
    return None if status is None else identity(status)


def rename(caller: Caller) -> Verdict:
    """rename: the checks of both names, in the order of do_renameat2 (fs/namei.c)."""
    old, new = caller.argument(0, nofollow=True), caller.argument(1, nofollow=True)
    for site in (old, new):
        if isinstance(site, int):
            return Verdict(site)
    assert isinstance(old, Site) and isinstance(new, Site)
    flags = caller.number if caller.plan.name == "renameat2" else 0
    slashed = old.slashed or new.slashed
    old, new = old.plain().pinned(), new.plain().pinned()
    caller.keep(old, new)
    source, target = old.stat(nofollow=True), new.stat(nofollow=True)
    above_old, above_new = old.parent().stat(), new.parent().stat()
    code = no_way(old.parent()) or no_way(new.parent())
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
    if target is not None and stat.S_ISDIR(target.st_mode) and _is_within(old.parent(), new):
        return Verdict(errno.EINVAL if flags & RENAME_EXCHANGE else errno.ENOTEMPTY)
    if target is not None and identity(source) == identity(target):
        return Verdict()  # two names of one file: nothing happens
    code = _may_remove(old, caller) or (_may_remove(new, caller) if target else may_create_in(new.parent()))
    if code:
        return Verdict(code)
    otherwise, before = UNEXPLAINED, identity(source)
    if flags & RENAME_EXCHANGE:
        assert target is not None
        other = identity(target)
        return Verdict(0, lambda: _identity(new) == before and _identity(old) == other)
    if target is not None:
        of_directory, onto_directory = stat.S_ISDIR(source.st_mode), stat.S_ISDIR(target.st_mode)
        if of_directory and not onto_directory:
            return Verdict(errno.ENOTDIR)
        if onto_directory and not of_directory:
            return Verdict(errno.EISDIR)
        if onto_directory and new.entries():
            return Verdict(errno.ENOTEMPTY)
        otherwise = errno.ENOTEMPTY if onto_directory else UNEXPLAINED
    if stat.S_ISDIR(source.st_mode) and identity(above_old) != identity(above_new) and old.check(os.W_OK):
        return Verdict(errno.EACCES)  # its ".." would change
    return Verdict(0, lambda: _identity(new) == before, otherwise)


def _is_within(site: Site, directory: Site) -> bool:
    inner, outer = site.kernel_name(), directory.kernel_name(nofollow=True)
    return inner is not None and outer is not None and (inner + b"/").startswith(outer.rstrip(b"/") + b"/")


def link(caller: Caller) -> Verdict:
    """link and linkat."""
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
    made = make_name(new)
    above = new.parent().stat()
    if made.outcome:
        return made
    if above is not None and above.st_dev != status.st_dev:
        return Verdict(errno.EXDEV)
    return Verdict(errno.EPERM) if stat.S_ISDIR(status.st_mode) else made
