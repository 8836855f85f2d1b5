"""Fixtures for all tests.

pytest imports tests by path (``--import-mode=importlib``), so helper modules beside this file are found only
because their directory is put on ``sys.path`` here. The repository's root goes last: an installed sbx wins.
"""

import signal
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


def pytest_configure() -> None:
    """Begin every run with the signals of a terminal's foreground job.

    A shell without job control starts background jobs with SIGINT and SIGQUIT ignored (POSIX, 2.11 of the shell's
    chapter), nohup with SIGHUP; both are inherited, and a test that interrupts itself would wait for ever.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


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
