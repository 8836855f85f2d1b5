"""Short ways to write accesses and what is made of them, and strategies for random ones."""

from hypothesis import strategies as st

from learner.access import Access, Kind
from learner.census import Beside
from learner.derivation import DEFAULT, Derived, Scale, derive
from learner.places import Map
from learner.policy import Grant, Policy, Right, Scope
from learner.trace import End, Header, Trace
from tracers.events import Endpoint, Family, Operation, Transport
from tracers.programs import Program

HOME = "/home/ada"
PROJECT = "/home/ada/work/engine"
PLACES = Map(PROJECT, HOME)
PROGRAMS = (
    Program("sbx", "", -1),
    Program("/usr/bin/vibe", "/usr/bin/python3", 0),
    Program("/usr/bin/git", "/usr/bin/git", 1),
)
HEADER = Header("vibe", PROJECT, PROJECT, HOME, 1000, "ptrace", "6.18", 1.5)
END = End(status=0, calls=10, lost=0, unfinished=0, seconds=0.5)


def access(
    operation: Operation,
    path: str,
    kind: Kind = Kind.FILE,
    outcome: int = 0,
    *,
    program: int = 1,
    existed: bool | None = None,
    peer: str | None = None,
) -> Access:
    """An access to a path."""
    return Access(operation, path, kind, outcome, program, operation.value, (), existed, peer)


def socket(
    operation: Operation,
    address: str,
    port: int = 0,
    transport: Transport = Transport.TCP,
    family: Family = Family.INET,
    outcome: int = 0,
) -> Access:
    """An access to an endpoint."""
    end = Endpoint(family, address, port, transport)
    text = f"@{address}" if family is Family.ABSTRACT else f"{address}:{port}/{transport}"
    return Access(operation, text, Kind.SOCKET, outcome, 1, operation.value, endpoint=end)


def made(path: str, kind: Kind = Kind.FILE) -> Access:
    """Something made where nothing was."""
    operation = Operation.MKDIR if kind is Kind.DIRECTORY else Operation.CREATE
    return access(operation, path, kind, existed=False)


def covered(
    *accesses: Access,
    places: Map = PLACES,
    allowed: frozenset[str] = frozenset(),
    beside: dict[str, Beside] | None = None,
    scale: Scale = DEFAULT,
    helpers: dict[str, tuple[str, ...]] | None = None,
) -> Derived:
    """The cover of accesses."""
    return derive(places, PROGRAMS, accesses, beside or {}, allowed, helpers=helpers or {}, scale=scale)


def trace(*accesses: Access, end: End | None = END, skipped: int = 0) -> Trace:
    """A trace that holds accesses."""
    return Trace(HEADER, PROGRAMS, tuple(accesses), {}, {}, end, skipped)


def policy(*grants: tuple[str, Scope, Right]) -> Policy:
    """A policy of grants without witnesses."""
    return Policy(tuple(Grant(path, scope, rights, ()) for path, scope, rights in grants))


_names = st.sampled_from(
    ["a", "b.txt", ".env", "tmpabcdef12", "node_modules", "x\ny", "\udcff", ".ssh", ".config", "é"]
)
_roots = st.sampled_from(
    ["", HOME, PROJECT, "/etc", "/usr/lib", "/usr/lib/python3.11", "/tmp", "/proc/self", "/dev/pts", "/var/lib"]
)
paths = st.builds(lambda root, rest: "/".join([root, *rest]) or "/", _roots, st.lists(_names, max_size=3))
"""Absolute paths in places of every class, few enough to meet each other."""

_outcomes = st.sampled_from([0, 0, 0, 0, 2, 13, 17, 6, 20, 39])
accesses = st.builds(
    Access,
    operation=st.sampled_from(Operation),
    object=paths,
    kind=st.sampled_from(Kind),
    outcome=_outcomes,
    program=st.sampled_from([1, 2]),
    call=st.just("call"),
    existed=st.sampled_from([None, False, True]),
    peer=st.one_of(st.none(), paths),
)
"""Accesses to paths; any operation, sensible or not."""
