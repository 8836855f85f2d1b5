"""What is kept of the attempts that failed."""

import errno

from accesses import PLACES, PROJECT, access

from learner.access import Kind
from learner.failures import KEPT, Failures
from tracers.events import Operation


def noted(*accesses: object) -> tuple[str, ...]:
    failures = Failures(PLACES)
    for one in accesses:
        failures.note(one, "cat")  # type: ignore[arg-type]
    return failures.lines


def test_the_last_ones_are_kept_in_order() -> None:
    names = [f"{PROJECT}/absent-{i}" for i in range(KEPT + 2)]
    lines = noted(*(access(Operation.READ, n, Kind.ABSENT, errno.ENOENT) for n in names))
    assert lines == tuple(f"cat: read {n}: No such file or directory" for n in names[2:])


def test_what_says_nothing_is_left_out() -> None:
    assert not noted(
        access(Operation.STAT, "/home/ada/x", outcome=errno.ENOENT),
        access(Operation.READ, "/usr/share/locale/C/cat.mo", Kind.ABSENT, errno.ENOENT),
        access(Operation.READ, "/etc/passwd"),
        access(Operation.CONNECT, "127.0.0.1:1/tcp", outcome=errno.EINPROGRESS),
    )


def test_a_refusal_among_packages_counts() -> None:
    assert noted(access(Operation.WRITE, "/usr/bin/x", outcome=errno.EACCES)) == (
        "cat: write /usr/bin/x: Permission denied",
    )
