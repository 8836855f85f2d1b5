"""The layers together: what the policy holds of an open configuration, and the other way round."""

import tomllib
from pathlib import Path

from audited import HARDENED_VIBE, Account

from learner.audit.layers import Held, by_configuration, by_policy
from learner.places import Map
from learner.policy import Grant, NetworkAction, NetworkGrant, Policy, Right, Scope
from tracers.events import Transport

HOME, PROJECT = "/home/ada", "/home/ada/work/engine"
PLACES = Map(PROJECT, HOME)
PROJECT_GRANT = Grant(PROJECT, Scope.TREE, Right.READ | Right.WRITE | Right.CREATE, ())
HOST = NetworkGrant(NetworkAction.CONNECT, "api.mistral.ai", 443, Transport.TCP, ())
ANYWHERE = NetworkGrant(NetworkAction.CONNECT, "*", 0, Transport.TCP, ())


def held(policy: Policy, tmp_path: Path, text: str) -> dict[str, Held]:
    account = Account(tmp_path)
    account.write(".vibe/config.toml", text)
    return {row.about: row.held for row in by_policy(account.audit().findings, policy, PLACES)}


def test_a_narrow_policy_holds_what_the_configuration_lets_through(tmp_path: Path) -> None:
    policy = Policy((Grant("/usr", Scope.TREE, Right.READ | Right.EXEC, ()),), ())
    assert held(policy, tmp_path, '[tools.bash]\nallowlist = ["git"]\n') == {
        "vibe-read-open": Held.KERNEL,
        "vibe-grep-always": Held.KERNEL,
        "vibe-shell-allowlist": Held.PARTLY,
        "vibe-auto-update": Held.KERNEL,
        "vibe-telemetry": Held.KERNEL,
        "vibe-update-checks": Held.KERNEL,
    }


def test_a_wide_policy_does_not(tmp_path: Path) -> None:
    tree = Grant("/", Scope.TREE, ~Right(0), ())
    assert set(held(Policy((tree,), (ANYWHERE,)), tmp_path, "").values()) == {Held.NEITHER}


def test_the_project_is_open_in_part(tmp_path: Path) -> None:
    found = held(Policy((PROJECT_GRANT,), (HOST,)), tmp_path, "")
    assert found["vibe-read-open"] is Held.PARTLY
    assert found["vibe-telemetry"] is Held.PARTLY


def test_the_configuration_covers_a_project_grant_when_it_asks() -> None:
    policy = Policy((PROJECT_GRANT,), (ANYWHERE,))
    asks = {row.about: row.held for row in by_configuration(policy, PLACES, tomllib.loads(HARDENED_VIBE))}
    assert set(asks.values()) == {Held.CONFIGURATION}
    assert len(asks) == 3
    opened = {row.about: row.held for row in by_configuration(policy, PLACES, {})}
    assert opened["secrets that may be read"] is Held.NEITHER, "Vibe reads unasked by default"
    shell = tomllib.loads(HARDENED_VIBE.replace('"git status"', '"git"'))
    assert {row.held for row in by_configuration(policy, PLACES, shell)} == {Held.NEITHER}, "a shell obeys no denylist"


def test_nothing_open_takes_no_words() -> None:
    assert by_configuration(Policy(), PLACES, {}) == ()
