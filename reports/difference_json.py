"""A difference as JSON. Its keys are stable: they may be added to, never renamed."""

from typing import Any

from learner.change import Change
from learner.names import to_text
from learner.policy import right_names
from learner.variables import Variables
from learner.words import endpoint
from reports.difference_words import Report, chains, what


def record(report: Report) -> dict[str, Any]:
    """``{old, new, accepted, versions[], added[], removed[], failing}``; changes are the most severe first."""
    found = report.difference
    return {
        "old": to_text(report.old),
        "new": to_text(report.new),
        "accepted": report.accepted,
        "versions": [{name: to_text(value) for name, value in v._asdict().items()} for v in found.versions],
        "added": [change_record(change, report.variables) for change in found.added],
        "removed": [change_record(change, report.variables) for change in found.removed],
        "failing": [found.added.index(change) for change in report.failing],
    }


def change_record(change: Change, variables: Variables) -> dict[str, Any]:
    """``{kind, severity, what, service, scope, rights[], granted, reason, objects, beside, but[], by[], needed_by[]}``.

    ``service``: the operation of macOS that ``what`` begins with, empty where it is about something else.
    """
    return {
        "kind": change.kind.value,
        "severity": change.severity.name.lower(),
        "what": endpoint(change.endpoint) if change.endpoint else what(change, variables),
        "service": to_text(change.service.operation) if change.service else "",
        "scope": change.scope.value,
        "rights": list(right_names(change.rights)),
        "granted": change.granted,
        "reason": change.reason,
        "objects": change.objects,
        "beside": change.beside,
        "but": [variables.contract(grant.path) for grant in change.but],
        "by": list(chains(change)),
        "needed_by": [
            {
                "chain": [to_text(label) for label in user.chain],
                "operations": [operation.value for operation in user.operations],
                "example": variables.contract(user.example),
                "objects": user.objects,
            }
            for user in change.users
        ],
    }
