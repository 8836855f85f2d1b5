"""Traces of other projects, accounts and machines, and folding them together."""

import itertools

import msgspec
from accesses import END, HOME, PROGRAMS, PROJECT, access, accesses, made
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.access import Access, Kind
from learner.census import Beside
from learner.policy import Scope
from learner.profile import Profile, dumps
from learner.rebase import rebase
from learner.session import derive, union
from learner.trace import Header, Trace
from learner.variables import Variables
from tracers.events import Operation

ADA = Variables(PROJECT, HOME, "/tmp/sbx-1000", "/opt/vibe", (("XDG_CACHE_HOME", "/fast/ada"),), 1000)
EVE = Variables(
    "/data/eve/shop", "/home/eve", "/tmp/sbx-1001", "/home/eve/venv", (("XDG_CACHE_HOME", "/home/eve/.c"),), 7
)


def trace(variables: Variables, *run: Access, started: float = 1.0, beside: dict[str, Beside] | None = None) -> Trace:
    """What one account recorded."""
    header = Header(
        "vibe",
        variables.project,
        variables.project,
        variables.home,
        variables.uid,
        "ptrace",
        "6.18",
        started,
        temporary=variables.temporary,
        prefix=variables.prefix,
        xdg=variables.xdg,
    )
    return Trace(header, PROGRAMS, run, {}, {}, END, beside=beside or {})


def test_paths_move_with_their_variables() -> None:
    slug = PROJECT.replace("/", "-")
    recorded = trace(
        ADA,
        access(Operation.READ, PROJECT + "/a"),
        access(Operation.READ, HOME + "/.toolrc"),
        access(Operation.READ, "/opt/vibe/lib/x"),
        access(Operation.READ, "/fast/ada/vibe/index"),
        access(Operation.READ, "/tmp/sbx-1000/t"),
        access(Operation.READ, f"{HOME}/.vibe/{slug}/log"),
        access(Operation.READ, "/etc/passwd"),
        access(Operation.CONNECT, "127.0.0.1:80/tcp", Kind.SOCKET),
        beside={HOME + "/.vibe": Beside(3)},
    )
    moved = rebase(recorded, EVE)
    assert {one.object for one in moved.accesses} == {
        "/data/eve/shop/a",
        "/home/eve/.toolrc",
        "/home/eve/venv/lib/x",
        "/home/eve/.c/vibe/index",
        "/tmp/sbx-1001/t",
        "/home/eve/.vibe/-data-eve-shop/log",
        "/etc/passwd",
        "127.0.0.1:80/tcp",
    }
    assert moved.beside == {"/home/eve/.vibe": Beside(3)}
    assert moved.header.variables == EVE
    assert rebase(recorded, ADA) is recorded


def test_what_has_no_place_here_stays() -> None:
    moved = rebase(trace(ADA, access(Operation.READ, "/opt/vibe/x")), EVE._replace(prefix=""))
    assert [one.object for one in moved.accesses] == ["/opt/vibe/x"]


def test_a_fleet_gives_one_profile_whatever_the_order() -> None:
    fleet = [
        trace(ADA, access(Operation.READ, HOME + "/.toolrc"), made(HOME + "/.tool", Kind.DIRECTORY), started=2.0),
        trace(
            EVE, access(Operation.READ, "/home/eve/.toolrc"), access(Operation.WRITE, EVE.project + "/x"), started=1.0
        ),
    ]
    texts = set()
    for base in (ADA, EVE):
        for order in itertools.permutations(fleet):
            merged = union(rebase(one, base) for one in order)
            found = derive(merged, frozenset())
            texts.add(dumps(Profile("vibe", "vibe", found.policy, prefix=base.prefix), base))
            assert {g.scope for g in found.policy.grants if g.path == base.project} == {Scope.TREE}
    assert len(texts) == 1
    assert "$HOME/.toolrc" in texts.pop()


_runs = st.lists(st.lists(accesses, max_size=4), min_size=1, max_size=3)


def _policy(runs: list[Trace]) -> object:
    return derive(union(runs), frozenset())


@settings(max_examples=100, deadline=None)
@given(_runs, st.randoms(use_true_random=False))
def test_folding_traces_is_commutative_associative_and_idempotent(runs: list[list[Access]], shuffle: object) -> None:
    some = [trace(ADA, *run, started=float(n), beside={"/etc": Beside(n)}) for n, run in enumerate(runs)]
    other = list(some)
    shuffle.shuffle(other)  # type: ignore[attr-defined]
    assert _policy(some) == _policy(other)
    assert _policy([*some, *other]) == _policy(some)
    assert _policy([union(some[:1]), union(some[1:] or some)]) == _policy(some)
    twice = union([*some, some[0]])
    assert msgspec.structs.asdict(twice) == msgspec.structs.asdict(union(some))
