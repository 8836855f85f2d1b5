"""A difference as SARIF 2.1.0 (OASIS standard), for code scanning: one result for each thing that was added."""

import hashlib
import os
from typing import Any
from urllib.parse import quote

from learner.change import Change, Severity
from reports.difference_words import HEADINGS, Report, sentence, what
from reports.sarif import SCHEMA

_LEVELS = {
    Severity.SENSITIVE: "error",
    Severity.OUTSIDE: "warning",
    Severity.EXECUTABLE: "warning",
    Severity.HOST: "warning",
}
_NOTE = "note"


def sarif(report: Report) -> dict[str, Any]:
    """The whole document. What is to be reviewed has the level ``error``; nothing is said of what is gone."""
    severities = sorted({change.severity for change in report.difference.added}, reverse=True)
    rules = [
        {
            "id": _rule(severity),
            "name": severity.name.capitalize(),
            "shortDescription": {"text": f"New since the reviewed profile: {HEADINGS[severity]}"},
            "defaultConfiguration": {"level": _LEVELS.get(severity, _NOTE)},
        }
        for severity in severities
    ]
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "sbx", "rules": rules}},
                "columnKind": "unicodeCodePoints",
                "results": [
                    _result(change, report, severities.index(change.severity)) for change in report.difference.added
                ],
            }
        ],
    }


def _rule(severity: Severity) -> str:
    return f"sbx/{severity.name.lower()}"


def _result(change: Change, report: Report, rule: int) -> dict[str, Any]:
    about = f"{change.kind} {what(change, report.variables)}"
    return {
        "ruleId": _rule(change.severity),
        "ruleIndex": rule,
        "level": "error" if change in report.failing else _LEVELS.get(change.severity, _NOTE),
        "message": {"text": sentence(change, report.variables)},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": _uri(report.file)}, "region": {"startLine": 1}},
                "logicalLocations": [{"fullyQualifiedName": about}],
            }
        ],
        # The same change keeps its fingerprint whatever else changes, so that a dismissed alert stays dismissed.
        "partialFingerprints": {"change/v1": hashlib.sha256(about.encode()).hexdigest()},
    }


def _uri(file: str) -> str:
    """Relative to the current directory where it is in it, which in CI is the repository."""
    path = os.path.relpath(file) if not os.path.relpath(file).startswith("..") else os.path.abspath(file)
    text = quote(os.fsencode(path))
    return f"file://{text}" if text.startswith("/") else text
