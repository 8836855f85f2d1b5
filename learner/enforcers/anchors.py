"""The object on which a grant stands, found so that a confined program cannot choose another one.

What a program may change it can replace by a symlink. A grant beneath that place would then be made, at the next start,
on whatever the symlink names: a key, say. So no symlink is followed that the policy lets the program put there, unless
what it leads to is granted anyway.
"""

import os
from typing import NamedTuple

from learner.links import walk
from learner.names import to_text
from learner.places import ancestors
from learner.policy import CHANGES, DIRECTORY_RIGHTS, Grant, Policy

_REPLACE = CHANGES & DIRECTORY_RIGHTS


class Anchor(NamedTuple):
    """``fd``: the object (O_PATH), to be closed. ``detour``: where a symlink of the program's own leads, or empty."""

    fd: int
    detour: str = ""


def anchor(grant: Grant, policy: Policy) -> Anchor:
    """The object at the grant's path. Raises OSError."""
    fd = os.open(grant.path, os.O_PATH | os.O_CLOEXEC)
    try:
        real = os.readlink(f"/proc/self/fd/{fd}")
        return Anchor(fd, "" if _trusted(grant, real, policy) else to_text(real))
    except BaseException:
        os.close(fd)
        raise


def _trusted(grant: Grant, real: str, policy: Policy) -> bool:
    if real == grant.path or not grant.rights & ~policy.rights_on(real):
        return True
    way = walk(grant.path)
    places = [os.path.dirname(link) for link, _ in way.links]
    if way.loops or way.end != real:  # it changes while we look, or is no path at all (/proc/self/fd/1)
        places += ancestors(grant.path)
    return not any(policy.rights_on(place) & _REPLACE for place in places)
