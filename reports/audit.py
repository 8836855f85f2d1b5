"""What ``sbx audit`` found, for a terminal, as markdown and as JSON."""

from typing import Any, NamedTuple

from rich.console import Console
from rich.text import Text

from learner.audit.audit import Report
from learner.audit.brokers import Broker
from learner.audit.finding import Edit, Finding, Severity
from learner.audit.layers import Held, Together
from learner.names import to_text
from learner.variables import Variables

_STYLES = {Severity.CRITICAL: "bold red", Severity.HIGH: "red", Severity.MEDIUM: "yellow", Severity.LOW: "dim"}
_HELD = {Held.KERNEL: "green", Held.PARTLY: "yellow", Held.CONFIGURATION: "yellow", Held.NEITHER: "red"}
_WIDTH = 8


class Shown(NamedTuple):
    """A report, and with ``--profile`` what its policy makes of it."""

    report: Report
    variables: Variables
    profile: str = ""
    together: tuple[Together, ...] = ()
    brokers: tuple[Broker, ...] = ()


def console(shown: Shown, out: Console) -> None:
    """Print findings, worst first: each with its place, why it matters once a rule, and how to mend it."""
    explained: set[str] = set()
    for finding in shown.report.findings:
        head = Text.assemble((f"{finding.severity:<{_WIDTH}}", _STYLES[finding.severity]), "  ")
        head.append(place(finding, shown.variables), style="bold")
        head.append(f"  {finding.detail} [{finding.rule}]")
        out.print(head)
        if finding.rule not in explained:
            explained.add(finding.rule)
            out.print(Text(f"{'':<{_WIDTH}}  {finding.why}", "dim"))
            out.print(Text(f"{'':<{_WIDTH}}  → {finding.mend}", "dim"))
    for row in shown.together:
        out.print(
            Text.assemble(("layers    ", "bold"), f"{row.about}: ", (row.held.value, _HELD[row.held]), f": {row.why}")
        )
    for broker in shown.brokers:
        out.print(Text.assemble(("broker    ", "bold"), broker_text(broker, shown.variables)))
    if shown.profile and not shown.brokers:
        out.print(Text("broker    none is used, granted, or found at its usual place"))
    for gap in shown.report.gaps:
        out.print(Text(f"gap       {gap.item}: {gap.reason}", "yellow"))
    out.print(Text(summary(shown), "yellow" if shown.report.findings else "green"))


def summary(shown: Shown) -> str:
    """One line: how many findings of each severity, in how many places, how many of them ``--fix`` mends."""
    report = shown.report
    if not report.audited:
        looked = ", ".join(_path(path, shown.variables) for path in report.absent)
        return f"no configuration was found; looked for {looked}"
    places = f"{len(report.audited)} place{'s' if len(report.audited) != 1 else ''}"
    if not report.findings:
        return f"nothing found in {places}"
    counts = [(s, sum(f.severity is s for f in report.findings)) for s in Severity]
    told = ", ".join(f"{number} {severity}" for severity, number in counts if number)
    mended = sum(bool(finding.edits) for finding in report.findings)
    hint = f"; --fix mends {mended} of them" if mended else ""
    return f"{len(report.findings)} finding{'s' if len(report.findings) != 1 else ''} in {places}: {told}{hint}"


def markdown(shown: Shown) -> str:
    """The same as markdown, for a comment on a change."""
    lines = ["# sbx audit", "", summary(shown) + "."]
    if shown.report.findings:
        lines += ["", "| severity | where | what | rule |", "|---|---|---|---|"]
        lines += [
            f"| {f.severity} | {_code(place(f, shown.variables))} | {_cell(f.detail)} | `{f.rule}` |"
            for f in shown.report.findings
        ]
        lines += ["", "## Why, and how to mend it", ""]
        known = {f.rule: f for f in shown.report.findings}
        lines += [f"- **{rule}**: {f.why} {f.mend}" for rule, f in sorted(known.items())]
    if shown.profile:
        lines += [
            "",
            f"## With the profile {_code(to_text(shown.profile))}",
            "",
            "| about | held by | why |",
            "|---|---|---|",
        ]
        lines += [f"| {_cell(row.about)} | {row.held} | {_cell(row.why)} |" for row in shown.together]
        lines += ["", "## Brokers", ""]
        lines += [f"- {_cell(broker_text(broker, shown.variables))}" for broker in shown.brokers] or ["None."]
    if shown.report.gaps:
        lines += ["", "## Not looked at", ""]
        lines += [f"- {_cell(gap.item)}: {_cell(gap.reason)}" for gap in shown.report.gaps]
    return "\n".join(lines) + "\n"


def record(shown: Shown) -> dict[str, Any]:
    """``{findings[], audited[], absent[], gaps[], profile, together[], brokers[]}``; paths are portable."""
    variables = shown.variables
    return {
        "findings": [
            {
                "rule": f.rule,
                "severity": f.severity.value,
                "path": _path(f.path, variables),
                "line": f.line or None,
                "detail": f.detail,
                "why": f.why,
                "mend": f.mend,
                "edits": [_edit(edit, variables) for edit in f.edits],
            }
            for f in shown.report.findings
        ],
        "audited": [_path(path, variables) for path in shown.report.audited],
        "absent": [_path(path, variables) for path in shown.report.absent],
        "gaps": [{"item": gap.item, "reason": gap.reason} for gap in shown.report.gaps],
        "profile": to_text(shown.profile) or None,
        "together": [{"about": t.about, "held": t.held.value, "why": t.why} for t in shown.together],
        "brokers": [broker_record(broker, variables) for broker in shown.brokers],
    }


def broker_record(broker: Broker, variables: Variables) -> dict[str, Any]:
    """``{kind, address, power, reach, peer: {pid, uid, program} | null}``."""
    who = broker.peer
    return {
        "kind": broker.kind,
        "address": _address(broker.address, variables),
        "power": broker.power,
        "reach": broker.reach.value,
        "peer": None if who is None else {"pid": who.pid, "uid": who.uid, "program": to_text(who.program)},
    }


def place(finding: Finding, variables: Variables) -> str:
    """``FILE:LINE``, or the file alone."""
    return _path(finding.path, variables) + (f":{finding.line}" if finding.line else "")


def broker_text(broker: Broker, variables: Variables) -> str:
    """What it is, how it can be reached, what it does for the agent, and who listens."""
    who = "nobody listens now"
    if broker.peer is not None:
        who = to_text(broker.peer.program) or "a process that may not be seen"
        who = f"{who} (pid {broker.peer.pid}, uid {broker.peer.uid})" if broker.peer.pid else who
    return f"{broker.kind}, {broker.reach}: {_address(broker.address, variables)}: {broker.power}; {who}"


def _edit(edit: Edit, variables: Variables) -> dict[str, Any]:
    value = f"{edit.value:o}" if edit.action == "mode" and isinstance(edit.value, int) else edit.value
    return {
        "path": _path(edit.path, variables),
        "action": edit.action.value,
        "keys": list(edit.keys),
        "value": list(value) if isinstance(value, tuple) else value,
    }


def _path(path: str, variables: Variables) -> str:
    return variables.contract(path) if path.startswith("/") else to_text(path)


def _address(address: str, variables: Variables) -> str:
    return variables.contract(address) if address.startswith("/") else to_text(address)


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def _code(text: str) -> str:
    fence = "``" if "`" in text else "`"
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}".replace("|", "\\|")
