"""A trace from saved logs of macOS, on any machine."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from learner.errors import InputFileError
from learner.names import to_text
from learner.seatbelt.recording import ReportRecorder
from learner.trace import Header, Trace
from tracers.programs import ProgramTable
from tracers.seatbelt_calls import canonical
from tracers.seatbelt_events import Translator
from tracers.seatbelt_log import LogReader, Report, Tally
from tracers.tracer import TraceEnd, TracerName

_CHUNK = 1 << 16
_HOME = re.compile(r"/Users/(?!Shared(?:/|$))[^/]+(?=/|$)|/private/var/root(?=/|$)")


class Saved(NamedTuple):
    """What saved logs tell, and what was in them."""

    trace: Trace
    tally: Tally

    @property
    def problems(self) -> tuple[str, ...]:
        """What is missing from it, one sentence each."""
        found = []
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
    tally = Tally()
    reports: list[Report] = []
    for path in _files(paths):
        reader = LogReader()
        reports += _read(path, reader)
        _add(tally, reader.tally)
    if not reports:
        shown = ", ".join(map(to_text, paths))
        raise InputFileError(
            f"{shown}: no report of the sandbox in it ({tally.lines} lines, {tally.unparsed} damaged)",
            "save one with: /usr/bin/log show --style ndjson --last 10m "
            "--predicate 'senderImagePath CONTAINS \"/Sandbox\"'",
        )
    kept = _chosen(reports, only)
    if not kept:
        known = Counter(report.process for report in reports)
        names = ", ".join(to_text(name) for name, _ in known.most_common(8))
        raise InputFileError(f"no report is of {', '.join(map(to_text, only))}", f"the log has reports of {names}")
    process = Counter(report.process for report in kept).most_common(1)[0][0]
    home = home or _home(kept)
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


def _notes(kept: list[Report], denied: int, dropped: int) -> tuple[str, ...]:
    allowed = sum(report.count for report in kept if not report.denied)
    notes = [f"from a saved log: {denied} denials, {allowed} reports of what was allowed"]
    if dropped:
        notes.append(f"{dropped} reports in the log are of other profiles or programs (--log-only TAG|PROCESS)")
    return tuple(notes)


def _files(paths: tuple[str, ...]) -> Iterator[str]:
    for path in paths:
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
            while data := file.read(_CHUNK):
                found += reader.feed(data)
    except OSError as problem:
        raise InputFileError(f"{to_text(path)}: {problem.strerror}", "give a log that `log show` wrote") from None
    return found + reader.finish()


def _chosen(reports: list[Report], only: tuple[str, ...]) -> list[Report]:
    if only:
        return [report for report in reports if report.tag in only or report.process in only]
    tag, number = Counter(report.tag for report in reports).most_common(1)[0]
    if 2 * number > len(reports):
        return [report for report in reports if report.tag == tag]
    return [report for report in reports if not report.tag]  # what follows a name's newline looks like a tag too


def _home(reports: list[Report]) -> str:
    """The home that most reports are of."""
    found = Counter(match.group() for r in reports if (match := _HOME.match(canonical(r.target))))
    return found.most_common(1)[0][0] if found else "/Users/Shared"


def _add(total: Tally, one: Tally) -> None:
    for field in msgspec.structs.fields(Tally):
        setattr(total, field.name, getattr(total, field.name) + getattr(one, field.name))
