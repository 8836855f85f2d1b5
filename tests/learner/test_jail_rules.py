"""Which hosts a policy lets through: names, patterns, groups, addresses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learner.errors import InputFileError
from learner.jail.groups import GROUPS
from learner.jail.rules import Rules, gaps, host_name, needs_names, own_ports, reversed_hosts
from learner.policy import NetworkAction, NetworkGrant, Policy
from tracers.events import Transport


def grant(host: str, port: int = 443, **other: object) -> NetworkGrant:
    fields = {"action": NetworkAction.CONNECT, "transport": Transport.TCP, "witnesses": (), **other}
    return NetworkGrant(host=host, port=port, **fields)  # type: ignore[arg-type]


def test_an_exact_name_is_that_name_and_port_alone() -> None:
    rules = Rules([("API.Example.org.", 443)])
    assert rules.allows("api.example.org", 443)
    assert rules.allows_name("api.example.org")
    for host, port in (("api.example.org", 80), ("example.org", 443), ("x.api.example.org", 443), ("192.0.2.1", 443)):
        assert not rules.allows(host, port)
    assert not rules.allows_name("example.org")


def test_a_pattern_is_everything_beneath_a_domain_and_not_the_domain() -> None:
    rules = Rules([("*.example.org", 443)])
    for host in ("a.example.org", "a.b.example.org"):
        assert rules.allows(host, 443)
        assert rules.allows_name(host)
    for host in ("example.org", "badexample.org", "example.org.evil.test", "a.example.orgx"):
        assert not rules.allows(host, 443)
        assert not rules.allows_name(host)
    assert not rules.allows("a.example.org", 80)


def test_any_name_is_no_address() -> None:
    rules = Rules([("*", 443)])
    assert rules.allows("whatever.test", 443)
    assert not rules.allows("192.0.2.1", 443)
    assert not rules.allows("::1", 443)


def test_addresses_are_granted_only_as_addresses() -> None:
    rules = Rules([("192.0.2.1", 80), ("2001:DB8::0:1", 80), ("::ffff:192.0.2.7", 80)])
    assert rules.allows("192.0.2.1", 80)
    assert rules.allows("2001:db8::1", 80)
    assert rules.allows("192.0.2.7", 80)
    assert not rules.allows("192.0.2.2", 80)
    assert not rules.allows_name("192.0.2.1")


def test_loopback() -> None:
    assert Rules([("localhost", 8080), ("127.0.0.1", 9), ("example.org", 1)]).loopback() == (
        ("127.0.0.1", 9),
        ("127.0.0.1", 8080),
        ("::1", 8080),
    )


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_groups(group: str) -> None:
    members = GROUPS[group]
    assert members == tuple(sorted(set(members)))
    rules = Rules([(f"group:{group}", 443)])
    for member in members:
        assert rules.allows(member.replace("*", "x"), 443)
    assert not rules.allows("evil.test", 443)


@pytest.mark.parametrize(
    "host", ["group:nonesuch", "", ".", "a..b", "*.*.org", "127.1", "*.0.0.0", "a b", "-a", "a/b", "x" * 64]
)
def test_hosts_that_are_none(host: str) -> None:
    with pytest.raises(InputFileError):
        Rules([(host, 443)])


def test_learning_allows_everything() -> None:
    rules = Rules(learning=True)
    assert rules.allows("anything.test", 1)
    assert rules.allows("192.0.2.1", 1)
    assert rules.allows_name("anything.test")


def test_what_a_policy_says() -> None:
    bind = grant("127.0.0.1", 8080, action=NetworkAction.BIND)
    policy = Policy(network=(grant("10.0.0.1"), bind, grant("x", 0, transport=Transport.OTHER, abstract=True)))
    assert not needs_names(policy)
    assert needs_names(Policy(network=(grant("example.org"),)))
    assert own_ports(policy) == {8080}
    assert [g.item for g in gaps(policy)] == ["abstract sockets", "servers"]
    quic = Policy(network=(grant("192.0.2.1", 443, transport=Transport.UDP), grant("x.test")))
    assert [g.item for g in gaps(quic)] == ["granted UDP", "shared servers"]
    dns = Policy(network=(grant("192.0.2.53", 53, transport=Transport.UDP),))
    assert gaps(dns) == ()
    assert not Rules.of(quic).allows("192.0.2.1", 443)


def test_hosts_files() -> None:
    text = "127.0.0.1 localhost # me\n10.1.2.3\tBox.Corp box\n\nnonsense\n10.1.2.3 other\n"
    assert reversed_hosts(text) == {"127.0.0.1": ("localhost",), "10.1.2.3": ("box.corp", "box", "other")}


def test_names_of_other_scripts() -> None:
    assert host_name("bücher.example") == "xn--bcher-kva.example"
    assert host_name("Example.ORG.") == "example.org"
    assert host_name("a" * 300) is None


_labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
_names = st.lists(_labels, min_size=1, max_size=5).map(".".join).filter(lambda n: host_name(n) is not None)


@given(_names, _names, st.integers(1, 65535))
def test_a_pattern_matches_what_ends_in_it_at_a_dot(name: str, domain: str, port: int) -> None:
    rules = Rules([(f"*.{domain}", port)])
    assert rules.allows(name, port) == name.endswith("." + domain)
    assert rules.allows(f"{name}.{domain}", port)
    assert rules.allows_name(name) == rules.allows(name, port)


@given(st.text(max_size=40))
def test_canonical_names_stay_as_they_are(text: str) -> None:
    name = host_name(text)
    if name is not None:
        assert host_name(name) == name
        assert name.isascii()
