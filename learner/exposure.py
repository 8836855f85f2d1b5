"""Sensitive objects that a tree grant opens along with the rest, although the run never touched them.

No enforcer of today can close one file below a granted directory (Landlock has no deny rules), so they are shown.
"""

import os

from learner.derivation import Derived, SensitiveUse
from learner.gaps import Gap
from learner.names import to_text
from learner.places import Map, Place, ancestors, is_temporary
from learner.policy import Policy, Right, Scope, right_names
from learner.sensitive import Catalogue, Concern, Entry

_NOT_SEARCHED = frozenset(
    {Place.SYSTEM, Place.RUNTIME, Place.PREFIX, Place.PROCESS, Place.TERMINALS, Place.KERNEL, Place.TEMPORARY}
)


def with_exposure(found: Derived, places: Map) -> Derived:
    """``found`` with what its policy opens of the catalogue on this machine now (it reads the granted directories).

    Secrets are added to what is sensitive; places whose change runs code outside of the sandbox later are gaps.
    Packages, /proc and the private directory for temporary files are not searched: they hold no secrets of yours, or
    the kernel guards them.
    """
    policy = found.policy
    known = {use.path for use in found.sensitive}
    trees = {g.path for g in policy.grants if g.scope is Scope.TREE}
    catalogue = Catalogue(places.home)
    secrets, gaps = list(found.sensitive), list(found.gaps)
    for top in sorted(path for path in trees if trees.isdisjoint(ancestors(path))):
        if places.locate(top)[0] in _NOT_SEARCHED:
            continue
        if is_temporary(top):
            # Everybody's: what lies in it today says nothing about tomorrow, so it is named as a whole.
            gaps.append(Gap(to_text(top), "granted as a whole, so other programs' temporary files are open as well"))
            continue
        for path, rights, entry in _sensitive_below(top, policy, catalogue):
            if entry.concern is Concern.CHANGE:
                words = ", ".join(right_names(rights))
                gaps.append(Gap(to_text(path), f"{entry.reason}; open ({words}) within {to_text(top)}"))
            elif path not in known:
                secrets.append(SensitiveUse(path, entry.reason, rights, (), False, top))
    return found._replace(sensitive=tuple(sorted(secrets, key=lambda use: use.path)), gaps=tuple(sorted(gaps)))


def _sensitive_below(top: str, policy: Policy, catalogue: Catalogue) -> list[tuple[str, Right, Entry]]:
    """The topmost sensitive names in a tree, with what is granted on each and why it matters; by name."""
    found = []
    todo = [top]
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    rights = policy.rights_on(entry.path)
                    match = catalogue.match(entry.path, rights)
                    if match is not None:
                        found.append((entry.path, rights, match))
                    elif entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
        except OSError:
            continue
    return sorted(found, key=lambda item: item[0])
