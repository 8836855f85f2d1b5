"""The private directory for temporary files."""

import os
from pathlib import Path

import pytest
from accesses import access, covered, made

from learner import temporary
from learner.access import Kind
from learner.errors import LaunchError
from learner.places import Map
from learner.policy import Right, Scope
from learner.variables import Variables
from tracers.events import Operation


@pytest.fixture
def base(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(scratch))
    return scratch


def test_it_is_made_private_and_told_to_children(base: Path) -> None:
    directory = temporary.private_directory()
    assert directory == f"{base}/sbx-{os.getuid()}"
    temporary.use(directory)
    assert os.stat(directory).st_mode & 0o7777 == 0o700
    assert os.environ["TMPDIR"] == directory
    assert temporary.private_directory() == directory  # inside of sbx it is the same one
    temporary.use(directory)


def test_without_a_usable_tmpdir_it_is_in_tmp(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", "/nonesuch"):
        monkeypatch.setenv("TMPDIR", value)
        assert temporary.private_directory() == f"/tmp/sbx-{os.getuid()}"


@pytest.mark.parametrize("trap", ["link", "file", "open"])
def test_what_somebody_else_may_have_put_there_is_refused(base: Path, trap: str) -> None:
    directory = Path(temporary.private_directory())
    if trap == "link":
        (base / "elsewhere").mkdir(mode=0o700)
        directory.symlink_to("elsewhere")
    elif trap == "file":
        directory.touch(mode=0o600)
    else:
        directory.mkdir()
        directory.chmod(0o755)
    with pytest.raises(LaunchError, match="not a directory of yours alone") as caught:
        temporary.use(str(directory))
    assert caught.value.remedy
    assert os.environ["TMPDIR"] == str(base)


def test_where_it_cannot_be_made(base: Path) -> None:
    with pytest.raises(LaunchError, match="cannot be made: No such file"):
        temporary.use(f"{base}/gone/sbx")


def test_temporary_files_are_granted_as_the_private_tree_alone() -> None:
    places = Map("/home/ada/work", "/home/ada", "/tmp/sbx-1000")
    found = covered(
        made("/tmp/sbx-1000/tmpab12cd34"),
        access(Operation.REMOVE, "/tmp/sbx-1000/tmpab12cd34", Kind.ABSENT),
        places=places,
    )
    [grant] = found.policy.grants
    assert (grant.path, grant.scope, grant.ensure) == ("/tmp/sbx-1000", Scope.TREE, True)
    assert Right.CREATE in grant.rights
    assert found.gaps == ()


def test_it_has_a_variable_of_its_own() -> None:
    variables = Variables("/home/ada/work", "/home/ada", "/tmp/sbx-1000")
    assert variables.contract("/tmp/sbx-1000/x") == "$TMPDIR/x"
    assert variables.expand("$TMPDIR/x") == "/tmp/sbx-1000/x"
    with pytest.raises(ValueError, match="unknown variable"):
        variables._replace(temporary="").expand("$TMPDIR")
