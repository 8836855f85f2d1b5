"""A trace from saved logs of macOS, on any machine."""

import gzip
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from io import BufferedReader
from itertools import chain
from typing import NamedTuple

import msgspec

from learner.errors import InputFileError, UsageError
from learner.names import to_text
from learner.seatbelt.recording import ReportRecorder
from learner.trace import Header, Trace
from tracers.programs import ProgramTable
from tracers.seatbelt_calls import canonical
from tracers.seatbelt_events import Translator
from tracers.seatbelt_log import LogReader, Report, Tally
from tracers.tracer import TraceEnd, TracerName

_CHUNK = 1 << 16
_NAMED = 6
_ARRAY = re.compile(rb"(?:\xef\xbb\xbf)?(?:Filtering [^\n]*\n)?\s*\[\s*(?:\{|\])")
"""How ``log show --style json`` begins."""
_HOME = re.compile(r"/Users/(?!Shared(?:/|$))[^/]+(?=/|$)|/private/var/root(?=/|$)")


class Saved(NamedTuple):
    """What saved logs tell, and what was in them.

    ``processes``: whose reports were taken, if no tag binds them. ``strange``: files that are no logs.
    """

    trace: Trace
    tally: Tally
    processes: tuple[str, ...] = ()
    strange: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """What is missing from it, one sentence each."""
        found = [
            f"{to_text(path)}: nothing in it is a report of the sandbox, and it was left out" for path in self.strange
        ]
        if len(self.processes) > 1:
            names = ", ".join(map(to_text, self.processes[:_NAMED]))
            names += f" and {len(self.processes) - _NAMED} more" if len(self.processes) > _NAMED else ""
            found.append(f"no tag tells whose reports these are: all were taken, of {names} (--log-only PROCESS)")
        if self.tally.truncated:
            found.append(f"{self.tally.truncated} reports were cut by the log, so what they name is not known")
        if self.tally.lost:
            lost = self.tally.lost
            found.append(f"the log lost {lost} messages: what is not in it may have been asked for all the same")
        return tuple(found)


def learn_from(
    paths: tuple[str, ...], only: tuple[str, ...], home: str = "", project: str = "", command: str = ""
) -> Saved:
    """The trace that the logs in ``paths`` (files, and directories of them) tell.

    ``only``: tags or names of processes whose reports count; empty for those of the tag that most reports have, or else
    all. What was denied is learned as if it had worked: that is what the program wanted.
    ``command``: what it is called; else as the process of most reports. Raises InputFileError.
    """
    home, project = (_directory(text, option) for text, option in ((home, "--log-home"), (project, "--log-project")))
    tally = Tally()
    reports: list[Report] = []
    strange: list[str] = []
    for path in _files(paths):
        reader = LogReader()
        of_file = _read(path, reader)
        reports += of_file
        if of_file or not reader.tally.unparsed:
            _add(tally, reader.tally)
        else:
            strange.append(path)
    if not reports:
        shown = ", ".join(map(to_text, paths))
        raise InputFileError(
            f"{shown}: no report of the sandbox in it"
            + (", and what is in it cannot be read" if strange else f" ({tally.lines} lines)"),
            "save one with: /usr/bin/log show --style ndjson --last 10m "
            "--predicate 'senderImagePath CONTAINS \"/Sandbox\"'",
        )
    kept = _chosen(reports, only)
    if not kept:
        known = Counter(report.process for report in reports)
        names = ", ".join(to_text(name) for name, _ in known.most_common(8))
        raise InputFileError(f"no report is of {', '.join(map(to_text, only))}", f"the log has reports of {names}")
    bound = only or any(report.tag for report in kept)
    taken = () if bound else tuple(name for name, _ in Counter(report.process for report in kept).most_common())
    saved = _saved(kept, reports, tally, home or _home(kept), project, command)
    return saved._replace(processes=taken, strange=tuple(strange))


def _saved(kept: list[Report], reports: list[Report], tally: Tally, home: str, project: str, command: str) -> Saved:
    """The trace that ``kept`` of ``reports`` tell."""
    process = Counter(report.process for report in kept).most_common(1)[0][0]
    programs = ProgramTable()
    translator = Translator(programs, outcome_of_denials=0)
    header = Header(
        command=command or process,
        cwd=project or home,
        project=project or home,
        home=home,
        uid=-1,
        tracer=TracerName.SEATBELT,
        kernel="",
        started=0.0,
    )
    recorder = ReportRecorder(header, programs)
    for report in kept:
        event = translator.event(report)
        if event is not None:
            recorder.event(event)
    lost = tally.lost + tally.truncated + tally.unparsed + translator.strange
    denied = sum(report.count for report in kept if report.denied)
    end = TraceEnd(
        0, calls=sum(report.count for report in kept), lost=lost, notes=_notes(kept, denied, len(reports) - len(kept))
    )
    return Saved(recorder.finish(end), tally)


def _directory(text: str, option: str) -> str:
    """A directory of the Mac as the kernel names it, "" if none is given."""
    if text and (not text.startswith("/") or {".", ".."} & {*text.split("/")}):
        raise UsageError(f"{option} {to_text(text)}: that is no absolute path", "as in: --log-home /Users/ada")
    return canonical("/" + "/".join(part for part in text.split("/") if part)) if text else ""


def _notes(kept: list[Report], denied: int, dropped: int) -> tuple[str, ...]:
    allowed = sum(report.count for report in kept if not report.denied)
    notes = [f"from a saved log: {denied} denials, {allowed} reports of what was allowed"]
    if dropped:
        notes.append(f"{dropped} reports in the log are of other profiles or programs (--log-only TAG|PROCESS)")
    return tuple(notes)


def _files(paths: tuple[str, ...]) -> Iterator[str]:
    for path in paths:
        if path.rstrip("/").endswith(".logarchive"):
            how = "/usr/bin/log show --archive FILE --style ndjson --predicate 'senderImagePath CONTAINS \"/Sandbox\"'"
            raise InputFileError(f"{to_text(path)} is an archive that only a Mac reads", f"there: {how}")
        if os.path.isdir(path):
            found = sorted(entry.path for entry in os.scandir(path) if entry.is_file())
            if not found:
                raise InputFileError(f"{to_text(path)}: no file is in it", "give a log, or a directory of them")
            yield from found
        else:
            yield path


def _read(path: str, reader: LogReader) -> list[Report]:
    found: list[Report] = []
    try:
        with open(path, "rb") as file:
            for data in _plain(file):
                found += reader.feed(data)
    except (EOFError, gzip.BadGzipFile, zlib.error, msgspec.DecodeError) as problem:
        raise InputFileError(f"{to_text(path)} is damaged or cut off: {problem}", "save it again") from None
    except OSError as problem:
        raise InputFileError(f"{to_text(path)}: {problem.strerror}", "give a log that `log show` wrote") from None
    return found + reader.finish()


def _plain(file: BufferedReader) -> Iterator[bytes]:
    """The lines of a log in pieces: unpacked if gzip packed it, and one for each record if its style is json."""
    packed = file.peek(2).startswith(b"\x1f\x8b")
    source = gzip.open(file) if packed else file
    head = source.read(_CHUNK)
    chunks = chain([head], iter(lambda: source.read(_CHUNK), b""))
    if _ARRAY.match(head) is None:
        yield from chunks
        return
    text = b"".join(chunks)
    for record in msgspec.json.decode(text[text.index(b"[") :], type=list[msgspec.Raw]):
        yield bytes(record).replace(b"\n", b" ") + b"\n"


def _chosen(reports: list[Report], only: tuple[str, ...]) -> list[Report]:
    if only:
        tagged = [report for report in reports if report.tag in only]
        return tagged + _of_one_profile([r for r in reports if r.process in only and r.tag not in only])
    return _of_one_profile(reports)


def _of_one_profile(reports: list[Report]) -> list[Report]:
    """The reports of the tag that most have. What follows a newline in a name looks like a tag too, and is left out."""
    tags = Counter(report.tag for report in reports).most_common(2)
    if len(tags) == 2 and tags[0][0] and 2 * tags[0][1] <= len(reports):
        names = " and ".join(f"{to_text(tag) or 'no tag'} ({number})" for tag, number in tags)
        raise InputFileError(f"the log has reports of several profiles, such as {names}", "choose with --log-only TAG")
    return [report for report in reports if tags and report.tag == tags[0][0]]


def _home(reports: list[Report]) -> str:
    """The home that most reports are of."""
    found = Counter(match.group() for r in reports if (match := _HOME.match(canonical(r.target))))
    return found.most_common(1)[0][0] if found else "/Users/Shared"


def _add(total: Tally, one: Tally) -> None:
    for field in msgspec.structs.fields(Tally):
        setattr(total, field.name, getattr(total, field.name) + getattr(one, field.name))
