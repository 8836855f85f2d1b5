"""Replay under the real enforcer: what was learned is admitted, each grant matters, and nothing is left behind."""

import errno
import os
import signal
import subprocess
from pathlib import Path

import msgspec
import pytest
from accesses import access, policy
from capability import require
from children import in_child, listing
from learning import Learned, account

from learner import probe
from learner.access import Kind
from learner.enforcers.landlock import LandlockConfinement, LandlockEnforcer, abi
from learner.policy import NetworkAction, NetworkGrant, Policy, Right, Scope
from learner.probe import NAME, Act, NoAnswer, Probe, exec_check_available
from learner.replay import Refusal, Replay, plan, replay
from tracers.events import Operation, Transport

pytestmark = pytest.mark.kernel

SCRIPT = """
exec 2>/dev/null
cat "$1/.toolrc" "$1/.config/tool/settings" > copy
ls "$1/.tool" > listing
echo state > "$1/.tool/state.new"
mv "$1/.tool/state.new" "$1/.tool/state"
mkdir "$1/.tool/session-20260802"
mkdir "$1/.cache/tool"
echo cached > "$1/.cache/tool/entry"
ln -s entry "$1/.cache/tool/link"
mkfifo "$1/.cache/tool/pipe"
rm "$1/.tool/old"
rmdir "$1/.tool/empty"
"$1/bin/helper"
"""


@pytest.fixture
def learned(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Learned:
    made = account(str(scratch), monkeypatch.chdir)
    for name in (".toolrc", ".config/tool/settings", ".tool/old", "bin/helper"):
        made.write(name, "#!/bin/sh\necho helped\n")
    os.chmod(f"{made.home}/bin/helper", 0o755)
    for name in (".tool/empty", ".cache"):
        os.makedirs(f"{made.home}/{name}")
    found = made.shell(SCRIPT)
    assert found.trace.end is not None
    assert found.trace.end.status == 0
    return found


def leftovers(*tops: str) -> list[str]:
    return [name for top in (*tops, "/tmp", "/etc") for name in os.listdir(top) if name.startswith(NAME)]


class Other(LandlockEnforcer):
    """Enforces another policy than it is given."""

    def __init__(self, instead: Policy) -> None:
        super().__init__()
        self._instead = instead

    def prepare(self, policy: Policy) -> LandlockConfinement:
        return super().prepare(self._instead)


def redo(found: Learned, enforced: Policy | None = None) -> Replay:
    enforcer = LandlockEnforcer() if enforced is None else Other(enforced)
    return replay(found.labelled, found.cover.policy, enforcer)  # type: ignore[arg-type]


def test_what_was_learned_is_admitted_and_leaves_no_trace(learned: Learned) -> None:
    home = learned.variables.home
    before = listing(home)
    result = redo(learned)
    assert result.refused == ()
    assert result.tried == result.admitted > 10
    assert listing(home) == before
    assert leftovers(home) == []


def test_each_grant_is_needed(learned: Learned) -> None:
    policy = learned.cover.policy
    assert len(policy.grants) > 8
    for index, grant in enumerate(policy.grants):
        less = msgspec.structs.replace(policy, grants=policy.grants[:index] + policy.grants[index + 1 :])
        refused = redo(learned, less).refused
        assert refused, f"nothing needs {grant}"
        assert all(refusal.errno in (errno.EACCES, errno.EXDEV) for refusal in refused)


def test_without_any_grant_nothing_is_admitted(learned: Learned) -> None:
    result = redo(learned, Policy())
    assert result.admitted == 1  # /dev/null, which is always open
    assert {refusal.act for refusal in result.refused} >= {
        Act.READ,
        Act.EXEC,
        Act.LIST,
        Act.CREATE,
        Act.REMOVE,
        Act.MKDIR,
    }
    assert all(refusal.programs for refusal in result.refused)
    assert leftovers(learned.variables.home) == []


def test_what_is_left_out_on_purpose_is_not_tried(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = account(str(scratch), monkeypatch.chdir)
    made.write(".netrc")
    found = made.shell('cat "$1/.netrc" > /dev/null')
    planned, _ = plan(found.labelled, found.cover.policy)  # type: ignore[arg-type]
    assert not [one for one in planned if one.path.endswith(".netrc")]
    assert redo(found).refused == ()


def test_what_is_gone_is_counted(learned: Learned) -> None:
    before = redo(learned)
    os.unlink(f"{learned.variables.home}/.toolrc")
    after = redo(learned)
    assert after.untried > before.untried
    assert after.tried == before.tried - 1
    assert after.refused == ()


def test_plain_permissions_are_no_refusal(scratch: Path) -> None:
    closed = scratch / "closed"
    closed.touch(0o000)
    os.chmod(scratch, 0o711)
    os.chmod(scratch.parent, 0o711)
    os.chmod(scratch.parent.parent, 0o711)
    granted = policy((str(closed), Scope.FILE, Right.READ))

    def work() -> list[int]:
        result = replay([(access(Operation.READ, str(closed)), "x")], granted, LandlockEnforcer())
        return [result.tried, result.untried, len(result.refused)]

    if os.getuid() == 0:
        assert in_child(work) == [1, 0, 0]
        assert in_child(work, 65534) == [0, 1, 0]
    else:
        assert in_child(work) == [0, 1, 0]


def test_a_refusal_in_words() -> None:
    assert str(Refusal(Act.READ, "/a\n", errno.EACCES, ("git",))) == r"read /a\x0a: Permission denied (git)"


def test_ports_are_replayed_on_this_machine_only() -> None:
    require(abi() >= 4, "Landlock sees TCP from ABI 4 on")
    granted = Policy(
        network=(
            NetworkGrant(NetworkAction.CONNECT, "192.0.2.1", 9, Transport.TCP, ()),
            NetworkGrant(NetworkAction.CONNECT, "2001:db8::1", 9, Transport.TCP, ()),
            NetworkGrant(NetworkAction.BIND, "0.0.0.0", 28791, Transport.TCP, ()),
            NetworkGrant(NetworkAction.CONNECT, "192.0.2.1", 53, Transport.UDP, ()),
            NetworkGrant(NetworkAction.CONNECT, "bus", 0, Transport.OTHER, (), abstract=True),
        )
    )
    assert replay([], granted, LandlockEnforcer())[:2] == (3, 3)
    assert len(replay([], granted, Other(Policy())).refused) == 3


# --- what can go wrong


def test_special_files_are_not_touched(scratch: Path) -> None:
    fifo, device = scratch / "fifo", "/dev/ptmx"
    os.mkfifo(fifo)
    run = [
        (access(Operation.READ, str(fifo), Kind.FIFO), "x"),
        (access(Operation.WRITE, str(fifo), Kind.FIFO), "x"),
        (access(Operation.READ, device, Kind.CHAR), "x"),
        (access(Operation.WRITE, "/proc/self/oom_score_adj"), "x"),
        (access(Operation.READ, "/dev/null", Kind.CHAR), "x"),
    ]
    everything = policy(("/", Scope.TREE, Right.READ | Right.WRITE))
    planned, untried = plan(run, everything)  # type: ignore[arg-type]
    assert list(planned) == [Probe(Act.READ, "/dev/null")]
    assert untried == 4


def test_what_changed_its_kind_is_not_touched(scratch: Path) -> None:
    (scratch / "was-a-file").mkdir()
    (scratch / "was-a-directory").touch()
    run = [
        (access(Operation.READ, str(scratch / "was-a-file")), "x"),
        (access(Operation.LIST, str(scratch / "was-a-directory"), Kind.DIRECTORY), "x"),
        (access(Operation.CREATE, str(scratch / "was-a-directory/x")), "x"),
    ]
    assert plan(run, policy(("/", Scope.TREE, ~Right(0)))) == ({}, 3)


@pytest.mark.parametrize("act", [Act.CREATE, Act.MKDIR, Act.SYMLINK, Act.SOCKET, Act.FIFO, Act.REMOVE, Act.RMDIR])
def test_nothing_stays_when_the_child_dies(act: Act, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = probe._ACTS[act]

    def die(one: Probe, own: str) -> None:
        if act not in (Act.REMOVE, Act.RMDIR):
            real(one, own)
        assert os.path.lexists(own)
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setitem(probe._ACTS, act, die)
    with pytest.raises(NoAnswer, match="the probing process died"):
        probe.run([Probe(act, str(scratch))], None)
    assert os.listdir(scratch) == []


def test_nothing_stays_after_an_interrupt(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_one: Probe, own: str) -> None:
        os.mkdir(own)
        os.kill(os.getppid(), signal.SIGINT)
        signal.pause()

    monkeypatch.setitem(probe._ACTS, Act.MKDIR, interrupt)
    with pytest.raises(KeyboardInterrupt):
        probe.run([Probe(Act.MKDIR, str(scratch)), Probe(Act.REMOVE, str(scratch))], None)
    assert os.listdir(scratch) == []
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_child_that_cannot_be_confined_says_why() -> None:
    class Broken(LandlockConfinement):
        def __init__(self) -> None:
            pass

        def apply(self) -> None:
            raise OSError(errno.E2BIG, "too many layers")

    with pytest.raises(NoAnswer, match="too many layers"):
        probe.run([Probe(Act.READ, "/etc/passwd")], Broken())


def test_each_act_unconfined_and_confined(scratch: Path) -> None:
    (scratch / "file").write_text("content")
    (scratch / "prog").write_text("#!/bin/sh\n")
    (scratch / "prog").chmod(0o755)
    before = listing(str(scratch))
    files = {Act.READ: "file", Act.WRITE: "file", Act.EXEC: "prog", Act.STAT: "file"}
    making = [Act.CREATE, Act.MKDIR, Act.SYMLINK, Act.SOCKET, Act.FIFO, Act.REMOVE, Act.RMDIR, Act.LIST]
    probes = [
        *(Probe(act, str(scratch / name)) for act, name in files.items()),
        *(Probe(a, str(scratch)) for a in making),
    ]
    assert probe.run(probes, None) == [0] * len(probes)
    assert listing(str(scratch)) == before
    confinement = LandlockEnforcer().prepare(Policy())
    results = dict(zip(probes, probe.run(probes, confinement), strict=True))
    confinement.close()
    assert results.pop(Probe(Act.STAT, str(scratch / "file"))) == 0
    assert set(results.values()) == {errno.EACCES}
    assert listing(str(scratch)) == before


@pytest.mark.parametrize("check", [True, False], ids=["asked", "executed"])
def test_exec_on_kernels_with_and_without_the_check(
    check: bool, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if check:
        require(exec_check_available(), "AT_EXECVE_CHECK came with Linux 6.14")
    else:
        monkeypatch.setattr(probe, "_check_exec", lambda _path: errno.ENOSYS)
    mark = scratch / "ran"
    tool = scratch / "tool"
    tool.write_text(f"#!/bin/sh\necho x > {mark}\n")
    tool.chmod(0o755)
    (scratch / "data").touch(0o644)
    probes = [Probe(Act.EXEC, str(tool)), Probe(Act.EXEC, str(scratch / "data")), Probe(Act.EXEC, "/bin/sh")]
    assert probe.run(probes, None) == [0, errno.EACCES, 0]
    confinement = LandlockEnforcer().prepare(Policy())
    assert probe.run(probes, confinement) == [errno.EACCES] * 3
    confinement.close()
    assert not mark.exists()


def test_a_directory_that_cannot_hold_a_scratch_file(scratch: Path) -> None:
    absent = str(scratch / "absent")
    assert probe.run([Probe(Act.REMOVE, absent), Probe(Act.RMDIR, absent)], None) == [-1, -1]


def test_a_thousand_probes_in_one_child(scratch: Path) -> None:
    for number in range(1000):
        (scratch / str(number)).touch()
    probes = [Probe(Act.READ, str(scratch / str(number))) for number in range(1000)]
    assert probe.run(probes, None) == [0] * 1000


def test_what_is_of_other_processes_is_not_tried(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ps(1) as root reads every process's environment: under enforcement the kernel keeps it to itself."""
    # No child of ours: the tracer would wait for it.
    other = int(subprocess.run(["/bin/sh", "-c", "sleep 60 >&- & echo $!"], stdout=subprocess.PIPE, check=True).stdout)
    try:
        learned = account(str(scratch), monkeypatch.chdir).shell(
            f"ls /proc; cat /proc/{other}/stat /proc/{other}/environ"
        )
        done = replay(learned.labelled, learned.cover.policy, LandlockEnforcer())
    finally:
        os.kill(other, signal.SIGKILL)
    assert done.refused == ()
    assert done.untried
