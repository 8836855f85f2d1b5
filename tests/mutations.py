"""Damaged lines of a log: what a parser of it must survive, by the million.

``python tests/mutations.py 10000000`` runs that many, and says what became of them.
"""

import random
import re
import sys
import time
from collections.abc import Iterator

from tracers.seatbelt_log import LogReader, Report, Tally

MESSAGES = (
    "Sandbox: node(4312) deny(1) file-read-data /Users/me/.npmrc",
    "Sandbox: python3.12(4313) deny(1) file-read-metadata /Users/me/dotfiles/.vibe/config.toml",
    "3 duplicate reports for Sandbox: node(4312) deny(1) mach-lookup com.apple.SecurityServer",
    "Sandbox: Code Helper (Plugin)(901) deny(1) file-write-create /private/tmp/a b.txt",
    "Sandbox: git(77) deny(1) process-exec* /usr/bin/xcrun",
    "Sandbox: ps(78) deny(1) forbidden-exec-sugid",
    "Sandbox: curl(80) deny(1) network-outbound /private/var/run/mDNSResponder",
    "Sandbox: curl(80) allow network-outbound remote:*:443",
    "Sandbox: node(81) deny(1) network-bind*:1921",
    'Sandbox: zsh(81) deny(1) system-fsctl (_IO "h" 47)',
    "Sandbox: node(4312) allow file-read-data /Users/me/a\nTAG-1",
    "Sandbox: node(4312) deny(1) file-read-data /Users/me/a very long ‹…>",
    "System Policy: tool(5) deny(1) file-read-data /Users/me/x",
)
_PIECES = (*'()*:/\n "\\\0é\ufffd', ") deny(1) ", "(7) allow ", "‹…>", "<private>")
_NUMBER = re.compile(r"^\(\d*\)")


def line_of(message: str, style: int) -> bytes:
    """``message`` as ndjson (0), syslog (1) or compact (2)."""
    if style == 0:
        escaped = message.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\0", "\\u0000")
        return ('{"eventMessage":"' + escaped.replace("/", "\\/") + '","processID":0,"timestamp":"t"}').encode()
    if style == 1:
        return f"2026-05-26 13:42:44.136082+0200  localhost kernel[0]: (Sandbox) {message}".encode()
    return f"2026-05-26 13:42:44.136 E  kernel[0:17e495] (Sandbox) {message}".encode()


def mutated(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Damaged messages, each also as the line that was read: some are damaged in the message, some in the bytes."""
    chance = random.Random(seed)
    for _ in range(count):
        message = chance.choice(MESSAGES)
        for _ in range(chance.randrange(4)):
            at = chance.randrange(len(message) + 1)
            match chance.randrange(4):
                case 0:
                    message = message[:at] + chance.choice(_PIECES) + message[at:]
                case 1:
                    message = message[:at] + message[at + chance.randrange(1, 9) :]
                case 2:
                    message = message[:at] + chance.choice(MESSAGES)[chance.randrange(20) :]
                case _:
                    message = message[:at] + message[at:][::-1] if chance.randrange(8) == 0 else message[:at]
        line = line_of(message, chance.randrange(3))
        if chance.randrange(5) == 0 and line:
            at = chance.randrange(len(line))
            line, message = line[:at] + bytes([chance.randrange(256)]) + line[at + 1 :], ""
        yield message, line


def says(message: str, report: Report) -> bool:
    """Whether a report is what ``message`` says, and all of it up to the tag: told by taking it apart once more."""
    _, found, rest = message.partition(
        f"Sandbox: {report.process}({report.pid}) {'deny' if report.denied else 'allow'}"
    )
    rest = _NUMBER.sub("", rest, count=1)
    if not found or not rest.startswith(" " + report.operation):
        return False
    target, _, tag = rest[1 + len(report.operation) :].partition("\n")
    return target.removeprefix(" ") == report.target and tag.removesuffix("\n") == report.tag


def survive(count: int, seed: int) -> Tally:
    """Read ``count`` damaged lines, each alone. Raises AssertionError for a report that says what its line does not."""
    reader = LogReader()
    for message, line in mutated(count, seed):
        for report in (*reader.feed(line + b"\n"), *reader.finish()):
            assert not message or says(message, report), (message, report)
    return reader.tally


def main() -> None:
    count = int(sys.argv[1])
    started = time.monotonic()
    tally = survive(count, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    print(f"{count} lines in {time.monotonic() - started:.0f} s: {tally}")


if __name__ == "__main__":
    main()
