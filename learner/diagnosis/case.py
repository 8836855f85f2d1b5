"""What is known of a failed run, and the forms of what is made of it. Pure records."""

import enum
import os
from typing import NamedTuple

from learner.access import Access
from learner.derivation import Derived
from learner.diagnosis.machine import Machine
from learner.enforcers.enforcer import Enforcer
from learner.policy import NO_RIGHT, Grant, NetworkGrant, Policy, Right
from learner.trace import Trace
from tracers.events import Operation


class Role(enum.StrEnum):
    """What an object was to the call that failed on it."""

    ITSELF = "itself"
    SHEBANG = "interpreter"
    """Named in the first line of a script: the kernel opens it, no trace shows that."""
    LOADER = "loader"
    """PT_INTERP of an ELF file: opened by the kernel, too."""
    LINK = "link"
    """A symlink on the way that is not there in the sandbox, although what it leads to is granted."""


class Certainty(enum.StrEnum):
    """How sure a cause is."""

    CERTAIN = "certain"
    """The policy or the machine refuses it, and the recorded run was allowed it (or nothing else can be meant)."""
    LIKELY = "likely"
    POSSIBLE = "possible"


class Severity(enum.IntEnum):
    """How likely a cause ends a program; lower is more."""

    FATAL = 0
    USUAL = 1
    QUIET = 2


class Trouble(NamedTuple):
    """An access that went otherwise than it would have without the sandbox, or for no reason that a sandbox has.

    ``subject``: the object that it failed for, links resolved, as seen outside. ``anchor``: where ``lacking`` must
    stand (the directory, to make a name); ``lacking``: the rights that the policy does not give there, NO_RIGHT if it
    gives all or the access is no matter of rights. ``links``: the symlinks from the name that was asked for to the
    subject. ``recorded``: whether the recorded run was allowed it. ``exists``: whether the subject is there outside.
    ``network``: refused, because nothing grants the endpoint.
    """

    access: Access
    program: str
    position: int
    subject: str
    anchor: str
    lacking: Right = NO_RIGHT
    role: Role = Role.ITSELF
    links: tuple[tuple[str, str], ...] = ()
    recorded: bool = False
    exists: bool = True
    network: bool = False

    @property
    def refused(self) -> bool:
        """Whether a grant is what is missing."""
        return self.network or bool(self.lacking)


class Case(NamedTuple):
    """A run under ``policy``, held by ``enforcer``.

    ``accesses``: in the order of first sight. ``status`` as a shell has it; ``launch_errno``: why the command itself
    could not be exec'd, 0 if it was. ``good``: the recorded run, None if there is none; ``wanted``: the policy that
    follows from it. ``unset``: names of environment variables that the command did not get and the recorded run did.
    ``waiting``: what it waited for when its time was over, "" if it ended by itself.
    """

    command: str
    policy: Policy
    enforcer: Enforcer
    machine: Machine
    programs: tuple[str, ...]
    accesses: tuple[Access, ...]
    status: int
    launch_errno: int = 0
    good: Trace | None = None
    wanted: Derived | None = None
    unset: tuple[str, ...] = ()
    waiting: str = ""
    own: frozenset[str] = frozenset()
    """Programs that are the sandbox itself: only what they exec counts."""
    cwd: str = ""
    """Where the command was started, for a sandbox that may lack it; "" for ours, which always show it."""
    outer: frozenset[int] = frozenset()
    """The same by index, where the sandbox is the user's own and starts programs of any name."""
    lineage: tuple[int, ...] = ()
    """The index of each program's parent, -1 for none."""
    lost: int = 0
    """Records of the run that were lost: what was refused may be among them."""
    seconds: float = 0.0
    """How long the run took, from start to end."""

    @property
    def expected(self) -> int:
        """The status of the recorded run; 0 where there is none."""
        return self.good.end.status if self.good and self.good.end else 0

    @property
    def failed(self) -> bool:
        """Whether it ended otherwise than it should."""
        return self.status != self.expected or bool(self.launch_errno) or bool(self.waiting)

    def ancestry(self, program: int) -> tuple[str, ...]:
        """The labels from the first program down to ``program``; the launcher is left out."""
        names: list[str] = []
        while 0 <= program < len(self.programs) and len(names) <= len(self.programs):
            names.append(self.programs[program])
            program = self.lineage[program] if program < len(self.lineage) else -1
        return tuple(reversed(names[:-1] if len(names) > 1 else names))


class Evidence(NamedTuple):
    """One observation: a call of a program on a path (or endpoint), and its result."""

    program: str
    call: str
    operation: Operation
    path: str
    errno: int

    @property
    def result(self) -> str:
        """The errno's words; ``done`` for 0."""
        return os.strerror(self.errno) if self.errno else "done"


class Finding(NamedTuple):
    """What a rule says. ``remedy``: what to do where no grant helps, "" if a grant does. ``rule``: its name."""

    rule: str
    sentence: str
    severity: Severity
    certainty: Certainty
    trouble: Trouble | None = None
    remedy: str = ""
    chain: tuple[str, ...] = ()


class Fix(NamedTuple):
    """``grants`` and ``network``: what mends it. ``sensitive``: objects that only the user may grant, with the reason.

    ``words``: what else to do, one sentence each.
    """

    grants: tuple[Grant, ...] = ()
    network: tuple[NetworkGrant, ...] = ()
    sensitive: tuple[tuple[str, str], ...] = ()
    words: tuple[str, ...] = ()

    @property
    def grants_something(self) -> bool:
        """Whether there is something to add to a policy."""
        return bool(self.grants or self.network)

    @property
    def policy(self) -> Policy:
        """The grants alone."""
        return Policy(self.grants, self.network)


class Diagnosis(NamedTuple):
    """``cause``: the root cause, None if none was found (or nothing failed). ``also``: others that matter, with it.

    ``harmless``: denials that the recorded run would not have minded, or that the program got over.
    """

    case: Case
    cause: Finding | None
    also: tuple[Finding, ...]
    harmless: tuple[Finding, ...]
    evidence: tuple[Evidence, ...]
    fix: Fix

    @property
    def works(self) -> bool:
        """Whether the command did what was expected, as far as can be seen."""
        return not self.case.failed and self.cause is None
