"""What notify puts off: it is told in time, and means what it meant when it was asked."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracers import report as reports
from tracers.abi import X86_64
from tracers.entry import Entry, Plan, plans
from tracers.events import Event, PathTarget
from tracers.lookups import touched
from tracers.report import Report
from tracers.tracee import Task

PLANS = {plan.name: plan for plan in plans(X86_64).values()}
STAT = PLANS["stat"]


class Sink:
    """Keeps the paths that it was told of."""

    def __init__(self) -> None:
        self.told: list[bytes] = []
        self.modes: list[int] = []

    def event(self, event: Event) -> bool:
        assert isinstance(event.target, PathTarget) and isinstance(event.target.path, bytes)
        self.told.append(event.target.path)
        self.modes.append(event.mode)
        return event.target.path != b"/unsteady"

    def forget(self) -> None:
        pass

    def links(self) -> set[str]:
        return set()


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def report(sink: Sink) -> Iterator[Report]:
    task = Task(os.getpid(), os.getpid(), 0)
    yield Report({task.tid: task}, task, sink)


def put_off(report: Report, *paths: bytes, base: bytes = b"") -> None:
    task = Task(os.getpid(), os.getpid(), 0)
    for path in paths:
        report.defer(task, (STAT, 0, path, base), 0, (STAT.name, path), stat.S_IFREG | 0o644)


def change(plan: Plan, *paths: bytes) -> Entry:
    return Entry(plan, 0, paths, tuple(b"" for _ in paths))


def test_is_told_in_order_and_a_part_at_a_time(report: Report, sink: Sink) -> None:
    put_off(report, b"/a", b"/b", b"/c")
    assert report.deferred and not sink.told
    report.flush(2)
    assert sink.told == [b"/a", b"/b"] and report.deferred
    report.flush()
    assert sink.told == [b"/a", b"/b", b"/c"] and not report.deferred
    assert set(sink.modes) == {stat.S_IFREG}


def test_what_cannot_be_repeated_is_not_remembered(report: Report) -> None:
    put_off(report, b"/steady", b"/unsteady")
    assert report.seen == {("stat", b"/steady"), ("stat", b"/unsteady")}
    report.flush()
    assert report.seen == {("stat", b"/steady")}


def test_a_change_brings_forward_what_it_touches_and_no_more(report: Report, sink: Sink, scratch: Path) -> None:
    task, here = Task(os.getpid(), os.getpid(), 0), os.fsencode(scratch)
    put_off(report, here + b"/kept", here + b"/gone", here + b"/gone/below")
    put_off(report, b"relative", base=here + b"/gone")
    report.flush_before(task, change(PLANS["mkdir"], here + b"/new"))
    assert sink.told == []
    report.flush_before(task, change(PLANS["unlink"], here + b"/gone"))
    assert sink.told == [here + b"/gone", here + b"/gone/below", b"relative"]
    report.flush_before(task, change(PLANS["stat"], here + b"/kept"))
    assert report.deferred
    report.flush_before(task, change(PLANS["chmod"], here + b"/another"))
    assert not report.deferred and sink.told[-1] == here + b"/kept"


def test_a_socket_touches_its_name(report: Report, sink: Sink) -> None:
    task = Task(os.getpid(), os.getpid(), 0)
    put_off(report, b"/run/one.socket", b"/run/two.socket")
    named = Entry(PLANS["bind"], 0, (), (b"/",), data=((b"\1\0/run/two.socket\0", b""),))
    report.flush_before(task, named)
    assert sink.told == [b"/run/two.socket"]
    report.flush_before(task, named._replace(data=((b"\1\0\0abstract", b""),)))
    assert not report.deferred  # nothing is known of what it makes


def test_is_due_when_it_is_old_or_much(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    put_off(report, b"/a")
    assert not report.overdue
    monkeypatch.setattr(reports, "MAX_LATER", 2)
    put_off(report, b"/b")
    assert report.overdue
    report.flush()
    put_off(report, b"/c")
    assert not report.overdue
    monkeypatch.setattr(reports, "LATER_SECONDS", 0.0)
    assert report.overdue


def test_what_a_change_touches(scratch: Path) -> None:
    here = os.fsencode(scratch)
    file, directory, link = here + b"/file", here + b"/directory", here + b"/link"
    (scratch / "file").touch()
    (scratch / "directory").mkdir()
    (scratch / "link").symlink_to("file")
    new = here + b"/new"
    for call, names, parts in (
        ("mkdir", [new], {b"new"}),
        ("openat", [new + b"/"], {b"new"}),
        ("rmdir", [directory], {b"directory"}),
        ("unlink", [file], {b"file"}),
        ("rename", [file, new], {b"file", b"new"}),
        ("link", [file, new], {b"file", b"new"}),
        ("stat", [file], set()),
        ("truncate", [file], set()),
        ("utimensat", [link], set()),
        # Paths that do not name what is changed may run through it.
        ("unlink", [link], None),
        ("rename", [link, new], None),
        ("rename", [file, link], None),
        ("rename", [directory, new], None),
        ("rename", [new, directory], None),
        ("openat", [link], None),
        ("symlink", [new], None),
        ("mount", [directory], None),
        ("unshare", [], None),
        ("chmod", [directory], None),
        ("setxattr", [file], None),
        ("mkdir", [b""], None),
        ("mkdir", [here + b"/x/.."], None),
        ("bind", [], None),
    ):
        assert touched(call, names) == (parts if parts is None else frozenset(parts)), (call, names)
