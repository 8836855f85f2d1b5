"""Anthropic's sandbox-runtime for tests: from npm, into a directory that outlives them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from capability import require

VERSION = "0.0.83"
NEEDS = ("node", "npm", "bwrap", "socat", "rg")
_STARTED_WITH = dict(os.environ)
"""Tests change what they are run with: where the registry is, and which certificates hold, must stay known."""
OLDEST_NODE = 20
"""Its manifest asks for 22, 20 runs it; Debian 12's own is 18, which does not."""


def install(cache: Path) -> Path:
    """The directory of its program ``srt``. Skips the test where it cannot be had or run."""
    for name in NEEDS:
        require(shutil.which(name), f"{name} is not installed, which srt needs")
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    if int(said.strip().lstrip("v").split(".")[0]) < OLDEST_NODE:
        pytest.skip(f"srt needs node {OLDEST_NODE} or newer, this is {said.strip()}")
    prefix = cache.resolve() / f"srt-{VERSION}"
    program = prefix / "node_modules/.bin/srt"
    if not (prefix / "complete").exists():
        npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(prefix)]
        done = subprocess.run(
            [*npm, "--fetch-retries=1", f"@anthropic-ai/sandbox-runtime@{VERSION}"],
            env=_STARTED_WITH,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        require(done.returncode == 0, f"srt cannot be installed from npm here: {done.stderr.strip()[-200:]}")
        (prefix / "complete").touch()
    settings = prefix / "open.json"
    settings.write_text(
        '{"network": {"allowedDomains": [], "deniedDomains": []},'
        ' "filesystem": {"denyRead": [], "allowWrite": [], "denyWrite": []}}'
    )
    tried = subprocess.run(
        [program, "--settings", settings, "true"], cwd=prefix, capture_output=True, text=True, check=False
    )
    require(tried.returncode == 0, f"srt does not run here: {(tried.stderr or tried.stdout).strip()[-200:]}")
    return program.parent


def environment(directory: Path) -> dict[str, str]:
    """What makes ``srt`` be found."""
    return {"PATH": f"{directory}:{os.environ.get('PATH', '')}"}
