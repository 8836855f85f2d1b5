"""What the audit finds, by which rule, and the edit that mends it. Records only; nothing here touches a file."""

import enum
from collections.abc import Callable, Iterator
from typing import Generic, NamedTuple, TypeVar

Keys = tuple[str | int, ...]
"""A way through a parsed document: names of tables, numbers of list items."""


class Severity(enum.StrEnum):
    """How bad it is, worst first."""

    CRITICAL = "critical"
    """The agent acts without anybody being asked."""
    HIGH = "high"
    """A secret, or a shell, is one step away."""
    MEDIUM = "medium"
    """It widens what the agent reaches, or changes under your feet."""
    LOW = "low"
    """It tells others something, or is in the way of a tighter policy."""

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Severity).index(self)


class Action(enum.StrEnum):
    """What an edit does."""

    SET = "set"
    EXTEND = "extend"
    """Add values to a list, which is made if it is missing."""
    REMOVE = "remove"
    """Take values out of a list."""
    MODE = "mode"
    """Change the permissions of the file."""
    LINES = "lines"
    """Append lines to a text file."""


class Edit(NamedTuple):
    """One change of the file at ``path``.

    ``value``: what to set (a tuple for a list); strings in a tuple for EXTEND, REMOVE and LINES; the bits for MODE.
    """

    path: str
    action: Action
    keys: Keys = ()
    value: object = None


class Topic(enum.StrEnum):
    """What a finding is about, for :mod:`learner.audit.layers`, which asks whether the kernel policy holds it."""

    READ = "read"
    WRITE = "write"
    SHELL = "shell"
    NETWORK = "network"
    UPDATE = "update"
    OTHER = "other"


class Hit(NamedTuple):
    """Where a rule applies. ``detail``: what was found there, one phrase without a full stop.

    ``path`` and ``line`` where it is another place than ``keys`` of the document that was checked.
    """

    detail: str
    keys: Keys = ()
    edits: tuple[Edit, ...] = ()
    path: str = ""
    line: int = 0


_Subject = TypeVar("_Subject")


class Rule(NamedTuple, Generic[_Subject]):
    """A rule: ``why`` it matters and how to ``mend`` it are whole sentences; ``check`` finds where it applies."""

    id: str
    severity: Severity
    topic: Topic
    title: str
    why: str
    mend: str
    check: Callable[[_Subject], Iterator[Hit]]


class Finding(NamedTuple):
    """A place where a rule applies. ``line`` is 0 where there is none (a directory, an environment variable)."""

    rule: str
    severity: Severity
    topic: Topic
    path: str
    line: int
    detail: str
    why: str
    mend: str
    edits: tuple[Edit, ...] = ()

    @property
    def order(self) -> tuple[object, ...]:
        """Worst first, then by place."""
        return self.severity.rank, self.path, self.line, self.rule, self.detail


def found(rule: "Rule[_Subject]", hit: Hit, path: str, line: int) -> Finding:
    """The finding for ``hit``; ``path`` and ``line`` where the hit names no place of its own."""
    return Finding(
        rule=rule.id,
        severity=rule.severity,
        topic=rule.topic,
        path=hit.path or path,
        line=hit.line if hit.path else line,
        detail=hit.detail,
        why=rule.why,
        mend=rule.mend,
        edits=hit.edits,
    )
