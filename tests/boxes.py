"""Programs started for real under a confinement, as any user: what they may do, and attacks they must not get through.

An attack is a line of Python that raises OSError when it is refused. It runs in the machine's own interpreter, exec'd
as `sbx run` execs a command, so that what is tested is what a user gets.
"""

import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest
from children import area_of, in_child, listing

from learner.enforcers.enforcer import Confinement
from learner.launch import execute
from learner.policy import NO_RIGHT, Grant, NetworkGrant, Policy, Right, Scope
from tracers.tracer import Command

PYTHON = "/usr/bin/python3"
READS = Right.READ | Right.LIST | Right.EXEC
CHANGES = ~NO_RIGHT & ~Right.CONNECT
Make = Callable[[Policy], Confinement]

_PRELUDE = """
import ctypes, fcntl, mmap, os, signal, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
def unshared():
    uid, gid = os.getuid(), os.getgid()
    check(libc.unshare(0x10020000))
    open('/proc/self/setgroups', 'w').write('deny')
    open('/proc/self/uid_map', 'w').write(f'{uid} {uid} 1')
    open('/proc/self/gid_map', 'w').write(f'{gid} {gid} 1')
def int80(number):
    page = mmap.mmap(-1, 4096, prot=7)
    page.write(b'\\x53\\xb8' + number.to_bytes(4, 'little') + b'\\xcd\\x80\\x5b\\xc3')
    result = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
    if result < 0:
        raise OSError(-result, os.strerror(-result))
"""


class Box(NamedTuple):
    """An area of the user's: ``project`` is granted, ``secret`` beside it is not, ``library`` may be read."""

    top: str
    user: int
    outsider: int
    """A process of the user's that is not confined."""
    abstract: str

    @property
    def project(self) -> str:
        return f"{self.top}/project"

    @property
    def names(self) -> dict[str, object]:
        """What attacks are filled in with."""
        return {
            "secret": f"{self.top}/secret",
            "socket": f"{self.top}/socket",
            "library": f"{self.top}/library",
            "project": self.project,
            "outsider": self.outsider,
            "abstract": self.abstract,
        }


@contextmanager
def box_of(user: int) -> Iterator[Box]:
    """A box, with services in it that listen, and a process of ``user``'s."""
    with area_of(user) as top, socket.socket(socket.AF_UNIX) as by_path, socket.socket(socket.AF_UNIX) as by_name:

        def fill() -> None:
            for name in ("project", "library"):
                os.mkdir(f"{top}/{name}")
            for name in ("secret", "library/book"):
                with open(f"{top}/{name}", "w") as file:
                    file.write("swordfish\n")

        in_child(fill, user)
        by_path.bind(f"{top}/socket")
        os.chmod(f"{top}/socket", 0o777)
        abstract = f"sbx-test-{os.path.basename(top)}"
        by_name.bind("\0" + abstract)
        for listening in (by_path, by_name):
            listening.listen()
        read_end, write_end = os.pipe()
        started, starting = os.pipe()
        outsider = os.fork()
        if outsider == 0:
            os.dup2(read_end, 0)
            if user != os.getuid():
                os.setgroups([])
                os.setresgid(user, user, user)
                os.setresuid(user, user, user)
            os.execv("/bin/cat", ["cat"])
        os.close(read_end)
        os.close(starting)
        os.read(started, 1)  # it ends with the exec
        os.close(started)
        try:
            yield Box(top, user, outsider, abstract)
        finally:
            os.close(write_end)
            os.waitpid(outsider, 0)


def box_policy(box: Box, *more: tuple[str, Scope, Right], network: tuple[NetworkGrant, ...] = ()) -> Policy:
    """The system and ``library`` to read, ``project`` to change, and ``more``."""
    grants = [
        ("/usr", Scope.TREE, READS),
        ("/proc", Scope.TREE, Right.READ | Right.LIST),
        ("/etc/ld.so.cache", Scope.FILE, Right.READ),
        ("/dev/null", Scope.FILE, Right.READ | Right.WRITE),
        ("/dev/urandom", Scope.FILE, Right.READ),
        (f"{box.top}/library", Scope.TREE, Right.READ | Right.LIST),
        (box.project, Scope.TREE, CHANGES),
        *more,
    ]
    return Policy(tuple(Grant(path, scope, rights, ()) for path, scope, rights in grants), network)


class Ended(NamedTuple):
    """How a program ended, and all that it said."""

    status: int
    said: str


def start(make: Make | None, policy: Policy, box: Box, *words: str, inherit: int = -1) -> Ended:
    """Run ``words`` (the first one a path) in the project as the box's user, under what ``make`` makes."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(write_end, 1)
            os.dup2(write_end, 2)
            if box.user != os.getuid():
                os.setgroups([])
                os.setresgid(box.user, box.user, box.user)
                os.setresuid(box.user, box.user, box.user)
            os.chdir(box.project)
            os.environ.clear()
            os.environ.update(HOME=box.project, PATH="/usr/bin:/bin")
            if inherit >= 0:
                os.set_inheritable(inherit, True)
            command = Command(words[0], words)
            if make is None:
                os.execv(command.file, command.argv)
            execute(command, make(policy))
        except BaseException as problem:  # noqa: BLE001 - the test must hear of it
            os.write(2, f"not started: {problem}".encode())
        finally:
            os._exit(99)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as said:
        text = said.read().decode(errors="replace")
    return Ended(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text)


def attempt(make: Make | None, policy: Policy, box: Box, line: str, inherit: int = -1) -> int:
    """The errno of a line of Python in the box, 0 if it went through. AssertionError if it could not be tried."""
    names = {**box.names, "inherited": inherit}
    for name, value in names.items():
        line = line.replace(f"<{name}>", str(value))
    body = "\n".join("    " + part for part in line.split("; "))
    script = (
        f"{_PRELUDE}\ntry:\n{body}\nexcept OSError as e:\n    print('errno', e.errno)\nelse:\n    print('errno 0')\n"
    )
    ended = start(make, policy, box, PYTHON, "-I", "-c", script, inherit=inherit)
    last = ended.said.strip().splitlines()[-1:] or [""]
    assert ended.status == 0, ended
    assert last[0].startswith("errno "), ended
    return int(last[0].removeprefix("errno "))


READ = "open('<secret>').read()"
STAT = "os.stat('<secret>')"
UNIX = "socket.socket(socket.AF_UNIX).connect('<socket>')"
ABSTRACT = "socket.socket(socket.AF_UNIX).connect('\\0<abstract>')"
OVERWRITE = "os.open('<library>/book', os.O_WRONLY)"
CREATE = "os.mknod('<library>/new')"
CHMOD = "os.chmod('<library>/book', 0o600)"
SIGNAL = "os.kill(<outsider>, 0)"
ENVIRON = "open('/proc/<outsider>/environ').read()"
ROOT = "os.stat('/proc/<outsider>/root/' + '<secret>')"
INHERITED = "os.open('secret', os.O_RDONLY, dir_fd=<inherited>)"
UDP = "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'', ('127.0.0.1', 9))"
MPTCP = "socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)"
IO_URING = "check(libc.syscall(425, 0, None))"
TIOCSTI = "fcntl.ioctl(os.open('/dev/null', os.O_RDONLY), 0x5412, b'x')"
KEYRING = "check(libc.syscall(250, 0, -3, 1))"
NESTED = "unshared(); check(libc.mount(b'tmpfs', b'/usr', b'tmpfs', 0, None))"
REMOUNT = "unshared(); check(libc.mount(None, b'<library>', None, 0x1020, None)); os.mknod('<library>/new')"
INT80 = "int80(20)"

CONTROLS: dict[str, int] = {IO_URING: errno.EFAULT, TIOCSTI: errno.ENOTTY, REMOUNT: errno.EINVAL}
"""What unconfined attacks answer if not 0: from deeper in the kernel than any refusal."""


def refused(make: Make, box: Box, attack: str, refusals: set[int]) -> None:
    """Check that ``attack`` works unconfined, is refused with one of ``refusals`` by ``make``, and changes nothing."""
    policy = box_policy(box)
    before = listing(box.top)
    directory = os.open(box.top, os.O_RDONLY)
    try:
        control = attempt(None, policy, box, attack, inherit=directory)
        if attack == CREATE and control == 0:
            os.unlink(f"{box.top}/library/new")
        if attack == CHMOD:
            os.chmod(f"{box.top}/library/book", 0o644)
        if attack == MPTCP and control:
            pytest.skip("this kernel has no MPTCP")
        assert control == CONTROLS.get(attack, 0)
        assert attempt(make, policy, box, attack, inherit=directory) in refusals
    finally:
        os.close(directory)
    assert listing(box.top) == before
