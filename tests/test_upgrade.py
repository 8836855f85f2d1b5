"""Upgrades as they really were: vibe 2.0.2 → 2.26.1 → 3.0.3, from recordings made by sbx (2026-11-22, Debian 12).

``fixtures/traces/upgrade-*.jsonl.gz`` hold two runs each: the testbed's task with a stub model, and a start with the
default configuration and a key of nobody's in a learning jail (``sbx learn --names``), which has no way out: what it
then looks up is what it would reach. ``upgrade-vibe226-rust`` is the task again with ``VIBE_CLI=rust``.
"""

import gzip
from pathlib import Path

import pytest

from learner.change import Difference, Kind, Severity
from learner.cli.main import main
from learner.difference import compare
from learner.sides import open_sides
from learner.variables import Variables

TRACES = Path(__file__).parent.parent / "fixtures/traces"
VERSIONS = ("upgrade-vibe2", "upgrade-vibe226", "upgrade-vibe3")
OTHERS = ("mini-learned", "pi-learned", "vibe2-learned", "vibe3-learned")
PREFIX = "/root/.cache/sbx-testbed/pfx"
RUN_BY_226 = {
    "collect2": ["vibe → gcc → collect2"],
    "file": ["vibe → file"],
    "gcc": ["vibe → gcc"],
    "id": ["vibe → bash → id"],
    "ld": ["vibe → gcc → collect2 → ld", "vibe → ld"],
    "ldconfig": ["vibe → ldconfig"],
}
RUN_BY_3 = {
    "env": ["vibe → vibe-rs → vibe-app-server → bash → env"],
    "sh": ["vibe → vibe-rs → vibe-app-server → sh"],
    "vibe-app-server": ["vibe → vibe-rs → vibe-app-server"],
    "vibe-rs": ["vibe → vibe-rs"],
}
NEW_HOSTS = {"chat.mistral.ai", "console.mistral.ai", "experiments.mistral.services"}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The trace files by name."""
    directory = tmp_path_factory.mktemp("traces")
    found = {}
    for name in (*VERSIONS, "upgrade-vibe226-rust", *OTHERS):
        file = directory / f"{name}.jsonl"
        file.write_bytes(gzip.decompress((TRACES / f"{name}.jsonl.gz").read_bytes()))
        found[name] = str(file)
    return found


def difference(recorded: dict[str, str], old: str, new: str) -> Difference:
    one, other = open_sides(recorded[old], recorded[new], Variables.here())
    return compare(one.side, other.side)


def started(found: Difference) -> dict[str, list[str]]:
    """The chains by which each program that is newly run came about."""
    return {
        change.path.rpartition("/")[2]: sorted(" → ".join(user.chain) for user in change.users)
        for change in found.added
        if change.kind is Kind.RUN
    }


def test_what_2_26_runs_and_reaches_that_2_0_did_not(recorded: dict[str, str]) -> None:
    found = difference(recorded, "upgrade-vibe2", "upgrade-vibe226")
    assert started(found) == RUN_BY_226
    assert {c.endpoint.host for c in found.added if c.kind is Kind.CONNECT and c.endpoint} == NEW_HOSTS
    assert not found.removed


def test_what_3_0_runs_and_changes_that_2_26_did_not(recorded: dict[str, str]) -> None:
    found = difference(recorded, "upgrade-vibe226", "upgrade-vibe3")
    assert started(found) == RUN_BY_3
    [written] = [change for change in found.added if change.kind is Kind.WRITE]
    assert (written.path, written.severity) == ("/proc/self/oom_score_adj", Severity.OUTSIDE)
    assert [" → ".join(user.chain) for user in written.users] == ["vibe → vibe-rs → vibe-app-server → sh"]


@pytest.mark.parametrize(("old", "new"), [(0, 1), (1, 2), (0, 2)])
def test_it_fits_a_screen_and_says_nothing_of_packages(
    old: int, new: int, recorded: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    words = ["diff", recorded[VERSIONS[old]], recorded[VERSIONS[new]], "--fail-on", "exec"]
    assert main(words) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 40
    assert not any("more lines" in line for line in lines), "nothing was left out to get there"
    churn = [line for line in lines if "site-packages" in line and "/_bin/vibe-rs" not in line]
    assert churn == []
    assert not any("dist-info" in line or "__pycache__" in line for line in lines)


def test_every_change_has_a_program_that_needed_it(recorded: dict[str, str]) -> None:
    found = difference(recorded, "upgrade-vibe2", "upgrade-vibe3")
    for change in found.added:
        assert change.users
        assert all(user.chain[0] in ("vibe", "sbx") for user in change.users)
    back = difference(recorded, "upgrade-vibe3", "upgrade-vibe2")
    assert [(c.kind, c.severity, c.rights) for c in back.removed] == [
        (c.kind, c.severity, c.rights) for c in found.added
    ]


def test_the_same_version_behind_another_front(recorded: dict[str, str]) -> None:
    found = difference(recorded, "upgrade-vibe226", "upgrade-vibe226-rust")
    assert started(found).keys() == {"env", "vibe-app-server", "vibe-rs"}
    executed = {change.path.removeprefix(PREFIX) for change in found.added if change.kind is Kind.EXECUTE}
    assert executed == {"/vibe226/bin/vibe-app-server", "/vibe226/lib/python*/site-packages/vibe/_bin/vibe-rs"}
    assert {change.kind for change in found.added} == {Kind.RUN, Kind.EXECUTE}


@pytest.mark.parametrize("name", [*VERSIONS, *OTHERS])
def test_nothing_differs_from_itself(name: str, recorded: dict[str, str]) -> None:
    assert difference(recorded, name, name) == Difference((), ())
