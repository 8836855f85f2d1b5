"""What an escape is, and what it is given to work with."""

import enum
import errno
import os
from collections.abc import Callable
from typing import NamedTuple

from learner.policy import Policy

REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.ENOENT, errno.EROFS, errno.ENODATA})
"""Errnos by which an enforcer refuses or hides. ENODATA is ours: something came back, but not what was looked for."""
LINKED = REFUSED | {errno.EXDEV}
"""The same for links and renames, which may also end at another file system or, under Landlock, look as if."""
UNREACHED = REFUSED | {errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.ETIMEDOUT}
"""The same for what is reached over a socket."""
UNKNOWN = REFUSED | {errno.ESRCH, errno.EINVAL}
"""The same for processes, which may be out of sight. EINVAL: a number that means nothing in this namespace."""
ABSENT = REFUSED | {errno.EOPNOTSUPP, errno.ENOSYS, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT}
"""The same for system calls and sockets that a filter may answer as a kernel without them would."""


class Family(enum.StrEnum):
    """What an escape abuses."""

    FILES = "files"
    LINKS = "links and names"
    ATTRIBUTES = "attributes"
    PROCESSES = "processes"
    DESCRIPTORS = "descriptors"
    PROGRAMS = "programs"
    IPC = "shared memory, queues, keys"
    UNIX = "unix sockets"
    NETWORK = "network"
    NAMESPACES = "namespaces and mounts"
    KERNEL = "kernel and terminal"


class Who(enum.Enum):
    """As whom it makes sense."""

    ANYONE = "anyone"
    ROOT = "root"
    USER = "an ordinary user"

    def fits(self, uid: int) -> bool:
        """Whether a process of ``uid`` tries it."""
        return self is Who.ANYONE or (self is Who.ROOT) == (uid == 0)


class Void(Exception):  # noqa: N818
    """Raised by an attempt that cannot be made here, with the reason: it says nothing about the confinement."""


class Outsider(NamedTuple):
    """A process outside: of the same user, with the secret in its environment and in an open file.

    ``environment``: (address, length) of its environment in its memory. ``descriptor``: its number of the open file.
    """

    pid: int
    environment: tuple[int, int]
    descriptor: int


class Shared(NamedTuple):
    """What was prepared outside for every escape of one run. Sockets are listeners; ports are theirs."""

    policy: Policy
    home: str
    runner: int
    """The process that releases the escapes: sbx."""
    outsider: Outsider
    tcp: int
    tcp6: int
    mptcp: int
    udp: tuple[int, int]
    """(port, descriptor of the receiving socket, which is inherited so that the sender sees what arrived)."""
    resolver: int
    """Descriptor of the name server's socket, where there is one: -1 outside of the test's own network."""
    sockets: dict[str, str]
    """Paths of listeners by what they look like; missing where none could be made."""
    abstract: str
    memory: int
    """Key of a System V shared memory segment, 0 if there is none."""
    queue: int
    """Key of a System V message queue with one message, 0 if there is none."""
    posix_queue: str
    shm_file: str
    """A file in /dev/shm, empty if none could be made."""
    terminal: tuple[int, int]
    """(master, terminal) descriptors of a pseudo-terminal; -1 if there is none."""
    program: bytes
    """A static program that exits with its effective user id, empty for an unknown architecture."""


class Ground(NamedTuple):
    """The place of one attempt. Each attempt has its own, confined and unconfined ones too."""

    shared: Shared
    outside: str
    """A directory that is not granted."""
    secret: str
    """A file in it."""
    token: bytes
    """What the file says."""
    inside: str
    """A directory that is granted with everything but devices."""
    readable: str
    """A directory that is granted for reading only."""
    descriptor: int
    """The secret, opened before the confinement."""
    directory: int
    """``outside``, opened before the confinement."""

    def found(self, data: bytes) -> None:
        """Raises OSError (ENODATA) unless ``data`` holds the secret."""
        if self.token not in data:
            raise OSError(errno.ENODATA, "not the secret")

    def read(self, path: str, *, dir_fd: int | None = None) -> None:
        """Read the secret from ``path``. Raises OSError."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=dir_fd)
        try:
            self.found(os.read(fd, 65536))
        finally:
            os.close(fd)

    def plant(self, name: str = "own") -> str:
        """The path of a new file in ``inside`` that holds the token: what a twin works on. Raises OSError."""
        path = f"{self.inside}/{name}"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, self.token)
        finally:
            os.close(fd)
        return path


Attempt = Callable[[Ground], object]
"""Raises OSError if it is refused, :class:`Void` if it cannot be tried; else it worked. Runs in a child of its own."""


class Escape(NamedTuple):
    """A way out. Its control is the same attempt, unconfined.

    ``refused``: errnos by which it is refused. ``gaps``: items under which an enforcer may say that it lets it through.
    ``twin``: the nearest thing that is granted, and must work. ``nested``: is tried in a user, mount and network
    namespace of the test's own, where no packet can leave.
    """

    name: str
    family: Family
    attempt: Attempt
    refused: frozenset[int] = REFUSED
    gaps: tuple[str, ...] = ()
    who: Who = Who.ANYONE
    twin: Attempt | None = None
    nested: bool = False
