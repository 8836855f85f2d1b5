"""What every tracer emits: one record for each distinct thing a traced program attempted.

Events are raw observations: paths are the bytes that the program passed, with the directory
they start at. Resolving links and deriving policies happens elsewhere (`learner`).
"""

import enum
from collections.abc import Container
from typing import Protocol

import msgspec


class Operation(enum.StrEnum):
    """What was attempted. A system call may attempt several (``open(O_RDWR)`` reads and writes)."""

    STAT = "stat"
    READLINK = "readlink"
    CHDIR = "chdir"
    READ = "read"
    LIST = "list"
    WRITE = "write"
    CREATE = "create"
    TRUNCATE = "truncate"
    MKDIR = "mkdir"
    SYMLINK = "symlink"
    MKNOD = "mknod"
    REMOVE = "remove"
    RMDIR = "rmdir"
    RENAME_FROM = "rename-from"
    RENAME_TO = "rename-to"
    LINK_FROM = "link-from"
    LINK_TO = "link-to"
    CHMOD = "chmod"
    CHOWN = "chown"
    UTIME = "utime"
    GETXATTR = "getxattr"
    SETXATTR = "setxattr"
    WATCH = "watch"
    EXEC = "exec"
    IOCTL = "ioctl"
    CONNECT = "connect"
    BIND = "bind"
    LISTEN = "listen"
    SEND = "send"
    RESOLVE = "resolve"
    MOUNT = "mount"
    NAMESPACE = "namespace"
    PTRACE = "ptrace"
    IO_URING = "io_uring"
    MEMFD = "memfd"
    FOREIGN = "foreign-abi"
    SERVICE = "service"
    """What only macOS controls: a Mach name, a sysctl, a preference. ``call`` is the sandbox's own operation."""


class Memory(enum.Enum):
    """Stands where a string could not be read from the program's memory."""

    UNREADABLE = "unreadable"


class Family(enum.StrEnum):
    """Address family of a socket call; ``UNIX`` sockets with a path are :class:`PathTarget` instead."""

    INET = "inet"
    INET6 = "inet6"
    ABSTRACT = "abstract"
    NETLINK = "netlink"
    OTHER = "other"


class Transport(enum.StrEnum):
    """What runs over the socket, as its own protocol number says."""

    TCP = "tcp"
    UDP = "udp"
    OTHER = "other"
    UNKNOWN = "unknown"


class PathTarget(msgspec.Struct, frozen=True):
    """A path as the program gave it.

    ``base`` is the absolute directory that a relative ``path`` starts at (``b""`` when it is absolute
    or when the directory could not be learned); ``follow`` says whether a final symlink is followed.
    ``opened`` is the kernel's own name of the object where the call succeeded in opening it.
    """

    path: bytes | Memory
    base: bytes = b""
    follow: bool = True
    opened: bytes | None = None


class Endpoint(msgspec.Struct, frozen=True, order=True):
    """A socket address. ``address`` is text (IP, or an abstract name with ``\\xNN`` escapes); ``port`` is 0 if none."""

    family: Family
    address: str
    port: int = 0
    transport: Transport = Transport.UNKNOWN


class HostTarget(msgspec.Struct, frozen=True):
    """A host name asked of a name server. ``address``: what stands for it, where an answer was seen."""

    host: str
    address: str = ""


class Opaque(msgspec.Struct, frozen=True):
    """Something without a path: a namespace, a memfd, a call that could not be decoded."""

    text: str


Target = PathTarget | Endpoint | HostTarget | Opaque


class Event(msgspec.Struct, frozen=True):
    """One attempted operation and its result.

    ``program`` is an index into the tracer's :class:`~tracers.programs.ProgramTable`; ``pid`` the thread
    group that made the call, alive and stopped while the sink holds the event (ptrace) or possibly gone
    (strace). ``outcome`` is 0 or the errno. ``existed`` says whether a created or replaced name was there
    before (None: unknown). ``mode`` is the ``st_mode`` type bits asked of mknod, or of the object if the tracer saw
    them (else 0). ``peer`` is the other name of a rename or link. ``root`` is a prefix to look paths up under when
    the program has another root directory or mount namespace (``/proc/PID/root``), else empty. The kernel's names
    (``base``, ``opened``) begin at our own root all the same. ``word`` is of an exec: its first argument as
    :mod:`tracers.words` lets it out.
    """

    program: int
    pid: int
    call: str
    operation: Operation
    target: Target
    outcome: int = 0
    existed: bool | None = None
    mode: int = 0
    peer: PathTarget | None = None
    root: str = ""
    word: str = ""


class Sink(Protocol):
    """Takes events as they happen."""

    def event(self, event: Event) -> bool:
        """Take one event. Return True if an equal call of the same program would mean the same thing.

        A tracer may then drop repetitions; it must send the event again after a change of the links or
        directories that its paths run through.
        """
        ...

    def forget(self) -> None:
        """Links or directories were changed: an equal path may lead elsewhere from now on."""
        ...

    def links(self) -> Container[str]:
        """Last components of the symlinks that resolutions so far have walked."""
        ...
