"""Grants and their reasons in words, for comments and screens. Every text is one printable line."""

from collections.abc import Iterable

from learner.names import to_text
from learner.policy import Grant, NetworkGrant, Right, Scope, ServiceGrant, Witness, right_names
from learner.variables import Variables
from tracers.events import Operation

BY_HAND = "no program was seen to need it: added by hand"
_NAMED = 4  # programs; more are counted
_EXAMPLE = 80  # characters

_VERBS = {
    Operation.STAT: "look at",
    Operation.READLINK: "follow",
    Operation.CHDIR: "enter",
    Operation.RENAME_FROM: "rename",
    Operation.RENAME_TO: "rename to",
    Operation.LINK_FROM: "hard-link",
    Operation.LINK_TO: "hard-link to",
    Operation.UTIME: "set times of",
    Operation.GETXATTR: "read attributes of",
    Operation.SETXATTR: "set attributes of",
    Operation.EXEC: "run",
    Operation.CONNECT: "connect to",
    Operation.LISTEN: "listen on",
    Operation.SEND: "send to",
    Operation.RESOLVE: "look up",
    Operation.SERVICE: "use",
}
"""Operations whose own name is no verb that an object can follow."""


def verb(operation: Operation) -> str:
    """What a program does to an object, such as ``connect to``."""
    return _VERBS.get(operation, operation.value)


def rights_phrase(rights: Right) -> str:
    """The words of ``rights``, such as ``read list``; ``nothing`` if there are none."""
    return " ".join(right_names(rights)) or "nothing"


def reach(grant: Grant, variables: Variables) -> str:
    """The path of ``grant`` as portable text, a tree marked by ``/**``."""
    text = variables.contract(grant.path)
    return text if grant.scope is Scope.FILE else text.removesuffix("/") + "/**"


def place(grant: Grant) -> str:
    """The path of ``grant`` as it is on this machine, a tree marked by ``/**``."""
    path = to_text(grant.path)
    return path if grant.scope is Scope.FILE else path.removesuffix("/") + "/**"


def service(grant: ServiceGrant, variables: Variables | None = None) -> str:
    """The operation and the name of ``grant``, such as ``mach-lookup com.apple.logd``."""
    name = to_text(grant.name) if variables is None else service_name(grant, variables)
    return f"{to_text(grant.operation)} {name}".rstrip()


def service_name(grant: ServiceGrant, variables: Variables) -> str:
    """The name of ``grant``, a path as portable text."""
    from learner.seatbelt.services import is_about_paths  # whatever is for Linux names none

    return variables.contract(grant.name) if is_about_paths(grant.operation) else to_text(grant.name)


def endpoint(grant: NetworkGrant) -> str:
    """The endpoint of ``grant``, such as ``127.0.0.1:80/tcp``, ``[::1]:*/udp`` or, if abstract, ``@name``."""
    host = to_text(grant.host)
    if grant.abstract:
        return f"@{host}"
    return f"{f'[{host}]' if ':' in host else host}:{grant.port or '*'}/{grant.transport}"


def granted(grant: Grant | NetworkGrant | ServiceGrant) -> str:
    """A grant in a few words, such as ``/etc/ssl/** (read list)`` or ``connect 127.0.0.1:80/tcp``."""
    if isinstance(grant, ServiceGrant):
        return service(grant)
    if isinstance(grant, NetworkGrant):
        return f"{grant.action} {endpoint(grant)}"
    return f"{place(grant)} ({rights_phrase(grant.rights)})"


def reasons(witnesses: Iterable[Witness], variables: Variables, about: str = "") -> list[str]:
    """Who needs a grant and for what, one phrase for each set of operations, sorted.

    Such as ``git, vibe: read 12 objects, such as $HOME/.gitconfig``. The number is the largest that one of
    these programs touched. ``about`` is the object of the grant: an only example equal to it becomes
    ``it``.
    """
    groups: dict[tuple[Operation, ...], list[Witness]] = {}
    for witness in sorted(witnesses):
        groups.setdefault(witness.operations, []).append(witness)
    return sorted(_reason(operations, group, variables, about) for operations, group in groups.items())


def _reason(operations: tuple[Operation, ...], group: list[Witness], variables: Variables, about: str) -> str:
    programs = sorted({to_text(witness.program) for witness in group})
    if len(programs) > _NAMED:
        programs[_NAMED:] = [f"{len(programs) - _NAMED} more"]
    most = max(group, key=lambda witness: witness.objects)
    text = f"{', '.join(programs)}: {_and([verb(operation) for operation in operations])}"
    example = variables.contract(most.example)
    if len(example) > _EXAMPLE:
        example = example[: _EXAMPLE - 1] + "…"
    if most.objects > 1:
        return f"{text} {most.objects} objects, such as {example}"
    return f"{text} it" if most.example == about else f"{text} {example}"


def _and(verbs: list[str]) -> str:
    if not verbs:
        return "use"
    return f"{', '.join(verbs[:-1])} and {verbs[-1]}" if len(verbs) > 1 else verbs[0]
