"""Why a policy admits an operation on a path, or which grant would make it. Pure."""

from typing import NamedTuple

from learner.access import Access, Kind
from learner.needs import needs
from learner.policy import NO_RIGHT, Grant, Policy, Right, Scope
from tracers.events import Operation

OPERATIONS = (
    Operation.READ,
    Operation.LIST,
    Operation.EXEC,
    Operation.WRITE,
    Operation.TRUNCATE,
    Operation.CREATE,
    Operation.MKDIR,
    Operation.SYMLINK,
    Operation.REMOVE,
    Operation.RMDIR,
    Operation.CHMOD,
    Operation.CHOWN,
    Operation.UTIME,
    Operation.SETXATTR,
    Operation.IOCTL,
    Operation.CONNECT,
    Operation.BIND,
)
"""Operations on one path that take a right."""


class Explanation(NamedTuple):
    """``path``: where the right must stand (the directory, to make or remove a name). ``needed``: the right.

    ``admitting``: the grants that give it, nearest first. ``nearby``: the others that reach ``path``,
    nearest first.
    """

    path: str
    needed: Right
    admitting: tuple[Grant, ...]
    nearby: tuple[Grant, ...]

    @property
    def missing(self) -> Grant | None:
        """The smallest grant that would admit it, None where it is admitted."""
        return None if self.admitting else Grant(self.path, Scope.FILE, self.needed, ())


def explain(policy: Policy, operation: Operation, path: str, kind: Kind) -> Explanation:
    """What ``policy`` says of ``operation`` (of :data:`OPERATIONS`) on ``path``.

    ``path`` is absolute and without links, ``kind`` what is there, which is nothing opaque.
    """
    [need] = needs(Access(operation=operation, object=path, kind=kind, outcome=0, program=0, call=""))
    admitting = policy.admitting(need.path, need.right)
    others = policy.admitting(need.path, ~NO_RIGHT)
    nearby = tuple(grant for grant in others if grant not in admitting)
    return Explanation(need.path, need.right, admitting, nearby)
