"""Names that hold a version, made alike: so that an upgrade differs from what was before by what it does, not by names.

Only where names are chosen by a package manager or made up by a program: in what is installed (:mod:`learner.places`)
versions and hashes, in a program's state and caches names that change from run to run (:mod:`learner.volatile`), and
every directory of the private one for temporary files. The user's own files and the project keep their names.
"""

import re

from learner.places import CLASSES, Map, Place
from learner.volatile import is_volatile

FOLDED = "*"
"""Stands for what was folded."""

_VERSIONS = re.compile(
    r"""
      (?<![0-9.])v?\d+(?:\.\d+)+(?:[-.+_]?(?:a|b|c|rc|dev|post|alpha|beta|pre|next|canary|nightly)[-.]?\d*)*
      (?:\+[0-9a-z]+(?:\.[0-9a-z]+)*)?                   # 3.12, v20.11.1, 1.0.0-rc.1, 2.1+cu118
    | (?<=\.so\.)\d+(?:\.\d+)*$                                    # libssl.so.3 (ld.so(8): the version follows .so)
    | (?<=cpython-)\d+ | (?<=pypy)\d+(?=-pp)             # extension modules and byte code (PEP 3147, PEP 3149)
    | (?<=-)\d+$                                         # gcc-12
    | ^\d{1,3}$                                          # /usr/lib/gcc/x86_64-linux-gnu/12
    | ^[0-9a-z]{32}(?=-)                                 # /nix/store/HASH-name
    """,
    re.VERBOSE,
)
_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,7}$")
_MADE_UP = frozenset({Place.HOME, Place.CACHE, Place.OTHER})


class Folding:
    """Folds paths of one account; what lies beneath a path lies beneath the folded path as well."""

    def __init__(self, places: Map, *, exact: bool = False) -> None:
        """``exact``: change nothing."""
        self.exact = exact
        self._places = places
        self._folded: dict[str, str] = {"/": "/"}

    def path(self, path: str) -> str:
        """``path`` (absolute, normalised) with what changes from version to version replaced by :data:`FOLDED`."""
        if self.exact:
            return path
        found = self._folded.get(path)
        if found is None:
            above, _, name = path.rpartition("/")
            found = f"{self.path(above or '/').removesuffix('/')}/{self._name(name, path)}"
            self._folded[path] = found
        return found

    def _name(self, name: str, path: str) -> str:
        places = self._places
        if path in (places.prefix, places.home, places.project, places.temporary):
            return name
        place, _ = places.locate(path)
        if CLASSES[place].installed:
            return without_version(name)
        if place in _MADE_UP and places.is_state(path):
            return _without_id(name)
        return FOLDED if place is Place.TEMPORARY else name


def without_version(name: str) -> str:
    """A file name of something installed without versions, hashes and the like."""
    return _VERSIONS.sub(FOLDED, _without_id(name))


def _without_id(name: str) -> str:
    if not is_volatile(name):
        return name
    extension = _EXTENSION.search(name)
    return FOLDED + (extension.group() if extension else "")
