"""From what another sandbox's configuration says to a policy for this machine: the file system is looked at."""

import glob
import os
import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from learner import forms
from learner.diagnosis.machine import Host
from learner.gaps import Gap
from learner.names import to_text
from learner.places import is_within
from learner.policy import ALWAYS, DIRECTORY_RIGHTS, NO_RIGHT, Grant, Policy, Right, Scope
from learner.targets.importing import Imported, Refusal

MOST = 10_000
"""Objects that refusals may split one tree into."""


class _Part(NamedTuple):
    path: str
    scope: Scope
    rights: Right


def read_text(path: str) -> str:
    """A configuration file. Raises InputFileError for what is none."""
    return forms.read_text(path, "configuration file", "utf-8-sig")


def settle(imported: Imported) -> tuple[Policy, tuple[Gap, ...]]:
    """The policy, and what it does not say. Links are resolved, and what does not exist is left out.

    A policy cannot refuse anything beneath a grant: a tree with refusals becomes the trees and files around them.
    """
    gaps, host = list(imported.gaps), Host()
    refused = [Refusal(path, one.rights) for one in imported.refused for path in _expand(one, host)]
    found: dict[tuple[str, Scope], Right] = {}
    links = {*imported.links}
    for grant in (*imported.grants, *imported.current):
        if any(grant.path == one.path for one in ALWAYS):
            continue
        real = host.real(grant.path)
        if not real.startswith("/proc/") and not os.path.lexists(real):
            gaps.append(Gap(f"left out: {to_text(grant.path)}", "it does not exist here, so the sandbox skips it"))
            continue
        links |= {link for link, _ in host.links(grant.path)} if real != grant.path else set()
        parts = _split(real, grant, refused)
        if len(parts) > MOST:
            reason = f"what is refused in it leaves more than {MOST} objects to grant one by one"
            gaps.append(Gap(f"left out: {to_text(grant.path)}", reason))
            continue
        for path, scope, rights in parts:
            found[path, scope] = found.get((path, scope), NO_RIGHT) | rights
    grants = tuple(Grant(path, scope, rights, ()) for (path, scope), rights in sorted(found.items()))
    return Policy(grants, imported.network, tuple(sorted(links))), tuple(dict.fromkeys(gaps))


def _expand(refusal: Refusal, host: Host) -> Iterator[str]:
    """The objects that are refused. What a pattern will fit later is not known."""
    found: Iterable[str] = (refusal.path,)
    if refusal.pattern:
        found = glob.iglob(refusal.path, recursive=True, include_hidden=True)
    yield from map(host.real, found)


def _split(real: str, grant: Grant, refused: list[Refusal]) -> list[_Part]:
    if _is_file(real):
        return [_Part(real, Scope.FILE, rights)] if (rights := grant.rights & ~DIRECTORY_RIGHTS) else []
    if grant.scope is Scope.FILE:
        return [_Part(real, grant.scope, grant.rights)]
    beneath = [one for one in refused if one.path != real and is_within(one.path, real)]
    found: list[_Part] = []
    for part in _around(real, grant.rights, beneath):
        found.append(part)
        if len(found) > MOST:
            break
    return found


def _around(path: str, rights: Right, refused: list[Refusal]) -> Iterator[_Part]:
    """The trees and objects that are ``path`` without what is refused in it; its names may be listed all the same."""
    inside = [one for one in refused if is_within(one.path, path)]
    for one in inside:
        if one.path == path:
            rights &= ~one.rights
    closed = NO_RIGHT
    for one in inside:
        if one.path != path:
            closed |= one.rights & rights
    if _is_file(path):
        rights, closed = rights & ~DIRECTORY_RIGHTS, NO_RIGHT
    if rights & ~closed:
        yield _Part(path, Scope.FILE if _is_file(path) else Scope.TREE, rights & ~closed)
    if not closed:
        return
    if closed & Right.LIST:
        yield _Part(path, Scope.FILE, Right.LIST)
    try:
        names = sorted(os.listdir(path))
    except OSError:
        return
    for name in names:
        child = os.path.join(path, name)
        if not os.path.islink(child):
            yield from _around(child, closed, inside)


def _is_file(path: str) -> bool:
    try:
        return not stat.S_ISDIR(os.stat(path).st_mode)
    except OSError:
        return False
