"""Canaries against the real enforcer, and against enforcers that do not do what they should."""

import os
import secrets
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from accesses import policy
from capability import require
from children import NOBODY, area_of, in_child

from learner import canaries
from learner.access import Access
from learner.canaries import Canary, Outcome, Verdict, check
from learner.enforcers.enforcer import Strength
from learner.enforcers.landlock import LandlockConfinement, LandlockEnforcer, abi, kernel_gaps
from learner.gaps import Gap
from learner.places import Map
from learner.policy import NO_RIGHT, NetworkAction, NetworkGrant, Policy, Right, Scope
from learner.probe import NAME, Act, NoAnswer, Probe
from learner.sensitive import CATALOGUE
from tracers.events import Transport

pytestmark = pytest.mark.kernel

SECRETS = (".ssh/id_ed25519", ".netrc", ".aws/credentials", ".bashrc", ".gitconfig")
EVERYTHING = ~NO_RIGHT
KNOWN = {gap.item for gap in kernel_gaps(abi() or 1)}


@pytest.fixture
def places(user: int) -> Iterator[Map]:
    """A home with secrets in it, and a project, the user's own."""
    with area_of(user) as top:

        def fill() -> None:
            for name in (*SECRETS, "work/engine/README.md"):
                path = Path(top, "home", name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("secret")

        in_child(fill, user)
        yield Map(f"{top}/home/work/engine", f"{top}/home")


class Nothing:
    """An enforcer that enforces nothing, and may say so."""

    name = "nothing"

    def __init__(self, *gaps: str) -> None:
        self.strength = Strength.NONE
        self.gaps = tuple(Gap(item, "nothing is held") for item in gaps)

    def prepare(self, _policy: Policy) -> "Nothing":
        return self

    def apply(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def mediates(self, _rights: Right) -> Right:
        return NO_RIGHT

    def gates(self, _access: Access) -> bool:
        return False


class Wider(LandlockEnforcer):
    """Landlock that grants more than it is told."""

    def __init__(self, more: Policy) -> None:
        super().__init__()
        self._more = more

    def prepare(self, policy: Policy) -> LandlockConfinement:
        return super().prepare(Policy(policy.grants + self._more.grants, policy.network + self._more.network))


def release(
    places: Map, user: int, granted: Policy | None = None, enforcer: LandlockEnforcer | Nothing | None = None
) -> list[tuple[Canary, Verdict, bool]]:
    def work() -> list[object]:
        found = check(granted or Policy(), places, enforcer or LandlockEnforcer())
        return [
            [msgspec.to_builtins(o.canary.probe), o.canary.name, o.canary.right.value, o.canary.gap, o.verdict, o.known]
            for o in found
        ]

    return [
        (Canary(name, msgspec.convert(probe, Probe), Right(right), gap), Verdict(verdict), known)
        for probe, name, right, gap, verdict, known in in_child(work, user)
    ]


OURS = f"{os.getpid():x}t"
"""Marks the names that this process made: others may be probing in /tmp at the same time."""


@pytest.fixture(autouse=True)
def _marked_names(monkeypatch: pytest.MonkeyPatch) -> None:
    real = secrets.token_hex
    monkeypatch.setattr(secrets, "token_hex", lambda size: OURS + real(size))


def leftovers(places: Map) -> list[str]:
    above = os.path.dirname(places.project)
    directories = (places.home, places.project, above, "/tmp", "/etc")
    return [n for d in directories for n in os.listdir(d) if n.startswith(NAME) and OURS in n]


def test_an_empty_policy_lets_none_through_but_for_stated_gaps(places: Map, user: int) -> None:
    found = release(places, user)
    for canary, verdict, known in found:
        assert verdict is not Verdict.THROUGH or (known and canary.gap in KNOWN), canary
    refused = {(c.probe.act, c.name) for c, verdict, _ in found if verdict is Verdict.REFUSED}
    for secret in ("SSH keys", "AWS credentials"):
        assert (Act.LIST, secret) in refused
    for secret in ("passwords", "shell start-up file", "git runs what it names"):
        assert (Act.READ, secret) in refused
    for where in ("a file in the home directory", "another project"):
        for act, verb in ((Act.READ, "read"), (Act.LIST, "list"), (Act.WRITE, "overwrite")):
            assert (act, f"{verb} {where}") in refused
    assert (Act.CREATE, f"make a file in {places.home}") in refused
    assert (Act.CREATE, "make a file in /tmp") in refused
    if abi() >= 4:
        assert (Act.CONNECT_TCP, "TCP to a port that is not granted") in refused
    if abi() >= 6:
        assert (Act.SIGNAL, "signal a process outside") in refused
        assert (Act.CONNECT_ABSTRACT, "an abstract unix socket outside") in refused
    assert leftovers(places) == []


def test_password_hashes_where_they_can_be_read(places: Map, user: int) -> None:
    if not os.path.exists("/etc/shadow"):
        pytest.skip("there is no /etc/shadow")
    # The catalogue's pattern names several; the file itself is what is tried, if any is.
    verdicts = [v for c, v, _ in release(places, user) if c.probe.path.startswith("/etc/") and c.probe.act is Act.READ]
    assert Verdict.THROUGH not in verdicts


@pytest.mark.parametrize("stated", [(), ("metadata", "TCP", "UDP")], ids=["silent", "honest"])
def test_an_enforcer_that_holds_nothing_is_found_out(stated: tuple[str, ...], places: Map, user: int) -> None:
    found = release(places, user, enforcer=Nothing(*stated))
    through = [(canary, known) for canary, verdict, known in found if verdict is Verdict.THROUGH]
    assert len(through) > 12
    assert not [canary for canary, verdict, _ in found if verdict is Verdict.REFUSED]
    for canary, known in through:
        assert known is (canary.gap in stated)
    assert leftovers(places) == []


def test_an_enforcer_that_grants_too_much_is_found_out(places: Map, user: int) -> None:
    wider = Wider(policy((f"{places.home}/.ssh", Scope.TREE, Right.LIST | Right.READ)))
    found = release(places, user, enforcer=wider)
    assert [(c.name, known) for c, v, known in found if v is Verdict.THROUGH and c.gap not in KNOWN] == [
        ("SSH keys", False)
    ]


def test_what_lies_beneath_a_single_directory_is_a_known_gap(places: Map, user: int) -> None:
    # Landlock cannot grant listing one directory without those in it.
    found = release(places, user, policy((places.home, Scope.FILE, Right.LIST)))
    listed = [(v, known) for c, v, known in found if c.name == "list a file in the home directory"]
    assert listed == [(Verdict.THROUGH, True)]
    read = [v for c, v, _ in found if c.name == "read a file in the home directory"]
    assert read == [Verdict.REFUSED]


def test_an_open_port_is_found_out(places: Map, user: int) -> None:
    require(abi() >= 4, "Landlock sees TCP from ABI 4 on")
    everywhere = NetworkGrant(NetworkAction.CONNECT, "127.0.0.1", 0, Transport.TCP, ())
    found = release(places, user, enforcer=Wider(Policy(network=(everywhere,))))
    assert ("TCP to a port that is not granted", Verdict.THROUGH, False) in [
        (c.name, v, known) for c, v, known in found
    ]


def test_what_is_granted_is_no_canary(places: Map, user: int) -> None:
    granted = policy((places.home, Scope.TREE, Right.READ | Right.LIST))
    released = {(c.probe.act, c.probe.path) for c, _, _ in release(places, user, granted)}
    assert not [path for act, path in released if act in (Act.READ, Act.LIST) and path.startswith(places.home)]
    assert (Act.CREATE, places.home) in released


@pytest.mark.parametrize(
    ("network", "released"),
    [
        ((), True),
        ((NetworkGrant(NetworkAction.CONNECT, "127.0.0.1", 1, Transport.TCP, ()),), True),
        ((NetworkGrant(NetworkAction.BIND, "127.0.0.1", 0, Transport.TCP, ()),), True),
        ((NetworkGrant(NetworkAction.CONNECT, "127.0.0.1", 0, Transport.TCP, ()),), False),
        ((NetworkGrant(NetworkAction.CONNECT, "bus", 0, Transport.OTHER, (), abstract=True),), True),
    ],
)
def test_a_granted_port_is_no_canary(network: tuple[NetworkGrant, ...], released: bool, places: Map, user: int) -> None:
    acts = Counter(c.probe.act for c, _, _ in release(places, user, Policy(network=network)))
    assert acts[Act.CONNECT_TCP] == released
    assert acts[Act.CONNECT_ABSTRACT] == (not any(n.abstract for n in network))


def test_a_canary_whose_control_fails_is_void() -> None:
    require(os.getuid() == 0, "needs root, to make a home that is not the user's")
    with area_of(0) as top:
        os.makedirs(f"{top}/home/work/engine")
        Path(top, "home/.netrc").touch(0o600)
        found = release(Map(f"{top}/home/work/engine", f"{top}/home"), NOBODY)
        verdicts = {(c.probe.act, c.probe.path): verdict for c, verdict, _ in found}
        assert verdicts[Act.READ, f"{top}/home/.netrc"] is Verdict.VOID
        assert verdicts[Act.CREATE, f"{top}/home"] is Verdict.VOID
        assert verdicts[Act.CREATE, "/usr/bin"] is Verdict.VOID
        # Nothing can be planted there, so there is nothing to read.
        assert not [c for c, _, _ in found if c.name == "read a file in the home directory"]


def test_nothing_planted_stays_when_the_disk_is_full(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(canaries, "open", full, raising=False)
    with canaries._planted(str(scratch)) as place:
        assert place is None
    assert os.listdir(scratch) == []


def test_everything_is_taken_away_after_an_error(places: Map) -> None:
    class Broken(Nothing):
        def apply(self) -> None:
            raise OSError(1, "broken")

    with pytest.raises(NoAnswer):
        check(Policy(), places, Broken())
    assert leftovers(places) == []


def test_the_catalogue_has_places_to_try() -> None:
    assert sum("*" not in entry.pattern.removesuffix("/**") for entry in CATALOGUE) > 30


def test_an_outcome_in_words() -> None:
    outcome = Outcome(Canary("passwords", Probe(Act.READ, "/h/\x1b"), Right.READ), Verdict.THROUGH, False)
    assert str(outcome) == r"passwords (read /h/\x1b)"
