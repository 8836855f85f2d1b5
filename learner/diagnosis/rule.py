"""The one shape of every cause that can be told: a name, a title, and a function of a few lines."""

from collections.abc import Callable
from typing import NamedTuple

from learner.diagnosis.case import Case, Certainty, Finding, Severity, Trouble
from learner.names import to_text
from learner.resolver import kind_of


class Said(NamedTuple):
    """What a rule has to say. ``remedy``: what to do, where no grant helps. ``chain``: how it came to that."""

    sentence: str
    remedy: str = ""
    chain: tuple[str, ...] = ()


TroubleRule = Callable[[Case, Trouble], Said | None]
RunRule = Callable[[Case], Said | None]


class Rule(NamedTuple):
    """``of_trouble`` looks at one trouble, ``of_run`` at how the run ended; one of them is set."""

    name: str
    title: str
    severity: Severity
    of_trouble: TroubleRule | None = None
    of_run: RunRule | None = None
    certainty: Certainty = Certainty.CERTAIN

    def explain(self, case: Case, trouble: Trouble) -> Finding | None:
        """The cause of ``trouble``, if it is this one."""
        said = self.of_trouble(case, trouble) if self.of_trouble else None
        return self._finding(said, trouble) if said else None

    def conclude(self, case: Case) -> Finding | None:
        """The cause of how the run ended, if it is this one."""
        said = self.of_run(case) if self.of_run else None
        return self._finding(said, None) if said else None

    def _finding(self, said: Said, trouble: Trouble | None) -> Finding:
        return Finding(self.name, said.sentence, self.severity, self.certainty, trouble, said.remedy, said.chain)


def name(path: str) -> str:
    """A path as it is shown."""
    return to_text(path)


def how(case: Case, trouble: Trouble) -> str:
    """In which way the sandbox keeps an object away: hidden, or refused."""
    return "hidden in the sandbox" if case.enforcer.hides and not case.policy.rights_on(trouble.subject) else "refused"


def is_directory(case: Case, path: str) -> bool:
    """Whether a directory is at ``path``, seen from outside."""
    mode = case.machine.mode(path)
    return bool(mode) and kind_of(mode).value == "directory"
