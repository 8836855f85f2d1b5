"""A sandbox of the user's own, given as the words before the command: what it opens, and a fix in its words.

Only bubblewrap's command line is understood so far (bwrap(1), 0.8 to 0.11).
"""

import os
import shlex

from learner.access import Access
from learner.command import find
from learner.diagnosis.case import Fix
from learner.enforcers.enforcer import Strength
from learner.errors import UsageError
from learner.gaps import Gap
from learner.policy import CHANGES, Grant, Policy, Right, Scope
from tracers.tracer import Command

_LOOK = Right.READ | Right.LIST | Right.EXEC | Right.IOCTL | Right.CONNECT
_ALL = ~Right(0)
_PAIRS = {
    "--bind": _ALL,
    "--bind-try": _ALL,
    "--dev-bind": _ALL,
    "--dev-bind-try": _ALL,
    "--ro-bind": _LOOK,
    "--ro-bind-try": _LOOK,
}
_TWO = frozenset({"--setenv", "--file", "--bind-data", "--ro-bind-data", "--bind-fd", "--ro-bind-fd", "--chmod"})
_ONE = frozenset(
    {
        *(
            "--args",
            "--argv0",
            "--unsetenv",
            "--lock-file",
            "--sync-fd",
            "--remount-ro",
            "--exec-label",
            "--file-label",
        ),
        *("--tmpfs", "--mqueue", "--dir", "--seccomp", "--add-seccomp-fd", "--block-fd", "--userns-block-fd", "--size"),
        *("--info-fd", "--json-status-fd", "--cap-add", "--cap-drop", "--perms", "--uid", "--gid", "--hostname"),
        *("--chdir", "--userns", "--userns2", "--pidns", "--overlay-src", "--tmp-overlay", "--ro-overlay"),
    }
)


class Bwrap:
    """An enforcer that is a bwrap command line. ``policy``: what that shows inside."""

    name = "bwrap"
    hides = True

    def __init__(self, words: tuple[str, ...]) -> None:
        self._words = words
        self.network = not ({"--unshare-net", "--unshare-all"} & {*words}) or "--share-net" in words
        self.policy = _policy(words[1:])

    def prepare(self, policy: Policy) -> "_Launch":
        """See :class:`~learner.enforcers.enforcer.Enforcer`."""
        return _Launch(self._words)

    def mediates(self, rights: Right) -> Right:
        """See :class:`~learner.enforcers.enforcer.Enforcer`."""
        return rights

    def gates(self, access: Access) -> bool:
        """See :class:`~learner.enforcers.enforcer.Enforcer`."""
        return access.endpoint is None or not self.network


class _Launch:
    """bwrap before a command."""

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


def parse(text: str) -> Bwrap:
    """The sandbox that a command line begins. Raises UsageError for one that is not understood."""
    try:
        words = shlex.split(text)
    except ValueError as problem:
        raise UsageError(f"--sandbox: {problem}", "quote it as for a shell: --sandbox 'bwrap … --'") from None
    if words and words[-1] == "--":
        words.pop()
    if not words or os.path.basename(words[0]) != "bwrap":
        raise UsageError("--sandbox: only bwrap is understood", "give 'bwrap … --', or use --profile")
    return Bwrap(tuple(words))


def _policy(words: tuple[str, ...]) -> Policy:
    grants: list[Grant] = []
    index = 0
    while index < len(words):
        word, rest = words[index], words[index + 1 : index + 3]
        if word in _PAIRS and len(rest) == 2:
            grants += [Grant(p, Scope.TREE, _PAIRS[word], ()) for p in {rest[1], os.path.realpath(rest[1])}]
        elif word == "--symlink" and len(rest) == 2:
            grants.append(Grant(rest[1], Scope.FILE, _LOOK, ()))
        elif word in ("--proc", "--dev") and rest:
            grants.append(Grant(rest[0], Scope.TREE, _ALL, ()))
        index += 3 if word in _PAIRS or word in _TWO or word == "--symlink" else 1
        index += word in _ONE or word in ("--proc", "--dev")
        index += 3 * (word == "--overlay")
    unique = dict.fromkeys(grants)
    return Policy(tuple(sorted(unique, key=lambda g: (g.path, g.scope))))


def arguments(fix: Fix) -> tuple[str, ...]:
    """A fix as arguments of bwrap, to stand before its ``--``."""
    found: list[str] = []
    for grant in fix.grants:
        path = grant.path
        if os.path.islink(path):
            found += ["--symlink", os.readlink(path), path]
        else:
            found += ["--bind" if grant.rights & CHANGES else "--ro-bind", path, path]
    if fix.network:
        found.append("--share-net")
    return tuple(found)
