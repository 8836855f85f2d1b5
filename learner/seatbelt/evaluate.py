"""The judge: what a profile in SBPL admits, decided as the macOS kernel does, on any machine.

Of the rules that name an operation and match the request, the last one wins; where none does, ``default``. What is
understood is what :mod:`learner.seatbelt.emit` writes, and what people write by hand of that kind; the rest raises.
"""

import functools
import os
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import NamedTuple

from learner.access import Kind
from learner.places import is_within
from learner.seatbelt.sbpl import Expression, Regex, Symbol, parse
from learner.seatbelt.services import GROUPS
from tracers.events import Endpoint, Transport

VNODE_TYPES = {
    Kind.FILE: "REGULAR-FILE",
    Kind.DIRECTORY: "DIRECTORY",
    Kind.SYMLINK: "SYMLINK",
    Kind.SOCKET: "SOCKET",
    Kind.FIFO: "FIFO",
    Kind.CHAR: "CHARACTER-DEVICE",
    Kind.BLOCK: "BLOCK-DEVICE",
}
NAME_FILTERS = frozenset(
    {
        "appleevent-destination",
        "fsctl-command",
        "global-name",
        "iokit-property",
        "iokit-registry-entry-class",
        "iokit-user-client-class",
        "ipc-posix-name",
        "local-name",
        "notification-name",
        "nvram-variable",
        "preference-domain",
        "right-name",
        "socket-domain",
        "sysctl-name",
        "target",
    }
)
"""Filters that compare the name of what is not a file."""
_GROUPS = (*GROUPS, "process-exec")
_LOOPBACK = ("localhost", "127.", "::1")


class Request(NamedTuple):
    """One thing that a program asks for: an operation on a path, a name, or an endpoint.

    ``path`` is canonical. ``kind`` is what is there, or is to be made there.
    """

    operation: str
    path: str = ""
    kind: Kind = Kind.FILE
    name: str = ""
    endpoint: Endpoint | None = None


class Unsupported(ValueError):  # noqa: N818
    """A profile that this judge cannot read; ``str()`` says which part."""


_Test = Callable[[Request], bool]


class Decision(NamedTuple):
    """What a profile says to a request. ``reported``: whether the log tells of it; ``message``: what else it says."""

    admitted: bool
    reported: bool
    message: str = ""


class _Rule(NamedTuple):
    number: int
    decision: Decision
    operations: tuple[str, ...]
    test: _Test


class Judge:
    """A profile, ready to be asked. ``fold``: paths as on a volume that does not tell upper from lower case."""

    def __init__(self, text: str, parameters: Mapping[str, str] | None = None, *, fold: bool = False) -> None:
        self._parameters = dict(parameters or {})
        self._fold = str.casefold if fold else str
        self._default = Decision(admitted=False, reported=True)
        self._literals: dict[str, list[_Rule]] = defaultdict(list)
        self._subpaths: dict[str, list[_Rule]] = defaultdict(list)
        self._others: list[_Rule] = []
        for number, expression in enumerate(parse(text)):
            self._rule(number, expression)

    def admits(self, request: Request) -> bool:
        """Whether the profile lets ``request`` through."""
        return self.decide(request).admitted

    def decide(self, request: Request) -> Decision:
        """What the profile says to ``request``."""
        asked = request._replace(path=self._fold(request.path)) if request.path else request
        best: _Rule | None = None
        for rules in self._candidates(asked.path):
            for rule in rules:
                if (best is None or rule.number > best.number) and _names(rule, asked.operation) and rule.test(asked):
                    best = rule
        return self._default if best is None else best.decision

    def _candidates(self, path: str) -> list[list[_Rule]]:
        found = [self._others]
        if path:
            found += [rules for rules in (self._literals.get(path), self._subpaths.get(path)) if rules]
            above = path
            while (parent := os.path.dirname(above)) != above:
                above = parent
                if rules := self._subpaths.get(above):
                    found.append(rules)
        return found

    def _rule(self, number: int, expression: Expression) -> None:
        match expression:
            case (Symbol("version"), int()):
                return
            case (Symbol("allow" | "deny") as verdict, *rest) if not isinstance(expression, Regex):
                self._add(number, verdict == "allow", rest)
            case _:
                raise Unsupported(f"{_shown(expression)} is not understood")

    def _add(self, number: int, allows: bool, rest: "list[Expression]") -> None:
        operations = tuple(str(word) for word in rest if isinstance(word, Symbol))
        filters = [one for one in rest if not isinstance(one, Symbol) and not _is_modifier(one)]
        decision = _decision(allows, [one for one in rest if _is_modifier(one)])
        if not operations:
            raise Unsupported("a rule without an operation")
        if operations == ("default",):
            if filters:
                raise Unsupported("a filter on default")
            self._default = decision
            return
        for one in filters or [()]:
            rule = _Rule(number, decision, operations, self._test(one) if one else _always)
            self._file(one).append(rule)

    def _file(self, one: Expression) -> list[_Rule]:
        """Where a rule with this filter is looked for: by its path, if it has one."""
        match one:
            case (Symbol("literal"), path):
                return self._literals[self._path(path)]
            case (Symbol("subpath"), path):
                return self._subpaths[self._path(path)]
            case (Symbol("require-all"), *parts):
                for part in parts:
                    if isinstance(part, tuple) and part and part[0] in ("literal", "subpath"):
                        return self._file(part)
        return self._others

    def _path(self, value: Expression) -> str:
        return self._fold(self._text(value))

    def _text(self, value: Expression) -> str:
        match value:
            case Symbol():
                return str(value)
            case str():
                return value
            case (Symbol("param"), str(name)):
                if name not in self._parameters:
                    raise Unsupported(f'no value is given for (param "{name}")')
                return self._parameters[name]
            case (Symbol("string-append"), *parts):
                return "".join(map(self._text, parts))
            case _:
                raise Unsupported(f"{_shown(value)} is no text")

    def _test(self, one: Expression) -> _Test:
        match one:
            case (Symbol("require-all"), *parts):
                tests = [self._test(part) for part in parts]
                return lambda request: all(test(request) for test in tests)
            case (Symbol("require-any"), *parts):
                tests = [self._test(part) for part in parts]
                return lambda request: any(test(request) for test in tests)
            case (Symbol("require-not"), part):
                test = self._test(part)
                return lambda request: not test(request)
            case (Symbol("literal"), value):
                path = self._path(value)
                return lambda request: request.path == path
            case (Symbol("subpath"), value):
                top = self._path(value)
                return lambda request: bool(request.path) and is_within(request.path, top)
            case (Symbol("prefix"), value):
                start = self._path(value)
                return lambda request: request.path.startswith(start) and bool(request.path)
            case (Symbol("regex"), Regex(pattern)):
                flags = re.IGNORECASE if self._fold is not str else re.NOFLAG
                compiled = re.compile(pattern, flags)
                return lambda request: bool(request.path) and compiled.search(request.path) is not None
            case (Symbol("vnode-type"), Symbol() as kind):
                return lambda request: bool(request.path) and VNODE_TYPES.get(request.kind) == kind
            case (Symbol("remote" | "local"), Symbol() as transport, str(end)):
                return functools.partial(_reaches, str(transport), end)
            case (Symbol() as word, value) if word in NAME_FILTERS:
                name = self._text(value) if word != "fsctl-command" else _shown(value)
                return lambda request: not request.path and request.endpoint is None and request.name == name
            case _:
                raise Unsupported(f"{_shown(one)} is not understood")


def _names(rule: _Rule, operation: str) -> bool:
    bare = operation.removesuffix("*")
    for known in rule.operations:
        if known == operation:
            return True
        if known.endswith("*"):
            if bare.startswith(known[:-1]):
                return True
        elif known in _GROUPS and bare.startswith(known):
            return True
    return False


def _always(_request: Request) -> bool:
    return True


def _decision(allows: bool, modifiers: "list[Expression]") -> Decision:
    decision = Decision(allows, not allows)
    for one in modifiers:
        match one:
            case (_, Symbol("report")):
                decision = decision._replace(reported=True)
            case (_, Symbol("no-log")):
                decision = decision._replace(reported=False)
            case (_, Symbol("message"), str(message)):
                decision = decision._replace(message=message)
    return decision


def _is_modifier(one: Expression) -> bool:
    return isinstance(one, tuple) and not isinstance(one, Regex) and one[:1] == (Symbol("with"),)


def _reaches(transport: str, pattern: str, request: Request) -> bool:
    end = request.endpoint
    if end is None:
        return False
    if transport != "ip" and end.transport is not Transport.UNKNOWN and end.transport.value != transport:
        return False
    if transport != "ip" and end.transport is Transport.UNKNOWN:
        return False  # it may be the other one
    host, _, port = pattern.rpartition(":")
    if host not in ("*", "localhost") or (host == "localhost" and not end.address.startswith(_LOOPBACK)):
        return False
    return port == "*" or (end.port != 0 and port == str(end.port))


def _shown(value: Expression) -> str:
    if isinstance(value, Regex):
        return f'#"{value.pattern}"'
    if isinstance(value, tuple):
        return f"({' '.join(map(_shown, value))})"
    return f'"{value}"' if isinstance(value, str) and not isinstance(value, Symbol) else str(value)
