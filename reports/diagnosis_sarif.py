"""A diagnosis, or what a log tells, as SARIF 2.1.0: the root cause is an error, what else matters a warning."""

import os
from collections.abc import Sequence
from typing import Any

from learner.diagnosis.case import Diagnosis, Finding
from learner.diagnosis.fixes import remedies
from learner.diagnosis.logs.reader import Entry, Log
from learner.diagnosis.logs.table import SHAPES
from learner.diagnosis.rules import RULES
from learner.names import to_text
from learner.variables import Variables
from reports.diagnosis import fix_toml
from reports.diagnosis_log import fix_of, said
from reports.sarif import document, fingerprint, location

_TOOL = "sbx diagnose"


def of_diagnosis(found: Diagnosis, file: str, variables: Variables) -> dict[str, Any]:
    """The whole document. ``file``: what is to be mended, a profile; "" for a sandbox that is not ours."""
    told = [one for one in (found.cause, *found.also) if one is not None]
    used = {one.rule for one in told}
    rules = [
        {"id": rule.name, "shortDescription": {"text": rule.title}, "defaultConfiguration": {"level": "error"}}
        for rule in RULES
        if rule.name in used
    ]
    index = {rule["id"]: number for number, rule in enumerate(rules)}
    results = [_result(one, index[one.rule], found, file, variables) for one in told]
    properties = {
        "works": found.works,
        "status": found.case.status,
        "fix": fix_toml(found, variables),
        "remedies": list(remedies(found.fix)),
        "harmless": [to_text(one.sentence) for one in found.harmless],
    }
    return document(_TOOL, rules, results, properties)


def _result(one: Finding, number: int, found: Diagnosis, file: str, variables: Variables) -> dict[str, Any]:
    root = one is found.cause
    lines = [one.sentence, *(f"how: {step}" for step in one.chain)]
    if root:
        lines += [f"fix: {text}" for text in remedies(found.fix)]
        if found.fix.grants_something:
            lines += ["fix: add to the profile", fix_toml(found, variables)]
    about = one.trouble.subject if one.trouble else found.case.command
    result: dict[str, Any] = {
        "ruleId": one.rule,
        "ruleIndex": number,
        "level": "error" if root else "warning",
        "message": {"text": to_text_lines(lines)},
        "partialFingerprints": {"cause/v1": fingerprint(one.rule, about)},
        "properties": {"certainty": one.certainty.value},
    }
    logical = {"fullyQualifiedName": to_text(about)}
    where = location(os.path.abspath(file), 1, variables.project) if file else {}
    result["locations"] = [where | {"logicalLocations": [logical]}]
    return result


def of_log(log: Log, file: str, variables: Variables) -> dict[str, Any]:
    """The whole document for a log; the first entry is the likeliest cause."""
    titles = {shape.name: shape.title for shape in SHAPES}
    used = sorted({entry.message.shape for entry in log.entries})
    rules = [{"id": name, "shortDescription": {"text": titles[name]}} for name in used]
    results = [_told(entry, number, used, file, variables) for number, entry in enumerate(log.entries)]
    return document(_TOOL, rules, results, {"lines": log.read, "more": log.more})


def _told(entry: Entry, number: int, used: Sequence[str], file: str, variables: Variables) -> dict[str, Any]:
    message = entry.message
    fix = fix_of(entry, variables)
    lines = [said(entry), *(["this grant would admit it:", fix] if fix else [])]
    return {
        "ruleId": message.shape,
        "ruleIndex": used.index(message.shape),
        "level": "error" if number == 0 else "warning",
        "message": {"text": to_text_lines(lines)},
        "locations": [location(os.path.abspath(file), entry.line, variables.project)],
        "partialFingerprints": {"message/v1": fingerprint(message.shape, message.operation, message.path)},
        "properties": {"certainty": message.certainty.value, "times": entry.times},
    }


def to_text_lines(lines: Sequence[str]) -> str:
    """Lines, each printable."""
    return "\n".join(to_text(part) for line in lines for part in line.rstrip("\n").split("\n"))
