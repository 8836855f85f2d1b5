"""How the benchmark runs one agent or tool: in a home and a project of its own, traced or confined.

A subject's directory under ``--keep`` holds ``world`` (home, project and neighbours as the learned run left them),
``second`` (while a run in another project goes on) and ``runs/NAME`` (the trace and the outcome of each run). A later
run borrows ``world``: it works on a copy at the same path, since agents write down absolute paths, and the original is
put back afterwards.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
from outcomes import Outcome, files, history, tool_results
from scripts import (
    AGENT_TASKS,
    DECOYS,
    LEARN,
    OTHER_FILES,
    PROJECT_FILES,
    TOOLS,
    USER_FILES,
    Home,
    Project,
    Task,
    Tool,
)

from learner import launch, temporary
from learner.enforcers import landlock
from learner.trace import Trace, read_trace

AGENTS = ("vibe3", "vibe226", "vibe2", "pi", "mini", "uvvibe")
SBX = (sys.executable, "-P", "-m", "learner")
"""-P: the current directory is the project, whose modules are none of ours."""
LIMIT = 180
"""Seconds that one run may take."""
_FIRST_PORT = 18950
"""Below the ephemeral range (ip_local_port_range begins at 32768), so that a learned port means something."""
_COMMON = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "TERM": "dumb",
    "LANG": "C.UTF-8",
    "USER": "root",
    "LOGNAME": "root",
    "SHELL": "/bin/bash",
}


class BenchmarkError(Exception):
    """The benchmark cannot go on; the text says why, and what to do."""


class Subject(NamedTuple):
    """An agent or a tool, and where its runs are kept. ``tool`` is None for an agent."""

    name: str
    directory: Path
    testbed: Path
    tool: Tool | None

    @property
    def world(self) -> Path:
        """Home, project and neighbours."""
        return self.directory / "world"

    @property
    def second(self) -> Path:
        """The same for another project."""
        return self.directory / "second"

    @property
    def learn_task(self) -> Task:
        """The learned run: cold, in the first project."""
        return Task(LEARN, Home.COLD, Project.SAME, argv=self.tool.argv if self.tool else ())

    def tasks(self) -> tuple[Task, ...]:
        """The later runs."""
        if self.tool is None:
            return AGENT_TASKS
        kinds = [(home, project) for home in Home for project in Project]
        return tuple(
            Task(f"{number} {' '.join(argv)[:60]}", *kinds[number % len(kinds)], argv=argv)
            for number, argv in enumerate(self.tool.later, 1)
        )

    def kept(self, task: Task) -> Path:
        """Where a run's files are."""
        return self.directory / "runs" / re.sub(r"[^a-z0-9]+", "-", task.name.lower()).strip("-")

    def trace(self, task: Task) -> Trace:
        """The trace of a recorded run. Raises InputFileError."""
        return read_trace(self.kept(task) / "trace.jsonl")


def subject(name: str, keep: Path, testbed: Path) -> Subject:
    """The agent or tool called ``name``. Raises BenchmarkError."""
    tool = next((tool for tool in TOOLS if tool.name == name), None)
    if tool is None and name not in AGENTS:
        known = ", ".join((*AGENTS, *(tool.name for tool in TOOLS)))
        raise BenchmarkError(f"no agent or tool is called {name}: there are {known}")
    return Subject(name, keep / name, testbed, tool)


# --- directories


def _seed(world: Path, other: bool) -> None:
    """A home with decoys, and a git project, where nothing was."""
    home, project = world / "home", world / "proj"
    for name in DECOYS:
        _write(home / name, f"decoy {name}\n")
    for name, content in USER_FILES.items():
        _write(home / name, content)
    for name, content in (OTHER_FILES if other else PROJECT_FILES).items():
        _write(project / name, content)
    env = _COMMON | {"HOME": str(home)}
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-q", "-m", "init")):
        subprocess.run(["git", *words], cwd=project, env=env, check=True)


def _write(path: Path, content: str) -> None:
    path = Path(os.path.normpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def recover(who: Subject) -> None:
    """Put the world back that an interrupted run had borrowed."""
    rest = who.directory / "rest"
    if rest.exists():
        shutil.rmtree(who.world, ignore_errors=True)
        rest.rename(who.world)
    shutil.rmtree(who.second, ignore_errors=True)


@contextmanager
def in_use(keep: Path) -> Iterator[None]:
    """While these recordings are used by one process alone. Raises BenchmarkError if another does."""
    keep.mkdir(parents=True, exist_ok=True)
    with (keep / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BenchmarkError(f"another run of this benchmark uses {keep}: wait for it") from None
        yield


@contextmanager
def _borrowed(who: Subject, task: Task) -> Iterator[tuple[Path, Path]]:
    """(home, directory of the run) for a later run, ready; put away afterwards."""
    recover(who)
    rest = who.directory / "rest"
    who.world.rename(rest)
    try:
        if task.home is Home.WARM:
            subprocess.run(["cp", "-a", str(rest), str(who.world)], check=True)
        else:
            _seed(who.world, other=False)
        if task.project is Project.SAME:
            yield who.world / "home", who.world
            return
        _seed(who.second, other=True)
        yield (who.world if task.home is Home.WARM else who.second) / "home", who.second
    finally:
        recover(who)


# --- one run


def installed() -> Path:
    """Where setup.sh put the agents."""
    return Path(os.environ.get("AGENTS") or Path.home() / ".cache/sbx-testbed")


class Launch(NamedTuple):
    """What to start, and where."""

    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: Path


def port_for(keep: Path) -> int:
    """The stub's port, the same for every run that is kept in ``keep``, because a policy names it."""
    file = keep / "port"
    if file.exists():
        return int(file.read_text())
    for port in range(_FIRST_PORT, _FIRST_PORT + 50):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        keep.mkdir(parents=True, exist_ok=True)
        file.write_text(str(port))
        return port
    raise BenchmarkError(f"no free port from {_FIRST_PORT} on")


@contextmanager
def started_agent(who: Subject, task: Task, home: Path, run: Path) -> Iterator[Launch]:
    """The agent's command as run_agent.sh makes it, with the stub running meanwhile."""
    port = port_for(who.directory.parent)
    env = {**os.environ, "AGENTS": str(installed()), "RUN": str(run), "KEEP": "1", "PRINT": "1", "DUMP": "1"}
    env["PORT"] = str(port)
    if task.steps:
        keys = {"write": "content", "shell": "cmd"}
        steps = [{"op": s.op, "path": s.path, keys.get(s.op, "text"): s.text} for s in task.steps]
        steps.append({"op": "say", "text": "Done."})
        script = run / "script.json"
        script.write_text(json.dumps(steps))
        env["SCRIPT"] = str(script)
    name = who.name
    if name == "uvvibe":  # the layout of `uv tool install`: a link in ~/.local/bin
        name, env["VIBE"] = "vibe3", str(installed() / "uvhome/.local/bin/vibe")
    made = subprocess.run(
        [str(who.testbed / "run_agent.sh"), name], env=env, capture_output=True, text=True, check=False
    )
    rows = [line.split("\t", 1) for line in made.stdout.splitlines() if "\t" in line]
    stub = next((int(value) for key, value in rows if key == "stub_pid"), 0)
    try:
        if not stub or not (run / "port").exists():
            raise BenchmarkError(f"the stub did not start on port {port}: is it taken? {made.stderr.strip()}")
        argv = [value for key, value in rows if key == "arg"]
        if not os.path.exists(argv[0]):
            raise BenchmarkError(f"{argv[0]} is not installed: run {who.testbed}/setup.sh {who.name}")
        # Where mini writes this by default. Beside home and project it would only be the testbed's own path.
        mini = home / ".config/mini-swe-agent/last_mini_run.traj.json"
        argv = [str(mini) if word == f"{run}/mini.traj.json" else word for word in argv]
        theirs = dict(value.split("=", 1) for key, value in rows if key == "env")
        yield Launch(tuple(argv), theirs | {"HOME": str(home)}, run / "proj")
    finally:
        if stub:
            os.kill(stub, signal.SIGTERM)


@contextmanager
def _tool(who: Subject, task: Task, home: Path, run: Path) -> Iterator[Launch]:
    env = _COMMON | {"HOME": str(home)}
    assert who.tool is not None
    for words in who.tool.prepare:
        subprocess.run(words, cwd=run / "proj", env=env, check=True, stdout=subprocess.DEVNULL)
    yield Launch(task.argv, env, run / "proj")


def _temporary(who: Subject) -> str:
    """``$TMPDIR`` of the runs: below /tmp as everywhere, but without what others leave in there."""
    place = hashlib.sha256(os.fsencode(who.directory)).hexdigest()[:8]
    directory = f"/tmp/sbx-bench-{os.getuid()}/{who.name}-{place}"
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    return directory


def _execute(who: Subject, task: Task, home: Path, run: Path, sbx: tuple[str, ...]) -> Outcome:
    """Run it behind the words of ``sbx``. The status is that of the whole command line."""
    with (started_agent if who.tool is None else _tool)(who, task, home, run) as start:
        words = ["timeout", "-k", "5", str(LIMIT), *SBX, *sbx, "--", *start.argv]
        env = start.env | {"TMPDIR": _temporary(who)}
        with (run / "out").open("wb") as out, (run / "err").open("wb") as err:
            done = subprocess.run(
                words, cwd=start.cwd, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err, check=False
            )
    shutil.rmtree(env["TMPDIR"], ignore_errors=True)
    dump = run / "dump.jsonl"
    results = tool_results(dump) if who.tool is None else ((run / "out").read_text(errors="replace"),)
    return Outcome(done.returncode, results, files(run / "proj"), history(run / "proj", _COMMON))


def learn(who: Subject, tracer: str = "auto") -> None:
    """Record the learned run, from nothing. Later runs stay: they are of the same paths."""
    for stale in (who.world, who.kept(who.learn_task), who.directory / "opened"):
        shutil.rmtree(stale, ignore_errors=True)
    _seed(who.world, other=False)
    _traced(who, who.learn_task, who.world / "home", who.world, tracer)


def record(who: Subject, task: Task) -> None:
    """Record a later run, unconfined."""
    with _borrowed(who, task) as (home, run):
        _traced(who, task, home, run)


def _traced(who: Subject, task: Task, home: Path, run: Path, tracer: str = "auto") -> None:
    kept = who.kept(task)
    kept.mkdir(parents=True, exist_ok=True)
    trace = kept / "trace.jsonl"
    trace.unlink(missing_ok=True)
    sbx = ("learn", "--tracer", tracer, "--verify", "off", "-o", str(kept / "profile.toml"), "--trace", str(trace))
    outcome = _execute(who, task, home, run, sbx)
    _keep_logs(run, kept, "traced")
    if not trace.exists() or (end := read_trace(trace).end) is None:
        raise BenchmarkError(f"{who.name}, {task.name}: no whole trace; see {kept}/traced.err")
    outcome = msgspec.structs.replace(outcome, status=end.status)
    if (task.name == LEARN and end.status) or (who.tool is None and len(outcome.results) < len(task.steps)):
        raise BenchmarkError(f"{who.name}, {task.name}: it does not even work unconfined; see {kept}/traced.err")
    _control(who, task).write_bytes(msgspec.json.encode(outcome))


def confined(who: Subject, task: Task, profile: str) -> Outcome:
    """The run again, confined to ``profile`` (TOML), from the same state.

    What came of it is kept for as long as the profile, the recordings and what starts a confined program are the same.
    """
    kept = who.kept(task)
    code = [*sorted(Path(landlock.__file__).parent.glob("*.py")), Path(launch.__file__), Path(temporary.__file__)]
    recordings = [_control(who, each) for each in (who.learn_task, task)]
    parts = [profile.encode(), *(path.read_bytes() for path in (*code, *recordings))]
    digest = hashlib.sha256(b"".join(parts)).hexdigest()[:16]
    file = kept / f"confined-{digest}.json"
    if file.exists():
        return msgspec.json.decode(file.read_bytes(), type=Outcome)
    for stale in kept.glob("confined-*.json"):
        stale.unlink()
    toml = kept / "learned.toml"
    toml.write_text(profile)
    with _borrowed(who, task) as (home, run):
        outcome = _execute(who, task, home, run, ("run", str(toml)))
        _keep_logs(run, kept, "confined")
    file.write_bytes(msgspec.json.encode(outcome))
    return outcome


def recorded(who: Subject, task: Task) -> Outcome | None:
    """What the recorded, unconfined run did; None if there is no such run, or it was of another script."""
    file = _control(who, task)
    return msgspec.json.decode(file.read_bytes(), type=Outcome) if file.exists() else None


def _control(who: Subject, task: Task) -> Path:
    """Where that stands; the name says what was asked of the run."""
    asked = repr((task, who.tool, PROJECT_FILES, OTHER_FILES, USER_FILES, DECOYS))
    return who.kept(task) / f"traced-{hashlib.sha256(asked.encode()).hexdigest()[:16]}.json"


def _keep_logs(run: Path, kept: Path, prefix: str) -> None:
    for name in ("out", "err", "stub.log", "dump.jsonl", "script.json", "rc"):
        if (run / name).exists():
            shutil.move(run / name, kept / f"{prefix}.{name}")
