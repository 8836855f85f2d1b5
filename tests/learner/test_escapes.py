"""The table of escapes, its documentation, and what reports make of results."""

import errno
import io
import json
import re
from pathlib import Path

import pytest
from accesses import HOME, PROJECT, access, covered, trace
from rich.console import Console

from learner.enforcers.capabilities import BEYOND
from learner.enforcers.landlock import kernel_gaps
from learner.escapes.escape import REFUSED, Escape, Family, Void, Who
from learner.escapes.outcome import Released, Tried, Verdict
from learner.escapes.programs import static_program
from learner.escapes.table import TABLE, listing
from learner.findings import Result, Verification, findings
from learner.surface import Surface
from reports.learned import show
from reports.summary import summary
from tracers.events import Operation

DOCUMENT = Path(__file__).parents[2] / "docs/canaries.md"
LANDLOCK = {gap.item for version in range(1, 12) for gap in kernel_gaps(version)} | {"hosts", "abstract sockets"}

IN_THE_ISSUE = """
symlink out, .. out, /proc/self/root, /proc/PID/root, /proc/PID/environ of the process that started it, hard
link into, rename out, O_TRUNC, (truncate), mode of a file, times of a file, extended attribute, stat a file,
open at the start, memfd, ptrace a process, signal a process, abstract socket, docker.sock, ssh-agent, D-Bus,
System V, POSIX message queue, /dev/shm, new user namespace, bind what is not, remount a read-only bind,
io_uring, TIOCSTI, keyctl, core_pattern, release_agent, LD_PRELOAD, .git/hooks, .bashrc, TCP to a port, TCP to
a host, by its address, UDP, Multipath TCP, IPv6, DNS, metadata service, raw socket, 32-bit, RESOLVE, O_PATH,
SCM_RIGHTS, mount a new /proc, set-user-ID
"""


def result(released: Released | None) -> Result:
    cover = covered(access(Operation.READ, PROJECT + "/a"))
    checked = Verification("replay", escapes=released)
    return Result("/p.toml", trace(), cover, checked, Surface(1, 1, 0), {})


def tried(verdict: Verdict, detail: str, name: str = "read a file", family: Family = Family.FILES) -> Tried:
    return Tried(Escape(name, family, lambda _: None), verdict, detail)


MIXED = Released(
    (
        tried(Verdict.REFUSED, "EACCES"),
        tried(Verdict.GAP, "UDP", "UDP to a port", Family.NETWORK),
        tried(Verdict.VOID, "there is none", "open a file", Family.FILES),
        tried(Verdict.FAILED, "it got through", "a symlink\x1b", Family.LINKS),
    ),
    ("/proc/x is no longer what it was",),
)


def test_there_are_enough() -> None:
    assert sum(e.who is not Who.ROOT for e in TABLE) >= 45
    assert len({e.name for e in TABLE}) == len(TABLE)
    assert {e.family for e in TABLE} == set(Family)
    assert list(TABLE) == sorted(TABLE, key=lambda e: list(Family).index(e.family))


@pytest.mark.parametrize("what", [w.strip() for w in IN_THE_ISSUE.replace("\n", " ").split(",")])
def test_what_was_promised_is_there(what: str) -> None:
    assert [e for e in TABLE if what in e.name]


def test_the_document_is_the_table() -> None:
    text = DOCUMENT.read_text()
    found = re.search(r"<!-- learner\.escapes\.table\.listing\(\) -->\n(.*)<!-- end -->\n", text, re.DOTALL)
    assert found
    assert found[1] == listing(), "write what listing() returns between the marks"
    for beyond in BEYOND:
        assert f"| `{beyond.name}` | {beyond.reason} |\n" in text


def test_gaps_are_those_that_an_enforcer_has() -> None:
    assert {gap for e in TABLE for gap in e.gaps} <= LANDLOCK


def test_nothing_refuses_by_success_or_by_what_is_broken() -> None:
    for escape in TABLE:
        assert escape.refused >= REFUSED
        assert not escape.refused & {0, errno.EFAULT, errno.EIO, errno.ENOMEM, errno.ETIME} or escape.name == (
            "type into the terminal (TIOCSTI)"
        )


def test_the_static_program_is_an_elf_file() -> None:
    assert static_program()[:4] in (b"\x7fELF", b"")


def test_counts() -> None:
    assert list(MIXED.counts().values()) == [1, 1, 1, 1]
    assert list(MIXED.counts(Family.FILES).values()) == [1, 0, 1, 0]
    assert [str(t) for t in MIXED.failed] == ["a symlink\x1b: it got through"]


def test_only_failures_and_changes_are_findings() -> None:
    assert findings(result(MIXED)) == (
        r"the escape was not held: a symlink\x1b: it got through",
        "after the escapes /proc/x is no longer what it was",
    )
    assert findings(result(Released(MIXED.tried[:3]))) == ()
    assert findings(result(None)) == ()


def test_the_summary() -> None:
    found = summary(result(MIXED))["verify"]["escapes"]
    assert found["verdicts"] == {"refused": 1, "gap": 1, "void": 1, "failed": 1}
    assert found["tried"][1] == {"escape": "UDP to a port", "family": "network", "verdict": "gap", "detail": "UDP"}
    assert found["changed"] == ["/proc/x is no longer what it was"]
    assert "\\u001b" not in json.dumps(found["tried"][3])
    assert summary(result(None))["verify"]["escapes"] is None


def printed(released: Released | None, *, verbose: bool = False) -> str:
    stream = io.StringIO()
    show(result(released), verbose=verbose, console=Console(file=stream, width=200, highlight=False))
    return stream.getvalue()


def test_the_report() -> None:
    text = printed(MIXED)
    assert "\x1b" not in text
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "escapes by family refused stated gap void FAILED" in lines
    assert "files 1 1" in lines
    assert "network 1" in lines
    assert "together 1 1 1 1" in lines
    assert "stated UDP: UDP to a port" in lines
    assert r"FAILED it got through: a symlink\x1b" in lines
    assert "void there is none: open a file" not in lines
    assert "void there is none: open a file" in [" ".join(x.split()) for x in printed(MIXED, verbose=True).splitlines()]
    assert "escapes" not in printed(None)
    assert HOME not in text


def test_void_is_no_os_error() -> None:
    assert not issubclass(Void, OSError)
