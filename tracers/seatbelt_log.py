"""What the macOS sandbox says in the unified log, line by line: the styles ndjson, syslog and compact of log(1).

Pure: bytes in, :class:`Report` out. Whatever is not understood beyond doubt is counted, never guessed: a report with a
wrong path would become a grant on it.
"""

import re
from collections.abc import Iterable, Iterator

import msgspec

MAX_LINE = 1 << 20
"""Bytes of the longest line that is read; the kernel cuts messages at about 1 KiB, JSON adds about as much."""
_MEMORY = 1 << 16
"""Distinct messages that are remembered."""
_CUT = ("‹…>", "<…>", "‹…›")
"""How messages end that were too long for the log."""
_HIDDEN = "<private>"
_BODY, _POLICY = "Sandbox: ", "System Policy: "
_WORD = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")
_SENDER = re.compile(r"(?<= )(?:kernel\[0|sandboxd\[\d+)[^\]\[ ]*\]:?(?: \(Sandbox\)| \[[\w.]+:\w+\])* ")
"""Who says it, in the text styles. What else stands before a report is not from the kernel."""
_SANDBOXD = "/usr/libexec/sandboxd"


class Report(msgspec.Struct, frozen=True):
    """One decision of the sandbox.

    ``target`` is empty where an operation has none. ``tag``: the profile's own message, empty if there is none.
    ``count``: how often it happened, duplicates that the log folded among it. ``time``: as the log gives it.
    """

    process: str
    pid: int
    denied: bool
    operation: str
    target: str
    tag: str = ""
    count: int = 1
    time: str = ""


class Tally(msgspec.Struct):
    """What a reader saw. ``lines``: not empty ones; the others are parts of it, but for ``lost``.

    ``unparsed``: meant to be reports, but damaged, ambiguous or hidden. ``truncated``: cut by the log. ``policy``: of
    System Policy (SIP, TCC), another mechanism. ``foreign``: not from the kernel, or not of the profile that is
    watched. ``other``: what is no report at all. ``lost``: messages that the log says it dropped.
    """

    lines: int = 0
    reports: int = 0
    unparsed: int = 0
    truncated: int = 0
    policy: int = 0
    foreign: int = 0
    other: int = 0
    lost: int = 0


class _Count(msgspec.Struct):
    count: int = 0


class _Line(msgspec.Struct):
    """The keys of an ndjson line that matter. Absent ones are those of lines that somebody has filtered."""

    eventMessage: str | None = None  # noqa: N815 - log(1)'s names
    eventType: str = ""  # noqa: N815
    processID: int = 0  # noqa: N815
    processImagePath: str = ""  # noqa: N815
    timestamp: str = ""
    lossCount: int | _Count = 1  # noqa: N815


_Head = tuple[str, int, bool, str]
_Body = tuple[str, int, bool, str, str, str, int]


class LogReader:
    """Reads a log as it arrives, in pieces of any size.

    ``tag``: the message of the profile that is watched; known, it is told apart from the end of a name with a newline.
    """

    def __init__(self, tag: str = "") -> None:
        self.tally = Tally()
        self._tag = tag
        self._rest = b""
        self._skipping = False
        self._pending: list[str] = []
        self._known: dict[str, _Body | str] = {}
        self._heads: dict[str, _Head] = {}
        self._decode = msgspec.json.Decoder(_Line).decode

    def feed(self, data: bytes) -> list[Report]:
        """The reports that are complete with ``data``."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        found: list[Report] = []
        if self._skipping and lines:
            lines.pop(0)
            self._skipping = False
        if len(self._rest) > MAX_LINE:
            if not self._skipping:
                self.tally.lines += 1
                self.tally.unparsed += 1
            self._rest, self._skipping = b"", True
        for line in lines:
            self._line(line, found)
        return found

    def finish(self) -> list[Report]:
        """The reports that are complete because nothing more comes. A line that was cut off is counted as unparsed."""
        found: list[Report] = []
        rest, self._rest = self._rest, b""
        if rest and not self._skipping:
            self._line(rest, found)
        self._flush(found)
        return found

    def _line(self, line: bytes, found: list[Report]) -> None:
        if line[:1] == b"{":
            self._flush(found)
            self.tally.lines += 1
            self._json(line, found)
            return
        line = line.removesuffix(b"\r")
        if not line and not self._pending:
            return
        try:
            text = line.decode()
        except UnicodeDecodeError:
            self._flush(found)
            self.tally.lines += 1
            self.tally.unparsed += 1
            return
        if _begins(text):
            self._flush(found)
            self.tally.lines += 1
            self._pending.append(text)
        elif self._pending and len(self._pending) < 8:
            self._pending.append(text)  # a message of several lines
        else:
            self.tally.lines += 1
            self.tally.other += 1

    def _json(self, line: bytes, found: list[Report]) -> None:
        tally = self.tally
        try:
            record = self._decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            tally.unparsed += 1
            return
        message = record.eventMessage
        if record.eventType == "lossEvent":
            lost = record.lossCount
            tally.lost += max(1, lost if isinstance(lost, int) else lost.count)
            tally.other += 1
        elif message is None:
            tally.other += 1  # the trailer
        elif record.processID and record.processImagePath != _SANDBOXD:
            tally.foreign += 1  # any program may log a text like the kernel's
        else:
            self._message(message, record.timestamp, found)

    def _flush(self, found: list[Report]) -> None:
        """Take the text line that waited for what belongs to it."""
        if not self._pending:
            return
        first, *more = self._pending
        self._pending.clear()
        if " lost " in first and "messages" in first and _BODY not in first:
            self.tally.lost += _number_after(first, "lost ")
            self.tally.other += 1
            return
        sender = _SENDER.search(first, 20, 400)
        if sender is not None:
            self._message("\n".join([first[sender.end() :], *more]), first[: first.find(" ", 11)], found)
        elif _BODY in first or _POLICY in first:
            self.tally.foreign += 1
        else:
            self.tally.other += 1

    def _message(self, message: str, time: str, found: list[Report]) -> None:
        body = self._known.get(message)
        if body is None:
            body = _parse(message, self._tag, self._heads)
            if len(self._known) >= _MEMORY:
                self._known.clear()
            self._known[message] = body
        if isinstance(body, str):
            setattr(self.tally, body, getattr(self.tally, body) + 1)
            return
        self.tally.reports += 1
        found.append(Report(*body, time))


def read(chunks: Iterable[bytes], reader: LogReader) -> Iterator[Report]:
    """Every report of a log that comes in pieces."""
    for chunk in chunks:
        yield from reader.feed(chunk)
    yield from reader.finish()


def _begins(text: str) -> bool:
    """Whether a text line begins a record (``2026-05-26 13:42:44…``) rather than going on with one."""
    return len(text) > 20 and text[4] == "-" and text[7] == "-" and text[10] == " " and text[13] == ":"


def _number_after(text: str, word: str) -> int:
    at = text.find(word) + len(word)
    digits = ""
    while at < len(text) and (text[at].isdigit() or (text[at] in ">=" and not digits)):
        digits += text[at] if text[at].isdigit() else ""
        at += 1
    return int(digits[:12]) if digits and digits.isascii() else 1


def _parse(message: str, expected: str, heads: dict[str, _Head]) -> _Body | str:
    """The parts of a message, or the name of the :class:`Tally` field that counts what it is."""
    count = 1
    if not message.startswith(_BODY):
        if message.startswith(_POLICY):
            return "policy"
        number, found, rest = message.partition(" duplicate report")
        if not found:
            return "other"
        plain = rest.removeprefix("s").removeprefix(" for ")
        if plain.startswith(_POLICY):
            return "policy"
        if not number.isdecimal() or not number.isascii() or len(number) > 9 or not plain.startswith(_BODY):
            return "unparsed"
        count, message = int(number), plain
    if "\ufffd" in message or _HIDDEN in message or "\0" in message:
        return "unparsed"  # a byte that is no text, or a name that the log hides
    if message.rstrip().endswith(_CUT):
        return "truncated"
    ending = "\n" + expected
    if expected and message.endswith(ending):
        line, tag = message[len(_BODY) : -len(ending)], expected
    else:
        line, newline, tag = message[len(_BODY) :].partition("\n")
        if newline:
            if expected:
                return "foreign"  # of another profile
            tag = tag.removesuffix("\n")
            if not tag or "\n" in tag:
                return "unparsed"  # a name that holds a newline, most likely
    return _split(line, tag, count, heads)


def _split(line: str, tag: str, count: int, heads: dict[str, _Head]) -> _Body | str:
    """``NAME(PID) deny(N) OPERATION TARGET``. ``heads``: what stands before the paths, remembered."""
    at = line.find(" /")
    target = line[at + 1 :] if at > 0 else ""
    if target and ") " not in target and (known := heads.get(line[:at])) is not None:
        return *known, target, tag, count
    head = _head(line, 0)
    if head is None or _head(line, head[2]) is not None:
        return "unparsed"  # no report, or one that could be read in two ways
    opening, verdict, end = head
    pid = line[opening + 1 : line.index(")", opening)]
    found = _operation(line, end)
    process = line[:opening]
    if found is None or not process or len(pid) > 9 or (pid[0] == "0" and pid != "0"):
        return "unparsed"
    if ") deny" in process or ") allow" in process:
        return "unparsed"
    operation, named = found
    if target and named == target:
        if len(heads) >= _MEMORY:
            heads.clear()
        heads[line[:at]] = (process, int(pid), verdict == "deny", operation)
    return process, int(pid), verdict == "deny", operation, named, tag, count


def _head(line: str, start: int) -> tuple[int, str, int] | None:
    """``(PID) deny(N) `` at or after ``start``: where it opens, the verdict, and where the operation begins."""
    at = line.find(") ", start)
    while at >= 0:
        verdict = "deny" if line.startswith("deny", at + 2) else "allow" if line.startswith("allow", at + 2) else ""
        if verdict:
            opening = at - 1
            while opening >= 0 and "0" <= line[opening] <= "9":
                opening -= 1
            end = at + 2 + len(verdict)
            if opening >= start and line[opening] == "(" and at - opening > 1:
                if line.startswith("(", end):
                    closing = end + 1
                    while closing < len(line) and "0" <= line[closing] <= "9":
                        closing += 1
                    if line.startswith(")", closing):
                        end = closing + 1
                if line.startswith(" ", end):
                    return opening, verdict, end + 1
        at = line.find(") ", at + 1)
    return None


def _operation(line: str, at: int) -> tuple[str, str] | None:
    """(operation, target) of the rest of a line."""
    end = at
    while end < len(line) and line[end] in _WORD:
        end += 1
    if end == at or not "a" <= line[at] <= "z":
        return None
    rest = line[end:]
    if rest == "*" or rest.startswith("* "):
        return line[at : end + 1], rest[2:]
    if not rest or rest[0] == " ":
        return line[at:end], rest[1:]
    if rest.startswith("*:"):  # network-bind*:1921
        return line[at:end], rest
    return None
