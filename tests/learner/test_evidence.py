"""What the access graph tells of one object."""

import errno

from accesses import END, HEADER, PROGRAMS, access

from learner import graph
from learner.access import Access, Kind
from learner.evidence import Use, pointing_at, uses
from learner.trace import Trace
from tracers.events import Operation


def test_uses_name_the_chain_of_programs_and_the_result() -> None:
    loader = Access(Operation.EXEC, "/lib/ld.so", Kind.FILE, 0, 1, "interpreter of /usr/bin/git")
    trace = Trace(
        HEADER,
        PROGRAMS,
        (
            access(Operation.READ, "/etc/passwd", program=2),
            access(Operation.READ, "/etc/passwd", outcome=errno.EACCES, program=1),
            loader,
        ),
        {"/etc/alias": "passwd", "/etc/other": "group"},
        {},
        END,
    )
    built = graph.build(trace)
    assert uses(built, graph.path("/etc/passwd")) == (
        Use(("vibe",), Operation.READ, errno.EACCES),
        Use(("vibe", "git"), Operation.READ, 0),
    )
    assert uses(built, graph.path("/lib/ld.so")) == (Use(("vibe",), Operation.EXEC, 0, "/usr/bin/git"),)
    assert pointing_at(built, graph.path("/etc/passwd")) == ("/etc/alias",)


def test_nothing_is_known_of_what_was_not_touched() -> None:
    built = graph.build(Trace(HEADER, PROGRAMS, (), {}, {}, END))
    assert uses(built, graph.path("/etc/passwd")) == ()
    assert pointing_at(built, graph.path("/etc/passwd")) == ()
