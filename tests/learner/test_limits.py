"""Limits as they are written, and how they are held."""

import os
import resource

import pytest
from children import USERS, in_child
from hypothesis import given
from hypothesis import strategies as st

from learner import limits as limiting
from learner.cgroups import Group
from learner.cli.ground import Unconfined
from learner.errors import UsageError
from learner.limits import KINDS, Held, Limited, Limits, hold, parse, tasks_of


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ((), Limits()),
        (("time=300s,memory=2G,procs=200",), Limits(time=300, memory=2 << 30, procs=200)),
        (("time=5m", "files=64"), Limits(time=300, files=64)),
        (("time=2h, cpu=90",), Limits(time=7200, cpu=90)),
        (("memory=512MiB,size=10MB",), Limits(memory=512 << 20, size=10 << 20)),
        (("memory=1048576,size=0",), Limits(memory=1 << 20, size=0)),
        (("memory=1t",), Limits(memory=1 << 40)),
    ],
)
def test_what_is_read(texts: tuple[str, ...], found: Limits) -> None:
    assert parse(texts) == found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", '"" is no limit'),
        ("ram=2G", '"ram=2G" is no limit'),
        ("time", '"time" is no limit'),
        ("time=300s,", '"" is no limit'),
        ("time=", 'time: "" is no value'),
        ("time=-3", 'time: "-3" is no value'),
        ("time=0", "time: 0 is too little"),
        ("time=3G", 'time: "3G" is no value'),
        ("time=3sB", 'time: "3sB" is no value'),
        ("procs=2k", 'procs: "2k" is no value'),
        ("procs=1.5", 'procs: "1.5" is no value'),
        ("files=3", "files: 3 is too little"),
        ("memory=1K", "memory: 1K is too little"),
        ("memory=9999999999999999999", "is no value"),
        ("time=1,time=2", "time is given twice"),
        ("x\x1b[31m=1", "x\\x1b[31m=1"),
    ],
)
def test_what_is_refused_by_name(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse([text])
    assert says in str(caught.value)
    assert caught.value.remedy


def test_the_valid_items_are_named() -> None:
    with pytest.raises(UsageError) as caught:
        parse(["nope=1"])
    assert all(name in caught.value.remedy for name in KINDS)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse([text])
    except UsageError as problem:
        assert min(str(problem)) >= " "


@pytest.fixture
def no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Group, "make", lambda **_: None)


@pytest.mark.usefixtures("no_group")
def test_what_holds_without_a_cgroup() -> None:
    asked = Limits(time=1, cpu=2, memory=1 << 30, procs=4, files=8, size=16)
    user = hold(asked, exempt=False)
    assert user.rlimits == ("cpu", "files", "size", "memory", "procs")
    assert user.unmet == ()
    assert [gap.item for gap in user.gaps] == ["cpu", "memory", "procs", "time"]
    assert user.watched
    root = hold(asked, exempt=True)
    assert [gap.item for gap in root.unmet] == ["procs"]
    assert "procs" not in root.rlimits
    assert not hold(Limits(memory=1 << 30), exempt=False).watched
    assert hold(Limits()) == Held(Limits())


def test_what_a_cgroup_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group("/nowhere", memory=True, procs=False)
    monkeypatch.setattr(Group, "make", lambda **_: group)
    held = hold(Limits(memory=1 << 30, procs=4), exempt=True)
    assert held.rlimits == ()
    assert held.watched
    assert [gap.item for gap in held.unmet] == ["procs"]  # the group has no such controller
    assert held.gaps == ()


def applied(limits: Limits) -> dict[str, list[int]]:
    """The rlimits in a child after ``limits`` were applied there, by item."""
    numbers = {
        "cpu": resource.RLIMIT_CPU,
        "memory": resource.RLIMIT_DATA,
        "procs": resource.RLIMIT_NPROC,
        "files": resource.RLIMIT_NOFILE,
        "size": resource.RLIMIT_FSIZE,
    }

    def work() -> dict[str, list[int]]:
        held = hold(limits, exempt=False)
        Limited(Unconfined(), held).apply()
        return {name: list(resource.getrlimit(number)) for name, number in numbers.items()}

    found = in_child(work)
    assert isinstance(found, dict)
    return found


@pytest.mark.usefixtures("no_group")
def test_rlimits_are_set_and_nothing_else() -> None:
    before = applied(Limits())
    after = applied(Limits(cpu=7, memory=1 << 30, files=32, size=4096))
    assert after == before | {
        "cpu": [7, 8],
        "memory": [1 << 30, 1 << 30],
        "files": [32, 32],
        "size": [4096, 4096],
    }


@pytest.mark.usefixtures("no_group")
def test_a_limit_is_never_raised() -> None:
    def work() -> list[int]:
        resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
        Limited(Unconfined(), hold(Limits(files=4096))).apply()
        return list(resource.getrlimit(resource.RLIMIT_NOFILE))

    assert in_child(work) == [20, 20]


def test_tasks_are_counted() -> None:
    assert tasks_of(os.getuid()) >= 1
    assert tasks_of(4_000_000_000) == 1  # whoever asks is there


@pytest.mark.parametrize("user", USERS)
def test_root_alone_is_exempt(user: int) -> None:
    assert in_child(limiting._exempt, user) == (user == 0)
