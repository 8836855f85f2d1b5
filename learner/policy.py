"""The policy: grants of rights on paths, and of network endpoints. Pure records; enforcers and targets read them."""

import enum
import functools
import os
from collections.abc import Iterable

import msgspec

from tracers.events import Operation, Transport


class Right(enum.Flag):
    """What a grant allows. The words of a profile are these names in lower case with dashes."""

    READ = enum.auto()
    LIST = enum.auto()
    EXEC = enum.auto()
    WRITE = enum.auto()
    TRUNCATE = enum.auto()
    CREATE = enum.auto()
    """Make regular files in a directory."""
    MKDIR = enum.auto()
    SYMLINK = enum.auto()
    SOCKET = enum.auto()
    """Make unix sockets in a directory."""
    FIFO = enum.auto()
    DEVICE = enum.auto()
    REMOVE = enum.auto()
    """Remove or rename away what is no directory, from a directory."""
    RMDIR = enum.auto()
    MOVE = enum.auto()
    """Rename or link between this directory and another one."""
    ATTRIBUTES = enum.auto()
    """Mode, owner, times and extended attributes."""
    IOCTL = enum.auto()
    """Device control."""
    CONNECT = enum.auto()
    """Connect or send to a unix socket."""


NO_RIGHT = Right(0)
DIRECTORY_RIGHTS = (
    Right.LIST
    | Right.CREATE
    | Right.MKDIR
    | Right.SYMLINK
    | Right.SOCKET
    | Right.FIFO
    | Right.DEVICE
    | Right.REMOVE
    | Right.RMDIR
    | Right.MOVE
)
"""Rights that only mean something on a directory."""
CHANGES = DIRECTORY_RIGHTS & ~Right.LIST | Right.WRITE | Right.TRUNCATE | Right.ATTRIBUTES
"""Rights by which the file system is changed."""


def right_names(rights: Right) -> tuple[str, ...]:
    """The words of ``rights``, in the order of the enum."""
    return tuple((r.name or "").lower() for r in Right if r in rights)


def parse_rights(words: Iterable[str]) -> Right:
    """The rights that ``words`` name. Raises KeyError with the first word that is none."""
    rights = NO_RIGHT
    for word in words:
        if word != word.lower() or word.upper() not in Right.__members__:
            raise KeyError(word)
        rights |= Right[word.upper()]
    return rights


class Scope(enum.StrEnum):
    """How far a grant reaches: the object alone, or everything beneath it too."""

    FILE = "file"
    TREE = "tree"


class Witness(msgspec.Struct, frozen=True, order=True):
    """A program that needs a grant, what for, and one object as an example.

    The example is the grant's own path where another run would know none of the objects.
    """

    program: str
    operations: tuple[Operation, ...]
    example: str
    objects: int = 1


class Grant(msgspec.Struct, frozen=True):
    """Rights on the object at ``path`` (absolute, without symlinks) or on its tree.

    ``ensure``: the program made this directory itself, so a launch makes it (mode 0700) when it is missing, rather
    than granting the right to make directories beside it.
    """

    path: str
    scope: Scope
    rights: Right
    witnesses: tuple[Witness, ...]
    ensure: bool = False

    def covers(self, path: str) -> bool:
        """Whether ``path`` is this grant's object, or lies in its tree."""
        if path == self.path:
            return True
        if self.scope is Scope.FILE:
            return False
        return self.path == "/" or path.startswith(self.path + "/")


_DEVICE = Right.READ | Right.WRITE | Right.TRUNCATE

ALWAYS = tuple(
    Grant(f"/dev/{name}", Scope.FILE, rights, ())
    for name, rights in (
        ("full", _DEVICE | Right.IOCTL),
        ("null", _DEVICE | Right.IOCTL),
        ("random", _DEVICE),
        ("urandom", _DEVICE),
        ("zero", _DEVICE | Right.IOCTL),
    )
)
"""What every policy admits without saying so, and every enforcer opens: devices that keep nothing and tell nothing
(null(4), random(4), full(4)). Programs take them for granted, and one run may not show it. Those that know no ioctl at
all (drivers/char/mem.c) may be asked for one, as isatty(3) does of any descriptor; the others' change the kernel's
entropy."""


class NetworkAction(enum.StrEnum):
    """What a network grant allows."""

    CONNECT = "connect"
    BIND = "bind"


ANYWHERE = "*"
"""As the host of a network grant, with port 0: every host and every port."""


class NetworkGrant(msgspec.Struct, frozen=True):
    """An endpoint that may be reached or taken.

    ``host`` is an address, a name, or an abstract socket's name when ``transport`` is OTHER and ``port`` 0;
    port 0 of a BIND means an ephemeral port, unless the host is :data:`ANYWHERE`.
    """

    action: NetworkAction
    host: str
    port: int
    transport: Transport
    witnesses: tuple[Witness, ...]
    abstract: bool = False

    @property
    def anywhere(self) -> bool:
        """Whether it grants every endpoint."""
        return self.host == ANYWHERE and self.port == 0 and not self.abstract


class ServiceGrant(msgspec.Struct, frozen=True, order=True):
    """An operation that only the macOS sandbox controls, on one name (empty: on any).

    ``operation`` is its own word, such as ``mach-lookup``. Enforcers elsewhere have nothing of the kind to open.
    """

    operation: str
    name: str
    witnesses: tuple[Witness, ...] = ()


class Policy(msgspec.Struct, frozen=True, dict=True):
    """All that is granted beside :data:`ALWAYS`; everything else that an enforcer can refuse is refused. Sorted."""

    grants: tuple[Grant, ...] = ()
    network: tuple[NetworkGrant, ...] = ()
    links: tuple[str, ...] = ()
    """Symlinks by which the program came to what is granted. An enforcer that hides what is not granted shows them."""
    services: tuple[ServiceGrant, ...] = ()
    probes: tuple[str, ...] = ()
    """Paths that the program looks at, there or not, without opening them. Only macOS would refuse that."""

    def rights_on(self, path: str) -> Right:
        """Every right that the grants give on ``path`` together."""
        singles, trees = self._by_path
        rights = singles.get(path, NO_RIGHT)
        while True:
            if path in trees:
                rights |= trees[path]
            above = os.path.dirname(path)
            if above == path:
                return rights
            path = above

    @functools.cached_property
    def _by_path(self) -> tuple[dict[str, Right], dict[str, Right]]:
        """The rights of single grants and of trees, by path: there may be ten thousand, asked ten thousand times."""
        singles: dict[str, Right] = {}
        trees: dict[str, Right] = {}
        for grant in (*ALWAYS, *self.grants):
            found = singles if grant.scope is Scope.FILE else trees
            found[grant.path] = found.get(grant.path, NO_RIGHT) | grant.rights
        return singles, trees

    def admitting(self, path: str, rights: Right) -> tuple[Grant, ...]:
        """The grants that give any of ``rights`` on ``path``, nearest first."""
        found = [g for g in (*ALWAYS, *self.grants) if g.covers(path) and g.rights & rights]
        return tuple(sorted(found, key=lambda g: -len(g.path)))
