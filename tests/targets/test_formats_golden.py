"""What every target writes for one realistic policy. After a change that is meant: look at the difference, then

SBX_GOLDEN=1 pytest tests/targets/test_formats_golden.py
"""

import os
from pathlib import Path

import pytest
from exports import POLICY, SAMPLE, request_of

from learner.names import to_text
from learner.policy import CHANGES, Grant, Policy, Right, Scope
from learner.targets.feature import Feature
from learner.targets.table import find

GOLDEN = Path(__file__).parents[2] / "fixtures/golden/targets"
NAMES = (
    "apparmor",
    "bwrap",
    "bwrap-args",
    "claude-code",
    "codex",
    "firejail",
    "landlock",
    "landlock-json",
    "lulu",
    "systemd",
    "vibe",
    "vibecoding",
)
COMMENTED = {"apparmor", "bwrap", "codex", "firejail", "landlock", "systemd", "vibe"}


@pytest.fixture(autouse=True)
def _account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


@pytest.mark.parametrize("name", NAMES)
def test_golden(name: str) -> None:
    target = find(name)
    # A level of VibeCoding's is what it shows on this very machine: left out, so that the file is the same everywhere.
    export = target.export(SAMPLE._replace(view=None) if name == "vibecoding" else SAMPLE)
    lines = "".join(f"{gap.item}: {gap.reason}\n" for gap in export.gaps)
    written = export.data.replace(b"\0", b"\0\n") + b"\n--- gaps\n" + lines.encode()
    written += "\n".join(("--- admit", *target.admit(POLICY.grants, POLICY.network))).encode() + b"\n"
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("SBX_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_bytes(written)
    assert written == golden.read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_every_gap_is_sorted_and_said_in_the_file(name: str) -> None:
    export = find(name).export(SAMPLE)
    assert list(export.gaps) == sorted(set(export.gaps))
    if name in COMMENTED:
        text = export.data.decode(errors="surrogateescape")
        assert [gap for gap in export.gaps if f"Not said here: {gap.item}: {gap.reason}\n" not in text] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_feature_that_lacks_is_a_gap(name: str) -> None:
    target = find(name)
    said = {gap.item.split(" (")[0] for gap in target.export(SAMPLE).gaps}
    used = {Feature.HOSTS, Feature.PORTS, Feature.DENIALS, Feature.EXECUTE_APART, Feature.CHANGES_APART, Feature.HIDING}
    assert {feature.value for feature in used & {*target.lacks}} <= said


@pytest.mark.parametrize("name", NAMES)
def test_what_is_to_be_added_is_printable(name: str) -> None:
    odd = (Grant("/a\n\x1b[31m\u202e'\udcff", Scope.TREE, Right.READ | Right.LIST, ()),)
    for line in find(name).admit((*odd, *POLICY.grants), POLICY.network):
        assert to_text(line).replace("\\\\", "\\") == line


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bwrap", "--setenv 'TMPDIR' '/tmp/sbx-1000'"),
        ("bwrap-args", "--setenv\0TMPDIR\0/tmp/sbx-1000\0"),
        ("firejail", "\nenv TMPDIR=/tmp/sbx-1000\n"),
        ("systemd", '\nEnvironment="TMPDIR=/tmp/sbx-1000"\n'),
    ],
)
def test_programs_are_told_where_they_may_make_temporary_files(name: str, said: str) -> None:
    own = Grant("/tmp/sbx-1000", Scope.TREE, Right.READ | CHANGES, (), ensure=True)
    told = find(name).export(request_of(Policy((own,)))).data.decode()
    assert said in told
    assert "TMPDIR" not in find(name).export(request_of(Policy())).data.decode()
