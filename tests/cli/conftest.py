"""An account with a home of its own, a project in it, and one profile."""

from pathlib import Path

import pytest
from samples import VARIABLES, VIBE

from learner.profile import dumps
from learner.store import profile_path, write_atomically
from learner.variables import Variables


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Variables:
    """The variables of an account whose current directory is its project."""
    home = tmp_path / "home"
    project = home / "work/engine"
    (project / ".git").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.chdir(project)
    return Variables.here()


@pytest.fixture
def vibe(account: Variables) -> str:
    """The file of the profile ``vibe``, the sample moved to this account."""
    path = profile_path("vibe")
    write_atomically(path, dumps(VIBE, VARIABLES).encode())
    return path
