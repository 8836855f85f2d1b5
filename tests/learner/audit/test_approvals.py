"""From traces to approvals: what an agent's shells ran, and no more."""

import gzip
import json
import tomllib
from pathlib import Path

import pytest
from accesses import END, HEADER

from learner.audit.approvals import approvals
from learner.trace import Trace, read_trace
from tracers.programs import Program

TRACES = Path(__file__).parents[3] / "fixtures/traces"


def trace(*programs: Program, command: str = "vibe") -> Trace:
    header = HEADER.__class__(command, *(getattr(HEADER, f) for f in HEADER.__struct_fields__[1:8]))
    return Trace(header, (Program("sbx", "", -1), *programs), (), {}, {}, END)


VIBE = Program("/usr/bin/vibe", "/usr/bin/python3", 0)
SHELL = Program("/bin/sh", "/usr/bin/dash", 1)


def test_only_what_a_shell_of_the_agent_runs() -> None:
    found = approvals(
        [
            trace(
                VIBE,
                SHELL,
                Program("/usr/bin/ls", "/usr/bin/ls", 2),
                Program("/usr/bin/git", "/usr/bin/git", 2),
                Program("/usr/lib/git-core/git-gc", "/usr/lib/git-core/git-gc", 4),
                Program("/usr/bin/file", "/usr/bin/file", 1),
            )
        ]
    )
    assert [seen.name for seen in found.allowed] == ["ls"]
    assert [seen.name for seen in found.left_out] == ["git"]
    assert all(seen.why for seen in found.left_out)
    assert found.shells == ("sh",)


def test_the_shell_that_starts_the_agent_is_not_the_agents() -> None:
    found = approvals([trace(Program("/bin/sh", "/usr/bin/dash", 0), Program("/usr/bin/vibe", "/usr/bin/python3", 1))])
    assert found.allowed == found.left_out == ()


def test_a_script_that_a_shell_interprets_is_no_shell_with_a_command() -> None:
    found = approvals([trace(VIBE, Program("/opt/x.sh", "/usr/bin/dash", 1), Program("/usr/bin/ls", "/usr/bin/ls", 2))])
    assert found.allowed == ()


def test_the_lists_are_what_the_agents_read() -> None:
    odd = 'o"d\\d'
    programs = (VIBE, SHELL, Program(f"/bin/{odd}", "x", 2), Program("/bin/cat", "x", 2), Program("/bin/npm", "x", 2))
    found = approvals([trace(*programs), trace(VIBE, SHELL, Program("/bin/bad\udcff", "x", 2))])
    assert tomllib.loads(found.vibe()) == {"tools": {"bash": {"allowlist": ["cat", odd]}}}
    table = json.loads(json.dumps(found.vibecoding()))
    assert table["approval"] == {"bashWhitelist": ["cat ", f"{odd} "], "bashBlacklist": ["npm "]}


@pytest.mark.parametrize(
    ("name", "allowed", "left_out"),
    [("mini-learned", ["cat"], ["git", "python3"]), ("vibe3-learned", [], ["env", "git", "python3", "zsh"])],
)
def test_recordings(name: str, allowed: list[str], left_out: list[str], tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(gzip.decompress((TRACES / f"{name}.jsonl.gz").read_bytes()))
    found = approvals([read_trace(path)])
    assert [seen.name for seen in found.allowed] == allowed
    assert [seen.name for seen in found.left_out] == left_out
