"""A trace: everything distinct that one run attempted, and its file form.

The file is JSON lines, written while the run goes on, so that a trace cut short at any byte is still usable: each line
stands alone, and a missing last line only means that the end of the run was not seen.
"""

import io
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

import msgspec

from learner.access import Access
from learner.census import Beside
from learner.errors import InputFileError
from learner.interpreters import Interpreter
from learner.names import from_text, to_text
from learner.subcommands import Subcommand
from learner.variables import Variables
from tracers.programs import Program, ProgramTable

VERSION = 1
LINUX, DARWIN = "linux", "darwin"
"""Platforms, as :data:`sys.platform` has them."""


class Header(msgspec.Struct, frozen=True, tag="header"):
    """Where and how a trace was made. ``command`` is argv[0] only: arguments may hold secrets.

    ``temporary``: the private directory that ``$TMPDIR`` named; ``prefix``: where the program is installed; empty if
    there was none. ``xdg``: the base directories, by the names of their variables.
    ``changing``: names that several runs, merged here, made differently (:func:`learner.volatile.changing_names`).
    They stand here because one run's part cannot be told from another's afterwards.
    ``platform``: where it ran.
    ``masked``: sensitive objects that were hidden from the program, each with why it is one (:mod:`learner.floor`).
    ``environment``: the names of the variables that it got, sorted, and nothing of what they held.
    """

    command: str
    cwd: str
    project: str
    home: str
    uid: int
    tracer: str
    kernel: str
    started: float
    version: int = VERSION
    temporary: str = ""
    changing: tuple[str, ...] = ()
    prefix: str = ""
    xdg: tuple[tuple[str, str], ...] = ()
    masked: tuple[tuple[str, str], ...] = ()
    platform: str = LINUX
    environment: tuple[str, ...] = ()

    @property
    def variables(self) -> Variables:
        """What the variables stood for in this run."""
        return Variables(self.project, self.home, self.temporary, self.prefix, self.xdg, self.uid)

    @property
    def is_foreign(self) -> bool:
        """Whether it ran on another system than this one, so that its paths say nothing here."""
        return self.platform != sys.platform


class End(msgspec.Struct, frozen=True, tag="end"):
    """How the run ended; see :class:`tracers.tracer.TraceEnd`."""

    status: int
    calls: int
    lost: int
    unfinished: int
    seconds: float
    interrupted: bool = False
    lingering: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    """The last few attempts that failed and could tell why a command did, oldest first, as ``program: what: why``."""
    deduced: bool = False


class _Program(msgspec.Struct, frozen=True, tag="program"):
    index: int
    name: str
    exe: str
    parent: int


class _Link(msgspec.Struct, frozen=True, tag="link"):
    path: str
    target: str


class _Interpreted(msgspec.Struct, frozen=True, tag="interpreted"):
    path: str
    by: tuple[Interpreter, ...]


class _Access(msgspec.Struct, frozen=True, tag="access"):
    a: Access


class _Helpers(msgspec.Struct, frozen=True, tag="helpers"):
    path: str
    directories: tuple[str, ...]


class _Beside(msgspec.Struct, frozen=True, tag="beside"):
    path: str
    b: Beside


class _Subcommand(msgspec.Struct, frozen=True, tag="subcommand"):
    s: Subcommand


_Line = Header | End | _Program | _Link | _Interpreted | _Access | _Beside | _Helpers | _Subcommand


class Trace(msgspec.Struct, frozen=True):
    """One run (or several, merged). ``accesses`` are sorted; ``programs`` are indexed by them.

    ``links``: each symlink walked and its text. ``interpreted``: each executed file and what it names.
    ``end`` is None when the trace was cut short. ``beside``: what exists beside the objects, by directory.
    ``helpers``: directories of programs that only the executed file runs (:func:`learner.census.helpers`).
    ``subcommands``: which ones were started, by which of the programs; sorted.
    """

    header: Header
    programs: tuple[Program, ...]
    accesses: tuple[Access, ...]
    links: dict[str, str]
    interpreted: dict[str, tuple[Interpreter, ...]]
    end: End | None
    skipped: int = 0
    beside: dict[str, Beside] = {}
    helpers: dict[str, tuple[str, ...]] = {}
    subcommands: tuple[Subcommand, ...] = ()


class TraceWriter:
    """Writes a trace line by line to a file (made, or emptied) or a stream; flushed by size, and whenever asked."""

    def __init__(self, where: Path | BinaryIO) -> None:
        self._file = _open(where) if isinstance(where, Path) else where
        self._encode = msgspec.json.Encoder(order="deterministic").encode
        self._programs = 0
        self.problem = ""
        """Why lines are missing from the file (a full disk), empty if none are."""

    def header(self, header: Header) -> None:
        """The first line."""
        self._write(_header_text(header, to_text))

    def program(self, program: Program) -> None:
        """A program; the first written has index 0."""
        self._write(_Program(self._programs, to_text(program.name), to_text(program.exe), program.parent))
        self._programs += 1

    def link(self, path: str, target: str) -> None:
        """A symlink that was walked."""
        self._write(_Link(to_text(path), to_text(target)))

    def interpreted(self, path: str, by: tuple[Interpreter, ...]) -> None:
        """An executed file and the interpreters that it names."""
        self._write(_Interpreted(to_text(path), tuple(Interpreter(i.via, to_text(i.path)) for i in by)))

    def access(self, access: Access) -> None:
        """A distinct access."""
        self._write(_Access(with_paths(access, to_text)))

    def beside(self, path: str, beside: Beside) -> None:
        """What exists in a directory beside what was needed."""
        self._write(_Beside(to_text(path), beside))

    def helpers(self, path: str, directories: tuple[str, ...]) -> None:
        """Where an executed file keeps programs of its own."""
        self._write(_Helpers(to_text(path), tuple(to_text(directory) for directory in directories)))

    def subcommand(self, subcommand: Subcommand) -> None:
        """A subcommand that was started."""
        self._write(_Subcommand(subcommand))

    def end(self, end: End) -> None:
        """The last line."""
        self._write(_end_text(end, to_text))

    def flush(self) -> None:
        """Hand what was written to the kernel."""
        try:
            self._file.flush()
        except OSError as failure:
            self._give_up(failure)

    def close(self) -> None:
        """Flush and close."""
        try:
            self._file.close()
        except OSError as failure:
            self._give_up(failure)

    def _write(self, line: _Line) -> None:
        if self.problem:
            return
        try:
            self._file.write(self._encode(line) + b"\n")
        except OSError as failure:
            self._give_up(failure)

    def _give_up(self, failure: OSError) -> None:
        # The traced program waits for us: it must not fail because our file did.
        self.problem = failure.strerror or str(failure)


def _open(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "wb", buffering=1 << 16)


def encode_trace(trace: Trace) -> bytes:
    """The file form of a whole trace."""
    stream = io.BytesIO()
    write_trace(trace, TraceWriter(stream))
    return stream.getvalue()


def write_trace(trace: Trace, writer: TraceWriter) -> None:
    """Every line of ``trace``."""
    writer.header(trace.header)
    for program in trace.programs:
        writer.program(program)
    for path, target in sorted(trace.links.items()):
        writer.link(path, target)
    for path, by in sorted(trace.interpreted.items()):
        writer.interpreted(path, by)
    for access in trace.accesses:
        writer.access(access)
    for path, beside in sorted(trace.beside.items()):
        writer.beside(path, beside)
    for path, directories in sorted(trace.helpers.items()):
        writer.helpers(path, directories)
    for subcommand in trace.subcommands:
        writer.subcommand(subcommand)
    if trace.end is not None:
        writer.end(trace.end)


def _header_text(header: Header, turn: Callable[[str], str]) -> Header:
    return msgspec.structs.replace(
        header,
        command=turn(header.command),
        cwd=turn(header.cwd),
        project=turn(header.project),
        home=turn(header.home),
        temporary=turn(header.temporary),
        prefix=turn(header.prefix),
        xdg=tuple((name, turn(directory)) for name, directory in header.xdg),
        changing=tuple(turn(name) for name in header.changing),
        masked=tuple((turn(path), reason) for path, reason in header.masked),
    )


def _end_text(end: End, turn: Callable[[str], str]) -> End:
    return msgspec.structs.replace(
        end,
        lingering=tuple(turn(label) for label in end.lingering),
        notes=tuple(turn(note) for note in end.notes),
        failures=tuple(turn(failure) for failure in end.failures),
    )


def with_paths(access: Access, turn: Callable[[str], str]) -> Access:
    """``access`` with each path in it put through ``turn``."""
    path = turn(access.object)
    if path == access.object and not access.links and access.peer is None:
        return access  # as most are
    return msgspec.structs.replace(
        access,
        object=path,
        links=tuple(turn(link) for link in access.links),
        peer=None if access.peer is None else turn(access.peer),
    )


def read_trace(path: Path) -> Trace:
    """Read a trace file. Lines that cannot be understood are counted in ``skipped``, a cut last line among them.

    Raises InputFileError if the file cannot be read, is no trace, or is of a newer version.
    """
    shown = to_text(str(path))
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise InputFileError(
            f"{shown}: {problem.strerror}", "give the file that `sbx learn --trace FILE` wrote"
        ) from None
    decode = msgspec.json.Decoder(_Line).decode
    header: Header | None = None
    end: End | None = None
    programs: list[Program] = []
    accesses: set[Access] = set()
    links: dict[str, str] = {}
    interpreted: dict[str, tuple[Interpreter, ...]] = {}
    beside: dict[str, Beside] = {}
    helpers: dict[str, tuple[str, ...]] = {}
    subcommands: set[Subcommand] = set()
    skipped = 0
    for raw in data.split(b"\n"):
        if not raw:
            continue
        try:
            line = decode(raw)
            if isinstance(line, _Access):
                access = with_paths(line.a, from_text)
                _check_index(access.program, 0, len(programs))
                accesses.add(access)
            elif isinstance(line, _Program):
                _check_index(line.parent, -1, line.index)
                _check_index(line.index, len(programs), len(programs) + data.count(b"\n"))
                # A line that was damaged must not shift the programs after it.
                programs += [_LOST_PROGRAM] * (line.index - len(programs))
                programs.append(Program(from_text(line.name), from_text(line.exe), line.parent))
            elif isinstance(line, _Link):
                links[from_text(line.path)] = from_text(line.target)
            elif isinstance(line, _Interpreted):
                by = tuple(Interpreter(i.via, from_text(i.path)) for i in line.by)
                interpreted[from_text(line.path)] = by
            elif isinstance(line, _Beside):
                beside[from_text(line.path)] = line.b
            elif isinstance(line, _Helpers):
                helpers[from_text(line.path)] = tuple(from_text(directory) for directory in line.directories)
            elif isinstance(line, _Subcommand):
                _check_index(line.s.program, 0, len(programs))
                subcommands.add(line.s)
            elif isinstance(line, Header):
                if header is not None:
                    raise InputFileError(f"{shown}: this is more than one trace", "give each with its own --from-trace")
                header = _header_text(line, from_text)
            else:
                end = _end_text(line, from_text)
        except (msgspec.DecodeError, ValueError):
            if header is None:
                break
            skipped += 1
    if header is None:
        raise InputFileError(
            f"{shown}: line 1 is not the header of a trace", "give a file that `sbx learn --trace FILE` wrote"
        )
    if header.version > VERSION:
        raise InputFileError(f"{shown}: this trace has version {header.version}, newer than this sbx", "upgrade sbx")
    ordered = tuple(sorted(accesses, key=sort_key))
    started = tuple(sorted(subcommands))
    return Trace(header, tuple(programs), ordered, links, interpreted, end, skipped, beside, helpers, started)


_LOST_PROGRAM = Program("unknown", "", -1)


def _check_index(index: int, first: int, end: int) -> None:
    if not first <= index < end:
        raise ValueError("unknown program")


def sort_key(access: Access) -> tuple[str, ...]:
    """A total order of accesses that does not depend on when they happened."""
    return (
        access.object,
        access.operation,
        str(access.outcome),
        str(access.program),
        access.call,
        *access.links,
        str(access.existed),
        access.peer or "",
        access.kind,
    )


def merge(traces: Iterable[Trace]) -> Trace:
    """One trace of several runs: the union of what they did, under the header of the one that was started first.

    Names known to change in one of them are known to change in all. A trace that is given twice counts once. Raises
    ValueError if there is none.
    """
    runs: list[Trace] = []
    for trace in traces:
        if trace not in runs:
            runs.append(trace)
    runs.sort(key=lambda run: run.header.started)
    if not runs:
        raise ValueError("no trace to merge")
    if len(runs) == 1:
        return runs[0]
    table = ProgramTable()
    accesses: set[Access] = set()
    links: dict[str, str] = {}
    interpreted: dict[str, tuple[Interpreter, ...]] = {}
    beside: dict[str, Beside] = {}
    helpers: dict[str, tuple[str, ...]] = {}
    subcommands: set[Subcommand] = set()
    for run in runs:
        index: list[int] = []
        for program in run.programs:
            parent = index[program.parent] if program.parent >= 0 else -1
            index.append(table.exec(parent, program.name, program.exe))
        accesses |= {msgspec.structs.replace(a, program=index[a.program]) for a in run.accesses}
        subcommands |= {msgspec.structs.replace(s, program=index[s.program]) for s in run.subcommands}
        links |= run.links
        interpreted |= run.interpreted
        for path, directories in run.helpers.items():
            helpers[path] = tuple(sorted({*directories, *helpers.get(path, ())}))
        for path, seen in run.beside.items():
            beside[path] = seen.joined(beside.get(path, seen))
    ends = [run.end for run in runs]
    end = None if None in ends else _sum_ends([e for e in ends if e is not None])
    changing = tuple(sorted({name for run in runs for name in run.header.changing}))
    masked = tuple(sorted({mask for run in runs for mask in run.header.masked}))
    return Trace(
        msgspec.structs.replace(runs[0].header, changing=changing, masked=masked),
        table.all(),
        tuple(sorted(accesses, key=sort_key)),
        links,
        interpreted,
        end,
        sum(run.skipped for run in runs),
        beside,
        helpers,
        tuple(sorted(subcommands)),
    )


def _sum_ends(ends: list[End]) -> End:
    return End(
        status=max(e.status for e in ends),
        calls=sum(e.calls for e in ends),
        lost=sum(e.lost for e in ends),
        unfinished=sum(e.unfinished for e in ends),
        seconds=sum(e.seconds for e in ends),
        interrupted=any(e.interrupted for e in ends),
        lingering=tuple(sorted({label for e in ends for label in e.lingering})),
        notes=tuple(sorted({note for e in ends for note in e.notes})),
        failures=tuple(sorted({failure for e in ends for failure in e.failures})),
        deduced=any(e.deduced for e in ends),
    )
