import os
from pathlib import Path

import pytest

from learner.agent import Agent, Known, Source
from learner.errors import InputFileError, UsageError
from learner.history import find_profile, keep, kept, version_of
from learner.policy import Policy
from learner.profile import Profile
from learner.store import profile_path, write_atomically


@pytest.fixture(autouse=True)
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def profile(version: str = "", digest: str = "") -> Profile:
    known = Known(version, "p", Source.DIST_INFO) if version else None
    return Profile("vibe", "vibe", Policy(), agent=Agent("vibe", "/bin/vibe", digest, known))


def test_each_version_is_kept_once_for_its_owner_alone() -> None:
    for version in ("2.10.0", "2.9.1", "3.0.3", "2.9.1"):
        keep("vibe", profile(version), f"# {version}\n")
    assert [one.version for one in kept("vibe")] == ["2.9.1", "2.10.0", "3.0.3"]
    for one in kept("vibe"):
        assert Path(one.path).read_text() == f"# {one.version}\n"
        assert os.stat(one.path).st_mode & 0o777 == 0o600
        assert os.stat(os.path.dirname(one.path)).st_mode & 0o777 == 0o700
    assert kept("other") == ()


def test_the_name_of_a_version() -> None:
    assert version_of(profile("3.0.3+local/../x")) == "3.0.3+local-..-x"
    assert version_of(profile("../..")) == "unversioned"
    assert version_of(profile("", "ab" * 32)) == "sha256-abababababab"
    assert version_of(Profile("vibe", "vibe", Policy())) == "unversioned"


def test_found_by_version_or_its_beginning() -> None:
    for version in ("2.2.0", "2.26.1", "3.0.3"):
        keep("vibe", profile(version), "")
    found = {one.version: one.path for one in kept("vibe")}
    assert find_profile("vibe@3") == found["3.0.3"]
    assert find_profile("vibe@2.26") == found["2.26.1"]
    assert find_profile("vibe@2.2.0") == found["2.2.0"]
    with pytest.raises(UsageError, match=r"could be any of 2\.2\.0, 2\.26\.1"):
        find_profile("vibe@2.2")
    with pytest.raises(InputFileError, match="no version 9"):
        find_profile("vibe@9")
    with pytest.raises(InputFileError, match="no version "):
        find_profile("vibe@")
    with pytest.raises(InputFileError, match="no earlier versions"):
        find_profile("nope@1")
    with pytest.raises(UsageError):
        find_profile("a b@1")


def test_a_profile_of_that_very_name_comes_first() -> None:
    write_atomically(profile_path("me@home"), b"")
    keep("me", profile("home"), "")
    assert find_profile("me@home") == profile_path("me@home")
    assert find_profile("me") == profile_path("me")
    assert find_profile("./x@1.toml") == "./x@1.toml"
