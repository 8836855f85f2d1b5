"""What ``sbx audit`` found as SARIF 2.1.0 (OASIS), which code hosts show beside the lines of a change."""

import os
from typing import Any

from learner.audit.audit import every_rule
from learner.audit.finding import Finding, Severity
from reports.audit import Shown, record
from reports.sarif import SCHEMA, location

_LEVELS = {Severity.CRITICAL: "error", Severity.HIGH: "error", Severity.MEDIUM: "warning", Severity.LOW: "note"}
_SCORES = {Severity.CRITICAL: "9.5", Severity.HIGH: "8.0", Severity.MEDIUM: "5.0", Severity.LOW: "2.0"}
"""``security-severity`` as GitHub reads it: over 9 critical, over 7 high, over 4 medium."""


def sarif(shown: Shown) -> dict[str, Any]:
    """A log with one run. Files beneath the project are relative to %SRCROOT%, so that a code host finds them.

    What SARIF has no place for (the layers together, brokers) is among the run's properties.
    """
    whole = record(shown)
    used = {finding.rule for finding in shown.report.findings}
    rules = [rule for rule in every_rule() if rule[0] in used]
    index = {rule[0]: number for number, rule in enumerate(rules)}
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "sbx audit",
                        "rules": [
                            {
                                "id": id_,
                                "shortDescription": {"text": title},
                                "fullDescription": {"text": why},
                                "help": {"text": mend},
                                "defaultConfiguration": {"level": _LEVELS[Severity(severity)]},
                                "properties": {"security-severity": _SCORES[Severity(severity)]},
                            }
                            for id_, severity, title, why, mend in rules
                        ],
                    }
                },
                "results": [_result(f, index[f.rule], shown) for f in shown.report.findings],
                "columnKind": "unicodeCodePoints",
                "invocations": [
                    {
                        "executionSuccessful": True,
                        "toolExecutionNotifications": [
                            {"level": "warning", "message": {"text": f"{gap.item}: {gap.reason}"}}
                            for gap in shown.report.gaps
                        ],
                    }
                ],
                "properties": {key: whole[key] for key in ("profile", "together", "brokers")},
            }
        ],
    }


def _result(finding: Finding, number: int, shown: Shown) -> dict[str, Any]:
    return {
        "ruleId": finding.rule,
        "ruleIndex": number,
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.detail}. {finding.why} {finding.mend}"},
        "locations": [location(os.path.abspath(finding.path), finding.line, shown.variables.project)],
    }
