"""What our own tracers record of calls that are easy to get wrong."""

import errno
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from capability import require

from learner.access import Access, Kind
from learner.recorder import Recorder
from learner.session import make_tracer
from learner.trace import Header, Trace
from tracers import report
from tracers.choice import candidates
from tracers.events import Operation
from tracers.tracer import Command, TraceEnd, TracerName

pytestmark = pytest.mark.kernel

SYSCALL = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def syscall(*arguments):
    result = libc.syscall(*(ctypes.c_char_p(a) if isinstance(a, bytes) else ctypes.c_long(a) for a in arguments))
    return result if result >= 0 else -ctypes.get_errno()
def tried(call, *arguments):
    try: return call(*arguments)
    except OSError: return None
"""


@pytest.fixture(autouse=True, params=[TracerName.NOTIFY, TracerName.PTRACE])
def name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> TracerName:
    found = TracerName(request.param)
    obstacle = next(c.obstacle for c in candidates() if c.name is found)
    require(not obstacle, obstacle)
    monkeypatch.setattr(Traced, "by", found)
    return found


class Traced:
    """One run; ``S`` stands for the scratch directory in the names it gives."""

    by = TracerName.PTRACE

    def __init__(self, scratch: Path, *argv: str) -> None:
        self._scratch = str(scratch)
        tracer = make_tracer(self.by)
        recorder = Recorder(Header("", "/", "/", "/", 0, tracer.name, "", 0.0), tracer.programs)
        file = shutil.which(argv[0])
        assert file is not None
        self.end: TraceEnd = tracer.run(Command(file, argv), recorder)
        self.trace: Trace = recorder.finish(self.end)
        assert self.trace.end is not None and self.trace.end.lost == 0

    def _name(self, path: str) -> str:
        return path.replace(self._scratch, "S")

    @property
    def all(self) -> set[tuple[str, str, int]]:
        return {(str(a.operation), self._name(a.object), a.outcome) for a in self.trace.accesses}

    def of(self, operation: Operation, name: str) -> list[Access]:
        """Accesses of the objects called ``S/name``."""
        return [a for a in self.trace.accesses if (a.operation, self._name(a.object)) == (operation, f"S/{name}")]

    def links(self, operation: Operation, name: str) -> set[tuple[str, ...]]:
        return {tuple(self._name(link) for link in a.links) for a in self.of(operation, name)}


def script(scratch: Path, source: str) -> Traced:
    traced = Traced(scratch, sys.executable, "-I", "-S", "-c", f"{SYSCALL}\nos.chdir({str(scratch)!r})\n{source}")
    assert traced.end.status == 0
    return traced


# What the table in fixtures/programs/README.md demands, where a set of accesses can say it.
DEMANDED: dict[str, set[tuple[str, str, int]]] = {
    "cwd": {("read", f"S/a/{name}", 2) for name in ("relative", "after-failure", "from-thread", "unshared", "forked")}
    | {("read", f"S/b/{name}", 2) for name in ("dirfd", "up", "after-fchdir", "after-thread", "still-b", "after-fork")}
    | {("read", "S/a/after-clone", 2)},
    "cwd_moved": {("read", "S/before/one", errno.ENOENT), ("read", "S/after/two", errno.ENOENT)},
    "dns": {
        ("resolve", "one.sbx.invalid", 0),
        ("resolve", "two.sbx.invalid", 0),
        ("connect", "127.0.0.153:53/tcp", errno.ECONNREFUSED),
    },
    "eintr": {("read", "S/fifo", errno.EINTR), ("read", "S/fifo", 0)},
    "exitgroup": {("read", "S/last", errno.ENOENT)},
    "fexecve": {("exec", "memfd:sbx-copy", 0), ("exec", "/nonexistent/sbx-program", 2), ("exec", "/", errno.EACCES)},
    "forks": {("read", f"S/fork-{n:03}", 2) for n in range(300)}
    | {("read", f"S/grandchild-{n:03}", 2) for n in range(0, 300, 10)},
    "magic": {
        ("read", "S/sub/file", 0),
        ("read", "S/sub/file (deleted)", 0),
        ("read", "S/sub/absent-fd", 2),
        ("read", "S/absent-cwd", 2),
        ("read", "S/absent-thread", 2),
        ("read", "/nonexistent/absent-root", 2),
        ("read", "S/sub/absent-child", 2),
    },
    "mutate": {
        ("create", "S/created", 0),
        ("rename-from", "S/renamed", 0),
        ("rename-to", "S/exclusive", 0),
        ("rename-to", "S/directory", errno.EEXIST),
        ("rename-from", "S/directory", 0),
        ("link-from", "S/symbolic-link", 0),
        ("link-to", "S/hard-link", errno.EEXIST),
        ("mknod", "S/fifo", 0),
        ("rmdir", "S/directory", errno.ENOTEMPTY),
    },
    "openat2": {
        ("create", "S/below/file", 0),
        ("read", "S/outside", errno.EXDEV),
        ("read", "/absolute", errno.EXDEV),
        ("read", "S/below/link", errno.ELOOP),
    },
    "sockets": {
        ("connect", "/nonexistent/sbx-fixture.sock", 2),
        ("connect", "S/absent.sock", 2),
        ("bind", "S/bound.sock", errno.EADDRINUSE),
        ("connect", "@sbx-fixture\\x00absent\\xff", errno.ECONNREFUSED),
        ("connect", "127.0.0.1:9/tcp", errno.ECONNREFUSED),
        ("send", "127.0.0.1:9/udp", 0),
    },
    "symlinks": {
        ("read", "S/loop-a", errno.ELOOP),
        ("create", "S/nowhere", 0),
        ("read", "S/deep/sibling", 0),
        ("read", "S/deep/file", 2),
        ("read", "S/one/version", 2),
        ("read", "S/two/version", 2),
    },
    "thread_exec": {("read", f"S/{name}", 2) for name in ("spin", "before-exec", "after-exec")},
    "thread_exec_leader_gone": {("read", f"S/{name}", 2) for name in ("before-exec", "after-exec")},
    "threads": {("read", f"S/thread{t}-{n:03}", 2) for t in range(8) for n in range(200)},
    "tmpfile": {("create", "S/#unnamed", 0), ("link-from", "S/#unnamed", 0), ("link-to", "S/named", 0)},
    "vfork": {("stat", "S/in-child", 2), ("exec", "S/absent-program", 2), ("read", "S/in-parent", 2)},
}


UNSEEN = {errno.EINTR, errno.ECONNREFUSED}
"""Errors that no lookup shows: a tracer that deduces takes them for what they mean, a success."""


@pytest.mark.parametrize("program", sorted(DEMANDED))
def test_says_what_the_programs_do(
    program: str, name: TracerName, programs: Callable[[str], Path], scratch: Path
) -> None:
    traced = Traced(scratch, str(programs(program)), str(scratch))
    assert traced.end.status == 0
    wanted = DEMANDED[program]
    if traced.end.deduced:
        wanted = {(operation, path, 0 if code in UNSEEN else code) for operation, path, code in wanted}
    assert wanted - traced.all == set()
    assert not {outcome for _, _, outcome in traced.all if outcome >= 512}


def test_counts_and_notes(name: TracerName, programs: Callable[[str], Path], scratch: Path) -> None:
    if name is TracerName.PTRACE:
        assert Traced(scratch, str(programs("unfinished")), str(scratch)).end.unfinished == 1
        (note,) = Traced(scratch, str(programs("nested_ptrace"))).end.notes
        assert "EPERM" in note
    for name in ("forks", "eintr", "exitgroup", "strings"):
        end = Traced(scratch, str(programs(name)), str(scratch)).end
        assert (end.unfinished, end.notes) == (0, ())
    (note,) = Traced(scratch, str(programs("io_uring")), str(scratch)).end.notes
    assert "ENOSYS" in note


def test_a_link_that_is_replaced_by_a_file(scratch: Path) -> None:
    for replace in ("os.rename('new', 'link')", "os.rename('new', './/link')", "os.replace('new', 'deep/../link')"):
        for name in ("target", "link", "new"):
            (scratch / name).unlink(missing_ok=True)
        (scratch / "deep").mkdir(exist_ok=True)
        (scratch / "target").touch()
        (scratch / "new").touch()
        (scratch / "link").symlink_to("target")
        traced = script(scratch, f"open('link').close(); {replace}; open('link').close()")
        assert traced.links(Operation.READ, "target") == {("S/link",)}
        assert traced.links(Operation.READ, "link") == {()}


@pytest.mark.parametrize("link", ["link", "./link", "deep/../link", "short/link"])
def test_a_link_that_is_removed(scratch: Path, link: str) -> None:
    (scratch / "deep").mkdir()
    (scratch / "target").mkdir()
    (scratch / "short").symlink_to(".")
    (scratch / "link").symlink_to("target")
    traced = script(
        scratch, f"tried(os.stat, 'link/x'); os.unlink({link!r}); os.mkdir('link'); tried(os.stat, 'link/x')"
    )
    assert traced.links(Operation.STAT, "target/x") == {("S/link",)}
    assert traced.links(Operation.STAT, "link/x") == {()}


def test_a_link_that_changes_places(scratch: Path) -> None:
    number = 316 if platform.machine() == "x86_64" else 276  # renameat2
    exchange = f"assert syscall({number}, -100, b'file', -100, b'link', 2) == 0"
    for before in ("open('link'); open('file')", "open('file')"):
        (scratch / "target").touch()
        (scratch / "file").touch()
        (scratch / "link").symlink_to("target")
        traced = script(scratch, f"{before}; {exchange}; open('link'); open('file')")
        assert traced.links(Operation.READ, "target") >= {("S/file",)}
        assert traced.links(Operation.READ, "file") == {()}
        assert traced.links(Operation.READ, "link") == {()}
        for name in ("target", "file", "link"):
            (scratch / name).unlink()


def test_a_directory_that_is_removed_under_the_program(scratch: Path) -> None:
    traced = script(
        scratch,
        "os.mkdir('d'); os.chdir('d'); tried(os.stat, 'one')\n"
        f"os.rmdir({str(scratch)!r} + '/d'); os.mkdir({str(scratch)!r} + '/d'); tried(os.stat, 'two')",
    )
    assert traced.of(Operation.STAT, "d/one")
    assert not traced.of(Operation.STAT, "d/two")
    assert [a.kind for a in traced.of(Operation.STAT, "d (deleted)/two")] == [Kind.ABSENT]


def test_calls_on_a_descriptor_by_an_empty_path(scratch: Path) -> None:
    (scratch / "link").symlink_to("somewhere")
    traced = script(
        scratch,
        """
assert os.readlink('', dir_fd=os.open('link', os.O_PATH | os.O_NOFOLLOW)) == 'somewhere'
unnamed = os.open('.', os.O_TMPFILE | os.O_RDWR)
linkat = {'x86_64': 265, 'aarch64': 37}[os.uname().machine]
sys.stderr.write(str(syscall(linkat, unnamed, b'', -100, b'named', 0x1000)))  # root, or Linux 6.10
""",
    )
    (made,) = traced.of(Operation.LINK_TO, "named")
    assert made.existed is (False if made.outcome == 0 else None)
    assert traced.of(Operation.LINK_FROM, "#unnamed")


def test_openat2_below_a_root_of_its_own(scratch: Path) -> None:
    (scratch / "below").mkdir()
    traced = script(
        scratch,
        """
below = os.open('below', os.O_PATH)
how = (ctypes.c_uint64 * 3)(os.O_RDONLY, 0, 0x10)  # RESOLVE_IN_ROOT
assert syscall(437, below, b'/absent', ctypes.addressof(how), 24) in (-2, -38)
""",
    )
    assert {a.outcome for a in traced.of(Operation.READ, "below/absent")} <= {errno.ENOENT, errno.ENOSYS}
    assert traced.of(Operation.READ, "below/absent")
    assert not [a for a in traced.trace.accesses if a.object == "/absent"]


def test_another_root_directory(scratch: Path) -> None:
    (scratch / "jail" / "etc").mkdir(parents=True)
    (scratch / "jail" / "etc" / "file").touch()
    (scratch / "jail" / "absolute").symlink_to("/etc")
    traced = script(
        scratch,
        """
if os.geteuid(): assert libc.unshare(0x10000000) == 0  # CLONE_NEWUSER: then it may
os.chroot('jail')
os.chdir('/')
open('/etc/file').close(); open('etc/file').close(); open('/absolute/file').close(); open('/../etc/file').close()
tried(os.stat, '/absolute/no'); tried(os.stat, 'etc/../../nowhere'); tried(open, '/etc/made', 'w')
if os.fork() == 0:
    tried(os.stat, '/etc/child')
    os._exit(0)
os.wait()
""",
    )
    assert traced.links(Operation.READ, "jail/etc/file") == {(), ("S/jail/absolute",)}
    assert traced.links(Operation.STAT, "jail/etc/no") == {("S/jail/absolute",)}
    assert traced.of(Operation.STAT, "jail/nowhere")
    assert traced.of(Operation.STAT, "jail/etc/child")
    assert [a.existed for a in traced.of(Operation.CREATE, "jail/etc/made")] == [False]
    ours = {"/etc/file", "/etc/no", "/etc/child", "/etc/made", "/nowhere"}
    assert not [a for a in traced.trace.accesses if a.object in ours]


def test_a_mount_namespace_outlives_who_made_it(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require(shutil.which("unshare"), "unshare is not installed (Debian: apt install util-linux)")
    allowed = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0
    require(allowed, "no mount namespaces for this user")
    (scratch / "target").touch()
    (scratch / "link").symlink_to("target")
    program = scratch / "program.py"
    program.write_text(
        """
import os, time
parent = os.getpid()
if os.fork() == 0:
    while os.getppid() == parent: time.sleep(0.001)
    open('link').close()
"""
    )
    monkeypatch.chdir(scratch)
    traced = Traced(scratch, "unshare", "-rm", sys.executable, "-I", "-S", str(program))
    assert traced.end.status == 0
    assert traced.links(Operation.READ, "target") == {("S/link",)}
    assert [a.kind for a in traced.of(Operation.READ, "target")] == [Kind.FILE]


FOREIGN = r"""
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
static int call32(long number, long first, long second)
{
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(first), "c"(second), "d"(0)
                     : "memory", "r8", "r9", "r10", "r11");
    return (int)result;
}
int main(int argc, char **argv)
{
    char *low = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    int a = open(argv[1], O_RDONLY), b = open(argv[2], O_RDONLY);
    fchdir(a); open("native-a", O_RDONLY);
    strcpy(low, "foreign-a"); call32(5, (long)low, O_RDONLY);
    if (call32(133, b, 0) != 0) return 0; /* fchdir */
    strcpy(low, "foreign-b"); call32(5, (long)low, O_RDONLY);
    open("native-b", O_RDONLY);
    strcpy(low, argv[1]); call32(12, (long)low, 0); /* chdir */
    open("again-a", O_RDONLY);
    return 0;
}
"""


def test_directories_changed_by_32_bit_calls(scratch: Path, programs: Callable[[str], Path]) -> None:
    require(platform.machine() == "x86_64", "x86-64 only")
    require(shutil.which("gcc"), "gcc is not installed (Debian: apt install gcc libc6-dev)")
    skipped = subprocess.run([programs("int80"), scratch], capture_output=True, check=True).stdout
    require(b"skipped" not in skipped, "this kernel takes no 32-bit calls")
    source = scratch / "foreign.c"
    source.write_text(FOREIGN)
    subprocess.run(["gcc", "-o", scratch / "foreign", source], check=True)
    for name in ("a", "b"):
        (scratch / name).mkdir()
    traced = Traced(scratch, str(scratch / "foreign"), str(scratch / "a"), str(scratch / "b"))
    for name in ("a/native-a", "a/foreign-a", "b/foreign-b", "b/native-b", "a/again-a"):
        assert traced.of(Operation.READ, name), name
    assert not [a for a in traced.trace.accesses if a.operation is Operation.FOREIGN]
    assert {a.call for a in traced.of(Operation.READ, "b/foreign-b")} == {"i386:open"}


def test_forgetting_what_was_seen_changes_nothing(
    scratch: Path, programs: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Traced(scratch, str(programs("mutate")), str(scratch))
    monkeypatch.setattr(report, "MAX_SEEN", 3)
    assert Traced(scratch, str(programs("mutate")), str(scratch)).all == whole.all
