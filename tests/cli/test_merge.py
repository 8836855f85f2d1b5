from pathlib import Path

import pytest
from samples import VARIABLES, VIBE

from learner.cli.main import main
from learner.merging import merge
from learner.policy import Grant, Policy, Right, Scope
from learner.profile import Profile, dumps, load
from learner.store import profile_path, write_atomically
from learner.variables import Variables

HAND = Grant("/opt/tool", Scope.TREE, Right.READ, ())


@pytest.fixture
def other(account: Variables) -> str:
    """The file of a profile of another command, with a grant written by hand."""
    path = profile_path("other")
    write_atomically(path, dumps(Profile("other", "git", Policy((HAND,))), account).encode())
    return path


def test_merged_under_a_name(vibe: str, other: str, account: Variables, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path(vibe).read_bytes(), Path(other).read_bytes()
    assert main(["merge", "-n", "both", "vibe", other]) == 0
    merged = load(profile_path("both"), account)
    assert (merged.name, merged.command, merged.partial, merged.platform) == ("both", "vibe", True, "linux")
    assert merged.policy.rights_on("/opt/tool/x") == Right.READ
    parts = [load(path, account).policy for path in (vibe, other)]
    assert {g.path for g in merged.policy.grants} == {g.path for g in merge(parts).grants}
    assert (Path(vibe).read_bytes(), Path(other).read_bytes()) == before
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "sbx: of several commands (git, vibe): vibe is kept",
        f"sbx: {profile_path('both')}: {len(merged.policy.grants)} grants, 3 on the network, from 2 profiles",
    ]


def test_merged_into_a_file_in_any_order(vibe: str, other: str, tmp_path: Path) -> None:
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    assert main(["merge", "-o", str(one), "vibe", "other", "vibe"]) == 0
    assert main(["merge", "-o", str(two), "vibe", str(one)]) == 0
    assert one.read_text().replace('name = "one"', 'name = "two"') == two.read_text()
    assert one.stat().st_mode & 0o777 == 0o600


def test_one_of_the_profiles_can_take_in_the_other(vibe: str, other: str, account: Variables) -> None:
    assert main(["merge", "-n", "vibe", "vibe", "other"]) == 0
    grown = Path(vibe).read_bytes()
    assert load(vibe, account).policy.rights_on("/opt/tool") == Right.READ
    assert main(["merge", "-n", "vibe", "vibe", "other"]) == 0
    assert Path(vibe).read_bytes() == grown


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["vibe", "other"], 2, "give either -o FILE or -n NAME"),
        (["-o", "x.toml", "-n", "x", "vibe", "other"], 2, "give either -o FILE or -n NAME"),
        (["-n", "x", "vibe"], 2, "name two or more"),
        (["-n", ".x", "vibe", "other"], 2, "cannot name a profile"),
        (["-n", "x"], 2, "Missing argument"),
        (["-n", "x", "vibe", "nope"], 4, "there is no such profile"),
        (["-n", "x", "vibe", "mac"], 2, "different platforms: darwin, linux"),
    ],
)
def test_what_cannot_be_merged(
    words: list[str], status: int, says: str, vibe: str, other: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mac = Profile("mac", "vibe", VIBE.policy, platform="darwin")
    write_atomically(profile_path("mac"), dumps(mac, VARIABLES).encode())
    assert main(["merge", *words]) == status
    assert says in capsys.readouterr().err
    assert not Path(profile_path("x")).exists()
