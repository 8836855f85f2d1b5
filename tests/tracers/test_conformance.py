"""Every tracer against one oracle: plain ``strace -f`` says what happened, and each of them must say the same.

    SBX_CONFORMANCE=20 pytest tests/tracers/test_conformance.py -k ptrace

A tracer of its own joins by a line in :data:`SUBJECTS`.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import dns.message  # noqa: F401 - imported late by a tracer; here the first trace must not wait for it
import pytest
from capability import require
from programs import names

from learner.access import Meaning, meaning
from learner.recorder import Recorder
from learner.trace import Header, Trace
from tracers import bpf_loading, strace
from tracers.ebpf import EbpfTracer
from tracers.events import Operation
from tracers.notify import NotifyTracer
from tracers.ptrace import PtraceTracer
from tracers.strace import StraceTracer
from tracers.tracer import Command, TraceEnd, Tracer

pytestmark = pytest.mark.kernel

REPETITIONS = int(os.environ.get("SBX_CONFORMANCE", "2"))
"""How often each program is traced by each tracer; every time must be right."""

CHANGES = "rename,renameat,renameat2,unlink,unlinkat,rmdir,symlink,symlinkat,chdir,fchdir,execve,execveat"
DELAYS = (5_000, 50_000, 500_000)
"""strace does not wait until we have read its output, so a failed lookup is resolved a little later. Its programs wait
this long (µs) before they change what names mean; and once more, for longer, if we were too slow all the same."""

GONE_AT_ONCE = frozenset({"magic"})
"""Programs with a child that ends right after a lookup of what only it can see."""

VARIES = (
    (re.compile(r"(127\.0\.0\.1):\d{5}/"), r"\1:EPHEMERAL/"),
    (re.compile(r"/cc\w{6}(?=\.|$)"), "/ccRANDOM"),  # gcc's temporary files
)


class Happened(NamedTuple):
    """What must be equal: who attempted what on which object, by way of which links, and how it went."""

    program: str
    operation: str
    object: str
    outcome: int
    links: tuple[str, ...] = ()


class Case(NamedTuple):
    """A command; ``prepare`` fills the directory that it runs in, ``{}`` in its words stands for that."""

    argv: tuple[str, ...]
    prepare: Callable[[Path], None] = lambda _: None


def _repository(directory: Path) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    dates = {f"GIT_{who}_DATE": "2001-09-09T01:46:40Z" for who in ("AUTHOR", "COMMITTER")}
    (directory / "file").write_text("text\n")
    os.utime(directory / "file", (1e9, 1e9))  # not as new as the index: git would have to look into it, or not
    for words in (("init", "-q"), ("add", "."), (*identity, "commit", "-qm", "first")):
        subprocess.run(["git", "-C", directory, *words], check=True, env={**os.environ, **dates})
    (directory / "untracked").touch()


def _source(directory: Path) -> None:
    (directory / "main.c").write_text("#include <stdio.h>\nint x;\n")


SHELL = """
mkdir a b; cd a; echo x > file; ln -s file link; cat link; ln link hard; mv file ../b/moved; cat link
ln -sfn ../b away; cat away/moved; mv ../b/moved ./link; cat link; cd ..; rm -r a; cd b; rmdir ../b; cat gone
"""

COMMANDS = {
    "git": Case(("git", "status"), _repository),
    "shell": Case(("sh", "-c", SHELL)),
    "gcc": Case(("gcc", "-c", "main.c"), _source),
    "python": Case((sys.executable, "-I", "-S", "-c", "import json, threading")),
    "forks": Case(("sh", "-c", "i=0; while [ $i -lt 500 ]; do (test -e no-$((i % 7))); i=$((i+1)); done")),
    "spawns": Case(("sh", "-c", "for i in 1 2 3 4 5 6 7 8; do (cd /usr; /bin/true; cat no-$i) & done; wait; exit 3")),
    "killed": Case(("sh", "-c", "kill -TERM $$")),
    "unshared": Case(("unshare", "-rm", "sh", "-c", "cat /etc/hostname; cat no; cd /usr; cat no")),
}


def trace(tracer: Tracer, argv: tuple[str, ...]) -> tuple[Trace, TraceEnd]:
    recorder = Recorder(Header("", "/", "/", "/", 0, tracer.name, "", 0.0), tracer.programs)
    file = shutil.which(argv[0])
    assert file is not None
    end = tracer.run(Command(file, argv), recorder)
    return recorder.finish(end), end


def happened(found: Trace, directory: Path) -> set[Happened]:
    def turn(text: str) -> str:
        text = text.replace(str(directory), "S").replace(str(directory.parent), "P")
        for pattern, replacement in VARIES:
            text = pattern.sub(replacement, text)
        return text

    return {
        Happened(
            found.programs[a.program].label, a.operation, turn(a.object), a.outcome, tuple(turn(x) for x in a.links)
        )
        for a in found.accesses
    }


def no_difference(name: str, oracle: set[Happened]) -> set[Happened]:
    """What a tracer must say that looks on as strace does."""
    return oracle


def of_our_own(name: str, oracle: set[Happened]) -> set[Happened]:
    """What a tracer must say that has a filter of ours: the same, but for two stated differences."""
    if name == "io_uring":
        # strace lets the program use a ring and never sees its open; here it is refused one and opens the usual way.
        ring = Happened("io_uring", "io_uring", "io_uring_setup", 0)
        if ring in oracle:
            opened = Happened("io_uring", "read", "S/asked-of-the-ring", 2)
            return oracle - {ring} | {ring._replace(outcome=38), opened}
    if name == "x32" and os.uname().machine == "x86_64":
        # strace 6.1 prints an openat that it cannot read; the kernel refused a call of another ABI.
        return oracle | {Happened("x32", "foreign-abi", "x32:257", 38)}
    return oracle


def watching(name: str, oracle: set[Happened]) -> set[Happened]:
    """What a tracer must say that neither uses ptrace nor sees a ring."""
    if name == "nested_ptrace":
        return {x._replace(outcome=0) if x.operation == "ptrace" else x for x in oracle}
    return of_our_own(name, oracle)


def deduced(name: str, oracle: set[Happened]) -> set[Happened]:
    """What a tracer must say that does not see outcomes: what one of ours says, but for what needs no lookup."""
    wanted = of_our_own(name, oracle)
    if name == "nested_ptrace":
        # Nobody traces the program, so it may.
        return {x._replace(outcome=0) if x.operation == "ptrace" else x for x in wanted}
    if name == "unfinished":
        # What could be opened counts as opened, although its caller died waiting for the other end.
        return wanted | {Happened("unfinished", "read", "S/fifo", 0)}
    return wanted


def reached(happened: Happened) -> Happened:
    """An error that comes after all lookups and permissions means what success means (:mod:`learner.access`)."""
    done = meaning(Operation(happened.operation), happened.outcome) is Meaning.DONE
    return happened._replace(outcome=0) if done else happened


class Subject(NamedTuple):
    """A tracer under test.

    ``expected``: what it must say of a program where the oracle said a set. ``comparable``: applied to both sides
    before they are compared. ``lags``: it does not wait for us, so that its programs must (:data:`DELAYS`).
    ``obstacle``: why it cannot work on this machine, empty if it can.
    """

    make: Callable[[], Tracer]
    expected: Callable[[str, set[Happened]], set[Happened]]
    comparable: Callable[[Happened], Happened] = lambda happened: happened
    lags: bool = False
    obstacle: Callable[[], str] = lambda: ""


SUBJECTS = {
    "notify": Subject(NotifyTracer, deduced, reached),
    "ptrace": Subject(PtraceTracer, of_our_own),
    "ebpf": Subject(EbpfTracer, watching, obstacle=lambda: bpf_loading.available() or ""),
    "strace": Subject(StraceTracer, no_difference, lags=True),
}


def difference(found: set[Happened], wanted: set[Happened]) -> list[str]:
    lacking = [f"only the oracle: {x}" for x in sorted(wanted - found)]
    return lacking + [f"not the oracle: {x}" for x in sorted(found - wanted)]


@pytest.fixture(autouse=True)
def _oracle() -> None:
    require(shutil.which("strace"), "strace is not installed (Debian: apt install strace)")


@contextlib.contextmanager
def slowed(monkeypatch: pytest.MonkeyPatch, microseconds: int, name: str) -> Iterator[None]:
    options = strace._options
    delays = [f"-einject={','.join('?' + call for call in CHANGES.split(','))}:delay_enter={microseconds}"]
    if name in GONE_AT_ONCE:
        delays.append(f"-einject=openat:delay_exit={microseconds}")
    with monkeypatch.context() as patch:
        patch.setattr(strace, "_options", lambda output, seccomp: [*delays, *options(output, seccomp)])
        yield


_oracles: dict[tuple[str, int], set[Happened]] = {}
"""What the oracle said of a program at a delay: asked once, for all tracers."""


def conform(name: str, case: Case, subject: Subject, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require(shutil.which(case.argv[0]), f"{case.argv[0]} is not installed")
    obstacle = subject.obstacle()
    require(not obstacle, obstacle)
    number = 0

    def fresh() -> tuple[tuple[str, ...], Path]:
        nonlocal number
        number += 1
        directory = scratch / f"{number:02}"
        directory.mkdir()
        case.prepare(directory)
        monkeypatch.chdir(directory)
        return tuple(word.format(directory) if word == "{}" else word for word in case.argv), directory

    argv, _ = fresh()
    done = subprocess.run(argv, check=False, capture_output=True)
    status = done.returncode if done.returncode >= 0 else 128 - done.returncode

    def attempts(tracer: Tracer) -> set[Happened]:
        argv, directory = fresh()
        said, end = trace(tracer, argv)
        assert (end.status, end.lost, end.launch_errno, end.interrupted) == (status, 0, 0, False)
        assert said.end is not None and said.end.lost == 0
        return happened(said, directory)

    def oracle(delay: int) -> set[Happened]:
        if (name, delay) not in _oracles:
            with slowed(monkeypatch, delay, name):
                _oracles[name, delay] = attempts(StraceTracer(seccomp=False))
        return _oracles[name, delay]

    for _ in range(REPETITIONS):
        found = None if subject.lags else attempts(subject.make())
        for delay in DELAYS:
            wanted = subject.expected(name, oracle(delay))
            if subject.lags:
                with slowed(monkeypatch, delay, name):
                    found = attempts(subject.make())
            wrong = difference({subject.comparable(x) for x in found or ()}, {subject.comparable(x) for x in wanted})
            if not wrong:
                break
        assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("tracer", sorted(SUBJECTS))
@pytest.mark.parametrize("name", names())
def test_programs(
    name: str, tracer: str, programs: Callable[[str], Path], scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conform(name, Case((str(programs(name)), "{}")), SUBJECTS[tracer], scratch, monkeypatch)


@pytest.mark.parametrize("tracer", sorted(SUBJECTS))
@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_commands(name: str, tracer: str, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conform(name, COMMANDS[name], SUBJECTS[tracer], scratch, monkeypatch)
