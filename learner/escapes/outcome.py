"""What came of escapes."""

import enum
from typing import NamedTuple

from learner.escapes.escape import Escape, Family


class Verdict(enum.StrEnum):
    """What came of an escape."""

    REFUSED = "refused"
    GAP = "through as a stated gap"
    VOID = "void"
    FAILED = "FAILED"


class Tried(NamedTuple):
    """An escape and what came of it; ``detail``: the errno, the gap, or the reason."""

    escape: Escape
    verdict: Verdict
    detail: str

    def __str__(self) -> str:
        return f"{self.escape.name}: {self.detail}"


class Released(NamedTuple):
    """``changed``: what is otherwise on this machine than it was before, one sentence each."""

    tried: tuple[Tried, ...] = ()
    changed: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[Tried, ...]:
        """Those that a person must look at."""
        return tuple(t for t in self.tried if t.verdict is Verdict.FAILED)

    def counts(self, family: Family | None = None) -> dict[Verdict, int]:
        """How many there are of each verdict, in a family or in all."""
        mine = [t for t in self.tried if family in (None, t.escape.family)]
        return {verdict: sum(t.verdict is verdict for t in mine) for verdict in Verdict}
