import errno
import itertools
import os
from pathlib import Path

import msgspec
import pytest
from accesses import END, HEADER, PROGRAMS, access, socket
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import hostile_names

from learner.access import Access, Kind
from learner.errors import InputFileError
from learner.interpreters import Interpreter, Via
from learner.subcommands import Subcommand
from learner.trace import VERSION, Header, Trace, TraceWriter, encode_trace, merge, read_trace, sort_key
from tracers.events import Family, Operation, Transport
from tracers.programs import Program
from tracers.words import KEPT_BACK

NASTY = "/w/new\nline\\ \x1b[0m \udcff\u202e'\""


def write(path: Path, trace: Trace) -> Path:
    writer = TraceWriter(path)
    writer.header(trace.header)
    for program in trace.programs:
        writer.program(program)
    for link, target in trace.links.items():
        writer.link(link, target)
    for name, by in trace.interpreted.items():
        writer.interpreted(name, by)
    for one in trace.accesses:
        writer.access(one)
    for subcommand in trace.subcommands:
        writer.subcommand(subcommand)
    if trace.end is not None:
        writer.end(trace.end)
    writer.close()
    assert not writer.problem
    return path


def sorted_trace(
    accesses: list[Access], programs: tuple[Program, ...] = PROGRAMS, header: Header = HEADER, **more: object
) -> Trace:
    whole = {"links": {}, "interpreted": {}, "end": END, **more}
    return Trace(header, programs, tuple(sorted(set(accesses), key=sort_key)), **whole)  # type: ignore[arg-type]


SAMPLE = sorted_trace(
    [
        access(Operation.READ, NASTY),
        access(Operation.RENAME_TO, "/w/a", existed=True, peer=NASTY),
        msgspec.structs.replace(access(Operation.STAT, "/w/l", outcome=errno.ENOENT), links=(NASTY, "/w/l2")),
        socket(Operation.CONNECT, "::1", 80, family=Family.INET6),
        socket(Operation.CONNECT, r"\x00bus", family=Family.ABSTRACT, transport=Transport.OTHER),
    ],
    programs=(*PROGRAMS, Program(NASTY, NASTY, 1)),
    header=msgspec.structs.replace(
        HEADER, command="\udcffibe", cwd=NASTY, project=NASTY, home="/h\\", changing=(NASTY,)
    ),
    links={"/w/l": NASTY, NASTY: "../x"},
    interpreted={NASTY: (Interpreter(Via.SHEBANG, NASTY), Interpreter(Via.ENV, "node"))},
    end=msgspec.structs.replace(END, lingering=("\udcff", "sleep"), notes=("a \udcfe note",), interrupted=True),
    subcommands=(Subcommand(1, "git", "status"), Subcommand(1, "sh", KEPT_BACK)),
)


def test_round_trip(tmp_path: Path) -> None:
    path = write(tmp_path / "t", SAMPLE)
    assert read_trace(path) == SAMPLE
    path.write_bytes(encode_trace(SAMPLE))
    assert read_trace(path) == SAMPLE


def test_the_file_is_private_plain_text(tmp_path: Path) -> None:
    path = write(tmp_path / "deep" / "t", SAMPLE)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert all(line.isprintable() for line in path.read_text("utf-8").splitlines())


@settings(max_examples=60, deadline=None)
@given(st.lists(hostile_names, min_size=4, max_size=4))
def test_hostile_names(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    one, two, three, four = (f"/{name}" for name in names)
    trace = sorted_trace(
        [access(Operation.READ, one), access(Operation.RENAME_TO, two, peer=three)],
        programs=(Program(one, two, -1), Program(three, four, 0)),
        links={one: two},
        end=msgspec.structs.replace(END, lingering=(names[0],)),
    )
    assert read_trace(write(tmp_path_factory.getbasetemp() / "hostile", trace)) == trace


def test_cut_at_every_byte(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole", SAMPLE).read_bytes()
    cut = tmp_path / "cut"
    first = whole.index(b"\n")
    for length in range(len(whole)):
        cut.write_bytes(whole[:length])
        if length < first:
            with pytest.raises(InputFileError, match="not the header"):
                read_trace(cut)
            continue
        found = read_trace(cut)
        assert found.header == SAMPLE.header
        assert found.skipped <= 1
        assert set(found.accesses) <= set(SAMPLE.accesses)
        assert found.programs == SAMPLE.programs[: len(found.programs)]
        assert (found.end is None) == (length < len(whole) - 1)


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe\x00",
        b"{}",
        b'{"type":"cake"}',
        b'{"type":"access","a":{"operation":"fly","object":"/x","kind":"file","outcome":0,"program":1,"call":"x"}}',
        b'{"type":"access","a":{"operation":"read","object":"/x","kind":"file","outcome":0,"program":9,"call":"x"}}',
        b'{"type":"access","a":{"operation":"read","object":"/x","kind":"file","outcome":0,"program":-1,"call":"x"}}',
        b'{"type":"access","a":{"operation":"read","object":"/x\\\\","kind":"file","outcome":0,"program":1,"call":"x"}}',
        b'{"type":"program","name":"a","exe":"b","parent":77}',
        b'{"type":"program","name":"a","exe":"b","parent":-2}',
        b'{"type":"link","path":"/x"}',
        b"[" * 100_000,
    ],
)
def test_a_bad_line_is_counted_and_the_rest_is_used(tmp_path: Path, line: bytes) -> None:
    path = write(tmp_path / "t", SAMPLE)
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([*lines[:-1], line, lines[-1]]) + b"\n")
    found = read_trace(path)
    assert found.skipped == 1
    assert found == msgspec.structs.replace(SAMPLE, skipped=1)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"hello\n", b"\x00" * 5000, b'{"type":"end"}\n', b"\x7fELF\x02"])
def test_garbage_is_no_trace(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(InputFileError, match="line 1 is not the header of a trace") as caught:
        read_trace(tmp_path / "t")
    assert caught.value.remedy


def test_newer_version(tmp_path: Path) -> None:
    newer = msgspec.structs.replace(SAMPLE, header=msgspec.structs.replace(HEADER, version=VERSION + 1))
    with pytest.raises(InputFileError, match="newer than this sbx") as caught:
        read_trace(write(tmp_path / "t", newer))
    assert caught.value.remedy == "upgrade sbx"


def test_two_traces_in_one_file_are_refused(tmp_path: Path) -> None:
    data = write(tmp_path / "t", SAMPLE).read_bytes()
    (tmp_path / "t").write_bytes(data + data)
    with pytest.raises(InputFileError, match="more than one trace"):
        read_trace(tmp_path / "t")


def test_unreadable(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="No such file"):
        read_trace(tmp_path / "absent")
    with pytest.raises(InputFileError, match="Is a directory"):
        read_trace(tmp_path)
    with pytest.raises(InputFileError, match=r"\\xff"):
        read_trace(tmp_path / "\udcff")


def test_a_full_disk_is_told_and_harms_nothing() -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    writer = TraceWriter(Path("/dev/full"))
    writer.header(HEADER)
    for number in range(3000):
        writer.access(access(Operation.READ, f"/w/{number}"))
    writer.flush()
    writer.end(END)
    writer.close()
    assert writer.problem == os.strerror(errno.ENOSPC)


def test_the_order_is_total() -> None:
    kinds = [access(Operation.READ, "/w/a", kind) for kind in Kind]
    for order in (kinds, kinds[::-1]):
        assert [a.kind for a in sorted(order, key=sort_key)] == sorted(Kind)


# --- merging


def told(trace: Trace) -> set[tuple[str, tuple[Program | None, ...], object]]:
    """What a trace says, without the numbers of its programs."""

    def chain(index: int) -> tuple[Program | None, ...]:
        program = trace.programs[index]
        before = chain(program.parent) if program.parent >= 0 else ()
        return (*before, msgspec.structs.replace(program, parent=-1))

    return {(a.object, chain(a.program), msgspec.structs.replace(a, program=0)) for a in trace.accesses}


_programs = st.lists(st.tuples(st.sampled_from(["sh", "git", "vibe"]), st.integers(0, 3)), min_size=1, max_size=4).map(
    lambda given: (
        Program("sbx", "", -1),
        *(Program(f"/bin/{n}{i}", f"/bin/{n}", min(p, i)) for i, (n, p) in enumerate(given)),
    )
)
_traces = st.builds(
    lambda programs, found: sorted_trace(
        [access(op, f"/w/{name}", program=number % len(programs)) for op, name, number in found], programs=programs
    ),
    _programs,
    st.lists(
        st.tuples(st.sampled_from([Operation.READ, Operation.WRITE]), st.sampled_from("abc"), st.integers(0, 9)),
        max_size=6,
    ),
)


@given(_traces, _traces, _traces)
def test_merging_is_a_union(one: Trace, two: Trace, three: Trace) -> None:
    assert told(merge([one, two])) == told(one) | told(two)
    assert told(merge([one, two])) == told(merge([two, one]))
    assert told(merge([merge([one, two]), three])) == told(merge([one, merge([two, three])]))
    assert told(merge([one, one])) == told(one)
    assert merge([one]) == one
    for program in merge([one, two, three]).programs:
        assert program.parent < len(merge([one, two, three]).programs)


def test_merging_keeps_who_started_which_subcommand() -> None:
    one = sorted_trace([], subcommands=(Subcommand(1, "git", "log"),))
    other = sorted_trace(
        [], programs=(PROGRAMS[0], Program("/bin/sh", "/bin/sh", 0)), subcommands=(Subcommand(1, "git", "status"),)
    )
    both = merge([one, other])
    found = {(both.programs[s.program].name, s.word) for s in both.subcommands}
    assert found == {(PROGRAMS[1].name, "log"), ("/bin/sh", "status")}


def test_merging_keeps_the_worst_of_the_ends() -> None:
    bad = msgspec.structs.replace(END, status=3, lost=2, interrupted=True, lingering=("b",), notes=("n",))
    both = merge([sorted_trace([]), sorted_trace([], end=bad, skipped=4)])
    assert both.end == msgspec.structs.replace(bad, calls=20, seconds=1.0)
    assert both.skipped == 4
    for order in itertools.permutations([sorted_trace([]), sorted_trace([], end=None)]):
        assert merge(order).end is None


def test_names_known_to_change_stay_known() -> None:
    headers = [msgspec.structs.replace(HEADER, changing=names) for names in ((), ("/b",), ("/a", "/b"))]
    merged = merge(msgspec.structs.replace(SAMPLE, header=header) for header in headers)
    assert merged.header.changing == ("/a", "/b")


def test_there_must_be_one() -> None:
    with pytest.raises(ValueError, match="no trace"):
        merge([])
