"""Masking: empty objects of mode 000 lie over sensitive ones, in a mount namespace of the program's own.

Nothing takes a mask off again from inside. Every capability is gone for good before the program starts, the bounding
set too, so it may not unmount; in a user namespace of its own it may, but there mounts that it inherited are locked
together (mount_namespaces(7)). And what is outside of its user namespace does not let it in by ``/proc/PID/root``
(ptrace_may_access), as the same user or as root. That is also why root gets a user namespace, where capabilities over
other accounts' files are lost: with them, mode 000 would refuse nothing.
"""

import errno
import os
import stat
import sys
from collections.abc import Sequence

from learner.enforcers import kernel
from learner.enforcers.choice import namespace_obstacle
from learner.enforcers.enforcer import Confinement, Strength
from learner.enforcers.namespaces import hide_directories_from_exec
from learner.errors import MachineError
from learner.floor import Floor
from learner.gaps import Gap
from learner.settings import map_ids
from tracers.tracer import Command

_ROOM = "/proc"
"""Where the empty objects are made, for a moment and unseen by others: a directory in which nothing is masked."""
_NOEXEC = 8  # MOUNT_ATTR_NOEXEC, linux/mount.h
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EACCES})
"""Nothing there to mask any more, or nothing that the program could reach: it has no more rights than we have here."""


class FloorConfinement:
    """A floor for one launch; see :class:`~learner.enforcers.enforcer.Confinement`."""

    strength = Strength.PARTIAL
    supervised = False

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        self.gaps: tuple[Gap, ...] = floor.gaps

    def wrap(self, command: Command) -> Command:
        """See :class:`~learner.enforcers.enforcer.Confinement`."""
        return Command(command.file, command.argv, self.apply)

    def apply(self) -> None:
        """See :class:`~learner.enforcers.enforcer.Confinement`."""
        enter([mask.path for mask in self.floor.masks])

    def check(self) -> None:
        """See :class:`~learner.enforcers.enforcer.Confinement`."""

    def close(self) -> None:
        """See :class:`~learner.enforcers.enforcer.Confinement`."""


def prepare(floor: Floor) -> Confinement:
    """Make ``floor`` ready. Raises MachineError if this machine cannot mask anything."""
    if sys.platform == "darwin":
        from learner.enforcers.seatbelt import SeatbeltEnforcer

        return SeatbeltEnforcer().mask(floor)
    obstacle = namespace_obstacle()
    if obstacle:
        raise MachineError(
            f"--protect cannot mask anything here: {obstacle}",
            "allow user namespaces (`sbx doctor` says how), or leave out --protect: then nothing is protected",
        )
    return FloorConfinement(floor)


def enter(paths: Sequence[str]) -> None:
    """Mask ``paths`` (absolute, without links) for the calling thread, the only one of its process. Raises OSError."""
    capabilities = kernel.capabilities()
    uid, gid = os.geteuid(), os.getegid()
    kernel.make_dumpable()
    kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS)
    map_ids(uid, gid)
    hide_directories_from_exec()
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("tmpfs", _ROOM, "tmpfs", flags, "mode=0700,size=64k,nr_inodes=8")
    room = os.open(_ROOM, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.mkdir("directory", 0, dir_fd=room)
    os.close(os.open("file", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0, dir_fd=room))
    empty = {name: os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=room) for name in ("directory", "file")}
    attributes = kernel.RDONLY | kernel.NOSUID | kernel.NODEV | _NOEXEC
    kernel.set_attributes(room, attributes, recursive=False)
    for path in paths:
        _mask(root, path, empty)
    kernel.detach(_ROOM)
    for fd in (*empty.values(), room, root):
        os.close(fd)
    kernel.no_new_privileges()
    kernel.drop_capabilities(capabilities)


def _mask(root: int, path: str, empty: dict[str, int]) -> None:
    try:
        target = kernel.open_beneath(root, path)
    except OSError as problem:
        if problem.errno in _GONE:
            return
        raise
    try:
        is_directory = stat.S_ISDIR(os.fstat(target).st_mode)
        tree = kernel.clone_tree(empty["directory" if is_directory else "file"])
        try:
            kernel.attach(tree, target)
        finally:
            os.close(tree)
    finally:
        os.close(target)
