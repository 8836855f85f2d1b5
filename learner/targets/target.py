"""The one shape of every target: a policy in, another tool's text and the gaps out. Pure: nothing is read or run."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from learner.enforcers.view import View
from learner.gaps import Gap
from learner.names import to_text
from learner.places import is_within
from learner.policy import Grant, NetworkGrant
from learner.profile import Profile
from learner.targets.feature import Feature
from learner.variables import Variables

SANDBOXES = ("srt",)
"""Programs of whose own files an export may have to take account."""


class Request(NamedTuple):
    """What is to be exported.

    ``words``: the command with its arguments. ``denied``: sensitive objects beneath granted trees, absolute, sorted:
    to be refused where the format can. ``variables``: what this machine's directories are, for formats that have
    variables of their own. ``links``: (symlink, text of its target) of the policy's links that exist here.
    ``programs``: (name, file without links) of the sandboxes of :data:`SANDBOXES` that are installed here.
    ``file``: where the command is found here, empty if it is not. ``view``: this machine's file system, for formats
    that build one of their own; None: an empty one. ``searched``: directories whose links lead to programs.
    """

    profile: Profile
    words: tuple[str, ...]
    variables: Variables
    denied: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    programs: tuple[tuple[str, str], ...] = ()
    file: str = ""
    view: View | None = None
    searched: tuple[str, ...] = ()


class Export(NamedTuple):
    """What was written, and what it does not say. The gaps are in ``data`` as comments too, if there can be any."""

    data: bytes
    gaps: tuple[Gap, ...]


class Target(Protocol):
    """Another tool's format."""

    name: str
    suffix: str
    """Of the file that it is kept in, such as ``.json``."""

    executable: bool
    """Whether that file is a program."""

    lacks: Mapping[Feature, str]
    """What the format cannot say, and what comes instead."""

    def export(self, request: Request) -> Export:
        """``request`` in this format. What cannot be written in it (a name with a newline, say) is left out: a gap."""
        ...

    def admit(self, grants: tuple[Grant, ...], network: tuple[NetworkGrant, ...]) -> tuple[str, ...]:
        """Lines to add to what a user already has, so that ``grants`` and ``network`` are admitted."""
        ...


def unsayable(paths: Iterable[str], reason: str) -> tuple[Gap, ...]:
    """The gaps for names that a format cannot hold: they are left out of it."""
    return tuple(Gap(f"left out: {to_text(path)}", reason) for path in sorted(set(paths)))


def remarks(request: Request, gaps: Iterable[Gap]) -> tuple[str, ...]:
    """The lines (printable, none empty) that begin every file which can hold comments."""
    return (
        f"{to_text(request.profile.name)}: what sbx learned that `{to_text(request.profile.command)}` needs.",
        *(f"Not said here: {gap.item}: {gap.reason}" for gap in gaps),
    )


def temporary_of(request: Request, paths: Iterable[str]) -> tuple[str, ...]:
    """What ``TMPDIR`` must be for programs to find the directory for temporary files, if one of ``paths`` lies in it.

    They were learned with it: where nobody tells them, they make theirs in /tmp, which is not granted.
    """
    place = request.variables.temporary
    return (place,) if place and any(is_within(path, place) for path in paths) else ()
