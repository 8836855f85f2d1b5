"""An upgrade as it really was: vibe 2.0 → 3.0, from recordings of both (fixtures/traces, see test_recorded.py)."""

import gzip
from pathlib import Path

import pytest

from learner.change import Kind, Severity
from learner.cli.main import main
from learner.difference import compare
from learner.sides import open_sides
from learner.variables import Variables

TRACES = Path(__file__).parent.parent / "fixtures/traces"
RUN_BY_THE_NEW_ONE = {"collect2", "file", "gcc", "ld", "ldconfig", "vibe-app-server", "vibe-rs"}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The trace files by agent."""
    directory = tmp_path_factory.mktemp("traces")
    found = {}
    for agent in ("mini", "pi", "vibe2", "vibe3"):
        file = directory / f"{agent}.jsonl"
        file.write_bytes(gzip.decompress((TRACES / f"{agent}-learned.jsonl.gz").read_bytes()))
        found[agent] = str(file)
    return found


def test_it_fits_a_screen_and_names_what_is_run_and_by_whom(
    recorded: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    assert main(["diff", recorded["vibe2"], recorded["vibe3"], "--fail-on", "exec"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 40
    started = {line.rpartition("→ ")[2].strip(): line for line in lines if line.startswith("  + runs ")}
    assert started.keys() >= RUN_BY_THE_NEW_ONE
    assert "vibe → vibe-rs → vibe-app-server → gcc → collect2" in started["collect2"]
    assert not any("dist-info" in line or "__pycache__" in line for line in lines)


def test_every_change_has_a_program_that_needed_it(recorded: dict[str, str]) -> None:
    old, new = open_sides(recorded["vibe2"], recorded["vibe3"], Variables.here())
    found = compare(old.side, new.side)
    assert found.added
    for change in found.added:
        assert change.users
        assert all(user.chain[0] in ("vibe", "sbx") for user in change.users)
    assert {c.path.rpartition("/")[2] for c in found.added if c.kind is Kind.RUN} >= RUN_BY_THE_NEW_ONE
    assert all(c.severity >= Severity.OUTSIDE for c in found.added if c.kind is Kind.WRITE and "proc" in c.path)
    back = compare(new.side, old.side)  # its paths are those of the old one's home
    assert [(c.kind, c.severity, c.rights) for c in back.removed] == [
        (c.kind, c.severity, c.rights) for c in found.added
    ]


@pytest.mark.parametrize("agent", ["mini", "pi", "vibe2", "vibe3"])
def test_nothing_differs_from_itself(agent: str, recorded: dict[str, str]) -> None:
    old, new = open_sides(recorded[agent], recorded[agent], Variables.here())
    found = compare(old.side, new.side)
    assert (found.added, found.removed) == ((), ())
