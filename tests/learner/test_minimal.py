"""1-minimal on a model enforcer that does exactly what the policy says: for any accesses and any grants."""

import errno
from collections.abc import Sequence

import pytest
from accesses import HOME, access, accesses, paths, policy
from hypothesis import given
from hypothesis import strategies as st
from samples import rights

from learner import minimal as module
from learner import probe
from learner.access import Access
from learner.enforcers.enforcer import Strength
from learner.gaps import Gap
from learner.minimal import Minimal, minimal
from learner.needs import Need, needs
from learner.policy import Grant, Policy, Right, Scope
from learner.probe import Act, Probe
from learner.words import granted
from tracers.events import Operation

_RIGHTS = {act: right for act in Act if (right := Right.__members__.get(act.name)) is not None}


class Exact:
    """An enforcer, and its confinement, that admit what the policy grants and nothing else."""

    name = "exact"
    strength = Strength.FULL
    gaps: tuple[Gap, ...] = ()

    def __init__(self, enforced: Policy | None = None) -> None:
        self.policy = enforced

    def prepare(self, enforced: Policy) -> "Exact":
        return Exact(enforced)

    def mediates(self, rights: Right) -> Right:
        return rights

    def gates(self, _access: Access) -> bool:
        return True

    def apply(self) -> None:
        raise AssertionError("nothing is confined here")

    def close(self) -> None:
        pass


def ask(probes: Sequence[Probe], confinement: Exact | None) -> list[int]:
    """Takes the place of :func:`learner.probe.run`."""
    if confinement is None or confinement.policy is None:
        return [0] * len(probes)
    enforced = confinement.policy
    return [0 if _RIGHTS[one.act] & enforced.rights_on(one.path) else errno.EACCES for one in probes]


def tried(need: Need, right: Right) -> Probe | None:
    """Takes the place of :func:`learner.replay.path_probe`: every object is there."""
    return next((Probe(act, need.path) for act, possible in _RIGHTS.items() if possible is right), None)


def shrink(run: Sequence[Access], enforced: Policy) -> Minimal:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe, "run", ask)
        patch.setattr(module, "path_probe", tried)
        patch.setattr(module, "_stands", lambda _grant: True)
        return minimal([(one, "tool") for one in run], enforced, Exact())


_grants = st.builds(
    Grant,
    path=paths,
    scope=st.sampled_from(Scope),
    rights=rights.filter(bool),
    witnesses=st.just(()),
    ensure=st.booleans(),
)
_policies = st.lists(_grants, max_size=6).map(lambda grants: Policy(tuple(grants)))


def wanted(run: Sequence[Access], enforced: Policy) -> set[tuple[str, Right]]:
    """What is needed and granted. An ensured directory is made by the launch, so the right to make it is not."""
    ensured = {grant.path for grant in enforced.grants if grant.ensure}
    found = set()
    for one in run:
        made = one.operation is Operation.MKDIR and one.object in ensured
        for need in needs(one):
            if not made and not need.right & ~enforced.rights_on(need.path):
                found.add((need.path, need.right))
    return found


@given(st.lists(accesses, max_size=8), _policies)
def test_what_was_granted_and_needed_still_is(run: list[Access], enforced: Policy) -> None:
    left = shrink(run, enforced).policy
    for path, right in wanted(run, enforced):
        assert not right & ~left.rights_on(path)


@given(st.lists(accesses, max_size=8), _policies)
def test_each_proof_holds_for_the_result(run: list[Access], enforced: Policy) -> None:
    result = shrink(run, enforced)
    for grant, refused, programs in result.proved:
        assert programs == ("tool",)
        at = result.policy.grants.index(grant)  # type: ignore[arg-type]
        less = Policy(result.policy.grants[:at] + result.policy.grants[at + 1 :])
        right = _RIGHTS[refused.act]
        assert right & result.policy.rights_on(refused.path)
        assert not right & less.rights_on(refused.path)


@given(st.lists(accesses, max_size=8), _policies)
def test_each_grant_has_one_verdict_and_a_second_time_changes_nothing(run: list[Access], enforced: Policy) -> None:
    result = shrink(run, enforced)
    verdicts = [*(p.grant for p in result.proved), *(u.grant for u in result.unproved), *result.dropped]
    assert sorted(map(repr, verdicts)) == sorted(map(repr, enforced.grants))
    assert all(one.reason for one in result.unproved)
    assert shrink(run, result.policy).policy == result.policy


def test_the_wider_of_two_goes() -> None:
    file = f"{HOME}/.config/tool/settings"
    both = policy((file, Scope.FILE, Right.READ), (f"{HOME}/.config", Scope.TREE, Right.READ))
    result = shrink([access(Operation.READ, file)], both)
    assert result.dropped == both.grants[1:]


def test_an_access_that_is_not_granted_anyway_proves_nothing() -> None:
    rename = access(Operation.RENAME_FROM, f"{HOME}/a/x", peer=f"{HOME}/b/x")
    half = policy((f"{HOME}/a", Scope.TREE, Right.REMOVE))
    assert shrink([rename], half).dropped == half.grants


@pytest.mark.parametrize(
    ("grant", "text"),
    [
        (Grant("/", Scope.TREE, Right.READ, ()), "/** (read)"),
        (Grant("/a\n", Scope.FILE, Right.READ | Right.LIST, ()), r"/a\x0a (read list)"),
    ],
)
def test_a_grant_in_words(grant: Grant, text: str) -> None:
    assert granted(grant) == text
