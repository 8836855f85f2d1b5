"""What rights an access takes, and on which object: the rules of the kernel, not of one enforcer."""

import os
from typing import NamedTuple

import msgspec

from learner.access import UNNAMED, Access, Kind, Meaning
from learner.policy import NO_RIGHT, Right
from tracers.events import Operation


class Need(NamedTuple):
    """``right`` on the object at ``path``, because of ``access``."""

    path: str
    right: Right
    access: Access


_ON_OBJECT = {
    Operation.READ: Right.READ,
    Operation.LIST: Right.LIST,
    Operation.WRITE: Right.WRITE,
    Operation.TRUNCATE: Right.TRUNCATE,
    Operation.EXEC: Right.EXEC,
    Operation.CHMOD: Right.ATTRIBUTES,
    Operation.CHOWN: Right.ATTRIBUTES,
    Operation.UTIME: Right.ATTRIBUTES,
    Operation.SETXATTR: Right.ATTRIBUTES,
    Operation.IOCTL: Right.IOCTL,
    Operation.CONNECT: Right.CONNECT,
    Operation.SEND: Right.CONNECT,
}
_MAKES = {
    Kind.FILE: Right.CREATE,
    Kind.DIRECTORY: Right.MKDIR,
    Kind.SYMLINK: Right.SYMLINK,
    Kind.SOCKET: Right.SOCKET,
    Kind.FIFO: Right.FIFO,
    Kind.CHAR: Right.DEVICE,
    Kind.BLOCK: Right.DEVICE,
}
_CREATORS = {
    Operation.CREATE: Right.CREATE,
    Operation.MKDIR: Right.MKDIR,
    Operation.SYMLINK: Right.SYMLINK,
    Operation.BIND: Right.SOCKET,
}
_MULTIPLEXERS = ("/dev/ptmx", "/dev/pts/ptmx")
CREATING = frozenset(
    {
        Operation.CREATE,
        Operation.MKDIR,
        Operation.SYMLINK,
        Operation.MKNOD,
        Operation.BIND,
        Operation.LINK_TO,
        Operation.RENAME_TO,
    }
)
"""Operations after which there may be an object where none was."""


def attempted(access: Access) -> tuple[Need, ...]:
    """The rights that ``access`` would have needed, had it not been refused; each need's access is the refused one."""
    if access.meaning is not Meaning.REFUSED:
        return ()
    return tuple(need._replace(access=access) for need in needs(msgspec.structs.replace(access, outcome=0)))


def needs(access: Access) -> tuple[Need, ...]:
    """The rights that a confined run must have for ``access`` to end as it did; () if none are checked for it."""
    if access.meaning is not Meaning.DONE or access.kind is Kind.OPAQUE or not access.object.startswith("/"):
        return ()
    operation, path = access.operation, access.object
    parent = os.path.dirname(path)
    if operation in _CREATORS:
        found = [Need(parent, _CREATORS[operation], access)]
        if operation is Operation.CREATE and path.endswith("/" + UNNAMED):
            found.append(Need(path, Right.READ | Right.WRITE, access))
        return tuple(found)
    if operation is Operation.IOCTL and path in _MULTIPLEXERS:
        # TIOCGPTPEER opens the other end without its name (ioctl_tty(2)), and is checked as if it had been named.
        return (Need(path, Right.IOCTL, access), Need("/dev/pts", Right.READ | Right.WRITE, access))
    if operation in _ON_OBJECT:
        return (Need(path, _ON_OBJECT[operation], access),)
    if operation is Operation.MKNOD:
        return (Need(parent, _MAKES.get(access.kind, Right.CREATE), access),)
    if operation is Operation.REMOVE:
        return (Need(parent, Right.REMOVE, access),)
    if operation is Operation.RMDIR:
        return (Need(parent, Right.RMDIR, access),)
    across = access.peer is not None and os.path.dirname(access.peer) != parent
    move = Right.MOVE if across else NO_RIGHT
    if operation is Operation.RENAME_FROM:
        gone = Right.RMDIR if access.kind is Kind.DIRECTORY else Right.REMOVE
        return (Need(parent, gone | move, access),)
    if operation is Operation.RENAME_TO:
        replaced = Right.RMDIR if access.kind is Kind.DIRECTORY else Right.REMOVE
        right = _MAKES.get(access.kind, Right.CREATE) | move | (replaced if access.existed else NO_RIGHT)
        return (Need(parent, right, access),)
    if operation is Operation.LINK_TO:
        return (Need(parent, Right.CREATE | move, access),)
    if operation is Operation.LINK_FROM and across:
        return (Need(parent, Right.MOVE, access),)
    return ()


def created(accesses: "tuple[Access, ...] | list[Access]") -> frozenset[str]:
    """The names that came into being during the run, whether or not they were still there at its end."""
    made = set()
    for access in accesses:
        if access.outcome == 0 and access.operation in CREATING and not access.existed:
            made.add(access.object)
    return frozenset(made - {"/"})


def vanished(accesses: "tuple[Access, ...] | list[Access]") -> frozenset[str]:
    """The names that were removed or renamed away at some time during the run."""
    gone = (Operation.REMOVE, Operation.RMDIR, Operation.RENAME_FROM)
    return frozenset(a.object for a in accesses if a.outcome == 0 and a.operation in gone)
