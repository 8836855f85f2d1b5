"""A real coding agent for tests: Mistral's Vibe, run headless against ``fixtures/stub_model.py``.

    vibe = install_vibe(cache / "vibe", find_python())
    with stub_model(directory) as url:
        run = lay_out(directory, vibe, url)
        subprocess.run(run.argv, cwd=run.project, env=run.env, stdin=subprocess.DEVNULL)

Nothing of the person who runs the tests is touched: the agent's home is a directory of its own, and its
environment holds only what is set here.
"""

import glob
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from capability import require

STUB = Path(__file__).resolve().parent.parent / "fixtures" / "stub_model.py"
VIBE_VERSION = "3.0.3"
VIBE_PYTHON = (3, 12)
TASK = "Read README.md, write hello.txt, run git status, then stop."
TIMEOUT = 180

CONFIG = """\
active_model = "stub"
enable_update_checks = false
enable_auto_update = false
enable_telemetry = false

[[providers]]
name = "stub"
api_base = "{url}/v1"
api_key_env_var = "STUB_API_KEY"
backend = "generic"
api_style = "openai"

[[models]]
name = "stub-model"
provider = "stub"
alias = "stub"
"""


@dataclass(frozen=True, slots=True)
class AgentRun:
    """One prepared run: start ``argv`` in ``project`` with ``env`` and nothing else."""

    home: Path
    project: Path
    env: dict[str, str]
    argv: tuple[str, ...]


@contextmanager
def stub_model(directory: Path, script: Sequence[Mapping[str, str]] | None = None) -> Iterator[str]:
    """A stub model that plays ``script``; yields its URL. ``directory/stub.log`` keeps the requests."""
    directory.mkdir(parents=True, exist_ok=True)
    port_file = directory / "stub.port"
    port_file.unlink(missing_ok=True)
    argv = [sys.executable, str(STUB), "--port-file", str(port_file), "--log", str(directory / "stub.log")]
    if script is not None:
        (directory / "stub.json").write_text(json.dumps(list(script)), encoding="utf-8")
        argv += ["--script", str(directory / "stub.json")]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + 20
            while not port_file.exists():
                if server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the stub model did not start (status {server.poll()})")
                time.sleep(0.02)
            yield f"http://127.0.0.1:{port_file.read_text(encoding='utf-8').strip()}"
        finally:
            server.terminate()


def lay_out(directory: Path, vibe: Path, url: str, task: str = TASK) -> AgentRun:
    """Make ``directory/home`` and a git project ``directory/project`` for a run against the model at ``url``.

    May be called again on the same directory: what the agent keeps in its home stays (a warm start).
    """
    home, project = directory / "home", directory / "project"
    (home / ".vibe").mkdir(parents=True, exist_ok=True)
    (home / ".vibe" / "config.toml").write_text(CONFIG.format(url=url), encoding="utf-8")
    env = {
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "SHELL": "/bin/sh",
        "STUB_API_KEY": "no-secret",
        "TERM": "dumb",
    }
    if not (project / ".git").exists():
        require(shutil.which("git", path=env["PATH"]), "git is not installed")
        project.mkdir(parents=True, exist_ok=True)
        (project / "README.md").write_text("# A scratch project\n", encoding="utf-8")
        _git(project, env, "init", "--quiet", "--initial-branch=main", ".")
        _git(project, env, "add", "README.md")
        _git(project, env, "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "start")
    argv = (str(vibe), "-p", task, "--max-turns", "10", "--auto-approve", "--trust")
    return AgentRun(home, project, env, argv)


def _git(project: Path, env: Mapping[str, str], *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=project, env=env, check=True, capture_output=True)


def find_python() -> str:
    """A Python that Vibe accepts; skips the test if this machine has none."""
    candidates = [sys.executable, "python3", "python3.12", "python3.13", "python3.14"]
    # pyenv's own are asked directly: its shims on PATH answer only for the versions that are switched on.
    candidates += sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/3.1[2-9].*/bin/python")))
    found = next((path for name in candidates if (path := shutil.which(name)) and _is_new_enough(path)), None)
    require(found, f"Vibe needs Python >= {'.'.join(map(str, VIBE_PYTHON))}, there is none on PATH or in ~/.pyenv")
    assert found is not None
    return found


def _is_new_enough(python: str) -> bool:
    # venv and ensurepip are separate packages on Debian: a Python without them cannot hold an agent.
    check = f"import sys, venv, ensurepip; sys.exit(sys.version_info < {VIBE_PYTHON})"
    return subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0


def install_vibe(prefix: Path, python: str) -> Path:
    """Vibe's executable in a virtual environment at ``prefix``, installed from PyPI unless it is there.

    Its release pins every dependency, and not every index serves the certifi that it pins: so it is installed
    alone, and then what it asks for, with that one pin loosened. Skips the test if the index does not answer.
    """
    vibe, complete = prefix / "bin" / "vibe", prefix / f"vibe-{VIBE_VERSION}.complete"
    if complete.exists():
        return vibe
    subprocess.run([python, "-m", "venv", "--clear", str(prefix)], check=True, capture_output=True)
    _pip(prefix, "--no-deps", f"mistral-vibe=={VIBE_VERSION}")
    asked = subprocess.run(
        [prefix / "bin" / "python", "-c", _PRINT_REQUIREMENTS], check=True, capture_output=True, text=True
    )
    wanted = [_loosened(line) for line in asked.stdout.splitlines()]
    (prefix / "requirements.txt").write_text("\n".join(wanted) + "\n", encoding="utf-8")
    _pip(prefix, "-r", str(prefix / "requirements.txt"))
    complete.touch()
    return vibe


_PRINT_REQUIREMENTS = "from importlib.metadata import requires; print(*requires('mistral-vibe') or [], sep='\\n')"


def _loosened(requirement: str) -> str:
    """``requirement`` without certifi's exact version. Markers stay: pip reads them, and no extra is on."""
    return re.sub(r"^(certifi)\s*\(?==[^;)\s]*\)?", r"\1", requirement)


def _pip(prefix: Path, *arguments: str) -> None:
    pip = [str(prefix / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-input"]
    done = subprocess.run([*pip, *arguments], capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1:] or ["no message"]
    require(done.returncode == 0, f"Vibe {VIBE_VERSION} cannot be installed from PyPI here: {last[0]}")


def run_agent(run: AgentRun, wrapper: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Run it to its end, behind the words of ``wrapper`` if any."""
    return subprocess.run(
        [*wrapper, *run.argv],
        cwd=run.project,
        env=run.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
