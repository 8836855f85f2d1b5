"""Why a policy admits an operation on a path, or which grant would make it. Pure."""

from typing import NamedTuple

from learner.access import Access, Kind
from learner.jail.rules import Rules, host_name, literal
from learner.needs import needs
from learner.policy import NO_RIGHT, Grant, NetworkAction, NetworkGrant, Policy, Right, Scope
from tracers.events import Operation, Transport

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
    admitting = policy.admitting(need.path, giving(need.right))
    others = policy.admitting(need.path, ~NO_RIGHT)
    nearby = tuple(grant for grant in others if grant not in admitting)
    return Explanation(need.path, need.right, admitting, nearby)


def giving(right: Right) -> Right:
    """The rights of which each one gives ``right``: what may be executed is read by the kernel, so it may be read."""
    return right | Right.EXEC if right is Right.READ else right


class EndpointExplanation(NamedTuple):
    """``wanted``: the smallest grant for the endpoint. ``admitting``: the grants that give it."""

    wanted: NetworkGrant
    admitting: tuple[NetworkGrant, ...]

    @property
    def missing(self) -> NetworkGrant | None:
        """The smallest grant that would admit it, None where it is admitted."""
        return None if self.admitting else self.wanted


def explain_endpoint(
    policy: Policy, action: NetworkAction, host: str, port: int, transport: Transport
) -> EndpointExplanation:
    """What ``policy`` says of an endpoint; an abstract socket's name has the transport OTHER and port 0."""
    abstract = transport is Transport.OTHER
    wanted = NetworkGrant(action, host, port, transport, (), abstract)
    if abstract:
        found = [n for n in policy.network if n.abstract and n.host == host and n.action is action]
    else:
        about = [n for n in policy.network if n.action is action and n.transport is transport and not n.abstract]
        found = [n for n in about if n.anywhere or (n.host, n.port) == (host, port) or _by_rule(n, host, port)]
    return EndpointExplanation(wanted, tuple(found))


def _by_rule(grant: NetworkGrant, host: str, port: int) -> bool:
    """Whether a grant's pattern, group or other way of writing a host means ``host``."""
    if grant.action is not NetworkAction.CONNECT or grant.transport is not Transport.TCP:
        return False
    named = literal(host) or host_name(host)
    return named is not None and Rules([(grant.host, grant.port)]).allows(named, port)
