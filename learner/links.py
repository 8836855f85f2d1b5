"""The symlinks on the way to an object, as they are now on this machine."""

import os
from typing import NamedTuple

MAX_LINKS = 40  # MAXSYMLINKS, linux/namei.h; path_resolution(7)


class Walk(NamedTuple):
    """``links``: (symlink, its text) in the order in which they are walked; ``end``: where the path leads.

    More than :data:`MAX_LINKS` are not walked: the kernel says ELOOP.
    """

    links: tuple[tuple[str, str], ...]
    end: str


def walk(path: str) -> Walk:
    """Follow the absolute ``path``, as far as it exists."""
    links: list[tuple[str, str]] = []
    here, rest = "/", path.split("/")[::-1]
    while rest and len(links) < MAX_LINKS:
        part = rest.pop()
        if part in ("", "."):
            continue
        if part == "..":
            here = os.path.dirname(here)
            continue
        at = os.path.join(here, part)
        try:
            text = os.readlink(at)
        except (OSError, ValueError):  # no symlink, or a name with a null byte
            here = at
            continue
        links.append((at, text))
        here = "/" if text.startswith("/") else here
        rest.extend(reversed(text.split("/")))
    return Walk(tuple(links), here)
