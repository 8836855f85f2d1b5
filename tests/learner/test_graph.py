import msgspec
from accesses import PROGRAMS, access, socket, trace

from learner import graph
from learner.access import Access, Kind
from learner.graph import NodeKind, Relation, build, path, process
from learner.interpreters import Interpreter, Via
from learner.trace import Trace
from tracers.events import Operation, Transport
from tracers.programs import Program


def edges(of: Trace, relation: Relation) -> set[tuple[graph.Node, graph.Node]]:
    return {(a, b) for a, b, data in build(of).edges(data=True) if data["relation"] is relation}


def lookup(host: str, program: int = 1) -> Access:
    return Access(Operation.RESOLVE, host, Kind.SOCKET, 0, program, "sendto")


def test_an_empty_trace() -> None:
    built = build(Trace(trace().header, (), (), {}, {}, None))
    assert not built.nodes


def test_programs_are_spawned() -> None:
    built = build(trace())
    assert edges(trace(), Relation.SPAWNED) == {(process(0), process(1)), (process(1), process(2))}
    assert built.nodes[process(2)] == {"label": "git", "name": "/usr/bin/git", "exe": "/usr/bin/git"}


def test_accesses_are_kept_whole() -> None:
    run = [access(Operation.READ, "/w/a"), access(Operation.WRITE, "/w/a", program=2), lookup("example.org")]
    built = build(trace(*run))
    kept = [a for *_, a in built.edges(data="access") if a is not None]
    assert sorted(kept) == sorted(run)
    assert built.number_of_edges(process(1), path("/w/a")) == 1
    assert (NodeKind.HOST, "example.org") in built


def test_links_lead_from_where_they_are() -> None:
    links = {"/w/abs": "/x", "/w/rel": "sub/y", "/w/up": "../z", "/w/dot": "."}
    linked = msgspec.structs.replace(trace(), links=links)
    assert edges(linked, Relation.LINKS_TO) == {
        (path("/w/abs"), path("/x")),
        (path("/w/rel"), path("/w/sub/y")),
        (path("/w/up"), path("/z")),
        (path("/w/dot"), path("/w")),
    }


def test_interpreters() -> None:
    run = msgspec.structs.replace(
        trace(),
        interpreted={
            "/w/a.sh": (Interpreter(Via.SHEBANG, "/bin/sh"),),
            "/w/b.py": (Interpreter(Via.SHEBANG, "/usr/bin/env"), Interpreter(Via.ENV, "python3")),
            "/w/c": (Interpreter(Via.SHEBANG, "/usr/bin/env"), Interpreter(Via.ENV, "/opt/uv")),
            "/bin/sh": (Interpreter(Via.LOADER, "/lib/ld.so"),),
        },
    )
    assert edges(run, Relation.INTERPRETED_BY) == {
        (path("/w/a.sh"), path("/bin/sh")),
        (path("/w/b.py"), path("/usr/bin/env")),
        (path("/w/c"), path("/usr/bin/env")),
        (path("/w/c"), path("/opt/uv")),
        (path("/bin/sh"), path("/lib/ld.so")),
    }
    vias = {data["via"] for _, _, data in build(run).edges(data=True) if "via" in data}
    assert vias == set(Via)


def test_libraries() -> None:
    run = trace(
        access(Operation.READ, "/lib/libc.so.6", program=2),
        access(Operation.READ, "/lib/x.so", program=2),
        access(Operation.READ, "/lib/absent.so", outcome=2, program=2),
        access(Operation.READ, "/lib/x.sock", program=2),
        access(Operation.STAT, "/lib/y.so", program=2),
    )
    assert edges(run, Relation.LOADED) == {
        (path("/usr/bin/git"), path("/lib/libc.so.6")),
        (path("/usr/bin/git"), path("/lib/x.so")),
    }


def test_one_name_and_its_addresses() -> None:
    run = trace(
        lookup("example.org"),
        socket(Operation.CONNECT, "192.0.2.53", 53, Transport.UDP),
        socket(Operation.CONNECT, "192.0.2.1", 443),
        socket(Operation.CONNECT, "192.0.2.1", 0),
    )
    assert edges(run, Relation.RESOLVED_TO) == {
        ((NodeKind.HOST, "example.org"), (NodeKind.ENDPOINT, "192.0.2.1:443/tcp"))
    }


def test_of_two_names_nothing_is_deduced() -> None:
    run = trace(lookup("a.example"), lookup("b.example"), socket(Operation.CONNECT, "192.0.2.1", 443))
    assert edges(run, Relation.RESOLVED_TO) == set()


def test_names_of_another_program_are_not_ours() -> None:
    run = trace(lookup("a.example", program=2), socket(Operation.CONNECT, "192.0.2.1", 443))
    assert edges(run, Relation.RESOLVED_TO) == set()


def test_a_program_that_ran_itself() -> None:
    again = msgspec.structs.replace(trace(), programs=(*PROGRAMS, Program("/usr/bin/git", "/usr/bin/git", 2)))
    assert (process(2), process(3)) in edges(again, Relation.SPAWNED)
