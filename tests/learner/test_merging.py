import functools
import itertools
import operator

import msgspec
from accesses import covered, made, trace
from hypothesis import example, given
from hypothesis import strategies as st
from samples import VIBE, network_grants, witnesses

from learner.access import Kind
from learner.derivation import Derived, SensitiveUse, add_found
from learner.merging import Novelty, add, merge, news
from learner.policy import (
    NO_RIGHT,
    Grant,
    NetworkAction,
    NetworkGrant,
    Policy,
    Right,
    Scope,
    Witness,
)
from learner.session import derive, union
from tracers.events import Operation, Transport

PATHS = ("/", "/a", "/a/b", "/a/b/c", "/a/bc", "/d")
_rights = st.lists(st.sampled_from([Right.READ, Right.WRITE, Right.LIST, Right.EXEC]), max_size=3).map(
    lambda found: functools.reduce(operator.or_, found, NO_RIGHT)
)
_few_witnesses = st.lists(witnesses, max_size=2).map(lambda found: tuple(sorted(found)))
_grants = st.builds(Grant, st.sampled_from(PATHS), st.sampled_from(Scope), _rights, _few_witnesses, st.booleans())
policies = st.builds(
    Policy,
    grants=st.lists(_grants, max_size=5).map(tuple),
    network=st.lists(network_grants, max_size=2).map(tuple),
)
READ = Policy((Grant("/a/b", Scope.FILE, Right.READ, ()),))
WRITE = Policy((Grant("/a/b", Scope.FILE, Right.WRITE, ()),))
TREE = Policy((Grant("/a", Scope.TREE, Right.READ, ()),))


def bare(policy: Policy) -> Policy:
    """The policy without its reasons."""
    return Policy(
        tuple(msgspec.structs.replace(grant, witnesses=()) for grant in policy.grants),
        tuple(msgspec.structs.replace(grant, witnesses=()) for grant in policy.network),
    )


def apart(policy: Policy) -> Policy:
    """The policy with grants that cannot lie within each other."""
    grants = (msgspec.structs.replace(g, path="/" + g.path.replace("/", "_"), scope=Scope.FILE) for g in policy.grants)
    return Policy(tuple(grants), policy.network)


@given(policies, policies)
def test_merging_is_commutative(a: Policy, b: Policy) -> None:
    assert merge([a, b]) == merge([b, a])


@given(policies)
def test_merging_is_idempotent(a: Policy) -> None:
    once = merge([a])
    assert merge([once]) == merge([once, once]) == merge([a, a]) == once


@given(policies, policies, policies)
@example(READ, TREE, WRITE)
def test_merging_is_associative(a: Policy, b: Policy, c: Policy) -> None:
    assert bare(merge([merge([a, b]), c])) == bare(merge([a, merge([b, c])])) == bare(merge([a, b, c]))


@given(policies, policies, policies)
def test_merging_reasons_is_associative(a: Policy, b: Policy, c: Policy) -> None:
    a, b, c = apart(a), apart(b), apart(c)
    assert merge([merge([a, b]), c]) == merge([a, merge([b, c])]) == merge([a, b, c])


@given(policies, policies)
def test_merged_policies_admit_what_any_of_them_admits(a: Policy, b: Policy) -> None:
    merged, added = merge([a, b]), add(a, b)
    for path in (*PATHS, "/a/b/c/d", "/e"):
        assert merged.rights_on(path) == added.rights_on(path) == a.rights_on(path) | b.rights_on(path)
    made = {g.path for policy in (a, b) for g in policy.grants if g.ensure}
    assert {g.path for g in merged.grants if g.ensure} == {g.path for g in added.grants if g.ensure} == made


@given(policies)
def test_no_grant_of_a_merged_policy_is_idle(a: Policy) -> None:
    grants = merge([a]).grants
    for grant in grants:
        others = Policy(tuple(g for g in grants if g is not grant))
        # Of a tree and a file grant on one object the tree's rights are its own: they hold further down.
        below = grant.path.rstrip("/") + "/x" if grant.scope is Scope.TREE else grant.path
        assert grant.ensure or grant.rights & ~others.rights_on(below)


@given(policies, policies)
def test_adding_keeps_every_grant(a: Policy, b: Policy) -> None:
    kept = {(g.path, g.scope): g for g in add(a, b).grants}
    for grant in a.grants:
        assert not grant.rights & ~kept[grant.path, grant.scope].rights
        assert kept[grant.path, grant.scope].ensure or not grant.ensure


@given(policies, policies)
def test_news_are_what_was_added(a: Policy, b: Policy) -> None:
    both = add(a, b)
    said = news(a, both)
    assert bool(said) == (
        any(both.rights_on(p) != a.rights_on(p) for p in (*PATHS, *(p.rstrip("/") + "/x" for p in PATHS)))
        or {(g.path, g.scope) for g in both.grants if g.ensure} != {(g.path, g.scope) for g in a.grants if g.ensure}
        or len(both.network) != len(add(a, Policy()).network)
    )
    assert news(both, add(both, b)) == news(both, both) == ()


def test_equal_grants_are_joined() -> None:
    one = Grant("/a", Scope.TREE, Right.READ, (Witness("git", (Operation.READ,), "/a/long", 3),))
    other = Grant(
        "/a",
        Scope.TREE,
        Right.WRITE,
        (Witness("git", (Operation.WRITE,), "/a/b", 2), Witness("vibe", (Operation.WRITE,), "/a/c")),
        ensure=True,
    )
    assert merge([Policy((one,)), Policy((other,))]).grants == (
        Grant(
            "/a",
            Scope.TREE,
            Right.READ | Right.WRITE,
            (
                Witness("git", (Operation.READ, Operation.WRITE), "/a/b", 3),
                Witness("vibe", (Operation.WRITE,), "/a/c"),
            ),
            ensure=True,
        ),
    )


def test_what_a_wider_tree_grants_is_left_out() -> None:
    assert merge([READ, TREE]) == TREE
    assert merge([READ, WRITE, TREE]).grants == TREE.grants + WRITE.grants
    beside = Policy((Grant("/ab", Scope.FILE, Right.READ, ()),))
    assert merge([beside, TREE]).grants == TREE.grants + beside.grants


def test_a_profile_of_its_own_is_left_as_it_is() -> None:
    assert add(VIBE.policy, VIBE.policy) == add(VIBE.policy, Policy())
    assert news(VIBE.policy, merge([VIBE.policy])) == ()


def test_news_in_words() -> None:
    more = Policy(
        (Grant("/a", Scope.TREE, Right.READ | Right.LIST, ()), Grant("/d", Scope.TREE, Right.LIST, (), ensure=True)),
        (NetworkGrant(NetworkAction.CONNECT, "::1", 80, Transport.TCP, ()),),
    )
    assert news(TREE, add(TREE, more)) == (
        Novelty("/a/**", "list"),
        Novelty("/d/**", "list, made at launch"),
        Novelty("[::1]:80/tcp", "connect"),
    )


def test_a_sensitive_object_that_was_granted_before_is_not_said_to_be_left_out() -> None:
    use = SensitiveUse("/a/b", "keys", Right.READ, ("git",), False)
    found = Derived(Policy(), (use,), ())
    assert add_found(READ, found).sensitive == (use._replace(granted=True),)
    assert add_found(WRITE, found).sensitive == (use,)
    assert add_found(TREE, found).sensitive == (use._replace(within="/a"),)
    assert add_found(Policy(), found._replace(policy=TREE)).sensitive == (use._replace(within="/a"),)


def test_what_differs_between_runs_leads_to_its_directory() -> None:
    runs = [trace(made("/srv/app/tool"), made(f"/srv/app/state/{name}", Kind.DIRECTORY)) for name in ("ann", "bob")]
    for order in itertools.permutations(runs):
        policy = derive(union(order), frozenset()).policy
        assert [(g.path, g.scope, g.ensure) for g in policy.grants] == [("/srv/app", Scope.TREE, False)]
        assert Right.CREATE | Right.MKDIR in policy.grants[0].rights
    alone = covered(*runs[0].accesses[1:]).policy
    assert ("/srv/app/state/ann", True) in [(g.path, g.ensure) for g in alone.grants]
