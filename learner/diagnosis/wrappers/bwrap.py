"""bubblewrap's command line (bwrap(1), 0.8 to 0.11)."""

import os

from learner.diagnosis.case import Fix
from learner.diagnosis.wrappers.wrapper import Remedy, Wrapper
from learner.policy import CHANGES, Grant, Policy, Right, Scope
from learner.variables import Variables

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
