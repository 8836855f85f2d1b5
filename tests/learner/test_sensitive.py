import re

import pytest
from accesses import HOME, PROJECT

from learner.policy import Right
from learner.sensitive import CATALOGUE, Catalogue, Concern, Entry

FOUND = Catalogue(HOME)
ANYTHING = ~Right(0)


def example(entry: Entry) -> str:
    """A path that fits the pattern."""
    path = entry.pattern.replace("**/", "/srv/app/", 1) if entry.pattern.startswith("**/") else entry.pattern
    path = path.replace("~", HOME, 1) if path.startswith("~/") else path
    return re.sub(r"\*", "1", re.sub(r"/\*\*$", "/one/two", path))


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda e: e.pattern)
def test_each_entry_matches_its_own_and_not_its_neighbour(entry: Entry) -> None:
    path = example(entry)
    match = FOUND.match(path, ANYTHING)
    assert match is not None
    assert match.reason == entry.reason
    assert match.concern is entry.concern
    assert FOUND.match(path + "\n", Right.READ) is None or entry.pattern.endswith("*")
    neighbour = re.sub(r"(?<=/)([^/]+)(?=(/one/two)?$)", r"x\1", path)
    assert neighbour != path
    assert FOUND.match(neighbour, ANYTHING) is None or entry.pattern.endswith("/*")
    if entry.pattern.startswith("~/"):
        assert FOUND.match(path.replace(HOME, HOME + "x"), ANYTHING) is None
        assert FOUND.match("/srv" + path, ANYTHING) is None
    if entry.pattern.endswith("/**"):
        assert FOUND.match(path.removesuffix("/one/two"), ANYTHING) is entry


@pytest.mark.parametrize("entry", [e for e in CATALOGUE if e.concern is Concern.CHANGE], ids=lambda e: e.pattern)
def test_reading_what_only_must_not_change(entry: Entry) -> None:
    assert FOUND.match(example(entry), Right.READ | Right.LIST | Right.EXEC) is None
    for right in (Right.WRITE, Right.TRUNCATE, Right.CREATE, Right.REMOVE, Right.ATTRIBUTES, Right.MOVE):
        match = FOUND.match(example(entry), right | Right.READ)
        assert match is not None
        assert match.reason == entry.reason


@pytest.mark.parametrize("word", ["example", "sample", "template", "dist", "default", "defaults"])
def test_examples_of_environment_files_hold_no_secret(word: str) -> None:
    assert FOUND.match(f"{PROJECT}/.env.{word}", ANYTHING) is None
    assert FOUND.match(f"{PROJECT}/.env.{word}\n", ANYTHING) is not None
    assert FOUND.match(f"{HOME}/.ssh/.env.{word}", ANYTHING) is not None


@pytest.mark.parametrize("name", [".env", ".env.local", ".env.production", ".env.example.local"])
def test_environment_files(name: str) -> None:
    assert FOUND.match(f"{PROJECT}/deep/{name}", Right.READ) is not None
    assert FOUND.match(f"/{name}", Right.READ) is not None


def test_the_environment_of_others() -> None:
    for path in ("/proc/123/environ", "/proc/123/task/124/environ", "/proc/1/mem"):
        assert FOUND.match(path, Right.READ) is not None
    for path in (
        "/proc/self/environ",
        "/proc/thread-self/environ",
        "/proc/self/mem",
        "/proc/123/status",
        "/proc/environ",
    ):
        assert FOUND.match(path, Right.READ) is None


def test_whatever_is_a_concern_when_read_comes_first() -> None:
    inside = f"{HOME}/.config/systemd/user/.env"  # `runs at login` only concerns changes
    match = FOUND.match(inside, Right.READ)
    assert match is not None
    assert match.pattern == "**/.env"


def test_ordinary_files() -> None:
    for path in (
        "/",
        HOME,
        PROJECT,
        f"{PROJECT}/README.md",
        "/etc/passwd",
        "/usr/bin/env",
        f"{HOME}/.vibe/config.toml",
    ):
        assert FOUND.match(path, ANYTHING) is None


def test_names_with_newlines_and_homes_with_patterns() -> None:
    assert FOUND.match(f"{HOME}/.ssh/a\nb", Right.READ) is not None
    odd = Catalogue("/home/a.b+(c)")
    assert odd.match("/home/a.b+(c)/.netrc", Right.READ) is not None
    assert odd.match("/home/aXb+(c)/.netrc", Right.READ) is None
    assert Catalogue("/").match("/.netrc", Right.READ) is not None
