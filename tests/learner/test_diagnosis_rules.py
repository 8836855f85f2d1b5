"""Each cause that can be told: a run that has it, and one that is like it and has not."""

import errno
import signal
from typing import NamedTuple

import pytest
from accesses import HOME, PROJECT, access, policy, socket
from cases import DIRECTORY, FILE, PROGRAM, SETUID, FakeMachine, case, good

from learner.access import Access, Kind
from learner.diagnosis.case import Case
from learner.diagnosis.machine import Mount
from learner.diagnosis.rules import ABOUT_RUNS, RULES, conclude, explain
from learner.diagnosis.troubles import troubles
from learner.interpreters import Interpreter, Via
from learner.policy import NetworkAction, NetworkGrant, Policy, Right, Scope
from tracers.events import Family, Operation, Transport

ONE, TREE = Scope.FILE, Scope.TREE
EACCES, EPERM, ENOENT, EROFS, EXDEV = errno.EACCES, errno.EPERM, errno.ENOENT, errno.EROFS, errno.EXDEV
EXEC, READ, STAT = Operation.EXEC, Operation.READ, Operation.STAT
TOOL, PYTHON, LOADER = "/home/ada/bin/tool", "/opt/py/bin/python3", "/lib64/ld.so"
SCRIPT = {TOOL: (Interpreter(Via.SHEBANG, PYTHON),), PYTHON: (Interpreter(Via.LOADER, LOADER),)}
ALL = {TOOL: PROGRAM, PYTHON: PROGRAM, LOADER: PROGRAM}
RUN = Right.READ | Right.EXEC


def ran(path: str, outcome: int = 0) -> Access:
    return access(EXEC, path, outcome=outcome)


def script(outcome: int, *granted: str, modes: dict[str, int] | None = None, **more: dict[str, str]) -> Case:
    """A script that could not be run; ``granted``: what of the chain may be."""
    machine = FakeMachine(ALL if modes is None else modes, names=SCRIPT, **more)  # type: ignore[arg-type]
    return case(ran(TOOL, outcome), machine=machine, policy=policy(*((path, ONE, RUN) for path in granted)))


def refused(operation: Operation, path: str, outcome: int = EACCES, *grants: object, **more: object) -> Case:
    """An access to something that is there, and is refused."""
    mode = DIRECTORY if operation is Operation.LIST else FILE
    kind = Kind.DIRECTORY if operation is Operation.LIST else Kind.FILE
    machine = FakeMachine({path: mode})
    granted = policy(*grants)  # type: ignore[arg-type]
    return case(access(operation, path, kind, outcome), machine=machine, policy=granted, **more)  # type: ignore[arg-type]


class Twin(NamedTuple):
    """``has`` is diagnosed as ``rule`` with ``words`` in its sentence, ``has_not`` is not."""

    rule: str
    has: Case
    words: str
    has_not: Case


LIBRARY = "/usr/lib/libm.so.6"
CONFIG, DOTFILE = f"{HOME}/.vibe/config.toml", f"{HOME}/dotfiles/vibe.toml"
LINKED = FakeMachine({DOTFILE: FILE}, to={CONFIG: DOTFILE})
ARM = b"\x7fELF\x02\x01\x01" + bytes(11) + b"\xb7\x00"
X86 = ARM[:18] + b"\x3e\x00"
SHIM, USUAL = f"{HOME}/shims/git", "/usr/bin/git"
CREATE_TMP = access(Operation.CREATE, f"{PROJECT}/.hello.tmp", Kind.ABSENT, EACCES, existed=False)
IN_PROJECT = FakeMachine({PROJECT: DIRECTORY})
REPLACED = policy((f"{PROJECT}/f", ONE, Right.READ | Right.WRITE))
NOT_GRANTED = policy((TOOL, ONE, RUN))

TWINS = (
    Twin(
        "other-program",
        case(
            access(STAT, SHIM, Kind.ABSENT, ENOENT),
            ran(USUAL),
            machine=FakeMachine({SHIM: PROGRAM, USUAL: PROGRAM}),
            hides=True,
            recorded=good(access(STAT, SHIM), ran(SHIM)),
        ),
        f"{SHIM} is hidden in the sandbox, so {USUAL} ran in its place",
        case(
            access(STAT, SHIM, Kind.ABSENT, ENOENT),
            ran(USUAL),
            machine=FakeMachine({USUAL: PROGRAM}),
            hides=True,
            recorded=good(ran(USUAL)),
        ),
    ),
    Twin(
        "env-split",
        case(
            Access(EXEC, "/usr/bin/python3 -u", Kind.ABSENT, ENOENT, 1, "execve"),
            machine=FakeMachine(
                {TOOL: PROGRAM},
                names={"/usr/bin/python3 -u": (Interpreter(Via.ENV, "python3 -u"),)},
            ),
        ),
        'a program called "python3 -u"',
        case(Access(EXEC, "/usr/bin/python3", Kind.ABSENT, ENOENT, 1, "execve")),
    ),
    Twin(
        "dangling-link",
        script(ENOENT, TOOL, modes={TOOL: PROGRAM}, to={PYTHON: "/gone/python3"}),
        f"its interpreter is a symlink, {PYTHON}, to /gone/python3, which does not exist",
        script(ENOENT, TOOL, modes={TOOL: PROGRAM, "/real": PROGRAM}, to={PYTHON: "/real"}),
    ),
    Twin(
        "shebang-missing",
        script(ENOENT, TOOL, modes={TOOL: PROGRAM}),
        f"a script whose interpreter {PYTHON} does not exist",
        script(EACCES, TOOL),
    ),
    Twin("shebang-hidden", script(EACCES, TOOL), f"its interpreter {PYTHON} is refused", script(EACCES, PYTHON)),
    Twin(
        "loader-missing",
        script(ENOENT, TOOL, PYTHON, modes={TOOL: PROGRAM, PYTHON: PROGRAM}),
        f"needs the ELF loader {LOADER}, which does not exist",
        script(EACCES, TOOL, PYTHON),
    ),
    Twin("loader-hidden", script(EACCES, TOOL, PYTHON), f"the ELF loader {LOADER}", script(EACCES, TOOL)),
    Twin(
        "exec-link-hidden",
        case(
            ran(TOOL, ENOENT),
            machine=FakeMachine({TOOL: PROGRAM, "/real/py": PROGRAM}, to={PYTHON: "/real/py"}, names=SCRIPT),
            policy=policy((TOOL, ONE, RUN), ("/real/py", ONE, RUN)),
            hides=True,
        ),
        f"needs the symlink {PYTHON}, which is hidden in the sandbox, though /real/py",
        case(
            ran(TOOL, ENOENT),
            machine=FakeMachine({TOOL: PROGRAM, "/real/py": PROGRAM}, to={PYTHON: "/real/py"}, names=SCRIPT),
            policy=NOT_GRANTED,
            hides=True,
        ),
    ),
    Twin(
        "program-link",
        case(ran(TOOL, EACCES), machine=FakeMachine({"/uv/tool": PROGRAM}, to={TOOL: "/uv/tool"})),
        f"{TOOL} is a symlink to /uv/tool, which is refused",
        case(ran(TOOL, EACCES), machine=FakeMachine({TOOL: PROGRAM})),
    ),
    Twin(
        "program-hidden",
        case(ran(TOOL, EACCES), machine=FakeMachine({TOOL: PROGRAM}), policy=policy((TOOL, ONE, Right.READ))),
        "may be read, but not run",
        case(ran(TOOL, EACCES), machine=FakeMachine({TOOL: FILE}), policy=NOT_GRANTED),
    ),
    Twin(
        "format",
        case(ran(TOOL, errno.ENOEXEC), machine=FakeMachine({TOOL: PROGRAM}, heads={TOOL: ARM})),
        "is built for aarch64, and this machine is x86_64",
        case(ran(TOOL, EACCES), machine=FakeMachine({TOOL: PROGRAM}, heads={TOOL: X86}), policy=NOT_GRANTED),
    ),
    Twin(
        "arguments",
        case(ran(TOOL, errno.E2BIG), machine=FakeMachine({TOOL: PROGRAM})),
        "are too long",
        case(ran(TOOL, EACCES), machine=FakeMachine({TOOL: PROGRAM})),
    ),
    Twin(
        "noexec",
        case(
            ran(TOOL, EACCES),
            machine=FakeMachine({TOOL: PROGRAM}, mounted=Mount("/home", "tmpfs", no_exec=True)),
            policy=NOT_GRANTED,
        ),
        "lies on /home, which is mounted noexec",
        case(ran(TOOL, EACCES), machine=FakeMachine({TOOL: PROGRAM}), policy=NOT_GRANTED),
    ),
    Twin(
        "not-executable",
        case(ran(TOOL, EACCES), machine=FakeMachine({TOOL: FILE}), policy=NOT_GRANTED),
        "no x in its mode",
        case(ran(TOOL, EACCES), machine=FakeMachine({TOOL: PROGRAM}), policy=NOT_GRANTED),
    ),
    Twin(
        "not-found",
        case(ran("/usr/bin/tool", ENOENT)),
        "tool is in no directory of PATH",
        case(ran("/usr/bin/tool", ENOENT), machine=FakeMachine({"/usr/bin/tool": PROGRAM}), hides=True),
    ),
    Twin(
        "dns",
        case(
            Access(Operation.RESOLVE, "api.example.org", Kind.SOCKET, EACCES, 1, "sendto"),
            recorded=good(Access(Operation.RESOLVE, "api.example.org", Kind.SOCKET, 0, 1, "sendto")),
        ),
        "may not look up host names of api.example.org",
        case(socket(Operation.CONNECT, "10.0.0.1", 443, outcome=EACCES)),
    ),
    Twin(
        "abstract-socket",
        case(socket(Operation.CONNECT, "bus", 0, Transport.OTHER, Family.ABSTRACT, EPERM)),
        "the abstract unix socket @bus",
        case(socket(Operation.CONNECT, "127.0.0.1", 80, outcome=EACCES)),
    ),
    Twin(
        "bind",
        case(socket(Operation.BIND, "127.0.0.1", 80, outcome=EACCES)),
        "may not listen on 127.0.0.1:80/tcp",
        case(socket(Operation.CONNECT, "127.0.0.1", 80, outcome=EACCES)),
    ),
    Twin(
        "network",
        case(socket(Operation.CONNECT, "127.0.0.1", 80, outcome=EACCES)),
        "may not connect to 127.0.0.1:80/tcp: port 80 is not granted",
        case(socket(Operation.CONNECT, "127.0.0.1", 80)),
    ),
    Twin(
        "unreachable",
        case(
            socket(Operation.CONNECT, "127.0.0.1", 80, outcome=errno.ENETUNREACH),
            policy=Policy((), (NetworkGrant(NetworkAction.CONNECT, "127.0.0.1", 80, Transport.TCP, ()),)),
            recorded=good(socket(Operation.CONNECT, "127.0.0.1", 80)),
        ),
        "could not reach 127.0.0.1:80/tcp",
        case(socket(Operation.CONNECT, "127.0.0.1", 80, outcome=EACCES)),
    ),
    Twin(
        "nested-sandbox",
        case(Access(Operation.NAMESPACE, "unshare", Kind.OPAQUE, EPERM, 1, "unshare")),
        "tried to build a sandbox of its own (unshare)",
        case(Access(Operation.NAMESPACE, "unshare", Kind.OPAQUE, 0, 1, "unshare")),
    ),
    Twin(
        "system-call",
        case(Access(Operation.IO_URING, "io_uring", Kind.OPAQUE, errno.ENOSYS, 1, "io_uring_setup")),
        "may not call io_uring_setup",
        case(Access(Operation.NAMESPACE, "unshare", Kind.OPAQUE, EPERM, 1, "unshare")),
    ),
    Twin(
        "library",
        refused(READ, LIBRARY),
        f'the shared library {LIBRARY}, which is refused, although ld.so says "No such file"',
        refused(READ, "/etc/ld.so.cache"),
    ),
    Twin(
        "cache",
        refused(Operation.WRITE, f"{HOME}/.cache/x"),
        "which programs do without",
        refused(READ, f"{HOME}/.cache/x"),
    ),
    Twin("special-file", refused(READ, "/dev/tty"), "takes /dev/tty for granted", refused(READ, "/etc/tty")),
    Twin(
        "current-directory",
        case(machine=IN_PROJECT, hides=True, own=frozenset({"bwrap"})),
        f"the current directory {PROJECT} is not there",
        case(machine=IN_PROJECT, hides=True, own=frozenset({"bwrap"}), policy=policy((PROJECT, TREE, Right.READ))),
    ),
    Twin(
        "link-hidden",
        case(
            access(READ, CONFIG, Kind.ABSENT, ENOENT),
            machine=LINKED,
            policy=policy((DOTFILE, ONE, Right.READ)),
            hides=True,
        ),
        f"the symlink {CONFIG} to {DOTFILE} is hidden in the sandbox",
        case(access(READ, CONFIG, Kind.ABSENT, ENOENT), machine=LINKED, hides=True),
    ),
    Twin(
        "link-target",
        case(access(READ, CONFIG, outcome=EACCES), machine=LINKED, policy=policy((CONFIG, ONE, Right.READ))),
        f"{CONFIG} is a symlink to {DOTFILE}: the link is granted, its target is not",
        refused(READ, CONFIG),
    ),
    Twin(
        "replaced",
        case(
            access(Operation.RENAME_TO, f"{PROJECT}/f", existed=True, peer=f"{PROJECT}/t"),
            access(READ, f"{PROJECT}/f", outcome=EACCES),
            machine=FakeMachine({f"{PROJECT}/f": FILE}),
            policy=REPLACED,
        ),
        "was replaced by rename since it was granted",
        case(
            access(READ, f"{PROJECT}/f", outcome=EACCES),
            machine=FakeMachine({f"{PROJECT}/f": FILE}, denied=(f"{PROJECT}/f",)),
            policy=REPLACED,
        ),
    ),
    Twin(
        "came-later",
        case(
            access(Operation.WRITE, f"{PROJECT}/f", outcome=EACCES),
            machine=FakeMachine({PROJECT: DIRECTORY}),
            policy=policy((f"{PROJECT}/f", Scope.FILE, Right.WRITE)),
        ),
        "was not there when the sandbox was made",
        case(
            access(Operation.WRITE, f"{PROJECT}/f", outcome=EACCES),
            machine=FakeMachine({f"{PROJECT}/f": FILE}, denied=(f"{PROJECT}/f",)),
            policy=policy((f"{PROJECT}/f", Scope.FILE, Right.WRITE)),
        ),
    ),
    Twin(
        "move",
        case(
            access(Operation.RENAME_TO, f"{PROJECT}/b/f", Kind.FILE, EXDEV, peer=f"{PROJECT}/a/f"),
            machine=FakeMachine({f"{PROJECT}/b": DIRECTORY, f"{PROJECT}/a": DIRECTORY}),
        ),
        "for a move that is not granted",
        case(
            access(Operation.RENAME_TO, f"{PROJECT}/b/f", Kind.FILE, EACCES, peer=f"{PROJECT}/a/f"),
            machine=FakeMachine({f"{PROJECT}/b": DIRECTORY, f"{PROJECT}/a": DIRECTORY}),
        ),
    ),
    Twin(
        "replacing",
        case(CREATE_TMP, machine=IN_PROJECT, policy=policy((f"{PROJECT}/hello.txt", ONE, Right.WRITE))),
        f"replaces {PROJECT}/hello.txt by a temporary file and a rename",
        case(CREATE_TMP, machine=IN_PROJECT),
    ),
    Twin(
        "read-only",
        case(access(Operation.WRITE, "/mnt/f", outcome=EROFS), machine=FakeMachine({"/mnt/f": FILE})),
        "/mnt/f is read-only in the sandbox",
        case(access(Operation.WRITE, "/mnt/f", outcome=EACCES), machine=FakeMachine({"/mnt/f": FILE})),
    ),
    Twin("not-listable", refused(Operation.LIST, "/srv"), "may not list the directory /srv", refused(READ, "/srv")),
    Twin(
        "unix-socket",
        case(access(Operation.CONNECT, "/run/d.sock", Kind.SOCKET, EACCES), machine=FakeMachine({"/run/d.sock": FILE})),
        "may not reach the unix socket /run/d.sock",
        refused(READ, "/run/d"),
    ),
    Twin(
        "swallowed",
        case(access(Operation.CREATE, f"{HOME}/out", existed=False), hides=True, status=0),
        f"wrote {HOME}/out into a file system of the sandbox's own",
        case(
            access(Operation.CREATE, f"{HOME}/out", existed=False),
            hides=True,
            status=0,
            policy=policy((HOME, TREE, Right.CREATE)),
        ),
    ),
    Twin(
        "limit",
        case(access(READ, "/etc/x", outcome=errno.EMFILE)),
        "too many files open",
        refused(READ, "/etc/x"),
    ),
    Twin(
        "config-hidden",
        refused(READ, CONFIG, ENOENT, hides=True),
        f"went on with its defaults, because its file {CONFIG} is hidden",
        refused(READ, f"{HOME}/data.bin", ENOENT, hides=True),
    ),
    Twin(
        "not-writable",
        case(CREATE_TMP, machine=IN_PROJECT),
        f"create in {PROJECT} is not granted",
        refused(READ, f"{PROJECT}/x"),
    ),
    Twin(
        "hidden",
        refused(READ, f"{HOME}/data.bin", ENOENT, hides=True),
        'exists, but is hidden from vibe, which hears "No such file"',
        refused(READ, f"{HOME}/data.bin"),
    ),
    Twin(
        "not-granted",
        refused(READ, f"{HOME}/data.bin"),
        f"vibe may not read {HOME}/data.bin: read is not granted",
        refused(READ, f"{HOME}/data.bin", ENOENT, hides=True),
    ),
    Twin(
        "permissions",
        case(access(READ, "/root/x", outcome=EACCES), machine=FakeMachine({"/root/x": FILE}, denied=("/root/x",))),
        "its own file permissions forbid it",
        refused(READ, "/root/x"),
    ),
    Twin(
        "absent",
        case(access(READ, "/opt/x", Kind.ABSENT, ENOENT), recorded=good(access(READ, "/opt/x"))),
        "was there when vibe was recorded",
        case(access(READ, "/opt/x", Kind.ABSENT, ENOENT), recorded=good()),
    ),
    Twin(
        "waiting",
        case(waiting="cat waits to read from pipe:[1]", status=137),
        "did not end in time: cat waits to read from pipe:[1]",
        case(status=137),
    ),
    Twin("out-of-memory", case(status=137), "SIGKILL", case(status=1)),
    Twin("killed", case(status=128 + signal.SIGSYS), "SIGSYS: a system call that its seccomp filter", case(status=137)),
    Twin("environment", case(unset=("HOME",)), "did not get HOME", case(unset=("HOME",), status=0)),
    Twin(
        "setuid",
        case(ran("/usr/bin/sudo"), machine=FakeMachine({"/usr/bin/sudo": SETUID})),
        "/usr/bin/sudo is setuid",
        case(ran("/usr/bin/sudo"), machine=FakeMachine({"/usr/bin/sudo": PROGRAM})),
    ),
)


def named(of: Case) -> dict[str, str]:
    """Every cause that is told of a case: its rule and its sentence."""
    found = [explain(of, trouble) for trouble in troubles(of)]
    return {one.rule: one.sentence for one in (*found, *conclude(of)) if one is not None}


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.rule)
def test_a_cause_is_told_and_its_twin_is_not(twin: Twin) -> None:
    found = named(twin.has)
    assert twin.rule in found, found
    assert twin.words in found[twin.rule]
    assert twin.rule not in named(twin.has_not)


def test_every_rule_has_its_twins() -> None:
    assert sorted(twin.rule for twin in TWINS) == sorted(rule.name for rule in RULES)
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_rules_look_at_one_thing() -> None:
    for rule in RULES:
        assert (rule.of_run is None) != (rule.of_trouble is None)
        assert (rule in ABOUT_RUNS) == (rule.of_run is not None)
