"""What somebody asks of a policy: an operation on a name as it is on this machine now, followed to its objects."""

import os
from typing import NamedTuple

from learner.access import Kind
from learner.diagnosis.case import Role
from learner.diagnosis.launching import steps
from learner.diagnosis.machine import Host
from learner.explain import Explanation, explain
from learner.policy import Policy
from learner.proof import Claim, of_path
from learner.resolver import Resolution, Resolver
from tracers.events import Operation

_ON_A_LINK = frozenset({Operation.REMOVE, Operation.SYMLINK})
"""These act on a link itself."""
_DEFAULTS = {Kind.DIRECTORY: Operation.LIST, Kind.SOCKET: Operation.CONNECT}


class Part(NamedTuple):
    """One object that it takes. ``role``: what it is to the one that was asked about, whose part comes first."""

    role: Role
    explanation: Explanation


class Asked(NamedTuple):
    """``found``: what the name leads to. ``parts``: what it takes, nothing for what takes no grant.

    ``claims``: what the policy claims with that: one for each part, and one by the name itself where links are on
    the way.
    """

    operation: Operation
    name: str
    found: Resolution
    parts: tuple[Part, ...]
    claims: tuple[Claim, ...]

    @property
    def admitted(self) -> bool:
        """Whether the policy admits every part."""
        return all(part.explanation.missing is None for part in self.parts)


def ask(policy: Policy, name: str, operation: Operation | None, resolver: Resolver) -> Asked:
    """Put a question about ``name``, absolute; ``operation`` None: the usual one on what is there."""
    found = resolver.resolve(name, follow=operation not in _ON_A_LINK, pid=os.getpid())
    doing = operation or _DEFAULTS.get(found.kind, Operation.READ)
    if found.kind is Kind.DIRECTORY and doing is Operation.READ:
        doing = Operation.LIST
    if found.kind is Kind.OPAQUE:
        return Asked(doing, name, found, (), ())
    own = _explained(policy, doing, found)
    parts = [Part(Role.ITSELF, own)]
    if doing is Operation.EXEC:
        # What the kernel opens of itself (an interpreter, a loader) is refused just like the program.
        others = [step for step in steps(Host(), found.path)[1:] if step.there]
        parts += [Part(step.role, explain(policy, doing, step.path, Kind.FILE)) for step in others]
    claims = [of_path(part.explanation) for part in parts]
    asked = name if own.path == found.path else os.path.dirname(name.rstrip("/"))
    if found.links and claims[0].admitted and os.path.realpath(asked) == own.path:
        claims.append(claims[0]._replace(named=asked, links=found.links))
    return Asked(doing, name, found, tuple(parts), tuple(claims))


def _explained(policy: Policy, operation: Operation, found: Resolution) -> Explanation:
    """To write a directory is to make something in it."""
    if found.kind is Kind.DIRECTORY and operation is Operation.WRITE:
        return explain(policy, Operation.CREATE, os.path.join(found.path, "file"), Kind.FILE)
    return explain(policy, operation, found.path, found.kind)
