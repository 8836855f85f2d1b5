"""bubblewrap without sbx: a script that starts the command, or the bare options for ``bwrap --args``.

The options are those of our own enforcer (:mod:`learner.enforcers.bubblewrap`), for the machine as it is now. What that
one adds at every launch (a seccomp filter, Landlock, the network jail) is not in them, and is a gap.
"""

import os
import stat
from collections.abc import Mapping

from learner.enforcers.binds import Make, Plan
from learner.enforcers.bubblewrap import MANY_BINDS, bwrap_options, held_by_bwrap
from learner.enforcers.namespaces import namespace_gaps
from learner.gaps import Gap
from learner.names import to_text
from learner.places import is_within
from learner.policy import CHANGES, Grant, NetworkGrant, Policy
from learner.targets import bwrap_words
from learner.targets.feature import Feature, alone, missing
from learner.targets.root import ensured, plan_of, view_of
from learner.targets.target import Export, Request, remarks, temporary_of

MOST_NAMES = 64
"""Names of files that may be listed, but not opened: each takes a mount, and many make bwrap slow to start."""

_NETWORK = "the network is all or nothing: every host and port can be reached"
_BOUND = "what is bound can be read, listed and executed"
_CHANGED = "what is bound so that it can be changed can be changed in every way"
_LACKS: Mapping[Feature, str] = {
    Feature.EXECUTE_APART: _BOUND,
    Feature.LIST_APART: _BOUND,
    Feature.CHANGES_APART: _CHANGED,
    Feature.ATTRIBUTES: _CHANGED,
    Feature.IOCTL: "a device that is bound takes every request",
    Feature.ABSTRACT_SOCKETS: "they belong to the network: all can be reached, or none",
    Feature.HOSTS: _NETWORK,
    Feature.PORTS: _NETWORK,
    Feature.LISTEN: _NETWORK,
    Feature.UDP: "UDP cannot be told from TCP: it comes with the network",
}
_SAID_ABOVE = ("hosts", "TCP", "kinds of rights")
_BEYOND = (
    Gap(
        "system calls",
        "no seccomp filter comes along: io_uring, keyrings, raw and netlink sockets, nested namespaces are open; "
        "`sbx run` refuses them",
    ),
    Gap(
        "terminal",
        "characters can be typed into the terminal (TIOCSTI) unless the kernel forbids it; bwrap's --new-session "
        "prevents it, and takes job control away",
    ),
)
_UNGUARDED = "it is hidden as it is now: if it is gone when bwrap starts, bwrap makes an empty one"


class BwrapTarget:
    """The options, as a script or as NUL-separated words."""

    def __init__(self, *, script: bool) -> None:
        self.name = "bwrap" if script else "bwrap-args"
        self.suffix = ".sh" if script else ".args"
        self.executable = script
        self.lacks: Mapping[Feature, str] = _LACKS if script else {**_LACKS, Feature.ENSURE: "no option makes them"}

    def export(self, request: Request) -> Export:
        """See :class:`~learner.targets.target.Target`."""
        policy = request.profile.policy
        plan = plan_of(request)
        gaps = [*missing(policy, self.lacks), *plan.gaps, *_gaps(policy, plan)]
        if not request.file:
            gaps.append(Gap("the command", "it is not found here, so no symlink that leads to it is shown"))
        options = bwrap_options(plan, _names(plan), own_network=not policy.network, user_namespace=True, lenient=True)
        for temporary in temporary_of(request, (grant.path for grant in policy.grants)):
            options += ["--setenv", "TMPDIR", temporary]
        masks = [(path, _mask(path, stat.S_ISDIR(view_of(request).mode(path)))) for path in request.denied]
        if self.executable:
            found = tuple(sorted(set(gaps)))
            return Export(_script(request, options, masks, found), found)
        gaps += [Gap(to_text(path), _UNGUARDED) for path, _ in masks]
        words = [*options, *(word for _, mask in masks for word in mask)]
        return Export(b"".join(os.fsencode(word) + b"\0" for word in words), tuple(sorted(set(gaps))))

    def admit(self, grants: tuple[Grant, ...], network: tuple[NetworkGrant, ...]) -> tuple[str, ...]:
        """See :class:`~learner.targets.target.Target`: options, one bind a line."""
        lines = []
        for grant in grants:
            path = _shown(grant.path)
            if alone(grant):
                lines.append(f"--dir {path}")
                continue
            if is_within(grant.path, "/proc"):
                lines.append("--proc /proc")
                continue
            kind = (
                "--dev-bind" if grant.path.startswith("/dev/") else "--bind" if grant.rights & CHANGES else "--ro-bind"
            )
            lines.append(f"{kind} {path} {path}")
        if network:
            lines.append("# without --unshare-net")
        return tuple(dict.fromkeys(lines))


def quote(word: str) -> bytes:
    """``word`` for sh: whatever it holds, it stays one word and says nothing (POSIX, 2.2.2)."""
    return b"'" + os.fsencode(word).replace(b"'", b"'\\''") + b"'"


def _shown(word: str) -> str:
    """``word`` quoted, on one line and printable: if need be as POSIX.1-2024 has it."""
    if to_text(word).replace("\\\\", "\\") == word:
        return os.fsdecode(quote(word))
    bytes_ = os.fsencode(word)
    return "$'" + "".join(chr(b) if 32 <= b < 127 and b not in b"\\'" else f"\\{b:03o}" for b in bytes_) + "'"


def _gaps(policy: Policy, plan: Plan) -> list[Gap]:
    every = 1 << 30  # the kernel's Landlock plays no part here
    found = [g for g in held_by_bwrap(namespace_gaps(policy), policy, every) if g.item not in _SAID_ABOVE]
    found += _BEYOND
    if len(plan.binds) > MANY_BINDS:
        found.append(Gap("start-up", f"{len(plan.binds)} binds make bubblewrap slow: grant directories, not files"))
    hidden = sum(step.make is Make.HIDDEN_FILE for step in plan.steps) - MOST_NAMES
    if hidden > 0:
        found.append(Gap("single directories", f"{hidden} names of files that may be listed are not shown"))
    return found


def _names(plan: Plan) -> dict[str, list[str]]:
    """A name without content: a device on a mount without devices cannot be opened, by root neither."""
    paths = [step.path for step in plan.steps if step.make is Make.HIDDEN_FILE][:MOST_NAMES]
    return {path: ["--ro-bind", "/dev/null", path] for path in paths}


def _mask(path: str, directory: bool) -> list[str]:
    if directory:
        return ["--perms", "0000", "--tmpfs", path, "--remount-ro", path]
    return ["--ro-bind", "/dev/null", path]


def _script(request: Request, options: list[str], masks: list[tuple[str, list[str]]], gaps: tuple[Gap, ...]) -> bytes:
    lines = [b"#!/bin/sh", *(f"# {line}".encode() for line in remarks(request, gaps))]
    name = quote(request.profile.name)
    lines += [
        b"bwrap=${BWRAP:-bwrap}",
        b'if ! command -v "$bwrap" >/dev/null 2>&1; then',
        b"  printf '%s: %s\\n' " + name + b" 'bubblewrap is not installed: the package bubblewrap has it' >&2",
        b"  exit 127",
        b"fi",
    ]
    for path in ensured(request.profile.policy):
        lines.append(b"mkdir -p -m 700 -- " + quote(path) + b" || exit")
    lines += [
        b"# Where it is started from is where the command runs, without symlinks.",
        b"cd -P . || exit",
        b"set -- -- " + b" ".join(map(quote, request.words)) + b' "$@"',
    ]
    for path, mask in masks:
        lines.append(b"[ ! -e " + quote(path) + b" ] || set -- " + b" ".join(map(_word, mask)) + b' "$@"')
    lines.append(b'exec "$bwrap" \\')
    lines += [b"  " + b" ".join(map(_word, group)) + b" \\" for group in _grouped(options)]
    lines.append(b'  --chdir "$PWD" "$@"')
    return b"\n".join(lines) + b"\n"


def _word(word: str) -> bytes:
    return word.encode() if word.startswith("--") and word[2:].replace("-", "").isalpha() else quote(word)


def _grouped(options: list[str]) -> list[list[str]]:
    """An option with what belongs to it, ``--perms`` with what it is about."""
    groups: list[list[str]] = []
    perms = False
    for option, given in bwrap_words.options(options):
        if perms:
            groups[-1] += [option, *given]
        else:
            groups.append([option, *given])
        perms = option == "--perms"
    return groups


SCRIPT, ARGS = BwrapTarget(script=True), BwrapTarget(script=False)
