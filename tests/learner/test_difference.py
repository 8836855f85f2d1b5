import functools
import operator
import time

import pytest
from accesses import HOME, PROJECT, policy
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import HOSTILE, VIBE, profiles

from learner.agent import Agent, Known, Ran, Source
from learner.change import RIGHTS, Change, Difference, Kind, Severity, Side
from learner.derivation import SensitiveUse
from learner.difference import compare, reaches
from learner.folding import Folding
from learner.policy import (
    ANYWHERE,
    NO_RIGHT,
    Grant,
    NetworkAction,
    NetworkGrant,
    Policy,
    Right,
    Scope,
    Witness,
)
from learner.variables import Variables
from tracers.events import Operation, Transport

HERE = Variables(PROJECT, HOME, "/tmp/sbx-1000", "/opt/agent")
FILE, TREE = Scope.FILE, Scope.TREE


def side(*grants: tuple[str, Scope, Right], **more: object) -> Side:
    return Side(policy(*grants), HERE, **more)  # type: ignore[arg-type]


def added(old: Side, new: Side) -> list[tuple[Severity, Kind, str, Scope, Right]]:
    return [(c.severity, c.kind, c.path, c.scope, c.rights) for c in compare(old, new).added]


_names = st.sampled_from(["a", "b", "c", ".ssh", ".env"])
_places = st.sampled_from(["", HOME, PROJECT, "/usr/lib", "/etc", "/dev", "/tmp/sbx-1000"])
_paths = st.builds(lambda root, rest: "/".join([root, *rest]) or "/", _places, st.lists(_names, max_size=3)) | (
    st.sampled_from(["/dev/null", "/dev/zero"])
)
_rights = st.lists(st.sampled_from(Right), max_size=4).map(lambda some: functools.reduce(operator.or_, some, NO_RIGHT))
_grants = st.builds(Grant, _paths, st.sampled_from(Scope), _rights, st.just(()), st.booleans())
_hosts = st.sampled_from(["a.example.org", "*.example.org", "b.test", ANYWHERE, "127.0.0.1"])
_network = st.builds(
    NetworkGrant,
    st.sampled_from(NetworkAction),
    _hosts,
    st.sampled_from([0, 80, 443]),
    st.sampled_from([Transport.TCP, Transport.UDP]),
    st.just(()),
)
_policies = st.builds(
    lambda grants, network: Policy(tuple(grants), tuple(network)),
    st.lists(_grants, max_size=6),
    st.lists(_network, max_size=3),
)


@given(_policies, _policies, st.lists(_paths, min_size=1, max_size=8))
@settings(max_examples=600, deadline=None)
def test_what_is_said_to_be_new_is_exactly_what_is_new(old: Policy, new: Policy, asked: list[str]) -> None:
    found = compare(Side(old, HERE), Side(new, HERE), exact=True)
    everywhere = [*asked, *(grant.path for p in (old, new) for grant in p.grants)]
    for path in [*everywhere, *(f"{path.rstrip('/')}/x" for path in everywhere)]:
        for changes, more, less in ((found.added, new, old), (found.removed, old, new)):
            said = functools.reduce(operator.or_, (change.gives(path) for change in changes), NO_RIGHT)
            assert said == more.rights_on(path) & ~less.rights_on(path)


@given(_policies, _policies)
@settings(max_examples=300, deadline=None)
def test_of_the_network_too(old: Policy, new: Policy) -> None:
    said = {c.endpoint for c in compare(Side(old, HERE), Side(new, HERE)).added if c.endpoint}
    for endpoint in new.network:
        assert (endpoint in said) is not any(reaches(known, endpoint) for known in old.network)


@given(profiles, profiles)
@settings(deadline=None)
def test_nothing_differs_from_itself_and_the_inverse_is_the_inverse(one: object, other: object) -> None:
    a, b = Side(one.policy, HERE), Side(other.policy, HERE)  # type: ignore[attr-defined]
    assert compare(a, a) == Difference((), ())
    there, back = compare(a, b), compare(b, a)
    assert (there.added, there.removed) == (back.removed, back.added)
    assert there == compare(a, b)


@given(_policies)
def test_the_order_of_grants_does_not_matter(one: Policy) -> None:
    turned = Policy(one.grants[::-1], one.network[::-1])
    assert compare(Side(one, HERE), Side(turned, HERE)) == Difference((), ())


def test_every_right_is_of_one_kind() -> None:
    assert sum(rights.value for rights in RIGHTS.values()) == (~NO_RIGHT).value


def test_a_grant_under_a_wider_one_is_no_change_and_what_was_there_is_excepted() -> None:
    old = side(("/usr/lib/a", FILE, Right.READ), ("/usr/lib/b", TREE, Right.READ))
    new = side(("/usr/lib", TREE, Right.READ))
    found = compare(old, new)
    assert not found.removed
    [change] = found.added
    assert (change.path, [grant.path for grant in change.but]) == ("/usr/lib", ["/usr/lib/a", "/usr/lib/b"])
    assert change.gives("/usr/lib/b/x") == NO_RIGHT
    assert change.gives("/usr/lib/c") == Right.READ


def test_versions_and_prefixes_are_folded() -> None:
    old = Side(
        policy(
            ("/opt/agent-2/lib/python3.12/site-packages", TREE, Right.READ),
            (f"{HOME}/.pyenv/versions/3.12.1/lib", TREE, Right.READ),
        ),
        HERE._replace(prefix="/opt/agent-2", home="/home/bob"),
    ).moved(HERE._replace(prefix="/opt/agent-2"))
    new = Side(
        policy(
            ("/opt/agent-3/lib/python3.13/site-packages", TREE, Right.READ),
            (f"{HOME}/.pyenv/versions/3.13.0/lib", TREE, Right.READ),
        ),
        HERE._replace(prefix="/opt/agent-3"),
    )
    assert compare(old, new) == Difference((), ())
    assert compare(old, new, exact=True).added


def test_another_home_and_project() -> None:
    there = Variables("/home/bob/p", "/home/bob")
    old = Side(policy(("/home/bob/p", TREE, Right.WRITE), ("/home/bob/.x", TREE, Right.READ)), there)
    assert compare(old, side((PROJECT, TREE, Right.WRITE), (f"{HOME}/.x", TREE, Right.READ))) == Difference((), ())


@pytest.mark.parametrize(
    ("path", "scope", "rights", "severity"),
    [
        (PROJECT, TREE, Right.WRITE, Severity.OWN),
        ("/tmp/sbx-1000", TREE, Right.CREATE, Severity.OWN),
        ("/usr/share", TREE, Right.READ, Severity.SYSTEM),
        ("/etc/hosts", FILE, Right.READ, Severity.SYSTEM),
        (f"{HOME}/notes", FILE, Right.READ, Severity.HOME),
        ("/home/bob/notes", FILE, Right.READ, Severity.HOME),
        ("/run/x.sock", FILE, Right.CONNECT, Severity.HOST),
        ("/usr/bin/gcc", FILE, Right.EXEC, Severity.EXECUTABLE),
        (f"{HOME}/.vibe", TREE, Right.WRITE, Severity.OUTSIDE),
        ("/tmp/x", FILE, Right.WRITE, Severity.OUTSIDE),
        (f"{HOME}/.ssh/id_ed25519", FILE, Right.READ, Severity.SENSITIVE),
        (f"{HOME}/.bashrc", FILE, Right.WRITE, Severity.SENSITIVE),
        (HOME, TREE, Right.READ, Severity.SENSITIVE),
        ("/", TREE, Right.READ, Severity.SENSITIVE),
        ("/etc", TREE, Right.READ, Severity.SENSITIVE),
        (f"{HOME}/.config", TREE, Right.READ, Severity.SENSITIVE),
        ("/run/docker.sock", FILE, Right.CONNECT, Severity.SENSITIVE),
    ],
)
def test_how_severe(path: str, scope: Scope, rights: Right, severity: Severity) -> None:
    [change] = compare(side(), side((path, scope, rights))).added
    assert change.severity is severity
    assert bool(change.reason) is (severity is Severity.SENSITIVE)


def test_the_most_severe_comes_first() -> None:
    new = side(*((path, FILE, Right.READ) for path in ("/etc/a", f"{HOME}/.ssh/id_rsa", f"{HOME}/b")))
    assert [c.severity for c in compare(side(), new).added] == [Severity.SENSITIVE, Severity.HOME, Severity.SYSTEM]


def test_programs_in_a_granted_tree_are_named_with_who_runs_them() -> None:
    old = side(("/usr/bin", TREE, Right.EXEC), ran=(Ran("vibe", "/opt/agent/bin/vibe"),), recorded=True)
    ran = (
        Ran("collect2", "/usr/lib/gcc/x/12/collect2", ("gcc",)),
        Ran("gcc", "/usr/bin/gcc", ("sbx", "vibe")),
        Ran("vibe", "/opt/agent/bin/vibe", ("sbx",)),
    )
    new = old._replace(ran=ran)
    found = compare(old, new)
    assert [(c.kind, c.path, [u.chain for u in c.users]) for c in found.added] == [
        (Kind.RUN, "/usr/bin/gcc", [("vibe", "gcc")]),
        (Kind.RUN, "/usr/lib/gcc/x/*/collect2", [("vibe", "gcc", "collect2")]),
    ]
    assert compare(new, old).removed == found.added


def test_without_a_record_programs_are_known_by_the_names_of_witnesses() -> None:
    def one(*names: str) -> Side:
        witnesses = tuple(Witness(name, (Operation.READ,), "/etc/x") for name in names)
        return Side(Policy((Grant("/etc/x", FILE, Right.READ, witnesses),)), HERE)

    assert [c.path for c in compare(one("sbx", "vibe"), one("vibe", "ld")).added] == ["ld"]
    recorded = one("vibe")._replace(ran=(Ran("ld", "/usr/bin/ld", ("vibe",)),), recorded=True)
    assert [c.path for c in compare(one("vibe"), recorded).added] == ["/usr/bin/ld"]
    assert compare(one("vibe", "ld"), recorded).added == ()


def test_programs_that_start_each_other_have_a_chain_all_the_same() -> None:
    ran = (Ran("a", "/usr/bin/a", ("b",)), Ran("b", "/usr/bin/b", ("a",)))
    found = compare(side(recorded=True), side(ran=ran, recorded=True))
    assert all(len(user.chain) <= 3 for change in found.added for user in change.users)


def test_sensitive_objects_that_were_used_and_not_granted() -> None:
    use = SensitiveUse(f"{HOME}/.netrc", "passwords", Right.READ, ("curl",), False)
    [change] = compare(side(), side(left_out=(use,))).added
    assert (change.severity, change.granted, change.reason) == (Severity.SENSITIVE, False, "passwords")
    assert change.gives(use.path) == NO_RIGHT
    assert compare(side(left_out=(use,)), side(left_out=(use,))).added == ()
    assert compare(side((use.path, FILE, Right.READ)), side(left_out=(use,))).added == ()


def test_ephemeral_ports_on_loopback_are_one() -> None:
    def one(port: int, host: str = "127.0.0.1") -> Side:
        return Side(Policy((), (NetworkGrant(NetworkAction.CONNECT, host, port, Transport.TCP, ()),)), HERE)

    assert compare(one(40001), one(50002)) == Difference((), ())
    assert compare(one(40001), one(50002), ports=True).added, "an enforcer tells them apart"
    assert compare(one(8080), one(8081)).added
    assert compare(one(40001, "10.0.0.1"), one(50002, "10.0.0.1")).added


def test_a_group_is_its_hosts() -> None:
    def one(*hosts: str) -> Side:
        return Side(
            Policy((), tuple(NetworkGrant(NetworkAction.CONNECT, h, 443, Transport.TCP, ()) for h in hosts)), HERE
        )

    assert compare(one("group:pypi"), one("pypi.org")).added == ()
    assert compare(one("*.org"), one("group:pypi", "pypi.org")).added == ()
    assert compare(one("pypi.org"), one("group:pypi")).added


def test_how_much_a_tree_opens_beside() -> None:
    new = side(
        ("/usr/lib/python3.12", TREE, Right.READ),
        beside=(("/usr/lib/python3.12", 600), ("/usr/lib/python3.12/x", 100), ("/usr/lib", 9)),
    )
    [change] = compare(side(), new).added
    assert change.beside == 700


def test_versions() -> None:
    def one(version: str, digest: str) -> Side:
        ran = (Ran("node", "/usr/bin/node", (), digest),)
        return side(agent=Agent("vibe", "/opt/agent/bin/vibe", "a" * 64, Known(version, "v", Source.DIST_INFO), ran))

    found = compare(one("2.0", "1" * 64), one("3.0", "2" * 64)).versions
    assert found == (("node", f"sha256 {'1' * 12}", f"sha256 {'2' * 12}"), ("vibe", "2.0", "3.0"))
    assert compare(one("2.0", ""), one("2.0", "")).versions == ()


def test_five_thousand_grants_in_a_second() -> None:
    def one(odd: int) -> Side:
        grants = [
            Grant(f"{HOME}/d{n % 50}/e{n % 7}/f{n + odd * (n % 2)}", FILE if n % 3 else TREE, Right.READ, ())
            for n in range(5000)
        ]
        return Side(Policy(tuple(grants)), HERE)

    old, new = one(0), one(10000)
    started = time.process_time()
    found = compare(old, new)
    assert time.process_time() - started < 1
    assert len(found.added) == len(found.removed) == 2500


def test_hostile_names_are_kept() -> None:
    found: tuple[Change, ...] = compare(side(), Side(VIBE.policy, HERE)).added
    assert HOSTILE in {change.path for change in found}
    assert Folding(HERE.places).path(HOSTILE) == HOSTILE
