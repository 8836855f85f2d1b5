"""Each cause that the kernel can bring about here, by a real program that fails of it."""

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from capability import require

from learner.command import find
from learner.diagnosis.case import Diagnosis
from learner.diagnosis.rules import RULES
from learner.diagnosis.session import Subject, examine
from learner.enforcers.choice import EnforcerName, choose, layered_obstacle
from learner.policy import Grant, Policy, Right, Scope
from learner.profile import Profile
from learner.session import derive, make_tracer, record
from learner.variables import Variables
from tracers.tracer import TracerName

pytestmark = pytest.mark.kernel

LANDLOCK, LAYERED = EnforcerName.LANDLOCK, EnforcerName.LAYERED
PYTHON = "#!/usr/bin/python3 -I\nimport os, socket, sys\nfail = len(sys.argv) > 1\n"
SHELL = "#!/bin/sh\n"


class Cause(NamedTuple):
    """``script`` works when it is recorded, and fails with an argument, or where what ``lacks`` names is taken away.

    ``lacks``: beneath the directory; ``change`` is what happens to the directory in between; ``shown``: a part of the
    sentence. ``rights`` stay, on what is taken away or on ``kept``. ``without``: a variable that is not passed;
    ``offline``: no grant of the network is left.
    """

    rule: str
    script: str
    lacks: str = ""
    enforcer: EnforcerName = LANDLOCK
    prepare: Callable[[Path], object] = lambda _top: None
    change: Callable[[Path], object] = lambda _top: None
    shown: str = ""
    without: str = ""
    rights: Right | None = None
    kept: str | None = None
    offline: bool = False


def script(name: str, text: str) -> Callable[[Path], None]:
    def make(top: Path) -> None:
        (top / name).write_text(text)
        (top / name).chmod(0o755)

    return make


def linked(top: Path) -> None:
    (top / "data").mkdir()
    (top / "data/real").write_text("x\n")
    (top / "link").symlink_to("data/real")


def several(*names: str) -> Callable[[Path], None]:
    def make(top: Path) -> None:
        for name in names:
            (top / name).mkdir(parents=True)
            (top / name / "file").write_text("x\n")

    return make


TWO = "import os; os.rename('{top}/a/file', '{top}/b/file')"
CAUSES = (
    Cause(
        "not-executable",
        PYTHON + "if fail: os.execv('{top}/data', ['d'])",
        prepare=script("data", "x"),
        change=lambda top: (top / "data").chmod(0o644),
    ),
    Cause("format", PYTHON + "if fail: os.execv('{top}/data', ['d'])", prepare=script("data", "x")),
    Cause("shebang-missing", PYTHON + "if fail: os.execv('{top}/s', ['s'])", prepare=script("s", "#!/no/such/sh\n")),
    Cause("env-split", PYTHON + "if fail: os.execv('{top}/s', ['s'])", prepare=script("s", "#!/usr/bin/env sh -e\n")),
    Cause(
        "dangling-link",
        PYTHON + "if fail: os.execv('{top}/gone', ['s'])",
        prepare=lambda top: (top / "gone").symlink_to("nowhere"),
    ),
    Cause("not-found", PYTHON + "if fail: os.execv('{top}/none', ['s'])"),
    Cause("arguments", PYTHON + "if fail: os.execv('/bin/true', ['x' * 3_000_000])"),
    Cause(
        "program-hidden", SHELL + "[ $# = 0 ] || sleep 0", enforcer=LAYERED, rights=Right.LIST, shown="/usr/bin/sleep"
    ),
    Cause("program-hidden", SHELL + "{top}/tool2", "tool2", prepare=script("tool2", SHELL)),
    Cause(
        "program-link",
        SHELL + "{top}/link",
        "bin/real",
        prepare=lambda top: (
            (top / "bin").mkdir(),
            script("bin/real", SHELL)(top),
            (top / "link").symlink_to("bin/real"),
        ),
    ),
    Cause(
        "exec-link-hidden",
        SHELL + "{top}/d/link",
        "d/link",
        LAYERED,
        prepare=lambda top: (
            (top / "bin").mkdir(),
            (top / "d").mkdir(),
            script("bin/real", SHELL)(top),
            (top / "d/link").symlink_to("../bin/real"),
        ),
    ),
    Cause("link-target", SHELL + "read x < {top}/link", "data/real", prepare=linked),
    Cause(
        "config-hidden", SHELL + "read x < {top}/c.toml || exit 3", "c.toml", LAYERED, prepare=script("c.toml", "x\n")
    ),
    Cause("hidden", SHELL + "read x < {top}/data || exit 3", "data", LAYERED, prepare=script("data", "x\n")),
    Cause("not-granted", SHELL + "read x < {top}/data || exit 3", "data", prepare=script("data", "x\n")),
    Cause(
        "absent",
        SHELL + "read x < {top}/data || exit 3",
        prepare=script("data", "x\n"),
        change=lambda top: (top / "data").unlink(),
    ),
    Cause("not-listable", PYTHON + "os.listdir('{top}/a')", "a", prepare=several("a")),
    Cause(
        "not-writable",
        SHELL + "echo x > {top}/a/new",
        "a",
        prepare=several("a"),
        change=lambda top: (top / "a/new").unlink(),
    ),
    Cause(
        "read-only",
        SHELL + "read x < {top}/a/file; echo x > {top}/a/file",
        "a/file",
        LAYERED,
        prepare=several("a"),
        rights=Right.READ,
    ),
    Cause(
        "move",
        PYTHON + TWO,
        "b",
        prepare=several("a", "b"),
        change=lambda top: (top / "a/file").write_text("y"),
        rights=Right.CREATE | Right.REMOVE,
        kept="",
    ),
    Cause(
        "library",
        PYTHON + "import ctypes; ctypes.CDLL('{top}/libx.so.1')",
        "libx.so.1",
        prepare=lambda top: shutil.copy("/lib64/ld-linux-x86-64.so.2", top / "libx.so.1"),
    ),
    Cause(
        "limit",
        PYTHON + "import resource\nif fail:\n resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
        " os.open('/dev/null', 0)",
    ),
    Cause("network", PYTHON + "if fail: socket.create_connection(('127.0.0.1', 9))"),
    Cause("bind", PYTHON + "if fail: socket.create_server(('127.0.0.1', 21399))"),
    Cause("dns", PYTHON + "socket.socket(2, 2).sendto(b'x', ('127.0.0.53', 53))", enforcer=LAYERED, offline=True),
    Cause("abstract-socket", PYTHON + "if fail: socket.socket(socket.AF_UNIX).connect('\\0sbx-causes')"),
    Cause("unix-socket", PYTHON + "socket.socket(socket.AF_UNIX).connect('{top}/s.sock')", "s.sock", LAYERED),
    Cause(
        "nested-sandbox",
        PYTHON + "import ctypes\nif ctypes.CDLL(None).unshare(0x10000000): sys.exit(1)",
        enforcer=LAYERED,
    ),
    Cause("special-file", PYTHON + "open('/proc/self/status').read()", "/proc"),
    Cause("killed", PYTHON + "if fail: os.kill(os.getpid(), 11)"),
    Cause("out-of-memory", PYTHON + "if fail: os.kill(os.getpid(), 9)"),
    Cause("environment", PYTHON + "if 'HOME' not in os.environ: sys.exit(4)", without="HOME", shown="HOME"),
    Cause("environment", PYTHON + "if 'TOKEN' not in os.environ: sys.exit(4)", without="TOKEN", shown="TOKEN"),
    Cause(
        "replaced",
        PYTHON + "open('{top}/f').read()\nif fail:\n os.rename('{top}/a/g', '{top}/f')\n open('{top}/f')",
        prepare=lambda top: (several("a")(top), (top / "f").write_text("x"), (top / "a/g").write_text("y")),
        rights=Right.CREATE | Right.REMOVE | Right.MOVE,
    ),
)


@contextmanager
def _quiet() -> Iterator[None]:
    saved = os.dup(0), os.dup(1), os.dup(2)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    try:
        yield
    finally:
        for descriptor, before in enumerate(saved):
            os.dup2(before, descriptor)
        for descriptor in (*saved, null):
            os.close(descriptor)


@pytest.mark.parametrize("cause", CAUSES, ids=[f"{number}-{cause.rule}" for number, cause in enumerate(CAUSES)])
def test_a_program_that_fails_of_it(cause: Cause, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if cause.enforcer is LAYERED:
        require(not layered_obstacle(), layered_obstacle())
    require(os.path.exists("/usr/bin/python3"), "/usr/bin/python3 is missing")
    home, project, top = scratch / "home", scratch / "home/project", scratch / "home/top"
    for made in (project, top):
        made.mkdir(parents=True)
    for name, value in (("HOME", str(home)), ("PATH", "/usr/bin:/bin"), ("TOKEN", "x")):
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(project)
    cause.prepare(top)
    script("tool", cause.script.replace("{top}", str(top)))(home)
    with socket.socket(socket.AF_UNIX) as named, socket.socket(socket.AF_UNIX) as abstract, _quiet():
        named.bind(f"{top}/s.sock")
        named.listen()
        abstract.bind("\0sbx-causes")
        abstract.listen()
        found = _diagnosed(cause, home, top, monkeypatch)
    assert found.cause is not None
    assert found.cause.rule == cause.rule, found.cause.sentence
    assert cause.shown in found.cause.sentence, found.cause.sentence


def _diagnosed(cause: Cause, home: Path, top: Path, monkeypatch: pytest.MonkeyPatch) -> Diagnosis:
    command, variables = find((str(home / "tool"),)), Variables.here()
    run = record(command, make_tracer(TracerName.PTRACE), variables)
    assert run.end.status == 0, "it does not even work"
    policy = derive(run.trace, frozenset()).policy
    lacks = os.path.join(top, cause.lacks) if cause.lacks else ""
    if lacks:
        left = tuple(g for g in policy.grants if g.path != lacks and not lacks.startswith(g.path + "/"))
        assert (left, policy.links) != (policy.grants, tuple(link for link in policy.links if link != lacks))
        stays = lacks if cause.kept is None else str(top / cause.kept)
        kept = (Grant(stays, Scope.TREE, cause.rights, ()),) if cause.rights else ()
        policy = Policy((*left, *kept), policy.network, tuple(link for link in policy.links if link != lacks))
    elif not cause.offline:
        paths = [str(top)] if cause.rights else [str(top), "/usr/bin"]
        every = tuple(Grant(path, Scope.TREE, cause.rights or ~Right(0), ()) for path in paths)
        policy = Policy((*policy.grants, *every), policy.network, policy.links)
    if cause.offline:
        policy = Policy(policy.grants, (), policy.links)
    cause.change(top)
    if cause.without:
        monkeypatch.delenv(cause.without)
    profile = Profile(name="tool", command="tool", policy=policy)
    failing = msgspec.structs.replace(command, argv=(*command.argv, "fail"))
    subject = Subject(
        failing if not (lacks or cause.without or cause.offline) else command,
        profile,
        choose(cause.enforcer).enforcer,
        variables,
        run.trace,
    )
    return examine(subject)


def test_every_other_cause_is_known_by_its_rule_alone() -> None:
    """What no ordinary machine brings about by itself is tested in tests/learner/test_diagnosis_rules.py."""
    elsewhere = {
        "other-program", "shebang-hidden", "loader-hidden", "loader-missing", "waiting",
        "noexec", "permissions", "setuid", "system-call", "unreachable", "cache", "current-directory", "swallowed",
        "link-hidden", "replacing", "came-later",
    }  # fmt: skip
    assert {rule.name for rule in RULES} - {cause.rule for cause in CAUSES} <= elsewhere
