import functools
import operator

import pytest
from accesses import paths, policy
from hypothesis import given
from hypothesis import strategies as st

from learner.policy import NO_RIGHT, Policy, Right, Scope, parse_rights, right_names

_rights = st.sampled_from(list(Right))
_policies = st.lists(st.tuples(paths, st.sampled_from(Scope), _rights), max_size=8).map(lambda given: policy(*given))


@given(_policies, paths)
def test_the_rights_on_a_path_are_those_of_the_grants_that_cover_it(given: Policy, path: str) -> None:
    covering = [grant.rights for grant in given.grants if grant.covers(path)]
    assert given.rights_on(path) == functools.reduce(operator.or_, covering, NO_RIGHT)
    assert {grant.rights for grant in given.admitting(path, ~NO_RIGHT)} == set(covering)


def test_the_root_directory() -> None:
    root = policy(("/", Scope.TREE, Right.READ), ("/", Scope.FILE, Right.LIST))
    assert root.rights_on("/") == Right.READ | Right.LIST
    assert root.rights_on("/a/b") == Right.READ


def test_neighbours_are_not_covered() -> None:
    one = policy(("/a", Scope.TREE, Right.READ), ("/b", Scope.FILE, Right.READ))
    assert one.rights_on("/ab") == one.rights_on("/b/c") == one.rights_on("/") == NO_RIGHT


def test_equal_policies_stay_equal_after_they_were_asked() -> None:
    one, two = (policy(("/a", Scope.TREE, Right.READ)) for _ in range(2))
    one.rights_on("/a")
    assert one == two
    assert hash(one) == hash(two)


def test_the_nearest_grant_admits_first() -> None:
    nested = policy(
        ("/a", Scope.TREE, Right.READ), ("/a/b", Scope.TREE, Right.READ), ("/a/b/c", Scope.FILE, Right.WRITE)
    )
    assert [g.path for g in nested.admitting("/a/b/c", Right.READ)] == ["/a/b", "/a"]


@given(st.lists(_rights, unique=True))
def test_words(rights: list[Right]) -> None:
    whole = functools.reduce(operator.or_, rights, NO_RIGHT)
    assert parse_rights(right_names(whole)) == whole


@pytest.mark.parametrize("word", ["fly", "READ", "Read", ""])
def test_words_that_are_none(word: str) -> None:
    with pytest.raises(KeyError) as caught:
        parse_rights(["read", word, "nonsense"])
    assert caught.value.args == (word,)
