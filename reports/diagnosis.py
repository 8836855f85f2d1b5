"""A diagnosis as a person reads it, and as a document with stable keys."""

import errno
from collections.abc import Sequence
from typing import Any

from learner.diagnosis.case import Diagnosis, Finding
from learner.diagnosis.fixes import remedies
from learner.names import to_text
from learner.policy import Grant, right_names
from learner.profile import grant_toml, network_toml
from learner.variables import Variables
from learner.words import endpoint, verb

_MANY = 5


def lines(found: Diagnosis, variables: Variables, *, verbose: bool = False, proposed: Sequence[str] = ()) -> list[str]:
    """Root cause first, then how it came to it, what was seen, and what mends it.

    ``proposed``: the fix in another sandbox's words, one line for each way, in place of our own.
    """
    case = found.case
    if found.cause is None:
        return [*_no_cause(found), *_harmless(found, verbose)]
    told = [f"cause: {found.cause.sentence}" + _doubt(found.cause)]
    for step in found.cause.chain:
        told.append(f"  how: {to_text(step)}")
    trouble = found.cause.trouble
    if trouble is not None:
        told.append(f"  by: {' → '.join(map(to_text, case.ancestry(trouble.access.program)))}")
    for seen in found.evidence:
        code = errno.errorcode.get(seen.errno, "") if seen.errno else ""
        result = f"{code} ({seen.result})" if code else seen.result
        told.append(
            f"  seen: {to_text(seen.program)}: {seen.call}: {verb(seen.operation)} {to_text(seen.path)}: {result}"
        )
    others = [one for one in found.also if one.sentence != found.cause.sentence]
    for one in others if verbose else others[:_MANY]:
        told.append(f"  also: {one.sentence}")
    if len(others) > _MANY and not verbose:
        told.append(f"  also: {len(others) - _MANY} more (-v names them)")
    told += _ending(found)
    told += [f"fix: {text}" for text in remedies(found.fix)]
    if found.fix.grants_something and proposed:
        told += [f"fix: {line}" for line in proposed]
    elif found.fix.grants_something:
        told.append("fix: add to the profile (--apply does it):")
        told += fix_toml(found, variables).rstrip("\n").split("\n")
    elif not remedies(found.fix):
        told.append("fix: none is known")
    return [*told, *_harmless(found, verbose)]


def fix_toml(found: Diagnosis, variables: Variables) -> str:
    """The grants of the fix as a profile has them."""
    blocks = [grant_toml(grant, variables) for grant in found.fix.grants]
    return "\n".join([*blocks, *(network_toml(grant, variables) for grant in found.fix.network)])


def _doubt(finding: Finding) -> str:
    return "" if finding.certainty.value == "certain" else f" ({finding.certainty})"


def _ending(found: Diagnosis) -> list[str]:
    case = found.case
    if case.good is None:
        return [f"  ended: exit status {case.status}; no recorded run to compare with"]
    if case.status == case.expected:
        return [f"  ended: exit status {case.status} as recorded, but not everything was done"]
    return [f"  ended: exit status {case.status}; {case.expected} when it was recorded"]


def _no_cause(found: Diagnosis) -> list[str]:
    case = found.case
    if not case.failed:
        return [f"it works: exit status {case.status}" + (", as recorded" if case.good else "")]
    lost = f"; {case.lost} records were lost, and a refusal may be among them" if case.lost else ""
    return [
        f"no cause found: exit status {case.status}, and nothing was refused that could explain it{lost}",
        "  run it unconfined: if it fails there too, it is no matter of the sandbox",
    ]


def _harmless(found: Diagnosis, verbose: bool) -> list[str]:
    if not found.harmless:
        return []
    told = [f"harmless: {len(found.harmless)} more denials did no harm" + ("" if verbose else " (-v names them)")]
    return told + ([f"  {one.sentence}" for one in found.harmless] if verbose else [])


def document(found: Diagnosis, variables: Variables) -> dict[str, Any]:
    """The same with stable keys, for JSON."""
    case = found.case
    return {
        "command": to_text(case.command),
        "enforcer": case.enforcer.name,
        "status": case.status,
        "lost": case.lost,
        "expected": case.expected if case.good else None,
        "works": found.works,
        "cause": _finding(found.cause) if found.cause else None,
        "also": [_finding(one) for one in found.also],
        "harmless": [_finding(one) for one in found.harmless],
        "evidence": [
            {
                "program": to_text(seen.program),
                "call": seen.call,
                "operation": seen.operation.value,
                "path": to_text(seen.path),
                "errno": errno.errorcode.get(seen.errno, "") if seen.errno else "",
            }
            for seen in found.evidence
        ],
        "fix": {
            "grants": grants(found.fix.grants, variables),
            "network": [{"action": n.action.value, "endpoint": endpoint(n)} for n in found.fix.network],
            "remedies": list(remedies(found.fix)),
            "toml": fix_toml(found, variables),
        },
    }


def grants(some: Sequence[Grant], variables: Variables) -> list[dict[str, Any]]:
    """Grants as a document."""
    return [
        {"path": variables.contract(g.path), "scope": g.scope.value, "rights": list(right_names(g.rights))}
        for g in some
    ]


def _finding(one: Finding) -> dict[str, Any]:
    return {
        "rule": one.rule,
        "sentence": one.sentence,
        "certainty": one.certainty.value,
        "chain": [to_text(step) for step in one.chain],
    }
