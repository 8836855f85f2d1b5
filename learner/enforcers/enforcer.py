"""The one shape every enforcer has: what was enforced is a returned value, never an assumption."""

import enum
from typing import Protocol

from learner.access import Access
from learner.gaps import Gap
from learner.policy import Policy, Right
from tracers.tracer import Command


class Strength(enum.StrEnum):
    """How much of a policy an enforcer holds on this machine."""

    FULL = "full"
    PARTIAL = "partial"
    NONE = "none"


UNHELD = (
    Gap("inherited descriptors", "what the one who starts it has open, and does not close on exec, stays open"),
    Gap("other processes", "limits and priorities of the user's other processes can be set"),
    Gap("programs in memory", "a program that was written to memory (memfd) can be executed"),
)
"""What no enforcer of ours holds."""


def only_on_macos(policy: Policy) -> tuple[Gap, ...]:
    """What an enforcer of Linux has nothing to grant by."""
    if not policy.services:
        return ()
    return (Gap("services of macOS", f"{len(policy.services)} are granted, and there is nothing of the kind here"),)


class Confinement(Protocol):
    """A policy made ready for one launch."""

    strength: Strength
    gaps: tuple[Gap, ...]
    """What stays open (or closed against the wish), and why."""

    supervised: bool
    """Whether the command runs under another program, so that somebody must stay to :meth:`check` how it ended."""

    def wrap(self, command: Command) -> Command:
        """The command to start in place of ``command``; its ``confine`` is to be called in the child before exec."""
        ...

    def apply(self) -> None:
        """Restrict the calling thread, for good, over exec too. Raises OSError.

        What needs another program around the command does here what comes nearest to it, for probes.
        """
        ...

    def check(self) -> None:
        """After a wrapped command has ended: raises MachineError if it was never started."""
        ...

    def close(self) -> None:
        """Give back what :meth:`apply` would have used."""
        ...


class Enforcer(Protocol):
    """Prepares confinements."""

    name: str
    hides: bool
    """Whether what is not granted is not there (ENOENT), rather than refused."""

    def prepare(self, policy: Policy) -> Confinement:
        """Make ``policy`` ready. Raises :class:`~learner.errors.MachineError` if this machine cannot enforce at all."""
        ...

    def mediates(self, rights: Right) -> Right:
        """Those of ``rights`` whose absence this enforcer can refuse here."""
        ...

    def gates(self, access: Access) -> bool:
        """Whether this enforcer, on this machine, can refuse ``access`` at all."""
        ...
