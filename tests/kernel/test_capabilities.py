"""What root gives up under Landlock, and that root's ordinary work goes on."""

import errno
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from accesses import policy
from capability import require
from children import NOBODY, area_of, eventually, in_child

from learner.enforcers import capabilities
from learner.enforcers.capabilities import BEYOND
from learner.enforcers.landlock import LandlockEnforcer
from learner.policy import NO_RIGHT, Policy, Right, Scope

pytestmark = pytest.mark.kernel

MASK = sum(1 << beyond.number for beyond in BEYOND)
WIDE = policy(("/", Scope.TREE, ~NO_RIGHT))


@pytest.fixture(autouse=True)
def _root() -> None:
    require(os.getuid() == 0, "needs root, who has something to give up")


@pytest.fixture
def area() -> Iterator[str]:
    with area_of(0) as top:
        yield top


def sets(text: str) -> dict[str, int]:
    return {line[:6]: int(line.split()[1], 16) for line in text.splitlines() if line.startswith("Cap")}


def confined(granted: Policy, *command: str, cwd: str = "/") -> subprocess.CompletedProcess[str]:
    confinement = LandlockEnforcer().prepare(granted)
    try:
        return subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, check=False, preexec_fn=confinement.apply, timeout=60
        )
    finally:
        confinement.close()


def test_they_are_gone_over_exec_too() -> None:
    before = sets(Path("/proc/self/status").read_text())
    assert before["CapEff"] & MASK
    after = sets(confined(WIDE, "/bin/cat", "/proc/self/status").stdout)
    assert set(after) == {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}
    assert not [name for name, value in after.items() if value & MASK]
    # And nothing else is.
    assert after["CapEff"] == before["CapEff"] & ~MASK
    assert after["CapBnd"] == before["CapBnd"] & ~MASK
    assert sets(Path("/proc/self/status").read_text()) == before


def test_inheritable_and_ambient_ones_go_as_well(area: str) -> None:
    setpriv = shutil.which("setpriv")
    require(setpriv, "setpriv is not installed (Debian: util-linux)")
    assert setpriv is not None
    words = (setpriv, "--inh-caps=+sys_admin", "--ambient-caps=+sys_admin", "cat", "/proc/self/status")
    held = sets(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    assert held["CapAmb"] & 1 << 21
    script = (
        "from learner.enforcers import capabilities, landlock; import os\n"
        "from learner.policy import *\n"
        "landlock.LandlockEnforcer().prepare("
        "Policy((Grant('/', Scope.TREE, Right.READ | Right.LIST | Right.EXEC, ()),))).apply()\n"
        "os.execv('/bin/cat', ['cat', '/proc/self/status'])"
    )
    done = subprocess.run([*words[:3], sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not [name for name, value in sets(done.stdout).items() if value & MASK]


def test_without_the_right_to_drop_the_bounding_set(area: str) -> None:
    """As in a container that lacks CAP_SETPCAP: no_new_privs alone keeps exec from bringing them back."""
    setpriv = shutil.which("setpriv")
    require(setpriv, "setpriv is not installed (Debian: util-linux)")
    script = (
        "from learner.enforcers import landlock; import os\n"
        "from learner.policy import *\n"
        "landlock.LandlockEnforcer().prepare("
        "Policy((Grant('/', Scope.TREE, Right.READ | Right.LIST | Right.EXEC, ()),))).apply()\n"
        "os.execv('/bin/cat', ['cat', '/proc/self/status'])"
    )
    words = [str(setpriv), "--bounding-set=-setpcap", sys.executable, "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = sets(done.stdout)
    assert not (found["CapEff"] | found["CapPrm"]) & MASK


def test_environments_outside_are_closed(area: str) -> None:
    other = subprocess.Popen(["sleep", "60"], env={"SECRET": "swordfish"})
    try:
        path = f"/proc/{other.pid}/environ"
        # Between fork and exec there is none.
        assert eventually(Path(path).read_bytes)
        assert b"swordfish" in Path(path).read_bytes()
        done = confined(WIDE, "/bin/cat", path)
        assert (done.returncode, done.stdout) == (1, "")
        assert "Permission denied" in done.stderr
        # Its own it may read.
        assert confined(WIDE, "/bin/cat", "/proc/self/environ").returncode == 0
    finally:
        other.kill()
        other.wait()


def test_the_loss_is_stated_and_only_where_there_is_one() -> None:
    def items() -> object:
        confinement = LandlockEnforcer().prepare(Policy())
        confinement.close()
        return [gap.reason for gap in confinement.gaps if gap.item == "root"]

    (reason,) = in_child(items, 0)
    assert all(beyond.name in reason for beyond in capabilities.held())
    assert in_child(items, NOBODY) == []
    assert in_child(lambda: [b.name for b in capabilities.held()], NOBODY) == []


def test_an_ordinary_user_is_left_alone() -> None:
    assert in_child(lambda: capabilities.give_up(), NOBODY) is None


def test_ordinary_work_of_root_goes_on(area: str) -> None:
    for tool in ("git", "gcc"):
        require(shutil.which(tool), f"{tool} is not installed")
    Path(area, "a.c").write_text("int main(void) { return 7; }\n")
    script = f"""
set -e
gcc -o a a.c
./a || test $? = 7
git init -q . && git add a.c
git -c user.name=a -c user.email=a@b commit -qm one
git log --oneline
{sys.executable} -c 'import ssl, sqlite3; print(1)'
touch theirs && chown {NOBODY}:{NOBODY} theirs && chmod 4750 theirs
echo more >> theirs
mkdir private && chown {NOBODY} private && chmod 700 private && touch private/x && ls private
kill -0 $$
"""
    done = confined(WIDE, "/bin/sh", "-c", script, cwd=area)
    assert done.returncode == 0, done.stderr
    assert os.stat(f"{area}/theirs").st_uid == NOBODY
    setpriv = shutil.which("setpriv")
    if setpriv:
        words = (setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "id", "-u")
        assert confined(WIDE, *words).stdout == f"{NOBODY}\n"


def test_low_ports_and_chroot_stay(area: str) -> None:
    def work() -> object:
        LandlockEnforcer().prepare(policy((area, Scope.TREE, ~Right.DEVICE))).apply()
        os.chroot(area)
        with socket.socket(socket.AF_UNIX) as own:
            own.bind("/socket")
        with pytest.raises(OSError) as caught:
            os.mknod("/device", 0o020600, os.makedev(1, 3))
        return [os.listdir("/"), caught.value.errno]

    assert in_child(work) == [["socket"], errno.EACCES]
