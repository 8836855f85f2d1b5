"""An access: what was attempted on which resolved object, by which program, with which result."""

import enum
import errno

import msgspec

from tracers.events import Endpoint, Operation

ELIBBAD = 80
"""asm-generic/errno.h; Python on macOS does not know the name."""
UNNAMED = "#unnamed"
"""Stands for the file that O_TMPFILE makes in a directory."""


class Kind(enum.StrEnum):
    """What an object is, at the time of the access."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    SOCKET = "socket"
    FIFO = "fifo"
    CHAR = "char-device"
    BLOCK = "block-device"
    ABSENT = "absent"
    OPAQUE = "opaque"
    """Something without a place in the file system: a pipe, a memfd, a deleted file."""


class Meaning(enum.Enum):
    """What an outcome says about what the program needs."""

    DONE = enum.auto()
    """It succeeded, or got as far as the object itself: enforcement must admit it."""
    PROBE = enum.auto()
    """There was nothing: on Linux nothing has to be granted for the program to see that again."""
    REFUSED = enum.auto()
    """Permission was denied: by plain file permissions in a permissive trace, by the enforcer in a confined one."""
    FAILED = enum.auto()
    """It failed for a reason that comes before permissions, or has nothing to do with them."""


_PROBES = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
_REFUSALS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
# The object was found and permission was checked before these were returned (Linux: may_open, the driver's or
# protocol's own answer), so a sandbox that refuses would change what the program sees.
_REACHED = frozenset(
    {
        errno.ENXIO,
        errno.ENODEV,
        errno.EAGAIN,
        errno.EINPROGRESS,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.ETIMEDOUT,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.EADDRNOTAVAIL,
        errno.ETXTBSY,
        errno.EINTR,
        errno.EADDRINUSE,
        errno.ENOTEMPTY,
        errno.ENOEXEC,
        ELIBBAD,
        errno.E2BIG,
    }
)
_REACHABLE = frozenset(
    {
        Operation.READ,
        Operation.LIST,
        Operation.WRITE,
        Operation.CONNECT,
        Operation.BIND,
        Operation.SEND,
        Operation.RMDIR,
        Operation.EXEC,
    }
)


def meaning(operation: Operation, outcome: int) -> Meaning:
    """What ``outcome`` (0 or an errno) of ``operation`` says."""
    if outcome == 0 or (outcome in _REACHED and operation in _REACHABLE):
        return Meaning.DONE
    if outcome in _PROBES:
        return Meaning.PROBE
    if outcome in _REFUSALS:
        return Meaning.REFUSED
    return Meaning.FAILED


class Access(msgspec.Struct, frozen=True, order=True, omit_defaults=True):
    """One distinct access.

    ``object`` is the resolved path, a host name, or a description of something opaque; ``endpoint`` is set for
    sockets (and ``object`` is then its text). ``links`` are the symlinks that were walked, outermost first;
    their targets stand in the trace's link table. ``program`` indexes the trace's programs. ``existed`` says
    whether a created or replaced name was there before; ``peer`` is the other name of a rename or link, or the
    address that a host name was seen to stand for.
    """

    operation: Operation
    object: str
    kind: Kind
    outcome: int
    program: int
    call: str
    links: tuple[str, ...] = ()
    existed: bool | None = None
    peer: str | None = None
    endpoint: Endpoint | None = None

    @property
    def meaning(self) -> Meaning:
        """See :func:`meaning`."""
        return meaning(self.operation, self.outcome)
