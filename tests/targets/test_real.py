"""The real programs read what is exported, and hold it: granted works, a canary is refused, the host stays as is."""

import errno
import json
import os
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from boxes import CHMOD, CREATE, OVERWRITE, PYTHON, READ, STAT, UNIX, Box, attempt, box_of, box_policy, start
from capability import require
from children import NOBODY, USERS, listing
from exports import SAMPLE, TRICKS, holding, request_of
from landlocked import restrict

from learner.enforcers.bubblewrap import find_bwrap
from learner.enforcers.landlock import abi
from learner.enforcers.view import HostView
from learner.names import to_text
from learner.policy import CHANGES, Grant, Policy, Right, Scope
from learner.profile import Profile
from learner.targets.table import find
from learner.targets.target import Export, Request
from learner.variables import Variables
from tracers.tracer import Command

pytestmark = pytest.mark.kernel

KEY = "open('<project>/key').read() or os.open('/nonesuch', 0)"
GRANTED = (
    "open('<library>/book').read()",
    "os.mknod('<project>/made'); os.remove('<project>/made')",
    "os.listdir('/usr')",
)
HELD = {
    "bwrap": {
        READ: {errno.ENOENT},
        STAT: {errno.ENOENT},
        UNIX: {errno.ENOENT},
        KEY: {errno.EACCES},
        OVERWRITE: {errno.EROFS},
        CREATE: {errno.EROFS, errno.EACCES},
        CHMOD: {errno.EROFS},
    },
    "firejail": {
        READ: {errno.ENOENT},
        STAT: {errno.ENOENT},
        UNIX: {errno.ENOENT},
        KEY: {errno.EACCES, errno.ENOENT},  # root may open it: an empty file lies over it
        OVERWRITE: {errno.EROFS},
        CREATE: {errno.EROFS},
        CHMOD: {errno.EROFS},
    },
    "landlock": {READ: {errno.EACCES}, OVERWRITE: {errno.EACCES}, CREATE: {errno.EACCES}},
}
"""What each refuses, and how. What is missing for Landlock is a gap of the format."""


class Wrapped(NamedTuple):
    """A program that confines the command which it is given."""

    words: tuple[str, ...]

    def wrap(self, command: Command) -> Command:
        return Command(self.words[0], (*self.words, command.file, *command.argv[1:]))


class Restricted(NamedTuple):
    """The rules of a configuration of the Landlock project, as its own library puts them into force."""

    text: str

    def wrap(self, command: Command) -> Command:
        return Command(command.file, command.argv, self.apply)

    def apply(self) -> None:
        restrict(self.text)


def needed(name: str) -> None:
    if name == "landlock":
        require(abi() >= 6, "Landlock with scopes (Linux 6.12)")
    else:
        require(find_bwrap() if name == "bwrap" else shutil.which(name), f"the package of {name} is not installed")
    if name == "firejail":
        tried = subprocess.run(["firejail", "--quiet", "--noprofile", "/bin/true"], capture_output=True, check=False)
        require(tried.returncode == 0, "firejail does not let this user use it, as nobody")


def exported(name: str, policy: Policy, home: str, denied: tuple[str, ...] = ()) -> Export:
    """For this machine, without words: what is run is given as arguments."""
    return find(name).export(
        Request(Profile("test", "test", policy), (), Variables(home, home), denied, view=HostView())
    )


def confined(name: str, policy: Policy, home: str, denied: tuple[str, ...] = ()) -> Wrapped | Restricted:
    """The policy, exported and put into force. The file lies beside ``home``."""
    data = exported(name, policy, home, denied).data
    if name == "landlock":
        return Restricted(data.decode())
    file = f"{os.path.dirname(home)}/exported"
    Path(file).write_bytes(data)
    os.chmod(file, 0o755)
    return Wrapped((file,) if name == "bwrap" else ("/usr/bin/firejail", "--quiet", f"--profile={file}", "--"))


@pytest.fixture(params=[(name, user) for name in HELD for user in USERS], ids=lambda each: f"{each[0]}-{each[1]}")
def holder(request: pytest.FixtureRequest) -> Iterator[tuple[str, Box]]:
    name, user = request.param
    needed(name)
    if name == "firejail" and user == NOBODY:
        pytest.skip("firejail does not start for an account without a home directory")
    with box_of(user) as box:
        key = Path(box.project, "key")
        key.write_text("swordfish\n")
        os.chown(key, user, -1)
        yield name, box


def test_granted_works_and_a_canary_is_refused(holder: tuple[str, Box]) -> None:
    name, box = holder
    policy = box_policy(box)
    made = confined(name, policy, box.project, (f"{box.project}/key",))
    before = listing(box.top)
    for line in GRANTED:
        assert attempt(lambda _: made, policy, box, line) == 0, line  # type: ignore[arg-type, return-value]
    for line, refusals in HELD[name].items():
        assert attempt(lambda _: made, policy, box, line) in refusals, line  # type: ignore[arg-type, return-value]
    assert listing(box.top) == before
    for line in HELD[name]:
        assert attempt(None, policy, box, line) == 0, f"the control must go through: {line}"


def test_the_network_and_the_status(holder: tuple[str, Box]) -> None:
    """Without a grant there is no way out; the status of the command comes back."""
    name, box = holder
    policy = box_policy(box)
    made = confined(name, policy, box.project)
    line = "socket.create_connection(('127.0.0.1', 9))"
    assert attempt(None, policy, box, line) == errno.ECONNREFUSED, "the control: nobody listens there"
    refused = attempt(lambda _: made, policy, box, line)  # type: ignore[arg-type, return-value]
    assert refused == errno.EACCES if name == "landlock" else refused in (errno.ECONNREFUSED, errno.ENETUNREACH)
    if name != "landlock":  # a network of its own: only its loopback, on which nothing listens either
        with open("/proc/net/dev") as file:
            outside = file.read().count(":")
        ended = start(lambda _: made, policy, box, PYTHON, "-I", "-c", "print(open('/proc/net/dev').read().count(':'))")  # type: ignore[arg-type, return-value]
        assert int(ended.said.split()[-1]) == 1 <= outside
    ended = start(lambda _: made, policy, box, PYTHON, "-I", "-c", "raise SystemExit(7)")  # type: ignore[arg-type, return-value]
    assert ended.status == 7


@pytest.mark.parametrize("name", ["bwrap", "firejail"])
def test_names_are_only_names(name: str, scratch: Path) -> None:
    """Of files with hostile names every second one is granted: those are there, and no other."""
    needed(name)
    place, home = scratch / "odd", scratch / "home"
    place.mkdir()
    home.mkdir()
    paths = sorted({f"{place}/{trick}" for trick in TRICKS})
    for path in paths:
        Path(path).write_text("x")
    usual = (
        ("/usr", Right.READ | Right.LIST | Right.EXEC),
        ("/etc/ld.so.cache", Right.READ),
        (str(home), Right.READ | CHANGES),
    )
    policy = Policy(
        tuple(
            Grant(path, Scope.TREE if os.path.isdir(path) else Scope.FILE, rights, ())
            for path, rights in (*usual, *((path, Right.READ) for path in paths[::2]))
        )
    )
    left_out = {gap.item.removeprefix("left out: ") for gap in exported(name, policy, str(home)).gaps}
    made = confined(name, policy, str(home))
    assert isinstance(made, Wrapped)
    script = (
        "import os, sys; os.chdir(sys.argv[1]); print(ascii(sorted(n for n in os.listdir() if os.path.getsize(n))))"
    )
    words = [*made.words, PYTHON, "-I", "-c", script, place]
    done = subprocess.run(words, cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    meant = [path for path in paths[::2] if to_text(path) not in left_out]
    assert done.stdout.strip() == ascii(sorted(os.path.basename(path) for path in meant))
    assert len(meant) == len(paths[::2]) if name == "bwrap" else 3 < len(meant) < len(paths[::2])


def test_without_bwrap(scratch: Path) -> None:
    file = scratch / "script"
    file.write_bytes(exported("bwrap", Policy(), str(scratch)).data)
    done = subprocess.run(["/bin/sh", file], env={"PATH": "/nonesuch"}, capture_output=True, text=True, check=False)
    assert done.returncode == 127
    assert done.stderr == "test: bubblewrap is not installed: the package bubblewrap has it\n"


def test_directories_are_made(scratch: Path) -> None:
    needed("bwrap")
    place = scratch / "a" / "b"
    usual = Grant("/usr", Scope.TREE, Right.READ | Right.LIST | Right.EXEC, ())
    policy = Policy((usual, Grant(str(place), Scope.TREE, Right.READ | Right.LIST | CHANGES, (), ensure=True)))
    made = confined("bwrap", policy, str(scratch / "a"))
    assert isinstance(made, Wrapped)
    done = subprocess.run(
        [*made.words, "/usr/bin/touch", place / "x"], cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (place / "x").exists()
    assert place.stat().st_mode & 0o777 == 0o700


HOSTILE = [f"/home/ada/{trick}" for trick in TRICKS]
EVERYTHING = request_of(
    Policy((*SAMPLE.profile.policy.grants, *(Grant(path, Scope.FILE, Right.READ, ()) for path in HOSTILE))),
    HOSTILE,
    holding(HOSTILE),
)


@pytest.mark.parametrize("request_", [SAMPLE, EVERYTHING], ids=["sample", "hostile"])
def test_apparmor_compiles(request_: Request) -> None:
    needed("apparmor_parser")
    data = find("apparmor").export(request_).data
    for broken in (b"", b"}"):
        done = subprocess.run(
            ["apparmor_parser", "-Q", "-K", "-T"], input=data + broken, capture_output=True, check=False
        )
        assert (done.returncode != 0) == bool(broken), done.stderr
        assert b"interface file missing" in done.stderr or not done.stderr


@pytest.mark.parametrize("request_", [SAMPLE, EVERYTHING], ids=["sample", "hostile"])
def test_systemd_verifies(request_: Request, scratch: Path) -> None:
    needed("systemd-analyze")
    (scratch / "a.service").write_text("[Service]\nExecStart=/bin/true\n")
    drop_in = scratch / "a.service.d/sbx.conf"
    drop_in.parent.mkdir()
    data = find("systemd").export(request_).data
    for broken in (b"", b'BindPaths="/x\n', b"NoSuchKey=yes\n"):
        drop_in.write_bytes(data + broken)
        done = subprocess.run(["systemd-analyze", "verify", scratch / "a.service"], capture_output=True, check=False)
        assert bool(done.stderr) == bool(broken), done.stderr


_TESTBED = Path.home() / ".cache/sbx-testbed/pfx"
_LOADED = """
import asyncio, json
try:
    from vibe.core.config.harness_files import init_harness_files_manager
    from vibe.core.config.default_orchestrator import build_default_orchestrator
    init_harness_files_manager("user")
    config = asyncio.run(build_default_orchestrator()).config
except ImportError:
    from vibe.core.config import VibeConfig
    from vibe.core.paths.config_paths import unlock_config_paths
    unlock_config_paths()
    config = VibeConfig.load()
print("LOADED" + json.dumps(config.model_dump(mode="json")["tools"]))
"""


@pytest.mark.parametrize("version", ["vibe2", "vibe226", "vibe3"])
def test_vibe_loads_its_denylists(version: str, scratch: Path) -> None:
    interpreter = _TESTBED / version / "bin/python"
    if not interpreter.exists():
        pytest.skip("no such Vibe is installed here")
    data = find("vibe").export(EVERYTHING).data
    (scratch / ".vibe").mkdir()
    (scratch / ".vibe/config.toml").write_bytes(data)
    env = {"HOME": str(scratch), "PATH": os.environ["PATH"], "MISTRAL_API_KEY": "x"}
    done = subprocess.run(
        [interpreter, "-c", _LOADED], env=env, cwd=scratch, capture_output=True, text=True, check=False
    )
    [line] = [line for line in done.stdout.splitlines() if line.startswith("LOADED")] or pytest.fail(
        done.stderr[-2000:]
    )
    tools = json.loads(line.removeprefix("LOADED"))
    for name, table in tomllib.loads(data.decode())["tools"].items():
        assert {*table["denylist"]} <= {*tools[name]["denylist"]} if name in tools else version


def test_codex_holds_its_profile(scratch: Path) -> None:
    program = os.environ.get("SBX_TEST_CODEX", "")
    if not program:
        pytest.skip("SBX_TEST_CODEX does not name a codex (npm's @openai/codex, 170 MB)")
    home, project, codex = scratch / "home", scratch / "project", Path.home() / ".cache/sbx-test-codex"
    for place in (home, project, codex):
        place.mkdir(exist_ok=True)
    (home / "secret").write_text("swordfish\n")
    (project / "key").write_text("swordfish\n")
    (project / "book").write_text("words\n")
    grants = [(str(project), Right.READ | Right.LIST | CHANGES)]
    grants += [(str(each), Right.READ | Right.LIST | Right.EXEC) for each in (codex, os.path.dirname(program))]
    policy = Policy(tuple(Grant(path, Scope.TREE, rights, ()) for path, rights in grants))
    data = exported("codex", policy, str(project), (f"{project}/key",)).data
    (codex / "config.toml").write_bytes(data)
    words = f"cat book; cat key; cat {home}/secret; echo x > made; echo x > {home}/made; true"
    done = subprocess.run(
        [program, "sandbox", "--", "/bin/sh", "-c", words],
        env={"CODEX_HOME": str(codex), "HOME": str(home), "PATH": "/usr/bin:/bin"},
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "words\n"), done.stderr
    assert (
        done.stderr.count("ermission denied") + done.stderr.count("No such file") + done.stderr.count("nonexistent")
        == 3
    )
    assert (project / "made").exists()
    assert sorted(os.listdir(home)) == ["secret"]
