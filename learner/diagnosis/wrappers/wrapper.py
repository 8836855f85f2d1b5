"""The shape of a sandbox of the user's own: given as the words before a command, with the fix in its own syntax."""

import os
from collections.abc import Iterable
from typing import NamedTuple

from learner.access import Access
from learner.command import find
from learner.diagnosis.case import Diagnosis, Fix
from learner.enforcers.enforcer import Strength
from learner.gaps import Gap
from learner.names import to_text
from learner.policy import Grant, Policy, Right, Scope
from tracers.tracer import Command


class Remedy(NamedTuple):
    """A fix in a sandbox's syntax, empty where it has none of that kind.

    ``arguments``: words to stand before the command (and its ``--``). ``settings``: lines to be merged into its file.
    ``words``: what else there is to know, a sentence each.
    """

    arguments: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


class Wrapper:
    """An enforcer that is another program. ``policy``: what that opens; ``network``: whether it opens all of that.

    ``notes``: what of its configuration was not understood.
    """

    name: str
    hides: bool
    """Whether what is not granted is not there, rather than refused."""

    def __init__(self, words: tuple[str, ...], policy: Policy, *, network: bool, notes: tuple[Gap, ...] = ()) -> None:
        self.words = words
        self.policy = policy
        self.network = network
        self.notes = notes

    def shows(self, link: str) -> bool:
        """Whether a symlink is there inside."""
        return not self.hides or bool(self.policy.rights_on(link))

    def with_links(self, found: Diagnosis) -> Fix:
        """The fix of ``found``, with the links by which the program came to what it lacked, where they are hidden."""
        troubles = [one.trouble for one in (found.cause, *found.also) if one and one.trouble and one.trouble.refused]
        links = dict.fromkeys(link for trouble in troubles for link, _ in trouble.links if not self.shows(link))
        granted = {grant.path for grant in found.fix.grants}
        more = [Grant(link, Scope.FILE, Right.READ, ()) for link in links if link not in granted]
        return found.fix._replace(grants=tuple(sorted([*found.fix.grants, *more], key=lambda g: (g.path, g.scope))))

    def remedy(self, fix: Fix) -> Remedy:
        """``fix`` in this sandbox's syntax."""
        raise NotImplementedError

    def to_be_made(self, paths: Iterable[str]) -> tuple[str, ...]:
        """A sentence for each of ``paths`` that is not there: a grant on it would do nothing."""
        missing = sorted(path for path in set(paths) if not os.path.lexists(path))
        return tuple(f"make {to_text(p)} first: {self.name} skips what does not exist when it starts" for p in missing)

    def prepare(self, policy: Policy) -> "Launch":
        """See :class:`~learner.enforcers.enforcer.Enforcer`."""
        return Launch(self.words)

    def mediates(self, rights: Right) -> Right:
        """See :class:`~learner.enforcers.enforcer.Enforcer`."""
        return rights

    def gates(self, access: Access) -> bool:
        """See :class:`~learner.enforcers.enforcer.Enforcer`."""
        return access.endpoint is None or not self.network


class Launch:
    """The sandbox's words before a command."""

    supervised = True
    strength = Strength.PARTIAL
    gaps: tuple[Gap, ...] = ()

    def __init__(self, words: tuple[str, ...]) -> None:
        self._words = words

    def wrap(self, command: Command) -> Command:
        """See :class:`~learner.enforcers.enforcer.Confinement`."""
        return Command(find(self._words).file, (*self._words, "--", *command.argv))

    def apply(self) -> None:
        """See :class:`~learner.enforcers.enforcer.Confinement`."""

    def check(self) -> None:
        """See :class:`~learner.enforcers.enforcer.Confinement`."""

    def close(self) -> None:
        """See :class:`~learner.enforcers.enforcer.Confinement`."""
