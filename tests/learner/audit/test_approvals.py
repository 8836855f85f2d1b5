"""From traces to approvals: what an agent's shells ran, and no more."""

import gzip
import json
import tomllib
from pathlib import Path

import pytest
from accesses import END, HEADER

from learner.audit.approvals import approvals
from learner.subcommands import Subcommand, kept
from learner.trace import Trace, read_trace
from tracers.programs import Program
from tracers.words import KEPT_BACK

TRACES = Path(__file__).parents[3] / "fixtures/traces"


def trace(*programs: Program, command: str = "vibe", started: tuple[Subcommand, ...] = ()) -> Trace:
    header = HEADER.__class__(command, *(getattr(HEADER, f) for f in HEADER.__struct_fields__[1:8]))
    return Trace(header, (Program("sbx", "", -1), *programs), (), {}, {}, END, subcommands=started)


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


GIT = Program("/usr/bin/git", "/usr/bin/git", 2)


def test_subcommands_that_only_tell_are_allowed_and_the_others_not() -> None:
    started = (
        Subcommand(1, "sh", "-c"),
        Subcommand(2, "git", "push"),
        Subcommand(2, "git", "status"),
        Subcommand(2, "git", KEPT_BACK),
        Subcommand(4, "git", "log"),
    )
    found = approvals([trace(VIBE, SHELL, GIT, Program("/usr/bin/make", "x", 2), started=started)])
    assert [seen.name for seen in found.allowed] == ["git status"]
    assert [seen.name for seen in found.left_out] == ["git", "git push", "make"]
    # "git " there would take "git status " back.
    assert found.vibecoding()["approval"]["bashBlacklist"] == ["git push ", "make "]


def test_what_a_command_runs_is_not_asked_for() -> None:
    npm, inner = Program("/usr/bin/npm", "/usr/bin/node", 2), Program("/bin/sh", "/usr/bin/dash", 3)
    found = approvals([trace(VIBE, SHELL, npm, inner, Program("/usr/bin/jq", "/usr/bin/jq", 4))])
    assert [seen.name for seen in (*found.allowed, *found.left_out)] == ["npm"]


def test_a_shell_that_is_given_commands_by_a_shell_stands_between() -> None:
    programs = (VIBE, SHELL, Program("/bin/bash", "/bin/bash", 2), Program("/usr/bin/wc", "/usr/bin/wc", 3))
    between = approvals([trace(*programs, started=(Subcommand(2, "bash", "-lc"),))])
    assert [seen.name for seen in (*between.allowed, *between.left_out)] == ["wc"]
    script = approvals([trace(*programs, started=(Subcommand(2, "bash", KEPT_BACK),))])
    assert [seen.name for seen in (*script.allowed, *script.left_out)] == ["bash"]


def test_what_does_harm_is_asked_for() -> None:
    found = approvals([trace(VIBE, SHELL, Program("/bin/rm", "/bin/rm", 2), Program("/bin/tee", "/bin/tee", 2))])
    assert [seen.name for seen in found.left_out] == ["rm", "tee"]


def test_a_trace_keeps_words_of_few_programs_only() -> None:
    assert kept(1, "git", "status") == Subcommand(1, "git", "status")
    assert kept(1, "git", "-c") == Subcommand(1, "git", KEPT_BACK)
    assert kept(1, "bash", "deploy") == Subcommand(1, "bash", KEPT_BACK)
    assert kept(1, "bash", "-lc") == Subcommand(1, "bash", "-lc")
    assert kept(1, "sshpass", "swordfish") is None


def test_the_lists_are_what_the_agents_read() -> None:
    odd = 'o"d\\d'
    programs = (VIBE, SHELL, Program(f"/bin/{odd}", "x", 2), Program("/bin/cat", "x", 2), Program("/bin/npm", "x", 2))
    found = approvals([trace(*programs), trace(VIBE, SHELL, Program("/bin/bad\udcff", "x", 2))])
    assert tomllib.loads(found.vibe()) == {"tools": {"bash": {"allowlist": ["cat", odd]}}}
    table = json.loads(json.dumps(found.vibecoding()))
    assert table["approval"] == {"bashWhitelist": ["cat ", f"{odd} "], "bashBlacklist": ["npm "]}


@pytest.mark.parametrize(
    ("name", "allowed", "left_out"),
    [
        ("mini-learned", ["cat"], ["git", "python3"]),  # made when no subcommands were kept
        ("vibe3-learned", [], ["env", "git", "python3"]),
        ("upgrade-vibe3", ["git status", "id"], ["env", "python3"]),
    ],
)
def test_recordings(name: str, allowed: list[str], left_out: list[str], tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(gzip.decompress((TRACES / f"{name}.jsonl.gz").read_bytes()))
    found = approvals([read_trace(path)])
    assert [seen.name for seen in found.allowed] == allowed
    assert [seen.name for seen in found.left_out] == left_out
