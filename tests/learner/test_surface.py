import os
from pathlib import Path

import pytest
from accesses import access, policy

from learner.policy import Policy, Right, Scope
from learner.surface import Item, surface
from tracers.events import Operation

READ, TREE, FILE = Right.READ, Scope.TREE, Scope.FILE


@pytest.fixture
def top(tmp_path: Path) -> str:
    """Ten objects: top, a, a/1..4, a-b, a-b/1, a/sub, a/sub/1."""
    for name in ("a/1", "a/2", "a/3", "a/4", "a-b/1", "a/sub/1"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return str(tmp_path)


def test_nothing() -> None:
    assert surface(Policy(), []) == (0, 0, 0, ())


def test_a_tree_is_counted_with_its_top(top: str) -> None:
    assert surface(policy((top + "/a", TREE, READ)), [access(Operation.READ, top + "/a/1")]) == (
        1,
        7,
        6,
        (Item(top + "/a", 6),),
    )


def test_trees_within_trees_are_counted_once(top: str) -> None:
    # `a-b` sorts between `a` and `a/sub`
    nested = policy((top + "/a", TREE, READ), (top + "/a-b", TREE, READ), (top + "/a/sub", TREE, Right.WRITE))
    assert surface(nested, []).granted == 9


def test_single_objects(top: str) -> None:
    found = policy(
        (top + "/a", TREE, READ),
        (top + "/a", FILE, Right.IOCTL),  # counted with its tree
        (top + "/a/1", FILE, Right.WRITE),
        (top + "/a-b/1", FILE, READ),
        (top + "/absent", FILE, READ),
    )
    assert surface(found, []).granted == 8


def test_what_is_gone_is_neither_needed_nor_open(top: str) -> None:
    assert surface(policy((top + "/gone", TREE, READ)), [access(Operation.READ, top + "/gone/x")]) == (0, 0, 0, ())


def test_links_are_not_followed(top: str) -> None:
    os.symlink("/usr", top + "/a-b/usr")
    os.symlink("nowhere", top + "/a-b/dangling")
    assert surface(policy((top + "/a-b", TREE, READ)), []).granted == 4


def test_proc_is_one_object() -> None:
    found = surface(policy(("/proc", TREE, READ)), [access(Operation.READ, "/proc/self/status")])
    assert found == (1, 1, 0, ())


def test_probes_are_not_needed(top: str) -> None:
    assert surface(policy((top, TREE, READ)), [access(Operation.READ, top + "/a/1", outcome=13)]).needed == 0
