"""A difference on a terminal: at most a screen of 40 lines, the most severe first."""

from collections.abc import Iterator
from itertools import chain, groupby, islice

from rich.console import Console
from rich.text import Text

from learner.change import Change, Severity
from learner.names import to_text
from reports.difference_words import HEADINGS, Report, by, details, summary, verb, what

LINES = 40
_STYLES = {
    Severity.SENSITIVE: "bold red",
    Severity.OUTSIDE: "red",
    Severity.EXECUTABLE: "yellow",
    Severity.HOST: "yellow",
}


def show(report: Report, *, verbose: bool = False, console: Console | None = None) -> None:
    """Print ``report``; ``verbose`` leaves nothing out."""
    out = console or Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    head = [Text.assemble((f"{to_text(report.old)} → {to_text(report.new)}", "bold"), f": {summary(report)}")]
    head += [Text(f"  {to_text(v.name)}  {to_text(v.old)} → {to_text(v.new)}") for v in report.difference.versions]
    found = report.difference
    last = [Text(f"{len(report.failing)} to be reviewed", "bold red")] if report.failing else []
    rows = chain(head, _rows(found.added, report, "+"), _rows(found.removed, report, "-"))
    number = len(head) + sum(len(some) + len({c.severity for c in some}) for some in (found.added, found.removed))
    if not verbose and number + len(last) > LINES:
        room = LINES - len(last) - 1
        more = Text(f"  … {number - room} more lines, of what matters less: use -v", "dim")
        rows = chain(islice(rows, room), (more,))  # the others need not even be made
    for row in chain(rows, last):
        out.print(row)


def _rows(changes: tuple[Change, ...], report: Report, sign: str) -> Iterator[Text]:
    for severity, some in groupby(changes, key=lambda change: change.severity):
        style = _STYLES.get(severity, "") if sign == "+" else "dim"
        yield Text(HEADINGS[severity] if sign == "+" else f"gone: {HEADINGS[severity]}", f"bold {style}".strip())
        for change in some:
            more, users = details(change, report.variables), by(change)
            row = Text.assemble((f"  {sign} {verb(change)} ", style), what(change, report.variables))
            row.append(f"  {more}" if more else "", "dim")
            row.append(f"  by {users}" if users else "", "dim")
            yield row
