"""Sensitive places within what a policy opens as a tree: a profile of macOS can refuse them all the same."""

from learner.places import ancestors
from learner.policy import Policy, Scope
from learner.sensitive import CATALOGUE, Concern
from tracers.seatbelt_calls import canonical


def denied_within(policy: Policy, home: str) -> tuple[str, ...]:
    """The places of the catalogue that a granted tree holds and that nothing grants by itself, there or not."""
    trees = {grant.path for grant in policy.grants if grant.scope is Scope.TREE}
    found = set()
    for entry in CATALOGUE:
        pattern = entry.pattern.removesuffix("/**")
        if entry.concern is not Concern.ANY or "*" in pattern:
            continue
        path = canonical(pattern.replace("~", home, 1) if pattern.startswith("~/") else pattern)
        if trees.isdisjoint(ancestors(path)):
            continue
        if not any(grant.path == path or grant.path.startswith(path + "/") for grant in policy.grants):
            found.add(path)
    return tuple(sorted(found))
