import json

import mutations
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutations import line_of

from tracers.events import Endpoint, Family, Operation, PathTarget, Transport
from tracers.seatbelt_calls import canonical, understand
from tracers.seatbelt_log import MAX_LINE, LogReader, Report

SHAPES = [
    ("Sandbox: node(4312) deny(1) file-read-data /Users/me/.npmrc", "node", 4312, "file-read-data", "/Users/me/.npmrc"),
    (
        "Sandbox: python3.12(4313) deny(1) file-read-metadata /Users/me/dotfiles/.vibe/config.toml",
        "python3.12",
        4313,
        "file-read-metadata",
        "/Users/me/dotfiles/.vibe/config.toml",
    ),
    (
        "Sandbox: Code Helper (Plugin)(901) deny(1) file-write-create /private/tmp/a b.txt",
        "Code Helper (Plugin)",
        901,
        "file-write-create",
        "/private/tmp/a b.txt",
    ),
    ("Sandbox: git(77) deny(1) process-exec* /usr/bin/xcrun", "git", 77, "process-exec*", "/usr/bin/xcrun"),
    ("Sandbox: ps(78) deny(1) forbidden-exec-sugid", "ps", 78, "forbidden-exec-sugid", ""),
    ("Sandbox: foo(9) deny(2) process-fork", "foo", 9, "process-fork", ""),
    (
        "Sandbox: curl(80) deny(1) network-outbound /private/var/run/mDNSResponder",
        "curl",
        80,
        "network-outbound",
        "/private/var/run/mDNSResponder",
    ),
    ("Sandbox: curl(80) deny(1) network-outbound remote:*:443", "curl", 80, "network-outbound", "remote:*:443"),
    ("Sandbox: node(81) deny(1) network-bind*:1921", "node", 81, "network-bind", "*:1921"),
    ('Sandbox: zsh(81) deny(1) system-fsctl (_IO "h" 47)', "zsh", 81, "system-fsctl", '(_IO "h" 47)'),
    ("Sandbox: old(3) deny file-read-data /x", "old", 3, "file-read-data", "/x"),
]


def read(*lines: bytes, tag: str = "") -> tuple[list[Report], LogReader]:
    reader = LogReader(tag)
    found = reader.feed(b"".join(line + b"\n" for line in lines))
    return found + reader.finish(), reader


@pytest.mark.parametrize("style", range(3))
@pytest.mark.parametrize(("message", "process", "pid", "operation", "target"), SHAPES)
def test_every_shape_in_every_style(
    message: str, process: str, pid: int, operation: str, target: str, style: int
) -> None:
    [report], _ = read(line_of(message, style))
    assert (report.process, report.pid, report.operation, report.target) == (process, pid, operation, target)
    assert (report.denied, report.count, report.tag) == (True, 1, "")


@pytest.mark.parametrize("style", range(3))
def test_duplicates_are_counted_and_tags_kept(style: int) -> None:
    message = "3 duplicate reports for Sandbox: node(4312) allow mach-lookup com.apple.SecurityServer\nsbx-1f"
    [report], _ = read(line_of(message, style), line_of("Sandbox: a(1) deny(1) signal", style)[:0])
    assert (report.count, report.denied, report.tag, report.target) == (3, False, "sbx-1f", "com.apple.SecurityServer")


def test_macos_26_names_the_subsystem() -> None:
    before = b"2026-05-26 13:42:44.136082+0200  localhost kernel[0]: (Sandbox) [com.apple.sandbox.reporting:violation] "
    [report], _ = read(before + b"Sandbox: node(1) deny(1) file-read-data /x")
    assert report.target == "/x"


def test_what_is_no_report_is_counted() -> None:
    plain = "Sandbox: node(1) deny(1) file-read-data /x"
    lines = [
        b'Filtering the log data using "processID == 0"',
        b'{"count":32,"finished":1}',
        b'{"eventType":"lossEvent","lossCount":{"count":64}}',
        b"2026-05-26 13:42:44.136 E  kernel[0:1] lost >=163 unreliable messages from 13:42 to 13:43",
        line_of("System Policy: tool(5) deny(1) file-read-data /x", 0),
        line_of("System Policy: tool(5) deny(1) file-read-data /x", 1),
        line_of(plain + " and more ‹…>", 0),
        line_of(plain.replace("/x", "<private>"), 0),
        line_of(plain, 0).replace(b'"processID":0', b'"processID":77'),
        line_of(plain, 1).replace(b"kernel[0]", b"evil[77]"),
        line_of(plain, 0)[:-9],
        line_of(plain, 0).replace(b"/x", b"/\xff"),
    ]
    found, reader = read(*lines)
    assert found == []
    tally = reader.tally
    assert (tally.lost, tally.policy, tally.truncated, tally.unparsed, tally.foreign) == (227, 2, 1, 3, 2)
    assert tally.lines == len(lines)


def test_a_name_with_a_newline_is_whole_or_not_told() -> None:
    message = "Sandbox: node(1) deny(1) file-read-data /Users/me\n/evil\nsbx-1f"
    [known], _ = read(line_of(message, 0), tag="sbx-1f")
    assert known.target == "/Users/me\n/evil"
    unknown, reader = read(line_of(message, 0))
    assert (unknown, reader.tally.unparsed) == ([], 1)


@pytest.mark.parametrize("name", ["x(1) allow file-read-data /etc", "a(1) deny(1) b", ") deny(1) x"])
def test_a_process_that_is_called_like_a_report_is_not_believed(name: str) -> None:
    found, reader = read(line_of(f"Sandbox: {name}(7) deny(1) file-read-data /x", 0))
    assert (found, reader.tally.unparsed) == ([], 1)


names = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffd"), min_size=1, max_size=20)


@given(names.filter(lambda n: ") " not in n and not n.endswith(" ")), st.integers(1, 99999), names, st.booleans())
def test_what_is_written_is_read(process: str, pid: int, name: str, denied: bool) -> None:
    if ") " in name or name.endswith(("‹…>", "<…>", "‹…›")) or "<private>" in process + name:
        return
    message = f"Sandbox: {process}({pid}) {'deny(1)' if denied else 'allow'} file-read-data /{name}"
    [report], _ = read(json.dumps({"eventMessage": message, "processID": 0}).encode())
    assert report == Report(process, pid, denied, "file-read-data", f"/{name}")


@given(st.lists(st.binary(max_size=200)), st.integers(1, 50))
def test_no_bytes_hurt_and_pieces_do_not_matter(lines: list[bytes], size: int) -> None:
    data = b"\n".join([*lines, line_of(SHAPES[0][0], 0), line_of(SHAPES[2][0], 1)])
    whole, pieces = LogReader(), LogReader()
    expected = whole.feed(data) + whole.finish()
    found = [r for start in range(0, len(data), size) for r in pieces.feed(data[start : start + size])]
    assert found + pieces.finish() == expected
    assert whole.tally == pieces.tally


def test_a_line_without_end_is_no_leak() -> None:
    reader = LogReader()
    for _ in range(3):
        reader.feed(b"x" * MAX_LINE)
    assert reader.feed(b"\n" + line_of(SHAPES[0][0], 0) + b"\n")[0].process == "node"


def test_damaged_lines_never_name_another_path() -> None:
    tally = mutations.survive(20_000, seed=7)
    assert tally.reports > 4_000
    assert tally.unparsed > 1_000


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/etc/hosts", "/private/etc/hosts"),
        ("/tmp", "/private/tmp"),
        ("/variant", "/variant"),
        ("/System/Volumes/Data/Users/me/x", "/Users/me/x"),
        ("/System/Volumes/Data/.fseventsd", "/System/Volumes/Data/.fseventsd"),
        ("/System/Volumes/Data/private/var/x", "/private/var/x"),
    ],
)
def test_a_path_has_one_name(path: str, expected: str) -> None:
    assert canonical(path) == expected


@pytest.mark.parametrize(
    ("operation", "target", "expected"),
    [
        ("file-read-data", "/tmp/x", Operation.READ),
        ("file-read-data", "", None),
        ("file-read-data", "x", None),
        ("file-read-data", "/a/../b", None),
        ("process-exec*", "/usr/bin/git", Operation.EXEC),
        ("network-outbound", "remote:*:443", Operation.CONNECT),
        ("network-outbound", "remote:example.org:443", None),
        ("network-bind", "*:99999", None),
        ("mach-lookup", "com.apple.x", Operation.SERVICE),
    ],
)
def test_operations_are_ours(operation: str, target: str, expected: Operation | None) -> None:
    found = understand(operation, target)
    assert (found[0] if found else None) == expected


def test_targets_are_ours() -> None:
    assert understand("file-write-data", "/tmp/x") == (
        Operation.WRITE,
        PathTarget(b"/private/tmp/x", follow=False, opened=b"/private/tmp/x"),
    )
    assert understand("network-bind", "*:1921") == (
        Operation.BIND,
        Endpoint(Family.INET, "*", 1921, Transport.UNKNOWN),
    )
