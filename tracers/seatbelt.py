"""The tracer of macOS: the sandbox itself reports each of its decisions to the unified log, failing reads included.

The command runs under a profile that allows everything and reports it with a tag of this session (nothing is blocked),
or under the enforcing profile that it brings along. By the tag its descendants are known, whatever their process ids.
The log is read while the command runs; a canary seen in it before, and one after, bound what was read. Then
``log show`` is asked for the same once more. What the log loses is counted: a report that is missing says nothing.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import NamedTuple

from tracers.events import Sink
from tracers.programs import ProgramTable
from tracers.seatbelt_events import Translator
from tracers.seatbelt_log import LogReader, Report, Tally
from tracers.tracer import Command, TraceEnd, TracerError, TracerName

PREDICATE = (
    '((processID == 0) AND (senderImagePath CONTAINS "/Sandbox")) OR (process == "sandboxd") '
    'OR (subsystem == "com.apple.sandbox.reporting")'
)
_CANARY = "/private/etc/hosts"
"""A file that is on every Mac, for everybody to read."""
_CHUNK = 1 << 16
_LINGER_SECONDS = 5
"""How much more of the log than the run took is asked for afterwards."""


class Tools(NamedTuple):
    """The programs of macOS that are used; by full path, as zsh has a ``log`` of its own. Tests give stand-ins.

    ``patience``: seconds for a canary to appear in the log (it takes about 0.05).
    """

    log: str = "/usr/bin/log"
    sandbox_exec: str = "/usr/bin/sandbox-exec"
    reader: str = "/bin/cat"
    patience: float = 10.0


TOOLS = Tools()


def permissive(tag: str) -> str:
    """The profile that blocks nothing and reports everything. ``tag``: letters, digits and dashes."""
    return f'(version 1)\n(allow default (with report) (with message "{tag}"))\n'


class SeatbeltTracer:
    """One :meth:`run` per instance. ``profile``: what to watch under, made of its tag; it must block nothing.

    ``enforced``: the tag of the profile that the command itself brings along; then no other is put around it, as the
    sandbox cannot be nested.
    """

    name = TracerName.SEATBELT

    def __init__(
        self, profile: Callable[[str], str] = permissive, *, enforced: str = "", tools: Tools | None = None
    ) -> None:
        tools = tools or TOOLS
        for program in (tools.log, tools.sandbox_exec):
            if not os.access(program, os.X_OK):
                raise TracerError(
                    f"{program} is missing or cannot be executed: the sandbox of macOS cannot be watched",
                    "it is a part of macOS; a log saved on another Mac can be learned from: sbx learn --from-log",
                )
        self.programs = ProgramTable()
        self._tools = tools
        self._tag = enforced or f"sbx-{secrets.token_hex(8)}"
        self._profile = profile(self._tag)
        self._enforced = bool(enforced)
        self._translator = Translator(self.programs)
        self._canaries: list[int] = []

    def run(self, command: Command, sink: Sink) -> TraceEnd:
        """See :class:`~tracers.tracer.Tracer`. ``argv[0]`` becomes the file's path: sandbox-exec has it so."""
        started = time.monotonic()
        with _Stream(self._tools.log, self._tag) as stream:
            if not self._canary(stream):
                raise TracerError(
                    "the log does not show what the sandbox reports" + stream.complaint(),
                    "the account must be an administrator's, and sbx itself must not run in a sandbox",
                )
            launched = time.monotonic()
            status, interrupted = self._watch(command)
            ended = time.monotonic()
            caught_up = self._canary(stream)
        seconds = int(time.monotonic() - started) + _LINGER_SECONDS
        again, missed = self._show(seconds)
        caught_up = caught_up or any(report.pid == self._canaries[-1] for report in again)
        reports = _merged(report for report in (*stream.reports, *again) if report.pid not in self._canaries)
        for report in reports:
            event = self._translator.event(report)
            if event is not None:
                sink.event(event)
        lost, notes = self._losses(stream.tally, caught_up)
        return TraceEnd(
            status=status,
            calls=sum(report.count for report in reports),
            lost=lost,
            seconds=ended - launched,
            interrupted=interrupted,
            notes=(*notes, *missed),
        )

    def _canary(self, stream: "_Stream") -> bool:
        """Have something reported, and wait for it: what was reported before it is then in the log as well."""
        profile = f'(version 1)\n(allow default)\n(allow file-read-data (literal "{_CANARY}") (with report) '
        profile += f'(with message "{self._tag}"))\n'
        words = [self._tools.sandbox_exec, "-p", profile, self._tools.reader, _CANARY]
        deadline = time.monotonic() + self._tools.patience
        while (left := deadline - time.monotonic()) > 0:
            try:
                sent = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    start_new_session=True,  # as all that is not the command: what ends that leaves this alone
                )
            except OSError as problem:
                raise _not_started(words[0], problem) from None
            _, said = sent.communicate()
            if sent.returncode:
                words_of_it = said.decode(errors="replace").strip().splitlines()[-1:] or [f"status {sent.returncode}"]
                raise TracerError(
                    f"sandbox-exec does not work here: {words_of_it[0]}", "sbx itself must not run in a sandbox"
                )
            self._canaries.append(sent.pid)
            if stream.wait_for(sent.pid, min(left, self._tools.patience / 8)):
                return True
            if stream.ended:
                break
        return False

    def _watch(self, command: Command) -> tuple[int, bool]:
        """(status, whether interrupted) of the command."""
        words = [command.file, *command.argv[1:]]
        if not self._enforced:
            words = [self._tools.sandbox_exec, "-p", self._profile, *words]
        with _signals_passed_on() as passing:
            process = subprocess.Popen(words, executable=words[0], preexec_fn=command.confine)  # noqa: PLW1509
            passing.pid = process.pid
            code = process.wait()
        return (code if code >= 0 else 128 - code), passing.interrupted

    def _show(self, seconds: int) -> tuple[list[Report], tuple[str, ...]]:
        """What the log's own memory has of the last seconds; a note if it cannot be asked."""
        words = [self._tools.log, "show", "--style", "ndjson", "--info", "--debug", "--last", f"{seconds}s"]
        words += ["--predicate", PREDICATE]
        try:
            shown = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=self._tools.patience * 6,
                start_new_session=True,
            )
        except (OSError, subprocess.TimeoutExpired):
            return [], ("`log show` did not answer: the stream alone was read",)
        reader = LogReader(self._tag)
        found = [r for r in (*reader.feed(shown.stdout), *reader.finish()) if r.tag == self._tag]
        if shown.returncode:
            return found, (f"`log show` ended with status {shown.returncode}: the stream alone was read",)
        return found, ()

    def _losses(self, tally: Tally, caught_up: bool) -> tuple[int, tuple[str, ...]]:
        strange = self._translator.strange
        lost = tally.lost + tally.truncated + tally.unparsed + strange + (not caught_up)
        notes = []
        if tally.lost:
            notes.append(f"the log dropped {tally.lost} messages: what is not in it may have happened all the same")
        if unread := tally.truncated + tally.unparsed + strange:
            notes.append(f"{unread} reports could not be read, so nothing was learned of them")
        if not caught_up:
            notes.append("the log had not caught up when the command ended: its last accesses may be missing")
        return lost, tuple(notes)


def _not_started(program: str, problem: OSError) -> TracerError:
    return TracerError(f"{program} cannot be started: {problem.strerror}", "it is a part of macOS: see docs/macos.md")


class _Stream:
    """``log stream``, read by a thread of its own."""

    def __init__(self, program: str, tag: str) -> None:
        words = [program, "stream", "--style", "ndjson", "--level", "debug", "--predicate", PREDICATE]
        self._tag = tag
        self._reader = LogReader(tag)
        self._changed = threading.Condition()
        self._seen: set[int] = set()
        self.reports: list[Report] = []
        self.ended = False
        # A session of its own: the terminal's signals are for the command.
        try:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
            )
        except OSError as problem:
            raise _not_started(program, problem) from None
        self._thread = threading.Thread(target=self._read, name="log stream", daemon=True)

    def __enter__(self) -> "_Stream":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join(_LINGER_SECONDS)  # whatever it left behind may hold the pipe open

    @property
    def tally(self) -> Tally:
        """What was read so far."""
        return self._reader.tally

    def wait_for(self, pid: int, seconds: float) -> bool:
        """Whether a report of this process comes within some time."""
        with self._changed:
            return self._changed.wait_for(lambda: pid in self._seen or self.ended, seconds) and pid in self._seen

    def complaint(self) -> str:
        """Why it ended, if it did, in its own words."""
        if not self.ended:
            return ""
        status = self._process.wait()
        said = self._process.stderr.read().decode(errors="replace").strip() if self._process.stderr else ""
        return f": `log stream` ended with status {status}" + (f" ({said.splitlines()[-1]})" if said else "")

    def _read(self) -> None:
        assert self._process.stdout is not None
        while data := os.read(self._process.stdout.fileno(), _CHUNK):
            self._take(self._reader.feed(data))
        self._take(self._reader.finish(), ended=True)

    def _take(self, found: list[Report], *, ended: bool = False) -> None:
        with self._changed:
            ours = [report for report in found if report.tag == self._tag]
            canaries = {report.pid for report in ours if report.target == _CANARY}
            self._seen |= canaries
            self.reports += ours
            self.ended = self.ended or ended
            self._changed.notify_all()


class _Passing:
    """Signals on their way to the command. ``interrupted``: whether one asked to end."""

    pid = 0
    interrupted = False

    def take(self, number: int, _frame: FrameType | None) -> None:
        """Note a signal. The keys of the terminal reach the command by themselves."""
        self.interrupted = True
        if number not in (signal.SIGINT, signal.SIGQUIT) and self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


@contextlib.contextmanager
def _signals_passed_on() -> Iterator[_Passing]:
    """Meanwhile no signal ends sbx: the command decides. Its own handlers are the defaults again after its exec."""
    passing = _Passing()
    if threading.current_thread() is not threading.main_thread():
        yield passing
        return
    numbers = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # nohup: the command ignores it, too
            signal.signal(number, passing.take)
    try:
        yield passing
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _merged(reports: Iterable[Report]) -> list[Report]:
    """Both sources as one, in the order of time."""
    found: dict[tuple[str, int, str, str, bool], Report] = {}
    for report in reports:
        key = (report.time, report.pid, report.operation, report.target, report.denied)
        known = found.get(key)
        if known is None or known.count < report.count:
            found[key] = report
    return sorted(found.values(), key=lambda report: report.time)
