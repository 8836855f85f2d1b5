"""The audit itself: rules applied to configurations and to a project. Reads files, changes none."""

import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from learner.audit import agents, project
from learner.audit.context import Config, Context, Layer, Source
from learner.audit.document import Format, read
from learner.audit.finding import Edit, Finding, found
from learner.errors import InputFileError
from learner.gaps import Gap
from learner.names import to_text


class Report(NamedTuple):
    """``findings``: worst first. ``audited``: what was looked at, ``absent``: what is not there.

    ``gaps``: what could not be looked at.
    """

    findings: tuple[Finding, ...]
    audited: tuple[str, ...]
    absent: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()

    @property
    def edits(self) -> tuple[Edit, ...]:
        """Every edit that would mend something."""
        return tuple(edit for finding in self.findings for edit in finding.edits)


def configurations(sources: Iterable[Source], context: Context) -> Report:
    """Audit those of ``sources`` that exist. Raises InputFileError for one that cannot be read as what it is."""
    findings: list[Finding] = []
    audited, absent = [], []
    for source in sources:
        if not os.path.exists(source.path):
            absent.append(source.path)
            continue
        audited.append(source.path)
        document = read(source.path, source.format)
        config = Config(document, context, source.layer, _below(source))
        for rule in source.rules:
            for hit in rule.check(config):
                line = document.line(hit.keys) if hit.keys else 0
                findings.append(found(rule, hit, source.path, line))
    return Report(_sorted(findings), tuple(audited), tuple(absent))


def directory(root: str, context: Context) -> Report:
    """Audit the project at ``root``. Raises InputFileError if it is no directory that can be read."""
    real = os.path.realpath(root)
    try:
        tree = project.walk(real, context)
    except OSError as problem:
        raise InputFileError(f"{to_text(root)}: {problem.strerror}", "name the directory of a project") from None
    findings = [found(rule, hit, real, 0) for rule in project.RULES for hit in rule.check(tree)]
    return Report(_sorted(findings), (real,), (), tree.gaps)


def joined(reports: Iterable[Report]) -> Report:
    """Several reports as one."""
    reports = tuple(reports)
    return Report(
        _sorted([finding for report in reports for finding in report.findings]),
        tuple(path for report in reports for path in report.audited),
        tuple(path for report in reports for path in report.absent),
        tuple(sorted({gap for report in reports for gap in report.gaps})),
    )


def every_rule() -> tuple[tuple[str, str, str, str, str], ...]:
    """(id, severity, title, why, mend) of every rule there is, by whom it is about, as docs/audit.md lists them."""
    rules = [rule for agent in agents.AGENTS for rule in agent.rules] + list(project.RULES)
    return tuple((rule.id, rule.severity.value, rule.title, rule.why, rule.mend) for rule in rules)


def _below(source: Source) -> dict[str, Any]:
    if source.layer is not Layer.OVERLAY or not source.below or not os.path.isfile(source.below):
        return {}
    return read(source.below, source.format).data if source.format is not Format.TEXT else {}


def _sorted(findings: list[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(dict.fromkeys(findings), key=lambda finding: finding.order))
