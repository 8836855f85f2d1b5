"""bubblewrap's command line (bwrap(1), 0.8 to 0.11)."""

import os

from learner.diagnosis.case import Fix
from learner.diagnosis.wrappers.wrapper import Remedy, Wrapper
from learner.policy import CHANGES, Grant, Policy, Right, Scope
from learner.targets.bwrap_words import options
from learner.variables import Variables

_LOOK = Right.READ | Right.LIST | Right.EXEC | Right.IOCTL | Right.CONNECT
_ALL = ~Right(0)
_BINDS = {"--bind": _ALL, "--dev-bind": _ALL, "--ro-bind": _LOOK}


class Bwrap(Wrapper):
    """See :class:`~learner.diagnosis.wrappers.wrapper.Wrapper`."""

    name = "bwrap"
    hides = True

    def remedy(self, fix: Fix) -> Remedy:
        """See :class:`~learner.diagnosis.wrappers.wrapper.Wrapper`."""
        found: list[str] = []
        for grant in fix.grants:
            path = grant.path
            if os.path.islink(path):
                found += ["--symlink", os.readlink(path), path]
            else:
                found += ["--bind" if grant.rights & CHANGES else "--ro-bind", path, path]
        if fix.network:
            found.append("--share-net")
        return Remedy(tuple(found))


def parse(words: tuple[str, ...], _variables: Variables) -> Bwrap:
    """The sandbox that ``words`` begin."""
    network = not ({"--unshare-net", "--unshare-all"} & {*words}) or "--share-net" in words
    return Bwrap(words, _policy(words[1:]), network=network)


def _policy(words: tuple[str, ...]) -> Policy:
    """What is there inside, by the names that it has there."""
    grants: set[Grant] = set()
    for option, given in options(words):
        rights = _BINDS.get(option.removesuffix("-try"))
        if rights is not None:
            grants |= {Grant(path, Scope.TREE, rights, ()) for path in (given[1], os.path.realpath(given[1]))}
        elif option == "--symlink":
            grants.add(Grant(given[1], Scope.FILE, _LOOK, ()))
        elif option in ("--proc", "--dev"):
            grants.add(Grant(given[0], Scope.TREE, _ALL, ()))
    return Policy(tuple(sorted(grants, key=lambda g: (g.path, g.scope, g.rights.value))))
