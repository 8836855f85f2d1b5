"""The machinery that lets escapes loose, against attempts that go wrong."""

import errno
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from children import NOBODY, area_of
from escaping import OURS, SYSTEM, Nothing, leftovers, let_loose, objects

from learner.enforcers.enforcer import Confinement
from learner.escapes.escape import Escape, Family, Ground, Void, Who
from learner.escapes.outcome import Verdict
from learner.escapes.release import release
from learner.escapes.table import TABLE
from learner.places import Map
from learner.probe import NoAnswer

pytestmark = pytest.mark.kernel


@pytest.fixture(autouse=True)
def _marked_names(monkeypatch: pytest.MonkeyPatch) -> None:
    real = secrets.token_hex
    monkeypatch.setattr(secrets, "token_hex", lambda size: OURS + real(size) if size == 6 else real(size))


def one(places: Map, attempt: Callable[[Ground], object], **more: object) -> tuple[str, str]:
    enforcer = more.pop("enforcer", None)
    escape = Escape("this", Family.FILES, attempt, **more)  # type: ignore[arg-type]
    found, _ = let_loose(places, os.getuid(), enforcer=enforcer, escapes=(escape,), seconds=0.4)  # type: ignore[arg-type]
    return found["this"]


@pytest.fixture
def mine() -> Iterator[Map]:
    with area_of(os.getuid()) as top:
        os.makedirs(f"{top}/home/work")
        yield Map(f"{top}/home/work", f"{top}/home")


def _confined(ground: Ground) -> bool:
    return "/confined/" in ground.secret


def only_confined(problem: Callable[[Ground], object]) -> Callable[[Ground], object]:
    return lambda ground: problem(ground) if _confined(ground) else None


def _raise(code: int) -> None:
    raise OSError(code, "made up")


def _refuse_but_change(ground: Ground) -> None:
    os.chmod(ground.secret, 0o400)
    _raise(errno.EACCES)


def _void(_ground: Ground) -> None:
    raise Void("it is Sunday")


@pytest.mark.parametrize(
    ("attempt", "verdict", "detail"),
    [
        (lambda g: _raise(errno.ENOSYS), "VOID", "unconfined it gives ENOSYS"),
        (_void, "VOID", "it is Sunday"),
        (lambda g: 1 // 0, "VOID", "the attempt is broken: ZeroDivisionError"),
        (lambda g: os.kill(os.getpid(), signal.SIGUSR2), "VOID", "unconfined it gives it died of SIGUSR2"),
        (lambda g: time.sleep(9), "VOID", "unconfined it gives ETIME"),
        (only_confined(lambda g: os.kill(os.getpid(), signal.SIGUSR2)), "FAILED", "it died of SIGUSR2"),
        (only_confined(lambda g: os.kill(os.getpid(), signal.SIGSYS)), "REFUSED", "it died of SIGSYS"),
        (only_confined(lambda g: os._exit(0)), "FAILED", "it died of"),
        (only_confined(lambda g: time.sleep(9)), "FAILED", "ETIME, which is no refusal"),
        (only_confined(lambda g: _raise(errno.EINVAL)), "FAILED", "EINVAL, which is no refusal"),
        (only_confined(lambda g: _raise(errno.EACCES)), "REFUSED", "EACCES"),
        (only_confined(_refuse_but_change), "FAILED", "EACCES, but what is outside has changed"),
        (lambda g: None, "FAILED", "it got through"),
    ],
)
def test_whatever_an_attempt_does_is_a_result(
    attempt: Callable[[Ground], object], verdict: str, detail: str, mine: Map
) -> None:
    found = one(mine, attempt)
    assert found[0] == verdict
    assert found[1].startswith(detail)
    assert leftovers(mine) == []


def test_a_twin_that_is_refused_is_found_out(mine: Map) -> None:
    def refused(ground: Ground) -> None:
        ground.read(ground.secret)

    found = one(mine, refused, twin=refused)
    assert found == ("FAILED", "what is granted is refused as well: EACCES")


def test_attempts_cannot_spoil_each_other(mine: Map) -> None:
    marker = f"{mine.home}/still-running"

    def ruin(_ground: Ground) -> None:
        os.closerange(3, 20)
        os.chdir("/")
        os.umask(0o777)
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))

    def linger(_ground: Ground) -> None:
        if os.fork() == 0:
            time.sleep(1)
            Path(marker).touch()
            os._exit(0)

    escapes = (
        Escape("ruin", Family.FILES, ruin),
        Escape("linger", Family.FILES, linger),
        Escape("read", Family.FILES, lambda g: g.read(g.secret)),
    )
    started = time.monotonic()
    found, _ = let_loose(mine, os.getuid(), enforcer=Nothing("metadata"), escapes=escapes)
    assert found["read"] == ("FAILED", "it got through, and the enforcer does not say so")
    assert time.monotonic() - started < 0.9
    time.sleep(max(0, started + 1.3 - time.monotonic()))
    assert not os.path.exists(marker)
    assert leftovers(mine) == []


def test_nothing_stays_after_an_error(mine: Map) -> None:
    before = objects()
    with pytest.raises(NoAnswer, match="broken"):
        release(SYSTEM, mine, Nothing(instead=lambda: _raise_broken()))
    assert leftovers(mine) == []
    assert objects() == before


def _raise_broken() -> None:
    raise OSError(1, "broken")


def test_changed_settings_are_told(mine: Map, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = Path(mine.home, "core_pattern")
    setting.write_text("core")
    monkeypatch.setattr("learner.escapes.kernel.settings", lambda: [str(setting)])
    escape = Escape("this", Family.KERNEL, only_confined(lambda g: setting.write_text("|/evil")))
    found = release(SYSTEM, mine, Nothing(), (escape,))
    assert found.changed == (f"{setting} is no longer what it was",)


def test_without_namespaces_what_needs_them_is_void(mine: Map, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_flags: int) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("learner.escapes.release.own_mounts", refuse)
    nested = tuple(e for e in TABLE if e.nested)
    found, _ = let_loose(mine, os.getuid(), enforcer=Nothing(), escapes=nested)
    assert len(found) == len(nested)
    for verdict in found.values():
        assert verdict == (
            "VOID",
            "no network namespace of the test's own can be made: Operation not permitted",
        )


def test_nobody_is_an_ordinary_user() -> None:
    assert Who.USER.fits(NOBODY)
    assert not Who.ROOT.fits(NOBODY)
    assert Who.ANYONE.fits(0) and Who.ROOT.fits(0) and not Who.USER.fits(0)


def test_verdicts_have_words() -> None:
    assert [v.value for v in Verdict] == ["refused", "through as a stated gap", "void", "FAILED"]


def test_confinement_is_all_that_is_needed() -> None:
    """The suite depends on nothing of an enforcer but its protocol."""
    nothing: Confinement = Nothing()
    nothing.apply()
    nothing.close()
