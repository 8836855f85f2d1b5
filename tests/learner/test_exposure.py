"""Sensitive objects that a tree grant opens although nothing touched them."""

import os
from pathlib import Path

from accesses import policy

from learner.derivation import Derived
from learner.exposure import with_exposure
from learner.places import Map
from learner.policy import Right, Scope


def lay_out(scratch: Path) -> Map:
    for name in ("project/src", "project/.git/hooks", "home"):
        (scratch / name).mkdir(parents=True)
    for name in ("project/.env", "project/src/.env.example", "project/.git/hooks/pre-commit", "project/src/a.py"):
        (scratch / name).touch()
    return Map(str(scratch / "project"), str(scratch / "home"))


def test_a_secret_in_the_project_is_shown_with_the_tree_that_opens_it(scratch: Path) -> None:
    places = lay_out(scratch)
    opened = policy((places.project, Scope.TREE, Right.READ | Right.LIST))
    found = with_exposure(Derived(opened, (), ()), places)
    [secret] = found.sensitive
    assert (secret.path, secret.granted, secret.within) == (places.project + "/.env", False, places.project)
    assert found.gaps == ()  # reading hooks is harmless


def test_what_runs_later_is_a_gap_once_it_can_be_changed(scratch: Path) -> None:
    places = lay_out(scratch)
    opened = policy((places.project, Scope.TREE, Right.WRITE | Right.CREATE))
    found = with_exposure(Derived(opened, (), ()), places)
    assert places.project + "/.git/hooks" in [gap.item for gap in found.gaps]


def test_nothing_is_exposed_by_single_grants_or_elsewhere(scratch: Path) -> None:
    places = lay_out(scratch)
    single = policy((places.project, Scope.FILE, Right.LIST), (places.project + "/src", Scope.TREE, Right.READ))
    assert with_exposure(Derived(single, (), ()), places).sensitive == ()


def test_what_cannot_be_searched_is_passed_over(scratch: Path) -> None:
    places = lay_out(scratch)
    opened = policy((places.project, Scope.TREE, Right.READ), (str(scratch / "gone"), Scope.TREE, Right.READ))
    os.symlink("..", places.project + "/loop")
    assert len(with_exposure(Derived(opened, (), ()), places).sensitive) == 1


def test_a_shared_temporary_directory_is_named_as_a_whole(scratch: Path) -> None:
    opened = policy(("/tmp", Scope.TREE, Right.READ | Right.CREATE))
    found = with_exposure(Derived(opened, (), ()), lay_out(scratch))
    assert found.sensitive == ()
    assert [gap.item for gap in found.gaps] == ["/tmp"]
