import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import VARIABLES, witnesses

from learner import words
from learner.policy import Grant, NetworkAction, NetworkGrant, Right, Scope, Witness
from tracers.events import Operation, Transport

READ = (Operation.READ,)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ([Witness("git", READ, "/a")], ["git: read it"]),
        ([Witness("git", READ, "/a/b")], ["git: read /a/b"]),
        (
            [Witness("vibe", READ, "/a/b", 12), Witness("git", READ, "/a/c", 3)],
            ["git, vibe: read 12 objects, such as /a/b"],
        ),
        ([Witness("sh", (Operation.EXEC,), "/a"), Witness("git", READ, "/a")], ["git: read it", "sh: run it"]),
        ([Witness("sh", (Operation.LIST, Operation.READ, Operation.EXEC), "/a")], ["sh: list, read and run it"]),
        ([Witness(name, READ, "/a") for name in "abcdef"], ["a, b, c, d, 2 more: read it"]),
        ([Witness("x\n", (), "/a")], ["x\\x0a: use it"]),
        ([], []),
    ],
)
def test_reasons(found: list[Witness], text: list[str]) -> None:
    assert words.reasons(found, VARIABLES, "/a") == text


def test_a_long_example_is_cut() -> None:
    [reason] = words.reasons([Witness("git", READ, "/" + "x" * 4000)], VARIABLES)
    assert len(reason) < 100
    assert reason.endswith("…")


@given(st.lists(witnesses))
def test_reasons_are_single_printable_lines(found: list[Witness]) -> None:
    for reason in words.reasons(found, VARIABLES):
        assert len(reason.splitlines()) == 1
        assert "\x1b" not in reason


@pytest.mark.parametrize(
    ("host", "port", "transport", "abstract", "text"),
    [
        ("127.0.0.1", 80, Transport.TCP, False, "127.0.0.1:80/tcp"),
        ("::1", 0, Transport.UDP, False, "[::1]:*/udp"),
        ("bus", 0, Transport.OTHER, True, "@bus"),
        ("a\nb", 1, Transport.TCP, False, "a\\x0ab:1/tcp"),
    ],
)
def test_endpoint(host: str, port: int, transport: Transport, abstract: bool, text: str) -> None:
    assert words.endpoint(NetworkGrant(NetworkAction.BIND, host, port, transport, (), abstract)) == text


@pytest.mark.parametrize(
    ("path", "scope", "text"),
    [("/", Scope.TREE, "/**"), ("/home/ada/x", Scope.TREE, "$HOME/x/**"), ("/etc/hosts", Scope.FILE, "/etc/hosts")],
)
def test_reach(path: str, scope: Scope, text: str) -> None:
    assert words.reach(Grant(path, scope, Right.READ, ()), VARIABLES) == text


def test_every_operation_has_a_verb() -> None:
    assert all(words.verb(operation) for operation in Operation)
