"""Races: what is swapped while it is opened or granted, and sbx killed at any moment."""

import contextlib
import ctypes
import errno
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from accesses import policy
from children import area_of, in_child

import learner.cli.learn
import learner.cli.run
from learner.cli.main import main
from learner.enforcers.anchors import anchor
from learner.enforcers.enforcer import Confinement
from learner.enforcers.landlock import LandlockEnforcer
from learner.policy import NO_RIGHT, Grant, Policy, Right, Scope
from learner.temporary import private_directory

pytestmark = pytest.mark.kernel

LOADED = (learner.cli.learn, learner.cli.run)
"""Imported before the fork, so that a run takes a tenth of the time."""
OPENS = 100_000
SECRET, GOOD = b"swordfish", b"granted"
READ = Right.READ | Right.LIST
EVERYTHING = ~NO_RIGHT


@contextmanager
def running(work: Callable[[], object]) -> Iterator[int]:
    """``work()`` over and over in a process outside."""
    pid = os.fork()
    if pid == 0:
        try:
            ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
            while True:
                work()
        finally:
            os._exit(1)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def exchange(one: str, other: str) -> None:
    """Swap two names at once (renameat2(2), RENAME_EXCHANGE)."""
    assert ctypes.CDLL(None).renameat2(-100, os.fsencode(one), -100, os.fsencode(other), 2) == 0


@pytest.fixture
def area(user: int) -> Iterator[str]:
    """dir/name, which says "granted"; dir/other, a symlink to secret/key; all the user's."""
    with area_of(user) as top:

        def fill() -> None:
            for name in ("dir", "secret", "dir/sub"):
                os.mkdir(f"{top}/{name}")
            Path(top, "secret/key").write_bytes(SECRET)
            Path(top, "dir/name").write_bytes(GOOD)
            Path(top, "dir/sub/key").write_bytes(GOOD)
            os.symlink("../secret/key", f"{top}/dir/other")
            os.symlink("../secret", f"{top}/dir/elsewhere")

        in_child(fill, user)
        yield top


def opened(path: str, times: int, confinement: Confinement | None, swapper: int) -> Callable[[], object]:
    """How often ``path`` could be read with which content, or gave which errno; confined or not.

    ``swapper``: another process, which is waited for: it may not have begun.
    """

    def work() -> object:
        while not int(Path(f"/proc/{swapper}/stat").read_text().rpartition(")")[2].split()[12]):
            time.sleep(0.001)  # until it has used some time in the kernel (stime, proc_pid_stat(5))
        if confinement is not None:
            confinement.apply()
        found: dict[str, int] = {}
        for _ in range(times):
            try:
                fd = os.open(path, os.O_RDONLY)
                said = os.read(fd, 64).decode()
                os.close(fd)
            except OSError as problem:
                said = errno.errorcode[problem.errno or 0]
            found[said] = found.get(said, 0) + 1
        return found

    return work


@pytest.mark.parametrize("scope", [Scope.FILE, Scope.TREE])
def test_a_granted_file_that_is_swapped_for_a_symlink(scope: Scope, area: str, user: int) -> None:
    name, other, inside = f"{area}/dir/name", f"{area}/dir/other", f"{area}/dir"
    # Prepared while the name is what it says: the other order is tested below.
    granted = policy((name if scope is Scope.FILE else inside, scope, Right.READ))
    confinement = LandlockEnforcer().prepare(granted)
    before = os.stat(f"{area}/secret/key")
    with running(lambda: exchange(name, other)) as swapper:
        control = in_child(opened(name, OPENS, None, swapper), user)
        found = in_child(opened(name, OPENS, confinement, swapper), user)
    confinement.close()
    assert set(control) == {GOOD.decode(), SECRET.decode()}, control
    assert sum(found.values()) == OPENS
    assert set(found) == {GOOD.decode(), "EACCES"}, found
    after = os.stat(f"{area}/secret/key")
    assert (before.st_mtime_ns, before.st_mode, before.st_size) == (after.st_mtime_ns, after.st_mode, after.st_size)


def test_a_directory_that_is_swapped_while_it_is_granted(area: str, user: int) -> None:
    """A confined program of an earlier start that may change ``dir`` swaps what the next start is about to grant."""
    sub, elsewhere, key = f"{area}/dir/sub", f"{area}/dir/elsewhere", f"{area}/secret/key"
    granted = policy((f"{area}/dir", Scope.TREE, EVERYTHING), (sub, Scope.TREE, READ))

    def leaks() -> object:
        counts = {"stated": 0, "leaked": 0}
        for _ in range(150):
            confinement = LandlockEnforcer().prepare(granted)
            counts["stated"] += any("symlink" in gap.reason for gap in confinement.gaps)
            try:
                in_child(lambda c=confinement: (c.apply(), os.close(os.open(key, os.O_RDONLY)))[1])
                code = in_child(lambda c=confinement: (c.apply(), os.open(key, os.O_RDONLY))[1])
                counts["leaked"] += code != -errno.EACCES
            finally:
                confinement.close()
        return counts

    with running(lambda: exchange(sub, elsewhere)):
        found = in_child(leaks, user)
    assert found["leaked"] == 0
    assert 0 < found["stated"] < 150


def test_a_symlink_that_the_program_could_have_made_is_not_followed(area: str, user: int) -> None:
    sub, key = f"{area}/dir/sub", f"{area}/secret/key"
    granted = policy((f"{area}/dir", Scope.TREE, EVERYTHING), (sub, Scope.TREE, READ))

    def confined(work: Callable[[], object]) -> object:
        def go() -> object:
            confinement = LandlockEnforcer().prepare(granted)
            confinement.apply()
            return work()

        return in_child(go, user)

    def read(path: str) -> object:
        return Path(path).read_text()

    assert confined(lambda: read(f"{sub}/key")) == GOOD.decode()
    assert confined(lambda: exchange(sub, f"{area}/dir/elsewhere")) is None
    assert in_child(lambda: read(f"{sub}/key"), user) == SECRET.decode()
    assert confined(lambda: read(f"{sub}/key")) == -errno.EACCES
    assert confined(lambda: read(key)) == -errno.EACCES
    confinement = LandlockEnforcer().prepare(granted)
    confinement.close()
    assert [gap.reason for gap in confinement.gaps if gap.item == sub] == [
        f"nothing was granted on it: the program itself could have made it a symlink to {area}/secret"
    ]


def test_symlinks_that_are_followed(area: str) -> None:
    """The user's own, where the program may change nothing, and those that lead to what is granted anyway."""

    def trusted(path: str, *grants: tuple[str, Scope, Right]) -> bool:
        grant = Grant(path, Scope.TREE, READ, ())
        found = anchor(grant, Policy((grant, *policy(*grants).grants)))
        os.close(found.fd)
        return not found.detour

    link = f"{area}/dir/elsewhere"
    changed = (f"{area}/dir", Scope.TREE, EVERYTHING)
    assert trusted(link)
    assert trusted("/proc/self")
    assert trusted("/proc/self/fd/0")
    assert not trusted(link, changed)
    assert trusted(link, changed, (f"{area}/secret", Scope.TREE, READ))
    # On the way, not at the end: a symlink of the user's that leads through a place that may be changed.
    os.symlink(link, f"{area}/dotfiles")
    assert trusted(f"{area}/dotfiles")
    assert not trusted(f"{area}/dotfiles", changed)
    assert not trusted(f"{area}/dotfiles", (f"{area}/dir", Scope.FILE, Right.SYMLINK))
    assert trusted(f"{area}/dotfiles", (f"{area}/dir", Scope.FILE, READ))


# --- kill -9


RUNS = 200
TRIES = """
while :; do
  read line < "$SECRET" && echo "$line" >> "$LEAK"
  read line < /dev/null
done 2> /dev/null
"""
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


@pytest.fixture
def _orphanage() -> Iterator[None]:
    """What a killed sbx leaves behind becomes a child of this process: nothing escapes being counted."""
    libc = ctypes.CDLL(None)
    assert libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def processes() -> dict[int, str]:
    """Everything below this process that still runs, by its program."""
    found: dict[int, str] = {}
    todo = [os.getpid()]
    while todo:
        pid = todo.pop()
        try:
            below = [int(word) for task in Path(f"/proc/{pid}/task").iterdir() for word in _children(task).split()]
        except OSError:
            continue
        todo += below
        for child in below:
            try:
                found[child] = os.readlink(f"/proc/{child}/exe")
            except OSError:
                continue  # it has ended
    return found


def _children(task: Path) -> str:
    try:
        return (task / "children").read_text()
    except OSError:
        return ""


def reap() -> None:
    """Take leave of those that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def became(found: dict[int, str]) -> bool:
    """Whether one of these processes is the command already."""
    return any(os.path.basename(exe) in ("dash", "bash", "sh", "busybox") for exe in found.values())


def start(words: list[str], cwd: str, env: dict[str, str]) -> int:
    """``sbx WORDS`` in a child, from this process's own modules."""
    pid = os.fork()
    if pid == 0:
        status = 97
        try:
            null = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(null, number)
            sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", buffering=1, closefd=False)
            os.chdir(cwd)
            os.environ.clear()
            os.environ.update(env)
            status = main(words)
        finally:
            os._exit(status)
    return pid


def state_of_the_machine(top: str) -> dict[str, object]:
    """Where mounts, sockets and temporary files would be left. (Namespaces live as long as processes or mounts.)"""
    mounts, sockets = Path("/proc/self/mountinfo"), Path("/proc/net/unix")
    return {
        "mounts": sorted(line.split()[4] for line in mounts.read_text().splitlines() if "sbx" in line),
        "sockets": sorted(line.split()[-1] for line in sockets.read_text().splitlines() if top in line),
        "temporary": sorted(os.listdir(f"{top}/tmp")),
        "private": sorted(os.listdir(private_directory())) if os.path.isdir(private_directory()) else [],
        "project": sorted(os.listdir(f"{top}/project")),
        "config": sorted(str(path) for path in Path(top, "home/config").rglob("*")),
    }


@pytest.mark.usefixtures("_orphanage")
@pytest.mark.parametrize(
    "words",
    [("run", "p"), ("run", "-v", "p"), ("run", "--limit", "time=60s", "p"), ("learn", "-n", "new")],
    ids=lambda words: "-".join(words[:2]),
)
def test_sbx_is_killed_at_any_moment(words: tuple[str, ...]) -> None:
    confined = words[0] == "run"
    assert processes() == {}
    with area_of(os.getuid()) as top:
        for name in ("project", "home/config/sbx/profiles", "home/state", "secret", "tmp"):
            os.makedirs(f"{top}/{name}")
        secret, leak = f"{top}/secret/key", f"{top}/project/leak"
        Path(secret).write_text("swordfish\n")
        Path(leak).touch()
        profile = 'version = 1\nname = "p"\ncommand = "sh"\nplatform = "linux"\n'
        for path, rights in (("/usr", '"read", "list", "exec"'), ("/etc", '"read"'), ("$PROJECT", '"create", "write"')):
            profile += f'[[grant]]\npath = "{path}"\nscope = "tree"\nrights = [{rights}]\n'
        Path(top, "home/config/sbx/profiles/p.toml").write_text(profile)
        env = {
            "PATH": "/usr/bin:/bin",
            "HOME": f"{top}/home",
            "TMPDIR": f"{top}/tmp",
            "XDG_CONFIG_HOME": f"{top}/home/config",
            "XDG_STATE_HOME": f"{top}/home/state",
            "SECRET": secret,
            "LEAK": leak,
        }
        command = [*words, "--", "/bin/sh", "-c", TRIES]
        longest = _time_to_start(command, f"{top}/project", env)
        Path(leak).write_text("")
        before = state_of_the_machine(top)
        started = 0
        for _ in range(RUNS // 4):
            pid = start(command, f"{top}/project", env)
            time.sleep(random.uniform(0, longest))
            started += became(processes())
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            if confined:
                _survivors_are_confined(leak)
            else:
                _nobody_survives()
                Path(leak).write_text("")  # while it learns it is not confined
        assert started > RUNS // 40, "hardly a run came as far as its command"
        assert state_of_the_machine(top) == before


def _time_to_start(command: list[str], cwd: str, env: dict[str, str]) -> float:
    """Seconds after which the command certainly runs: half of the moments lie before it, or during it."""
    pid = start(command, cwd, env)
    since = time.monotonic()
    while not became(processes()):
        assert time.monotonic() - since < 20, processes()
    taken = time.monotonic() - since
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    _end()
    return taken * 1.5


def _end() -> None:
    until = time.monotonic() + 5
    while found := processes():
        assert time.monotonic() < until, found
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        reap()
        time.sleep(0.001)
    reap()


def _nobody_survives() -> None:
    """What is traced ends with its tracer."""
    until = time.monotonic() + 2
    while found := processes():
        assert time.monotonic() < until, found
        reap()
        time.sleep(0.002)
    reap()


def _survivors_are_confined(leak: str) -> None:
    """What still runs is the command, under no_new_privs, and reads no secret; or becomes it, or ends."""
    until = time.monotonic() + 2
    while (found := processes()) and not became(found):
        assert time.monotonic() < until, found
        reap()
        time.sleep(0.002)
    if found:
        time.sleep(0.02)
        for pid, exe in processes().items():
            if became({pid: exe}):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    assert "NoNewPrivs:\t1" in Path(f"/proc/{pid}/status").read_text()
    _end()
    assert Path(leak).read_text() == ""
