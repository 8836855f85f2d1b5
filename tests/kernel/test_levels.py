"""Levels under Landlock, as root and as nobody: what is refused has a control, and what is granted works."""

import errno
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from capability import require
from children import area_of, in_child, listing
from started import Done, sbx

from learner.enforcers.choice import layered_obstacle
from learner.enforcers.landlock import abi

pytestmark = pytest.mark.kernel

PYTHON = "/usr/bin/python3"
ANSWERS = """
import os, sys
for work in sys.argv[1:]:
    try:
        exec(work)
    except OSError as problem:
        print("errno", problem.errno)
    else:
        print("done")
"""


class Area:
    """``home/project`` and ``outside`` of one user, with a file in each."""

    def __init__(self, top: str, user: int) -> None:
        self.top, self.user = top, user
        self.home, self.project, self.outside = f"{top}/home", f"{top}/home/project", f"{top}/outside"

    def fill(self) -> None:
        for directory in (self.home, self.project, self.outside, f"{self.home}/.ssh"):
            os.mkdir(directory)
        for file in (f"{self.project}/file", f"{self.outside}/file", f"{self.home}/.ssh/id_rsa", f"{self.home}/note"):
            Path(file).write_text("content\n")

    def sbx(self, *words: str, **env: str) -> Done:
        if words[0] == "run" and "--enforcer" not in words:
            words = ("run", "--enforcer", "landlock", *words[1:])
        return sbx(*words, cwd=self.project, user=self.user, **{"HOME": self.home, "TMPDIR": self.top} | env)

    def answers(self, works: list[str], *options: str) -> list[str]:
        """What becomes of each work, done by one Python program under these options of ``sbx run``."""
        done = self.sbx("run", *options, "--", PYTHON, "-c", ANSWERS, *works)
        assert done.status == 0, done.err
        return done.out.splitlines()

    def answer(self, work: str, *options: str) -> str:
        """What becomes of one work."""
        return self.answers([work], *options)[0]


@pytest.fixture
def area(user: int) -> Iterator[Area]:
    require(os.path.exists(PYTHON), "python3 is not installed")
    with area_of(user) as top:
        area = Area(top, user)
        in_child(area.fill, user)
        yield area


NONE, STANDARD, STRICT = ("--level", "none"), ("--level", "standard"), ("--level", "strict")
REFUSED = f"errno {errno.EACCES}"


OUTSIDE = [
    "open('{outside}/file', 'a').write('x')",
    "open('{outside}/new', 'w')",
    "open('{outside}/file').read()",
    "os.listdir('{outside}')",
    "os.mkdir('{outside}/directory')",
    "os.unlink('{outside}/new')",
    "os.rename('{outside}/file', '{outside}/other')",
    "open('{home}/.ssh/id_rsa').read()",
    "open('{home}/note').read()",
    "open('{home}/.bashrc', 'w')",
    "os.symlink('/', '{home}/link')",
    "os.listdir('/')",
]
"""In an order in which each can be done without a level."""


@pytest.mark.parametrize("level", [STANDARD, STRICT])
def test_what_is_outside_is_refused(area: Area, level: tuple[str, str]) -> None:
    works = [work.format(home=area.home, outside=area.outside) for work in OUTSIDE]
    before = listing(area.top)
    found = dict(zip(OUTSIDE, area.answers(works, *level), strict=True))
    after = listing(area.top)
    # Nothing to unlink: names are looked up before the right to remove them is asked for.
    assert found.pop("os.unlink('{outside}/new')") == f"errno {errno.ENOENT}"
    assert set(found.values()) == {REFUSED}, found
    assert {k: v for k, v in after.items() if not k.startswith("sbx-")} == before  # besides the temporary directory
    assert set(area.answers(works, *NONE)) == {"done"}  # the control


def test_a_level_under_the_strongest_enforcer(area: Area) -> None:
    require(not layered_obstacle(), layered_obstacle())
    layered = ("--enforcer", "layered", *STANDARD)
    works = [work.format(home=area.home, outside=area.outside) for work in OUTSIDE[:4]]
    assert set(area.answers(works, *layered)) <= {f"errno {code}" for code in (errno.ENOENT, errno.EROFS)}
    assert area.answer("open('made', 'w').write('x')", *layered) == "done"
    assert area.answer("open('refused', 'w')", "--enforcer", "layered", *STRICT) == f"errno {errno.EROFS}"
    assert sorted(os.listdir(area.project)) == ["file", "made"]
    assert set(area.answers(works, *NONE)) == {"done"}


CHANGES = [
    "open('new', 'w').write('x')",
    "open('file', 'a').write('x')",
    "os.truncate('file', 0)",
    "os.mkdir('directory')",
    "os.symlink('file', 'symlink')",
    "os.mkfifo('fifo')",
    "os.link('file', 'hard')",
    "os.rename('file', 'other')",
]


def test_strict_refuses_to_change_the_project(area: Area) -> None:
    require(abi() >= 3, "Landlock sees truncate from ABI 3 on")
    before = listing(area.project)
    assert set(area.answers([*CHANGES, "os.unlink('file')"], *STRICT)) == {REFUSED}
    assert listing(area.project) == before
    assert area.answers(["open('file').read()", "os.listdir('.')"], *STRICT) == ["done", "done"]
    assert set(area.answers([*CHANGES, "os.unlink('other')"], *STANDARD)) == {"done"}  # control and twin at once
    assert sorted(os.listdir(area.project)) == ["directory", "fifo", "hard", "new", "symlink"]


def test_a_shell_in_the_project(area: Area) -> None:
    done = area.sbx("run", "--level", "standard", "--", "sh", "-c", "echo x > made && cat made")
    assert (done.status, done.out, done.err) == (0, "x\n", "")
    assert Path(area.project, "made").read_text() == "x\n"
    done = area.sbx("run", "--level", "strict", "--", "sh", "-c", "echo x > made2")
    assert (done.status, os.path.exists(f"{area.project}/made2")) == (2, False)
    assert "Permission denied" in done.err


@pytest.mark.parametrize("path", ["/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/ssl/private"])
def test_the_machines_secrets_are_closed_to_root_too(area: Area, path: str) -> None:
    if not os.path.exists(path):
        pytest.skip("not on this machine")
    work = f"os.listdir('{path}')" if os.path.isdir(path) else f"open('{path}').read()"
    assert area.answer(work, *STANDARD) == REFUSED
    if area.user == 0:
        assert area.answer(work, *NONE) == "done"


NEEDED = [
    "open('/etc/passwd').read()",
    "open('/etc/hosts').read()",
    "open('/etc/ld.so.cache', 'rb').read()",
    "open('/proc/self/status').read()",
    "open('/sys/devices/system/cpu/online').read()",
    "open('/dev/null', 'w').write('x')",
    "open('/dev/urandom', 'rb').read(1)",
    "os.openpty()",
    "__import__('tempfile').NamedTemporaryFile().write(b'x')",
    "__import__('ssl').create_default_context()",
    "__import__('subprocess').run(['true'], check=True)",
    "__import__('pwd').getpwuid(0)",
]


@pytest.mark.parametrize("level", [STANDARD, STRICT])
def test_what_every_program_needs_works(area: Area, level: tuple[str, str]) -> None:
    found = dict(zip(NEEDED, area.answers(NEEDED, *level), strict=True))
    assert set(found.values()) == {"done"}, found


def test_another_programs_environment_is_closed(area: Area) -> None:
    who = {"user": area.user, "group": area.user, "extra_groups": []} if os.getuid() == 0 else {}
    other = subprocess.Popen(["sleep", "60"], env={"SECRET": "x"}, **who)
    try:
        work = f"open('/proc/{other.pid}/environ', 'rb').read(1)"
        assert area.answer(work, *NONE) == "done"
        assert area.answer(work, *STANDARD) == REFUSED
    finally:
        other.kill()
        other.wait()


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        made.listen()
        yield made.getsockname()[1]


def settings(area: Area, sandbox: dict[str, object]) -> tuple[str, str]:
    file = f"{area.project}/settings.json"
    Path(file).write_text(json.dumps({"sandbox": sandbox}))
    return "--settings", file


@pytest.mark.parametrize("level", ["standard", "strict"])
def test_the_network(area: Area, listener: int, level: str) -> None:
    require(abi() >= 4, "Landlock sees TCP from ABI 4 on")
    works = [
        f"__import__('socket').create_connection(('127.0.0.1', {listener}))",
        "__import__('socket').create_server(('127.0.0.1', 0))",
    ]
    assert area.answers(works, *NONE) == ["done", "done"]
    assert area.answers(works, "--level", level) == [REFUSED, REFUSED]
    shut = {"enabled": True, "level": level, "allowNetwork": False}
    assert area.answers(works, *settings(area, shut)) == [REFUSED, REFUSED]
    assert area.answers(works, *settings(area, shut | {"allowNetwork": True})) == ["done", "done"]


def test_the_whole_network_beside_a_port_of_a_profile(area: Area, listener: int) -> None:
    profile = f"{area.home}/p.toml"
    Path(profile).write_text(
        'version = 1\nname = "p"\ncommand = "x"\nplatform = "linux"\n'
        '[[network]]\naction = "connect"\nhost = "127.0.0.1"\nport = 9\ntransport = "tcp"\n'
    )
    work = f"__import__('socket').create_connection(('127.0.0.1', {listener}))"
    require(abi() >= 4, "Landlock sees TCP from ABI 4 on")
    assert area.answer(work, *STRICT, profile) == REFUSED
    opened = {"enabled": True, "level": "strict", "allowNetwork": True}
    assert area.answer(work, *settings(area, opened), profile) == "done"


def test_settings_say_the_level(area: Area) -> None:
    work = "open('new', 'w')"
    assert area.answer(work, *settings(area, {"enabled": True, "level": "strict"})) == REFUSED
    assert area.answer(work, *settings(area, {"enabled": True, "level": "strict"}), *STANDARD) == "done"
    done = area.sbx("run", *settings(area, {"enabled": False}), "--", "true")
    assert done.status == 2
    assert "sandbox.enabled is not true" in done.err
    done = area.sbx("run", *settings(area, {"enabled": True, "level": "none"}), "--", "true")
    assert (done.status, "level none confines nothing" in done.err) == (0, True)


def test_binds(area: Area) -> None:
    work = f"open('{area.outside}/file', 'a').write('x')"
    bind = {"enabled": True, "extraBinds": [area.outside]}
    assert area.answer(work, *settings(area, bind)) == "done"
    assert area.answer(work, *settings(area, bind | {"level": "strict"})) == REFUSED
    assert area.answer(f"open('{area.outside}/file').read()", *settings(area, bind | {"level": "strict"})) == "done"
    moved = settings(area, {"enabled": True, "extraBinds": [f"{area.outside}:/mnt/extra", f"{area.home}/.ssh"]})
    done = area.sbx("run", *moved, "--", "cat", f"{area.outside}/file")
    assert (done.status, done.out) == (1, "")
    assert f"sbx: not held: bind {area.outside} at /mnt/extra" in done.err
    assert f"sbx: not held: bind {area.home}/.ssh: SSH keys" in done.err
    assert area.sbx("run", *moved, "--", "cat", f"{area.home}/.ssh/id_rsa").status == 1


def test_a_project_of_home_is_refused(area: Area) -> None:
    done = sbx("run", "--level", "strict", "--", "true", cwd=area.home, user=area.user, HOME=area.home)
    assert done.status == 2
    assert "a level would open everything" in done.err


def test_a_level_beneath_a_profile(area: Area) -> None:
    profile = f"{area.home}/p.toml"
    Path(profile).write_text(
        'version = 1\nname = "p"\ncommand = "cat"\nplatform = "linux"\n'
        f'[[grant]]\npath = "{area.outside}/file"\nscope = "file"\nrights = ["read"]\n'
    )
    words = ("--", "cat", f"{area.outside}/file", "file")
    assert area.sbx("run", profile, *words).status == 126  # the profile alone does not even grant cat
    assert area.sbx("run", *STRICT, *words).status == 1
    done = area.sbx("run", *STRICT, profile, *words)
    assert (done.status, done.out) == (0, "content\ncontent\n")
    done = area.sbx("run", "--level", "none", profile, *words)
    assert (done.status, "no profile can hold" in done.err) == (2, True)


def test_a_command_that_is_nowhere_in_the_level_is_started(area: Area) -> None:
    tool = f"{area.outside}/tool"
    Path(tool).write_text(f"#!{area.outside}/interpreter\necho ran\n")
    shutil.copy("/bin/dash", f"{area.outside}/interpreter")
    os.chmod(tool, 0o755)
    done = area.sbx("run", *STRICT, "--", tool)
    assert (done.status, done.out) == (0, "ran\n"), done.err


def test_verbose_says_the_level_and_what_is_open(area: Area) -> None:
    Path(area.project, ".env").write_text("KEY=1\n")
    done = area.sbx("run", "-v", *STANDARD, "--", "true")
    assert done.status == 0
    assert "sbx: level standard: project read/write, system read-only, no network" in done.err
    assert f"sbx: gap: {area.project}/.env: environment file with secrets" in done.err
    assert ("sbx: gap: root:" in done.err) == (area.user == 0)


# --- builds


def build(area: Area, script: str, **env: str) -> str:
    done = area.sbx("run", *STANDARD, "--", "sh", "-euc", script, **env)
    assert done.status == 0, done.err
    return done.out


def test_gcc(area: Area) -> None:
    require(shutil.which("gcc"), "gcc is not installed")
    Path(area.project, "a.c").write_text('#include <stdio.h>\nint main(void) { puts("built"); }\n')
    assert build(area, "gcc -O1 -o a a.c && ./a") == "built\n"


def test_python_environment(area: Area) -> None:
    assert build(area, f"{PYTHON} -m venv --without-pip v && v/bin/python -c 'print(1)'") == "1\n"


def test_git(area: Area) -> None:
    require(shutil.which("git"), "git is not installed")
    Path(area.home, ".gitconfig").write_text("[user]\nname = a\nemail = a@example.org\n")
    assert build(area, "git init -q . && git add file && git commit -qm first && git log --format=%s") == "first\n"


def test_node_and_npm(area: Area) -> None:
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    Path(area.project, "package.json").write_text(json.dumps({"name": "x", "scripts": {"build": "node -p 40+2"}}))
    Path(area.home, ".npmrc").write_text("//registry.example.org/:_authToken=secret\n")
    assert build(area, "npm run --silent build") == "42\n"


def test_go(area: Area) -> None:
    if shutil.which("go") is None:
        pytest.skip("go is not installed")
    Path(area.project, "go.mod").write_text("module example.org/m\n\ngo 1.19\n")
    Path(area.project, "main.go").write_text('package main\n\nfunc main() { println("gone") }\n')
    assert build(area, "go build -o m ./... && ./m 2>&1", GOFLAGS="-p=1", CGO_ENABLED="0") == "gone\n"
    assert not os.path.exists(f"{area.home}/.cache")


def test_cargo(area: Area) -> None:
    cargo = shutil.which("cargo")
    if cargo is None:
        pytest.skip("cargo is not installed")
    if area.user != 0 and os.path.realpath(cargo).startswith("/root/"):
        pytest.skip("this cargo is root's alone")
    home = os.path.expanduser("~")
    Path(area.project, "src").mkdir()
    Path(area.project, "Cargo.toml").write_text('[package]\nname = "c"\nversion = "0.1.0"\nedition = "2021"\n')
    Path(area.project, "src/main.rs").write_text('fn main() { println!("rust"); }\n')
    script = "cargo build --quiet --offline && ./target/debug/c"
    done = area.sbx("run", *STANDARD, "--", "sh", "-euc", script, HOME=home, PATH=os.environ["PATH"])
    assert (done.status, done.out) == (0, "rust\n"), done.err
