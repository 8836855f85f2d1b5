"""The file system that a policy shows where everything else is hidden, for targets that build one: the enforcer's own
plan (:mod:`learner.enforcers.binds`), with the directories that are only made at launch."""

import stat
from collections.abc import Collection

from learner.enforcers.binds import FARMS, Plan, plan
from learner.enforcers.view import View
from learner.links import walk
from learner.places import ancestors
from learner.policy import Policy, Scope
from learner.targets.target import Request


class _Ensured:
    """A view in which some directories are there already."""

    def __init__(self, view: View | None, made: Collection[str]) -> None:
        self._view = view
        self._made = {*made, *(above for path in made for above in ancestors(path))}

    def mode(self, path: str) -> int:
        """See :class:`~learner.enforcers.view.View`."""
        found = self._view.mode(path) if self._view else 0
        return found or (stat.S_IFDIR | 0o700 if path in self._made else 0)

    def readlink(self, path: str) -> str:
        """See :class:`~learner.enforcers.view.View`."""
        return self._view.readlink(path) if self._view else ""

    def entries(self, path: str) -> list[tuple[str, int]]:
        """See :class:`~learner.enforcers.view.View`."""
        return self._view.entries(path) if self._view else []


def ensured(policy: Policy) -> tuple[str, ...]:
    """The directories to be made at launch, sorted: what is above comes first."""
    return tuple(sorted({grant.path for grant in policy.grants if grant.ensure}))


def view_of(request: Request) -> View:
    """The machine's file system as it will be at launch."""
    return _Ensured(request.view, ensured(request.profile.policy))


def plan_of(request: Request) -> Plan:
    """What is shown for ``request``, with the ways to the project, the home directory and the command."""
    through = [request.variables.project, request.variables.home, request.file]
    return plan(
        request.profile.policy,
        view_of(request),
        through=[path for path in through if path],
        farms=request.searched or FARMS,
    )


def resolved(view: View, path: str) -> str:
    """``path`` without symlinks; as it is where it leads nowhere."""
    found = walk(path, lambda at: view.readlink(at) if stat.S_ISLNK(view.mode(at)) else None)
    return path if found.loops else found.end


def links_to_granted(request: Request) -> tuple[str, ...]:
    """The policy's symlinks by which a format that binds what they lead to opens nothing that is not granted."""
    view, policy = view_of(request), request.profile.policy
    found = []
    for link, _ in request.links:
        target = resolved(view, link)
        whole = not stat.S_ISDIR(view.mode(target))
        if any(g.covers(target) and (whole or g.scope is Scope.TREE) for g in policy.grants):
            found.append(link)
    return tuple(found)
