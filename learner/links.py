"""The symlinks on the way to an object."""

import os
from collections.abc import Callable
from typing import NamedTuple

MAX_LINKS = 40  # MAXSYMLINKS, linux/namei.h; path_resolution(7)


class Walk(NamedTuple):
    """``links``: (symlink, its text) in the order in which they are walked; ``end``: where the path leads.

    ``loops``: there are more than :data:`MAX_LINKS` of them, for which the kernel says ELOOP; the rest is not walked.
    """

    links: tuple[tuple[str, str], ...]
    end: str
    loops: bool = False


def on_this_machine(path: str) -> str | None:
    """The text of the symlink at ``path``, None if there is none now."""
    try:
        return os.readlink(path)
    except (OSError, ValueError):  # a name with a null byte
        return None


def walk(path: str, read: Callable[[str], str | None] = on_this_machine) -> Walk:
    """Follow the absolute ``path``, as far as it exists. ``read``: the text of a symlink, None for anything else."""
    links: list[tuple[str, str]] = []
    here, rest = "/", path.split("/")[::-1]
    while rest:
        part = rest.pop()
        if part in ("", "."):
            continue
        if part == "..":
            here = os.path.dirname(here)
            continue
        at = os.path.join(here, part)
        text = read(at)
        if text is None:
            here = at
            continue
        if len(links) == MAX_LINKS:
            return Walk(tuple(links), here, loops=True)
        links.append((at, text))
        here = "/" if text.startswith("/") else here
        rest.extend(reversed(text.split("/")))
    return Walk(tuple(links), here)
