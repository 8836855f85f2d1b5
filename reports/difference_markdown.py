"""A difference as Markdown, for a comment on a change request."""

from itertools import groupby

from learner.change import Change
from learner.names import to_text
from reports.difference_words import HEADINGS, Report, by, details, summary, verb, what

MARK = "<!-- sbx diff -->"
"""The first line: by it a later run finds its own comment, to replace it."""


def markdown(report: Report) -> str:
    """A heading, and a table for each severity."""
    found = report.difference
    lines = [MARK, f"### sbx: {_code(report.old)} → {_code(report.new)}", "", f"{summary(report).capitalize()}."]
    if found.versions:
        lines += ["", *(f"- {_code(v.name)} {_code(v.old)} → {_code(v.new)}" for v in found.versions)]
    if report.failing:
        lines += ["", f"**{len(report.failing)} to be reviewed** (marked ⚠️)."]
    lines += _tables(found.added, report)
    if found.removed:
        lines += [
            "",
            "<details><summary>No longer needed</summary>",
            *_tables(found.removed, report),
            "",
            "</details>",
        ]
    return "\n".join(lines) + "\n"


def _tables(changes: tuple[Change, ...], report: Report) -> list[str]:
    lines = []
    for severity, some in groupby(changes, key=lambda change: change.severity):
        lines += ["", f"**{HEADINGS[severity].capitalize()}**", "", "| | | by | |", "|---|---|---|---|"]
        for change in some:
            mark = " ⚠️" if change in report.failing else ""
            cells = (verb(change) + mark, _code(what(change, report.variables)), _cell(by(change)))
            lines.append(f"| {' | '.join(cells)} | {_cell(details(change, report.variables))} |")
    return lines


def _code(text: str) -> str:
    """Text that Markdown takes as it is; a backtick takes longer fences."""
    text = to_text(text).replace("\\\\", "\\").replace("|", "\\|")
    fence = "`" * (max((len(run) for run in _runs(text)), default=0) + 1)
    return f"{fence} {text} {fence}" if "`" in text else f"`{text}`"


def _runs(text: str) -> list[str]:
    return ["`" * len(part) for part in "".join("`" if c == "`" else " " for c in text).split()]


def _cell(text: str) -> str:
    for special in "\\`*_[]<>|#":
        text = text.replace(special, "\\" + special)
    return text
