"""Fixtures for all tests.

pytest imports tests by path (``--import-mode=importlib``), so helper modules beside this file are found only
because their directory is put on ``sys.path`` here. The repository's root goes last: an installed sbx wins.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
for _directory in (TESTS, TESTS.parent):
    if str(_directory) not in sys.path:
        sys.path.append(str(_directory))

import capability  # noqa: E402
from programs import build  # noqa: E402


@pytest.fixture
def require() -> Callable[[object, str], None]:
    """``require(capability, reason)``: skip, or fail in CI, unless the capability is there."""
    return capability.require


@pytest.fixture(scope="session")
def cache_directory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that outlives this run of the tests, where pytest keeps one."""
    cache = getattr(request.config, "cache", None)
    return Path(cache.mkdir("sbx")) if cache is not None else tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def programs(cache_directory: Path) -> Callable[[str], Path]:
    """``programs(NAME)``: the path of the compiled ``fixtures/programs/NAME.c``."""
    directory = cache_directory.resolve() / "programs"
    return lambda name: build(name, directory)


@pytest.fixture
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty directory whose path has no symlink and no test's name in it."""
    return tmp_path_factory.mktemp("scratch").resolve()
