"""What every report in SARIF 2.1.0 (OASIS standard) has in common."""

import hashlib
import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def document(
    tool: str, rules: Sequence[dict[str, Any]], results: Sequence[dict[str, Any]], properties: dict[str, Any]
) -> dict[str, Any]:
    """The whole document, of one run of ``tool``. Columns are never told, lines begin with 1."""
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": tool, "rules": list(rules)}},
                "columnKind": "unicodeCodePoints",
                "results": list(results),
                "properties": properties,
            }
        ],
    }


def artifact(path: str, project: str) -> dict[str, str]:
    """Where a file is: relative to the project where it is in it, which in CI is the repository."""
    if path.startswith(project + "/"):
        return {"uri": quote(os.fsencode(path[len(project) + 1 :])), "uriBaseId": "%SRCROOT%"}
    return {"uri": "file://" + quote(os.fsencode(path))}


def location(path: str, line: int, project: str) -> dict[str, Any]:
    """A line of a file, 0: the file as a whole. ``path`` is absolute."""
    found: dict[str, Any] = {"artifactLocation": artifact(path, project)}
    if line:
        found["region"] = {"startLine": line}
    return {"physicalLocation": found}


def fingerprint(*about: str) -> str:
    """The same for the same thing, whatever else is reported, so that a dismissed alert stays dismissed."""
    return hashlib.sha256("\0".join(about).encode("utf-8", "surrogateescape")).hexdigest()
