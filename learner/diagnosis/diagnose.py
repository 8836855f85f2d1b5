"""From a failed run to its root cause: every trouble is named, ranked, and set apart if it did no harm."""

from learner.diagnosis.case import Case, Certainty, Diagnosis, Evidence, Finding, Fix, Role, Severity, Trouble
from learner.diagnosis.effects import undone
from learner.diagnosis.fixes import mend, shown_by
from learner.diagnosis.rules import conclude, explain
from learner.diagnosis.troubles import ASKING, troubles
from learner.places import Map, Place, is_within
from learner.policy import CHANGES
from tracers.events import Operation

SHOWN_EVIDENCE = 5
_THE_USERS = frozenset({Place.PROJECT, Place.TEMPORARY, Place.HOME, Place.FOREIGN, Place.OTHER})


def diagnose(case: Case, places: Map, allowed: frozenset[str] = frozenset()) -> Diagnosis:
    """The diagnosis of a run. ``allowed``: sensitive objects that the user wants granted."""
    found: list[Finding] = []
    for trouble in troubles(case):
        named = explain(case, trouble)
        if named is not None:
            found.append(named)
    ends = conclude(case)
    harmful, harmless = _apart(case, found, places)
    causes = [one for one in harmful if one.severity is not Severity.QUIET]
    if case.failed:
        causes = causes or list(ends) or harmful or _unrecorded(harmless)
        harmless = [one for one in harmless if one not in causes]
    elif not undone(case):
        causes = [one for one in causes if _matters(one, places)]
        harmless += [one for one in harmful if one not in causes]
    if not causes:
        return Diagnosis(case, None, (), tuple(_once([*harmful, *harmless])), (), Fix())
    root, also = causes[0], _once(causes[1:])
    wanted = tuple(one.trouble for one in [root, *also] if one.trouble is not None and one.trouble.refused)
    fix = mend(case, wanted, places, allowed) if wanted else Fix()
    if root.remedy:
        fix = fix._replace(words=(root.remedy, *fix.words))
    return Diagnosis(case, root, tuple(also), tuple(_once(harmless)), _evidence([root, *also]), fix)


def _apart(case: Case, found: list[Finding], places: Map) -> tuple[list[Finding], list[Finding]]:
    """Causes, the most likely first, and what did no harm."""
    if case.good is not None:
        harmful = [one for one in found if one.trouble and (_lost(case, one.trouble, places) or _ends_it(case, one))]
        meant = [one for one in harmful if _meant(case, one)]
        harmful = meant if meant or not case.failed else harmful
        harmful.sort(
            key=lambda one: (
                one.severity,
                not (one.trouble and one.trouble.recorded),
                not _matters(one, places),
                _at(one),
            )
        )
    elif case.failed:
        # Nothing to compare with. A program that cannot be started says so at once; else the last refusal counts.
        harmful = [one for one in found if one.severity is not Severity.QUIET]
        harmful.sort(key=lambda one: (one.severity, _at(one) if one.severity is Severity.FATAL else -_at(one)))
    else:
        harmful = [one for one in found if one.rule == "swallowed"]
    return harmful, [one for one in found if one not in harmful]


def _unrecorded(harmless: list[Finding]) -> list[Finding]:
    """What the recorded run never tried, and this one was refused before it failed: the last such thing."""
    tried = [
        one
        for one in harmless
        if one.trouble
        and one.trouble.refused
        and one.severity is not Severity.QUIET
        and one.trouble.access.operation not in ASKING
    ]
    last = max(tried, key=_at, default=None)
    return [last._replace(certainty=Certainty.LIKELY)] if last else []


def _lost(case: Case, trouble: Trouble, places: Map) -> bool:
    """Whether the recorded run was allowed it. That something cannot be seen matters only if it was granted once.

    Of links that what hides names does not show those to installed data are left out: every profile has some.
    """
    if not trouble.recorded:
        return False
    if trouble.role is Role.LINK and trouble.access.operation is not Operation.EXEC:
        return _is_users(trouble.subject, places)
    return trouble.access.operation not in ASKING or bool(shown_by(case, trouble))


def _meant(case: Case, finding: Finding) -> bool:
    """Whether the policy that follows from the recording admits it, so that it is missed; the rest is left out of every
    profile on purpose: what is sensitive, the directories above the project.
    """
    trouble = finding.trouble
    if case.wanted is None or trouble is None or trouble.role is Role.LINK or not trouble.lacking:
        return True
    return bool(trouble.lacking & case.wanted.policy.rights_on(trouble.anchor)) or bool(shown_by(case, trouble))


def _ends_it(case: Case, finding: Finding) -> bool:
    """Whether something that the recorded run never did is what ended this one."""
    trouble = finding.trouble
    assert trouble is not None
    if not case.failed or finding.severity is Severity.QUIET:
        return False
    if case.launch_errno and trouble.access.operation == "exec" and trouble.position == 0:
        return True
    last = len(case.accesses) - 1 - trouble.position
    return last <= 3 and finding.severity is Severity.FATAL


def _matters(finding: Finding, places: Map) -> bool:
    """Whether a thing that went wrong matters although the run ended, and changed things, as it should.

    What is installed or the machine's is the same for everybody, so programs get over it. Not so what is the user's:
    a config that cannot be seen is a default that nobody chose.
    """
    trouble = finding.trouble
    if trouble is None or trouble.network:
        return True
    if trouble.lacking & CHANGES:
        return not any(is_within(trouble.subject, top) for top in ("/dev", "/proc", "/sys"))
    return _is_users(trouble.subject, places)


def _is_users(path: str, places: Map) -> bool:
    return places.locate(path)[0] in _THE_USERS and not is_within(path, "/etc")


def _at(finding: Finding) -> int:
    return finding.trouble.position if finding.trouble else 1 << 30


def _once(findings: list[Finding]) -> list[Finding]:
    """Without repetitions: one for each rule, program and object."""
    found: dict[tuple[str, str, str], Finding] = {}
    for one in findings:
        trouble = one.trouble
        key = (one.rule, trouble.program, trouble.subject) if trouble else (one.rule, "", "")
        found.setdefault(key, one)
    return list(found.values())


def _evidence(findings: list[Finding]) -> tuple[Evidence, ...]:
    made = [_observed(one.trouble) for one in findings if one.trouble is not None]
    return tuple(dict.fromkeys(made))[:SHOWN_EVIDENCE]


def _observed(trouble: Trouble) -> Evidence:
    access = trouble.access
    return Evidence(trouble.program, access.call, access.operation, access.object, access.outcome)
