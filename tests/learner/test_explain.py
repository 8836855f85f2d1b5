import pytest
from samples import VIBE

from learner.access import Kind
from learner.explain import OPERATIONS, explain
from learner.policy import Grant, Right, Scope
from tracers.events import Operation


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.OPAQUE])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_operation_takes_one_right(operation: Operation, kind: Kind) -> None:
    assert len(explain(VIBE.policy, operation, "/a/b", kind).needed) == 1


def test_the_nearest_grant_comes_first() -> None:
    answer = explain(VIBE.policy, Operation.LIST, "/home/ada/work/engine/src", Kind.DIRECTORY)
    assert [grant.path for grant in answer.admitting] == ["/home/ada/work/engine"]
    assert answer.missing is None


def test_a_name_is_made_in_its_directory() -> None:
    answer = explain(VIBE.policy, Operation.CREATE, "/home/ada/.vibe/new", Kind.ABSENT)
    assert (answer.path, answer.needed) == ("/home/ada/.vibe", Right.CREATE)
    assert answer.missing is None


def test_what_is_missing_is_one_grant() -> None:
    answer = explain(VIBE.policy, Operation.WRITE, "/home/ada/work/engine/x", Kind.FILE)
    assert answer.missing == Grant("/home/ada/work/engine/x", Scope.FILE, Right.WRITE, ())
    assert [grant.path for grant in answer.nearby] == ["/home/ada/work/engine"]
