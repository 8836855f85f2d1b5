"""Names, modes, times and extended attributes of what is not granted."""

import errno
import os

from learner.escapes.calls import check, libc
from learner.escapes.escape import REFUSED, Escape, Family, Ground, Void, Who

_XATTR = "user.sbx"


def _chmod(path: str) -> None:
    os.chmod(path, 0o666)  # noqa: S103 - the more it opens the worse


def _utime(path: str) -> None:
    os.utime(path, (1, 1))


def _setxattr(path: str) -> None:
    try:
        os.setxattr(path, _XATTR, b"escaped")
    except OSError as problem:
        if problem.errno == errno.EOPNOTSUPP:
            raise Void("the file system has no extended attributes") from None
        raise


def _watch(ground: Ground) -> None:
    """Learn of every name that is used in a directory, and when (inotify(7))."""
    fd = check(libc.inotify_init1(os.O_CLOEXEC))
    try:
        check(libc.inotify_add_watch(fd, os.fsencode(ground.outside), 0x20))  # IN_OPEN
    finally:
        os.close(fd)


def _chdir(ground: Ground) -> None:
    os.chdir(ground.outside)


_A = Family.ATTRIBUTES
ESCAPES = (
    Escape(
        "change the mode of a file",
        _A,
        lambda g: _chmod(g.secret),
        gaps=("attributes",),
        twin=lambda g: _chmod(g.plant()),
    ),
    Escape(
        "change the times of a file",
        _A,
        lambda g: _utime(g.secret),
        gaps=("attributes",),
        twin=lambda g: _utime(g.plant()),
    ),
    Escape(
        "set an extended attribute",
        _A,
        lambda g: _setxattr(g.secret),
        gaps=("attributes",),
        twin=lambda g: _setxattr(g.plant()),
    ),
    Escape(
        "give a file to somebody else",
        _A,
        lambda g: os.chown(g.secret, 65534, -1),
        # EINVAL: that user does not exist in a user namespace.
        REFUSED | {errno.EINVAL},
        ("attributes",),
        Who.ROOT,
    ),
    Escape("stat a file", _A, lambda g: os.stat(g.secret), gaps=("metadata",), twin=lambda g: os.stat(g.plant())),
    Escape("enter a directory", _A, _chdir, gaps=("metadata",), twin=lambda g: os.chdir(g.inside)),
    Escape("watch a directory (inotify)", _A, _watch, gaps=("metadata",)),
)
