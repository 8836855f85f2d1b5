"""The edge-case programs themselves: what a tracer is tested with must behave when nobody watches."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from programs import SOURCES, names

LEAVES_FILES = {"bigtree"}


def run(program: Path, scratch: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, scratch], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", names())
def test_succeeds_untraced(name: str, programs: Callable[[str], Path], scratch: Path) -> None:
    program = programs(name)
    for _ in range(2):  # the second run finds what the first left behind
        done = run(program, scratch)
        assert (done.returncode, done.stderr) == (0, "")
    assert bool(list(scratch.iterdir())) == (name in LEAVES_FILES)


@pytest.mark.parametrize("name", names())
def test_uses_its_scratch_directory_or_none(name: str, programs: Callable[[str], Path]) -> None:
    done = subprocess.run([programs(name)], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        assert done.returncode == 2
        assert done.stderr.startswith("usage: ")


def test_bigtree_leaves_a_thousand_files(programs: Callable[[str], Path], scratch: Path) -> None:
    run(programs("bigtree"), scratch)
    assert sum(path.is_file() for path in scratch.rglob("*")) == 1000


def test_is_built_once(programs: Callable[[str], Path]) -> None:
    first = programs("x32")
    made = first.stat().st_mtime_ns
    assert programs("x32") == first
    assert first.stat().st_mtime_ns == made


def test_readme_has_a_row_for_each_program() -> None:
    table = re.findall(r"^\| `([a-z0-9_]+(?:\.py)?)`", (SOURCES / "README.md").read_text(), re.MULTILINE)
    assert sorted(table) == sorted([*names(), "tui.py"])
