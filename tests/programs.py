"""Compiles the edge-case programs of ``fixtures/programs``."""

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from capability import require

SOURCES = Path(__file__).resolve().parent.parent / "fixtures" / "programs"

FLAGS = ("-pthread", "-O1", "-Wall", "-Werror")


def names() -> list[str]:
    """The C programs there are, sorted."""
    return sorted(source.stem for source in SOURCES.glob("*.c"))


def _digest(source: Path) -> str:
    """What the compiled program depends on, so that a cached one is never a stale one."""
    digest = hashlib.sha256(" ".join((platform.machine(), *FLAGS)).encode())
    for part in (source, *sorted(source.parent.glob("*.h"))):
        digest.update(part.read_bytes())
    return digest.hexdigest()[:16]


def build(name: str, directory: Path) -> Path:
    """The compiled program ``name``, made in ``directory`` unless it is there from the same source.

    The digest is in its directory, not in its file name: traces call the program by its own name.
    """
    source = SOURCES / f"{name}.c"
    program = directory / _digest(source) / name
    if program.exists():
        return program
    gcc = shutil.which("gcc")
    require(gcc, "gcc is not installed (Debian: apt install gcc libc6-dev)")
    assert gcc is not None
    program.parent.mkdir(parents=True, exist_ok=True)
    # Compiled aside and moved into place: tests may run in several processes at once.
    with tempfile.TemporaryDirectory(dir=program.parent) as aside:
        partial = Path(aside) / name
        done = subprocess.run(
            [gcc, *FLAGS, "-o", str(partial), str(source)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0 or done.stderr:
            pytest.fail(f"{source.name} does not compile cleanly:\n{done.stderr}", pytrace=False)
        os.replace(partial, program)
    return program
