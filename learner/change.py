"""What changed between two policies: the records that :mod:`learner.difference` makes and the presenters show. Pure."""

import enum
from typing import NamedTuple

import msgspec

from learner.agent import Agent, Ran
from learner.derivation import SensitiveUse
from learner.policy import CHANGES, NO_RIGHT, Grant, NetworkGrant, Policy, Right, Scope, ServiceGrant
from learner.variables import Variables
from tracers.events import Operation


class Kind(enum.StrEnum):
    """What becomes possible, or (RUN) what is done."""

    RUN = "run"
    """A program is started; whether it may be, the other kinds say."""
    EXECUTE = "execute"
    WRITE = "write"
    CONNECT = "connect"
    BIND = "bind"
    READ = "read"
    LOOK = "look"
    """Whether a path is there, and what it is, can be told: only macOS refuses that."""


RIGHTS = {
    Kind.READ: Right.READ | Right.LIST,
    Kind.WRITE: CHANGES | Right.IOCTL,
    Kind.EXECUTE: Right.EXEC,
    Kind.CONNECT: Right.CONNECT,
}
"""Every right belongs to one kind."""


class Severity(enum.IntEnum):
    """How much a change matters, least first."""

    OWN = 0
    """In the project, or in the private directory for temporary files."""
    SYSTEM = 1
    """What is installed, or this machine's configuration and state, can be read."""
    HOME = 2
    """Files of the user's, or of other people's, can be read."""
    HOST = 3
    """An endpoint, or a service of macOS, can be reached or taken."""
    EXECUTABLE = 4
    OUTSIDE = 5
    """Something outside of the project can be changed."""
    SENSITIVE = 6


class User(NamedTuple):
    """A program that needed it. ``chain``: the labels of the programs that led to it, itself last."""

    chain: tuple[str, ...]
    operations: tuple[Operation, ...] = ()
    example: str = ""
    objects: int = 1


class Change(NamedTuple):
    """One thing that one side allows (``granted``) or does (RUN, sensitive uses) and the other does not.

    ``path`` is absolute and folded, or the text of ``endpoint`` or ``service`` if one is set. ``but``: grants
    of the other side within the tree. ``reason``: why it is sensitive, empty if it is not. ``beside``: how many objects
    exist in the tree beside those that were needed (at least, see :mod:`learner.census`), 0 if that is not known.
    """

    severity: Severity
    kind: Kind
    path: str
    scope: Scope
    rights: Right
    users: tuple[User, ...]
    reason: str = ""
    but: tuple[Grant, ...] = ()
    endpoint: NetworkGrant | None = None
    granted: bool = True
    beside: int = 0
    service: ServiceGrant | None = None

    @property
    def objects(self) -> int:
        """How many objects a program was seen to touch at most, 0 if none was seen."""
        return max((user.objects for user in self.users), default=0)

    def gives(self, path: str) -> Right:
        """What this grants on ``path`` that the other side does not."""
        if self.endpoint is not None or not self.granted or self.kind is Kind.RUN:
            return NO_RIGHT
        if not Grant(self.path, self.scope, self.rights, ()).covers(path):
            return NO_RIGHT
        rights = self.rights
        for grant in self.but:
            if grant.covers(path):
                rights &= ~grant.rights
        return rights


class Versions(NamedTuple):
    """What is known of a program on both sides, where it is not the same."""

    name: str
    old: str
    new: str


class Difference(NamedTuple):
    """Sorted: the most severe first. ``added`` of (old, new) is ``removed`` of (new, old)."""

    added: tuple[Change, ...]
    removed: tuple[Change, ...]
    versions: tuple[Versions, ...] = ()


class Side(NamedTuple):
    """One of the two. ``ran``: the programs that were started; ``recorded``: whether that is known, as in a trace.

    ``left_out``: sensitive objects that were used and are not granted. ``beside``: by directory, how many objects exist
    beside those that were needed, as far as a trace says so. ``mac``: whether looking at a symlink can be refused.
    ``looked``: by path, the labels of the programs that looked at it, as far as that is recorded.
    """

    policy: Policy
    variables: Variables
    ran: tuple[Ran, ...] = ()
    recorded: bool = False
    left_out: tuple[SensitiveUse, ...] = ()
    agent: Agent | None = None
    beside: tuple[tuple[str, int], ...] = ()
    mac: bool = False
    looked: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def moved(self, to: Variables) -> "Side":
        """This side in the project, home and prefix that ``to`` names."""
        own = self.variables
        if own == to:
            return self

        def move(path: str) -> str:
            try:
                return to.expand_any(own.contract(path)) if path.startswith("/") else path
            except ValueError:  # a variable that the other has no value for: the path stays what it is
                return path

        grants = tuple(msgspec.structs.replace(grant, path=move(grant.path)) for grant in self.policy.grants)
        return self._replace(
            policy=msgspec.structs.replace(
                self.policy,
                grants=grants,
                links=tuple(map(move, self.policy.links)),
                services=tuple(msgspec.structs.replace(s, name=move(s.name)) for s in self.policy.services),
                probes=tuple(map(move, self.policy.probes)),
            ),
            variables=to,
            ran=tuple(msgspec.structs.replace(ran, path=move(ran.path)) for ran in self.ran),
            beside=tuple((move(path), objects) for path, objects in self.beside),
            looked=tuple((move(path), labels) for path, labels in self.looked),
            left_out=tuple(use._replace(path=move(use.path)) for use in self.left_out),
        )
