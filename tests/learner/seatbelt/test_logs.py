"""Saved logs as people have them: packed, in the wrong style, of several programs, cut off, or hostile."""

import gzip
import json
from pathlib import Path

import pytest

from learner.cli.main import main
from learner.errors import InputFileError, UsageError
from learner.policy import Policy
from learner.seatbelt.logs import Saved, learn_from
from learner.session import derive

STORY = Path(__file__).parents[3] / "fixtures/macos/story.ndjson"


def written(file: Path, *messages: str) -> tuple[str]:
    lines = (json.dumps({"eventMessage": message, "processID": 0}) for message in messages)
    file.write_text("\n".join(lines) + "\n")
    return (str(file),)


def policy(saved: Saved) -> Policy:
    return derive(saved.trace, frozenset()).policy


def test_packed_or_as_one_array_it_is_the_same_log(tmp_path: Path) -> None:
    expected = learn_from((str(STORY),), ()).trace
    records = [json.loads(line) for line in STORY.read_text().splitlines() if line.startswith("{")]
    banner = 'Filtering the log data using "processID == 0"\n'
    array = banner + json.dumps([r for r in records if "eventMessage" in r], indent=1)
    for name, data in (("a.gz", gzip.compress(STORY.read_bytes())), ("b.json", array.encode())):
        (tmp_path / name).write_bytes(data)
        assert learn_from((str(tmp_path / name),), ()).trace.accesses == expected.accesses
        (tmp_path / name).write_bytes(data[:-40])
        with pytest.raises(InputFileError, match="cut off"):
            learn_from((str(tmp_path / name),), ())


def test_a_file_that_is_no_log_is_named_and_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "log.ndjson").write_bytes(STORY.read_bytes())
    (tmp_path / ".DS_Store").write_bytes(b"\x00\xff" * 90)
    (tmp_path / "empty").touch()
    saved = learn_from((str(tmp_path),), ())
    assert [problem.partition(": ")[0] for problem in saved.problems] == [str(tmp_path / ".DS_Store")]
    assert saved.trace.end is not None
    assert saved.trace.end.lost == 0
    with pytest.raises(InputFileError, match="cannot be read"):
        learn_from((str(tmp_path / ".DS_Store"),), ())
    with pytest.raises(InputFileError, match="archive"):
        learn_from((str(tmp_path / "x.logarchive"),), ())


def test_whose_reports_were_taken_is_said_or_asked(tmp_path: Path) -> None:
    mixed = [f"Sandbox: {name}(7) deny(1) file-read-data /Users/me/{name}" for name in ("node", "mds", "node")]
    saved = learn_from(written(tmp_path / "a", *mixed), ())
    assert ["of node, mds" in problem for problem in saved.problems] == [True]
    assert not learn_from((str(tmp_path / "a"),), ("node",)).problems
    sessions = [f"{message}\ntag-{n}" for n in range(2) for message in mixed]
    with pytest.raises(InputFileError, match=r"tag-0 \(3\) and tag-1 \(3\)"):
        learn_from(written(tmp_path / "b", *sessions), ())
    one = learn_from((str(tmp_path / "b"),), ("tag-1",)).trace
    assert one.end is not None
    assert one.end.calls == 3


def test_half_a_name_is_no_grant(tmp_path: Path) -> None:
    """A name with a newline looks like the name of the directory, and a tag: also where a process was chosen."""
    lines = ["/Users/me/x", "/Users/me/y", "/Users/me/\nevil"]
    logs = written(tmp_path / "a", *(f"Sandbox: node(7) deny(1) file-read-data {path}" for path in lines))
    for only in ((), ("node",)):
        assert {access.object for access in learn_from(logs, only).trace.accesses} == {"/Users/me/x", "/Users/me/y"}


def test_what_the_log_does_not_name_is_not_granted_as_a_whole(tmp_path: Path) -> None:
    asked = ("mach-lookup", "iokit-open", "sysctl-read", "network-outbound *:*", "process-fork")
    found = learn_from(written(tmp_path / "a", *(f"Sandbox: node(7) deny(1) {what}" for what in asked)), ())
    derived = derive(found.trace, frozenset())
    assert [(s.operation, s.name) for s in derived.policy.services] == [("process-fork", ""), ("sysctl-read", "")]
    assert derived.policy.network == ()
    assert {gap.item for gap in derived.gaps} == {
        "not granted: mach-lookup",
        "not granted: iokit-open",
        "not granted: connect *:0/unknown",
    }


def test_a_home_is_a_directory(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    logs = written(tmp_path / "a", "Sandbox: node(7) deny(1) file-read-data /Users/me/x")
    assert learn_from(logs, (), "/Users//me/", "/tmp/p/").trace.header.variables[:2] == ("/private/tmp/p", "/Users/me")
    with pytest.raises(UsageError, match="absolute"):
        learn_from(logs, (), "me")
    assert main(["learn", "--from-log", *logs, "--log-project", "../p"]) == 2
    assert "--log-project ../p" in capfd.readouterr().err
