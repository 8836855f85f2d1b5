"""New namespaces, in which a program has every capability, and mounts."""

import errno
import os

from learner.escapes.calls import (
    CLONE_NEWPID,
    CLONE_NEWUSER,
    MS_BIND,
    MS_RDONLY,
    MS_REMOUNT,
    in_child,
    mount,
    own_mounts,
    unshare,
)
from learner.escapes.escape import REFUSED, Escape, Family, Ground

_NESTED = REFUSED | {errno.ENOSPC, errno.EUSERS, errno.EINVAL, errno.ENODEV}
"""Namespaces may also be limited to none, and a mount that is not there be EINVAL."""


def read_only(directory: str) -> None:
    """Bind a directory on itself, read-only. Raises OSError."""
    mount(directory, directory, None, MS_BIND)
    mount(None, directory, None, MS_REMOUNT | MS_BIND | MS_RDONLY)


def _bind_in(ground: Ground) -> None:
    """Mount what is not granted on what is."""
    target = f"{ground.inside}/mounted"
    os.mkdir(target)
    own_mounts()
    mount(ground.outside, target, None, MS_BIND)
    ground.read(f"{target}/secret")


def _hide(ground: Ground) -> None:
    """Mount an empty file system over a granted directory: programs of one's own would see other files."""
    own_mounts()
    mount("tmpfs", ground.inside, "tmpfs", 0)


def _mount_proc(ground: Ground) -> None:
    own_mounts(CLONE_NEWPID)
    target = f"{ground.inside}/proc"
    os.mkdir(target)
    in_child(lambda: mount("proc", target, "proc", 0))


def _write(ground: Ground, directory: str) -> None:
    with open(f"{directory}/written", "wb") as file:
        file.write(ground.token)


def _writable_again(ground: Ground) -> None:
    """Remount what an enforcer may have made read-only, then write in it."""
    try:
        own_mounts()
        mount(None, ground.readable, None, MS_REMOUNT | MS_BIND)
    except OSError:
        pass  # nothing may be mounted there: then writing is refused or it is not
    _write(ground, ground.readable)


def _remount(ground: Ground) -> None:
    """Make a read-only bind of somebody else's writable."""
    mount(None, ground.outside, None, MS_REMOUNT | MS_BIND)
    _write(ground, ground.outside)


def _nested_user(ground: Ground) -> None:
    """As the owner of a new user namespace, with every capability in it, past the file's own mode."""
    unshare(CLONE_NEWUSER)
    ground.read(ground.secret)


_N = Family.NAMESPACES
ESCAPES = (
    Escape("read a file from a new user namespace", _N, _nested_user, _NESTED),
    Escape("bind what is not granted on what is", _N, _bind_in, _NESTED),
    Escape("mount over a granted directory", _N, _hide, _NESTED),
    Escape("mount a new /proc", _N, _mount_proc, _NESTED),
    Escape("write where only reading is granted, after a remount", _N, _writable_again, _NESTED),
    Escape("remount a read-only bind", _N, _remount, _NESTED, nested=True),
)
