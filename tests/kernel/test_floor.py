"""A floor: what it masks is out of reach by every way in, everything else works, and the attempt is seen."""

import ctypes
import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import boxes
import pytest
from boxes import Box, attempt, box_of, start
from capability import require
from children import area_of, in_child, listing

from learner.command import find
from learner.enforcers import floor as floors
from learner.enforcers import kernel
from learner.enforcers.choice import namespace_obstacle
from learner.enforcers.enforcer import Confinement
from learner.errors import MachineError
from learner.findings import Result, Verification, findings
from learner.floor import find_floor
from learner.policy import Policy
from learner.session import derive, make_tracer, record
from learner.settings import map_ids
from learner.surface import surface
from learner.variables import Variables
from tracers.tracer import TracerName

pytestmark = pytest.mark.kernel
NOTHING = Policy()
KEY = "<project>/.ssh/id_ed25519"
TOKEN = "<project>/.netrc"
FILES = (".ssh/id_ed25519", ".aws/credentials", ".netrc", ".config/gh/hosts.yml", ".config/tool/settings", ".gitconfig")


@pytest.fixture
def box(user: int) -> Iterator[Box]:
    """``project`` is the home directory, and the current one."""
    require(not namespace_obstacle(), namespace_obstacle())
    with box_of(user) as made:

        def fill() -> None:
            for name in FILES:
                os.makedirs(f"{made.project}/{os.path.dirname(name)}", exist_ok=True)
                with open(f"{made.project}/{name}", "w") as file:
                    file.write("swordfish\n")
            os.mkdir(f"{made.project}/empty")

        in_child(fill, user)
        yield made


def protecting(box: Box, *allowed: str) -> Callable[[Policy], Confinement]:
    def make(_policy: Policy) -> Confinement:
        variables = Variables(box.project, box.project)
        agent = {"SSH_AUTH_SOCK": f"{box.top}/socket"}
        return floors.prepare(find_floor(variables, allowed, (box.project,), agent))

    return make


EMPTY = f"data = open('{TOKEN}').read(); data or os.open('/nonesuch', 0)"
BIND = "check(libc.mount(b'<project>', b'<project>/empty', None, {flags}, None)); "


@pytest.mark.parametrize(
    ("attack", "refusals"),
    [
        (f"open('{KEY}')", {errno.EACCES}),
        (f"os.stat('{KEY}')", {errno.EACCES}),
        ("os.listdir('<project>/.ssh')", {errno.EACCES}),
        ("open('<project>/.aws/credentials')", {errno.EACCES}),
        (f"open('{TOKEN}')", {errno.EACCES}),
        ("open('/proc/self/root<project>/.netrc')", {errno.EACCES}),
        ("open('/proc/self/cwd/.netrc')", {errno.EACCES}),
        ("os.chdir('<project>/.ssh'); open('id_ed25519')", {errno.EACCES}),
        (boxes.UNIX, {errno.EACCES}),
        (f"os.open('{TOKEN}', os.O_WRONLY)", {errno.EACCES}),
        (f"os.truncate('{TOKEN}', 10)", {errno.EACCES, errno.EROFS}),
        (f"os.chmod('{TOKEN}', 0o600)", {errno.EROFS}),
        (f"os.link('{TOKEN}', '<project>/copy'); open('<project>/copy')", {errno.EXDEV, errno.EPERM}),
        (f"os.rename('{TOKEN}', '<project>/moved'); open('<project>/moved')", {errno.EBUSY}),
        ("os.rename('<project>/.config', '<project>/moved'); open('<project>/moved/gh/hosts.yml')", {errno.EACCES}),
        (f"fd = os.open('{TOKEN}', os.O_PATH); open(f'/proc/self/fd/{{fd}}')", {errno.EACCES}),
        (
            "fd = os.open('<project>/.ssh', os.O_PATH); os.open('id_ed25519', os.O_RDONLY, dir_fd=fd)",
            {errno.EACCES},
        ),
        ("os.open('project/.netrc', os.O_RDONLY, dir_fd=<inherited>)", {errno.EBADF}),
        ("open('/proc/<outsider>/root<project>/.netrc')", {errno.EACCES}),
        (boxes.ENVIRON, {errno.EACCES}),
        ("os.open('/proc/<outsider>/ns/mnt', os.O_RDONLY)", {errno.EACCES}),
        ("check(libc.ptrace(0x4206, <outsider>, 0, 0))", {errno.EPERM}),  # PTRACE_SEIZE
        ("check(libc.syscall(438, check(libc.syscall(434, <outsider>, 0)), 0, 0))", {errno.EPERM}),  # pidfd_getfd
        # In a namespace of its own the program has every capability: over the mask, but not over what holds it there.
        (f"unshared(); open('{KEY}')", {errno.ENOENT, errno.EACCES}),
        (f"unshared(); {EMPTY}", {errno.ENOENT, errno.EACCES}),
        (f"unshared(); {BIND.format(flags=0x1000)}open('<project>/empty/.netrc')", {errno.EINVAL}),
        (
            f"unshared(); {BIND.format(flags=0x5000)}open('<project>/empty/.ssh/id_ed25519')",
            {errno.ENOENT, errno.EACCES},
        ),
        (
            "unshared(); check(libc.mount(b'o', b'<project>/empty', b'overlay', 0, b'lowerdir=<project>:/usr')); "
            "open('<project>/empty/.netrc')",
            {errno.EINVAL},
        ),
    ],
)
def test_attacks(attack: str, refusals: set[int], box: Box) -> None:
    directory = os.open(box.top, os.O_RDONLY)
    try:
        assert attempt(None, NOTHING, box, attack, inherit=directory) == 0
        _put_back(box)
        before = listing(box.project)
        said = attempt(protecting(box), NOTHING, box, attack, inherit=directory)
        assert said in refusals, errno.errorcode.get(said)
    finally:
        os.close(directory)
    _put_back(box)
    assert listing(box.project) == before


def _put_back(box: Box) -> None:
    with suppress(FileNotFoundError):
        os.unlink(f"{box.project}/copy")
    for name in (".netrc", ".config"):
        with suppress(OSError):
            if not os.path.lexists(f"{box.project}/{name}"):
                os.rename(f"{box.project}/moved", f"{box.project}/{name}")


@pytest.mark.parametrize("within", ["", "unshared(); "], ids=["direct", "nested"])
@pytest.mark.parametrize(
    ("attack", "refusals"),
    [
        ("check(libc.umount2(b'<project>/.ssh', 2)); open('<project>/.ssh/id_ed25519')", {errno.EPERM, errno.EINVAL}),
        ("check(libc.umount2(b'<project>/.netrc', 2))", {errno.EPERM, errno.EINVAL}),
        ("open('/proc/<outsider>/root<project>/.netrc')", {errno.EACCES}),
        ("check(libc.mount(None, b'<project>/.netrc', None, 0x1020, None)); os.chmod('<project>/.netrc', 0o666)", {1}),
        ("check(libc.syscall(428, -100, b'<project>', 0x80001))", {errno.EPERM, errno.EINVAL}),  # open_tree, cloned
    ],
)
def test_masks_cannot_be_taken_off(attack: str, refusals: set[int], within: str, box: Box) -> None:
    assert attempt(protecting(box), NOTHING, box, within + attack) in refusals


def test_a_file_handle_does_not_lead_around_a_mask(box: Box) -> None:
    require(os.getuid() == 0, "only root may open by handle, which is the control")
    handle = _handle(f"{box.project}/.netrc")
    line = f"h = ctypes.create_string_buffer(bytes.fromhex('{handle}')); at = os.open('<project>', os.O_RDONLY); "
    line += "check(libc.open_by_handle_at(at, h, 0))"
    assert attempt(None, NOTHING, box, line) == (0 if box.user == 0 else errno.EPERM)
    assert attempt(protecting(box), NOTHING, box, line) == errno.EPERM
    assert attempt(protecting(box), NOTHING, box, "unshared(); " + line) == errno.EPERM


def _handle(path: str) -> str:
    """What name_to_handle_at(2) says of ``path``, in hexadecimal."""
    buffer = ctypes.create_string_buffer((128).to_bytes(4, sys.byteorder) + bytes(4 + 128))
    assert ctypes.CDLL(None).name_to_handle_at(-100, os.fsencode(path), buffer, ctypes.byref(ctypes.c_int()), 0) == 0
    return bytes(buffer).hex()


def test_everything_else_works(box: Box) -> None:
    script = (
        "set -e; cat .gitconfig .config/tool/settings; echo new > note; mkdir -p .cache/tool; mv note .cache/tool; "
        "echo [user] > .gitconfig; cat .cache/tool/note; cat <(echo two); python3 -c 'print(3)'; ls -d .ssh; "
        "f=$(mktemp); rm $f; cat /etc/passwd > /dev/null; ls /dev > /dev/null"
    )
    ended = start(protecting(box), NOTHING, box, "/bin/bash", "-c", script)
    assert (ended.status, ended.said) == (0, "swordfish\nswordfish\nnew\ntwo\n3\n.ssh\n")
    with open(f"{box.project}/.gitconfig") as kept:
        assert kept.read() == "[user]\n"
    for line in (
        "s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname())",
        "assert [n for _, n in socket.if_nameindex()] != ['lo'] or len(os.listdir('/sys/class/net')) == 1",
        boxes.ABSTRACT,
        "os.kill(<outsider>, 0)",
        "unshared(); check(libc.mount(b'tmpfs', b'<project>/empty', b'tmpfs', 0, None)); "
        "check(libc.umount2(b'<project>/empty', 2))",
    ):
        assert attempt(None, NOTHING, box, line) == 0
        assert attempt(protecting(box), NOTHING, box, line) == 0, line


def test_a_user_may_still_make_namespaces_and_mount_proc_in_them(box: Box) -> None:
    words = ("/usr/bin/unshare", "-U", "-r", "-p", "-f", "--mount-proc", "/bin/sh", "-c", "echo $$; cat $0")
    words = (*words, f"{box.project}/.ssh/id_ed25519")
    assert start(None, NOTHING, box, *words) == boxes.Ended(0, "1\nswordfish\n")
    said = start(protecting(box), NOTHING, box, *words).said
    if box.user:
        assert said.startswith("1\ncat: ")
    else:  # without CAP_SETFCAP nobody may map root (user_namespaces(7))
        assert "uid_map" in said
    assert "swordfish" not in said


def test_no_capability_is_left_and_no_mount_outside(box: Box) -> None:
    with open("/proc/self/mountinfo") as mounts:
        before = mounts.read()
    ended = start(protecting(box), NOTHING, box, "/bin/sh", "-c", "grep -E '^(Cap|NoNewPrivs)' /proc/self/status")
    values = dict(line.split(":\t") for line in ended.said.splitlines())
    assert {int(value, 16) for name, value in values.items() if name.startswith("Cap")} == {0}
    assert values["NoNewPrivs"] == "1"
    with open("/proc/self/mountinfo") as mounts:
        assert mounts.read() == before


def test_a_second_mount_is_masked_as_well(box: Box) -> None:
    def work(protected: bool) -> list[str]:
        """Whether the token, its twin in a whole second mount and a key bound by itself can be read."""
        uid, gid = os.getuid(), os.getgid()
        kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS)
        map_ids(uid, gid)
        for name in ("whole two", "part"):
            os.mkdir(f"{box.top}/project/empty/{name}")
        for source, name in (("", "whole two"), ("/.ssh", "part")):
            kernel.mount(box.project + source, f"{box.project}/empty/{name}", None, 0x1000)
        if protected:
            masks = find_floor(Variables(box.project, box.project), environment={}).masks
            floors.enter([mask.path for mask in masks])
        said = []
        for name in (".netrc", "empty/whole two/.netrc", "empty/part/id_ed25519", "empty/whole two/.gitconfig"):
            try:
                said.append(Path(box.project, name).read_text())
            except OSError as problem:
                said.append(errno.errorcode[problem.errno or 0])
        return said

    assert in_child(lambda: work(False), box.user) == ["swordfish\n"] * 4
    for name in ("whole two", "part"):
        os.rmdir(f"{box.project}/empty/{name}")
    assert in_child(lambda: work(True), box.user) == [*["EACCES"] * 3, "swordfish\n"]


def test_what_is_allowed_is_open_and_its_neighbours_are_not(box: Box) -> None:
    known = f"{box.project}/.ssh/known_hosts"
    in_child(lambda: Path(known).write_text("hosts\n"), box.user)
    make = protecting(box, known)
    assert attempt(make, NOTHING, box, f"assert open('{known}').read() == 'hosts\\n'") == 0
    assert attempt(make, NOTHING, box, f"open('{KEY}')") == errno.EACCES
    assert attempt(protecting(box, f"{box.project}/.ssh"), NOTHING, box, f"open('{KEY}')") == 0


def test_the_attempt_is_in_the_trace_and_in_the_report(box: Box) -> None:
    def work() -> dict[str, object]:
        os.chdir(box.project)
        variables = Variables(box.project, box.project)
        command = find(("sh", "-c", "cat .ssh/id_ed25519; head -1 .netrc; cat .gitconfig; true"))
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 2)
        os.dup2(null, 1)
        run = record(command, make_tracer(TracerName.PTRACE), variables, floor=find_floor(variables, (), (), {}))
        found = derive(run.trace, frozenset())
        result = Result("", run.trace, found, Verification("off"), surface(found.policy, run.trace.accesses), {})
        seen = [(a.object, a.outcome, run.trace.programs[a.program].label) for a in run.trace.accesses]
        return {"seen": seen, "said": findings(result), "grants": [g.path for g in found.policy.grants]}

    found = in_child(work, box.user)
    key, token = f"{box.project}/.ssh/id_ed25519", f"{box.project}/.netrc"
    assert [key, errno.EACCES, "cat"] in found["seen"]
    assert [token, errno.EACCES, "head"] in found["seen"]
    assert [f"{box.project}/.gitconfig", 0, "cat"] in found["seen"]
    assert f"sensitive, so left out: {key} (SSH keys), used by cat (refused: it was masked)" in found["said"]
    assert f"sensitive, so left out: {token} (passwords), used by head (refused: it was masked)" in found["said"]
    assert not {key, token, f"{box.project}/.ssh"} & {*found["grants"]}


def sbx(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    gone = ("SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS", "DOCKER_HOST", "XAUTHORITY")
    return subprocess.run(
        [sys.executable, "-m", "learner", *words],
        cwd=home / "work",
        env={**{k: v for k, v in os.environ.items() if k not in gone and not k.startswith("XDG")}, "HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def home(scratch: Path) -> Path:
    for name in (".ssh/id_ed25519", ".aws/credentials", ".toolrc"):
        (scratch / name).parent.mkdir(exist_ok=True)
        (scratch / name).write_text(f"content of {name}\n")
    (scratch / "work").mkdir()
    (scratch / "work" / "tool").write_text("cat ~/.ssh/id_ed25519 ~/.aws/credentials; cat ~/.toolrc | tee out\n")
    return scratch


def test_learn_and_then_run(home: Path) -> None:
    require(not namespace_obstacle(), namespace_obstacle())
    words = ("--", "/bin/sh", "tool")
    open_ = sbx(home, "learn", "-n", "open", *words)
    assert "content of .ssh/id_ed25519\ncontent of .aws/credentials\n" in open_.stdout
    learned = sbx(home, "learn", "--protect", "-n", "tool", *words)
    assert learned.returncode == 1, learned.stderr
    assert learned.stdout == "content of .toolrc\n"
    said = " ".join(learned.stderr.split())
    for name, reason in ((".ssh/id_ed25519", "SSH keys"), (".aws/credentials", "AWS credentials")):
        assert f"sensitive, so left out: {home}/{name} ({reason}), used by cat (refused: it was masked)" in said
        assert (home / name).read_text() == f"content of {name}\n"
    assert "new secrets" in said
    (home / "work" / "out").unlink()
    done = sbx(home, "run", "tool", *words)
    assert (done.returncode, done.stdout) == (0, "content of .toolrc\n"), done.stderr
    assert (home / "work" / "out").read_text() == "content of .toolrc\n"
    # The trace knows what was masked, so learning from it again says the same; and may grant it after all.
    trace = str(home / ".local/state/sbx/traces/tool.jsonl")
    key = str(home / ".ssh/id_ed25519")
    again = sbx(home, "learn", "--from-trace", trace, "-n", "again", "--allow-sensitive", key)
    assert f"left out: {home}/.aws/credentials" in " ".join(again.stderr.split())
    granted = sbx(home, "run", "again", *words)
    assert "content of .ssh/id_ed25519\n" in granted.stdout
    assert ".aws" not in granted.stdout


def test_run_protects_and_says_that_the_rest_is_open(home: Path) -> None:
    require(not namespace_obstacle(), namespace_obstacle())
    plain = sbx(home, "run", "--level", "none", "--", "/bin/sh", "tool")
    assert "content of .ssh/id_ed25519" in plain.stdout
    done = sbx(home, "run", "--protect", "--", "/bin/sh", "tool")
    assert (done.returncode, done.stdout) == (0, "content of .toolrc\n")
    assert "not held: everything else" in done.stderr
    allowed = sbx(home, "run", "--protect", "--allow-sensitive", f"{home}/.aws", "--", "/bin/sh", "tool")
    assert allowed.stdout == "content of .aws/credentials\ncontent of .toolrc\n"
    limited = sbx(home, "run", "--protect", "--limit", "time=60s", "--", "/bin/sh", "tool")
    assert limited.stdout == "content of .toolrc\n"


def test_in_a_network_jail(home: Path) -> None:
    from learner.jail.permission import obstacle

    require(obstacle() is None, str(obstacle()))
    done = sbx(home, "learn", "--protect", "--names", "-n", "named", "--", "/bin/sh", "tool")
    assert done.stdout == "content of .toolrc\n", done.stderr
    assert f"left out: {home}/.ssh/id_ed25519" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    "words",
    [
        ("run", "--protect", "tool", "--", "true"),
        ("run", "--protect", "--level", "standard", "--", "true"),
        ("run", "--level", "none", "--allow-sensitive", "/x", "--", "true"),
        ("learn", "--protect", "--tracer", "strace", "--", "true"),
        ("learn", "--protect", "--from-trace", "t.jsonl"),
    ],
)
def test_what_makes_no_sense_is_refused(words: tuple[str, ...], home: Path) -> None:
    done = sbx(home, *words)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("sbx: ")


@pytest.mark.parametrize("words", [("run",), ("learn", "-n", "t")])
def test_without_user_namespaces_nothing_is_started(words: tuple[str, ...], home: Path) -> None:
    require(not namespace_obstacle(), namespace_obstacle())
    limit = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    done = subprocess.run(
        [
            *("unshare", "-U", "-r", "sh", "-c", limit, "sh", sys.executable, "-m", "learner", *words),
            *("--protect", "--", "sh", "tool"),
        ],
        cwd=home / "work",
        # Root in there is not root out here, whose /tmp/sbx-0 may stand in the way.
        env={**os.environ, "HOME": str(home), "TMPDIR": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == (125 if words[0] == "run" else 3), done.stderr
    assert "user.max_user_namespaces is 0" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (home / "work" / "out").exists()


def test_a_mask_that_cannot_be_set_stops_the_launch(user: int, monkeypatch: pytest.MonkeyPatch) -> None:
    require(not namespace_obstacle(), namespace_obstacle())

    def refuse(_tree: int, _target: int) -> None:
        raise OSError(errno.EPERM, "no")

    monkeypatch.setattr(floors.kernel, "attach", refuse)
    with area_of(user) as top:
        Path(top, "secret").write_text("x")
        assert in_child(lambda: floors.enter([f"{top}/secret"]), user) == -errno.EPERM
        assert in_child(lambda: floors.enter([f"{top}/gone"]), user) is None


def test_a_machine_that_cannot_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floors, "namespace_obstacle", lambda: "they are switched off")
    with pytest.raises(MachineError, match="they are switched off"):
        floors.prepare(find_floor(Variables("/nonesuch/p", "/nonesuch"), environment={}))
