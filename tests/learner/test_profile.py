import subprocess
import sys
import tomllib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from samples import VARIABLES, VIBE, paths, profiles

from learner.policy import Grant, Policy, Right, Scope
from learner.profile import Profile, dumps, load, loads
from learner.variables import Variables

GOLDEN = Path(__file__).parents[2] / "fixtures/golden/profile.toml"


def test_what_is_written_is_golden() -> None:
    assert dumps(VIBE, VARIABLES) == GOLDEN.read_text()


def test_a_profile_survives_a_file() -> None:
    assert load(str(GOLDEN), VARIABLES) == VIBE


@given(profiles)
def test_no_name_breaks_out_of_its_place(profile: Profile) -> None:
    text = dumps(profile, VARIABLES)
    document = tomllib.loads(text)
    assert len(document.get("grant", [])) == len(profile.policy.grants)
    assert len(document.get("network", [])) == len(profile.policy.network)
    assert document.get("partial", False) is profile.partial
    tables = [line for line in text.splitlines() if line.startswith("[[")]
    assert tables.count("[[grant]]") == len(profile.policy.grants)
    assert tables.count("[[service]]") == len(profile.policy.services)
    assert len(tables) == sum(map(len, (profile.policy.grants, profile.policy.network, profile.policy.services)))


@given(profiles)
def test_every_profile_survives_and_is_canonical(profile: Profile) -> None:
    text = dumps(profile, VARIABLES)
    again = loads(text, "profile.toml", VARIABLES)
    assert dumps(again, VARIABLES) == text
    assert (again.name, again.command, again.platform) == (profile.name, profile.command, profile.platform)
    assert set(again.policy.grants) == set(profile.policy.grants)
    assert set(again.policy.network) == set(profile.policy.network)
    assert (again.policy.services, again.policy.probes) == (profile.policy.services, profile.policy.probes)


@given(st.lists(paths, unique=True), st.randoms())
def test_the_order_of_grants_does_not_matter(found: list[str], random: object) -> None:
    grants = [Grant(path, Scope.FILE, Right.READ, ()) for path in found]
    one = dumps(Profile("a", "a", Policy(tuple(grants))), VARIABLES)
    random.shuffle(grants)  # type: ignore[attr-defined]
    assert dumps(Profile("a", "a", Policy(tuple(grants))), VARIABLES) == one


def test_it_works_for_another_account() -> None:
    other = Variables(project="/srv/engine", home="/home/bob")
    text = GOLDEN.read_text()
    moved = loads(text, "profile.toml", other)
    assert {"/home/bob/.vibe", "/srv/engine"} <= {grant.path for grant in moved.policy.grants}
    assert dumps(moved, other) == text


def test_a_grant_written_by_hand_needs_no_witness() -> None:
    text = """
    version = 1
    name = "mine"
    command = "mine"
    grant = [{path = "$HOME/x/", scope = "tree", rights = ["read", "list"]}]
    """
    assert loads(text, "mine", VARIABLES).policy.grants == (
        Grant("/home/ada/x", Scope.TREE, Right.READ | Right.LIST, ()),
    )


def test_loading_imports_nothing_heavy() -> None:
    code = "import learner.profile, sys; print({'rich', 'networkx', 'tomlkit', 'click', 'json'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    assert subprocess.check_output([sys.executable, "-c", code], text=True, cwd=root) == "set()\n"
