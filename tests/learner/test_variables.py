import os
from pathlib import Path

import pytest
from hypothesis import given
from samples import VARIABLES, hostile_names, paths

from learner.errors import UsageError
from learner.variables import Variables, home_directory


@given(paths)
def test_every_path_survives(path: str) -> None:
    text = VARIABLES.contract(path)
    assert text.isprintable() or " " in text or not text.isascii()
    assert "\n" not in text
    text.encode()
    assert VARIABLES.expand(text) == path


@given(hostile_names)
def test_what_is_no_path_survives(name: str) -> None:
    assert VARIABLES.expand_any(VARIABLES.contract(name)) == name


def test_a_path_of_four_thousand_bytes_survives() -> None:
    path = VARIABLES.home + "/\udcff'\n" * 1000
    assert VARIABLES.expand(VARIABLES.contract(path)) == path


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/home/ada", "$HOME"),
        ("/home/ada/x", "$HOME/x"),
        ("/home/adam/x", "/home/adam/x"),
        ("/home/ada/work/engine", "$PROJECT"),
        ("/home/ada/work/engine/a b", "$PROJECT/a b"),
        ("/home/ada/work/engine2", "$HOME/work/engine2"),
        ("/$HOME/x", "/$$HOME/x"),
        ("/home/ada/$x", "$HOME/$$x"),
        ("/", "/"),
        ("/a\nb", "/a\\x0ab"),
    ],
)
def test_the_longest_directory_becomes_its_variable(path: str, text: str) -> None:
    assert VARIABLES.contract(path) == text
    assert VARIABLES.expand(text) == path


def test_home_is_preferred_to_a_project_that_is_the_same_directory() -> None:
    assert Variables(project="/home/ada", home="/home/ada").contract("/home/ada/x") == "$HOME/x"


def test_the_root_directory_is_never_written_as_a_variable() -> None:
    at_root = Variables(project="/", home="/")
    assert at_root.contract("/etc/passwd") == "/etc/passwd"
    assert at_root.expand("$HOME/x") == "/x"
    assert at_root.expand("$PROJECT") == "/"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("$CARGO_HOME/bin", "unknown variable $CARGO_HOME"),
        ("src/x", "relative path"),
        ("", "relative path"),
        ("$HOMEx", "unknown variable $HOMEx"),
        ("$HOME/../root", "holds '..'"),
        ("$HOME/\\x2e\\x2e/root", "holds '..'"),
        ("/a$b", "lone $"),
        ("/a\\b", "stray backslash"),
        ("/a\\x00", "NUL"),
    ],
)
def test_a_text_that_stands_for_no_path_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint.replace("$", r"\$").replace(".", r"\.")):
        VARIABLES.expand(text)


def test_a_hand_written_directory_may_end_in_a_slash() -> None:
    assert VARIABLES.expand("$HOME//a/./b/") == "/home/ada/a/b"


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    (home / "work/engine/.git").mkdir(parents=True)
    (home / "work/engine/src").mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home


def test_the_project_is_the_top_of_the_git_repository(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(account / "work/engine/src")
    assert Variables.here()[:2] == Variables(str(account / "work/engine"), str(account))[:2]


def test_a_worktree_has_a_git_file(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (account / "tree/src").mkdir(parents=True)
    (account / "tree/.git").write_text("gitdir: elsewhere\n")
    monkeypatch.chdir(account / "tree/src")
    assert Variables.here().project == str(account / "tree")


def test_outside_a_repository_the_project_is_the_current_directory(
    account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(account / "work")
    assert Variables.here().project == str(account / "work")


def test_a_repository_of_the_whole_home_is_no_project(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (account / ".git").mkdir()
    monkeypatch.chdir(account / "work")
    assert Variables.here().project == str(account / "work")
    (account.parent / ".git").mkdir()
    monkeypatch.chdir(account)
    assert Variables.here().project == str(account)


def test_links_to_the_project_and_home_are_resolved(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = account.parent / "link"
    link.symlink_to(account)
    monkeypatch.setenv("HOME", str(link))
    monkeypatch.chdir(link / "work/engine")
    assert Variables.here()[:2] == Variables(str(account / "work/engine"), str(account))[:2]


@pytest.mark.parametrize("value", [None, "", "relative"])
def test_without_a_usable_home_the_account_tells(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if value is None:
        monkeypatch.delenv("HOME", raising=False)
    else:
        monkeypatch.setenv("HOME", value)
    assert home_directory().startswith("/")
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    assert home_directory() == "/"


def test_a_deleted_current_directory_is_said_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(UsageError, match="the current directory has been deleted") as caught:
        Variables.here()
    assert caught.value.remedy
