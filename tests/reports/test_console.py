import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from rich.console import Console
from samples import VARIABLES, VIBE, profiles

from learner.policy import Grant, Policy, Right, Scope
from learner.profile import Profile
from reports.console import grants_tree, make_console

GOLDEN = Path(__file__).parents[2] / "fixtures/golden/show.txt"


def rendered(profile: Profile, width: int = 80) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, markup=False, emoji=False, highlight=False)
    console.print(grants_tree(profile, VARIABLES))
    return stream.getvalue()


def test_the_tree_is_golden() -> None:
    assert rendered(VIBE) == GOLDEN.read_text()


@settings(max_examples=30)
@given(profiles)
def test_names_cannot_reach_the_terminal(profile: Profile) -> None:
    text = rendered(profile)
    assert not any(ord(c) < 32 and c != "\n" for c in text)
    assert "\u202e" not in text


def test_deep_grants_stay_on_eighty_columns() -> None:
    grants = tuple(Grant("/d" * n, Scope.FILE, Right.READ, ()) for n in range(1, 1200, 3))
    text = rendered(Profile("a", "a", Policy(grants)))
    assert max(len(line) for line in text.splitlines()) <= 80
    assert text.count("read\n") == len(grants)


def test_markup_is_text() -> None:
    profile = Profile("[bold]x", "a", Policy((Grant("/[red]:smile:", Scope.FILE, Right.READ, ()),)))
    assert "/[red]:smile:  read" in rendered(profile)


@pytest.mark.parametrize(("variable", "coloured"), [("NO_COLOR", False), ("FORCE_COLOR", True), (None, False)])
def test_colours_only_where_wanted(
    variable: str | None, coloured: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    if variable:
        monkeypatch.setenv(variable, "1")
    if variable == "NO_COLOR":
        monkeypatch.setenv("FORCE_COLOR", "1")
    make_console().print(grants_tree(VIBE, VARIABLES))
    assert ("\x1b[" in capsys.readouterr().out) is coloured
