"""Which enforcer is taken, on machines that can do more or less; and what may be required of it."""

import pytest

from learner.enforcers import choice
from learner.enforcers.bubblewrap import BubblewrapEnforcer
from learner.enforcers.choice import REQUIRABLE, EnforcerName, check_items, choose, demand, open_items
from learner.enforcers.enforcer import Strength
from learner.enforcers.landlock import LandlockEnforcer, kernel_gaps
from learner.enforcers.layered import LayeredEnforcer
from learner.errors import MachineError, UsageError
from learner.gaps import Gap
from tracers.tracer import Command


class Held:
    """A confinement that states gaps."""

    strength = Strength.PARTIAL
    supervised = False

    def __init__(self, *items: str) -> None:
        self.gaps = tuple(Gap(item, "for a reason") for item in items)

    def wrap(self, command: Command) -> Command:
        return command

    def apply(self) -> None:
        """Do nothing."""

    def check(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> "pytest.MonkeyPatch":
    """A machine that can do everything; tests take things away from it."""
    monkeypatch.setattr(choice, "namespace_obstacle", lambda: "")
    monkeypatch.setattr("learner.enforcers.landlock.abi", lambda: 7)
    monkeypatch.setattr("learner.enforcers.bubblewrap.find_bwrap", lambda: "/usr/bin/bwrap")
    return monkeypatch


def test_the_strongest_is_taken(machine: pytest.MonkeyPatch) -> None:
    found = choose(EnforcerName.AUTO)
    assert isinstance(found.enforcer, LayeredEnforcer)
    assert found.reason == ""


def test_without_namespaces_landlock_is_taken_and_the_reason_told(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(choice, "namespace_obstacle", lambda: "they are switched off")
    found = choose(EnforcerName.AUTO)
    assert isinstance(found.enforcer, LandlockEnforcer)
    assert found.reason == "they are switched off"
    with pytest.raises(MachineError, match="switched off"):
        choose(EnforcerName.LAYERED)


def test_without_landlock_bubblewrap_is_taken(machine: pytest.MonkeyPatch) -> None:
    machine.setattr("learner.enforcers.landlock.abi", lambda: 0)
    found = choose(EnforcerName.AUTO)
    assert isinstance(found.enforcer, BubblewrapEnforcer)
    assert "no Landlock" in found.reason
    machine.setattr("learner.enforcers.bubblewrap.find_bwrap", lambda: None)
    # Nothing is left: Landlock says, when it is to be used, what is missing.
    assert isinstance(choose(EnforcerName.AUTO).enforcer, LandlockEnforcer)
    with pytest.raises(MachineError, match="not installed"):
        choose(EnforcerName.BUBBLEWRAP)


@pytest.mark.parametrize(
    ("name", "kind"), [(EnforcerName.LANDLOCK, LandlockEnforcer), (EnforcerName.BUBBLEWRAP, BubblewrapEnforcer)]
)
def test_what_is_asked_for_is_taken(name: EnforcerName, kind: type, machine: pytest.MonkeyPatch) -> None:
    assert isinstance(choose(name).enforcer, kind)


def test_what_is_required_must_be_held() -> None:
    demand(Held("UDP"), LandlockEnforcer(), ["metadata"])
    with pytest.raises(MachineError, match=r"'UDP'.*for a reason") as told:
        demand(Held("UDP"), LandlockEnforcer(), ["metadata", "UDP"])
    assert "layered" in told.value.remedy
    with pytest.raises(MachineError) as told:
        demand(Held("UDP"), LayeredEnforcer(), ["UDP"])
    assert "--enforcer layered" not in told.value.remedy


def test_only_known_items_can_be_required() -> None:
    check_items(REQUIRABLE)
    with pytest.raises(UsageError, match="udp"):
        check_items(["udp"])
    # Every gap of the kernel's own can be required closed.
    assert {gap.item for gap in kernel_gaps(0)} <= {*REQUIRABLE}


def test_open_items_in_a_line() -> None:
    assert open_items([Gap("b", "x"), Gap("a", "y"), Gap("b", "z")]) == "a, b"
    assert open_items([]) == "nothing"
