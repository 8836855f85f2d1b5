"""All causes that can be told, in the order in which they are asked: the first that fits names a trouble."""

from learner.diagnosis import exec_rules, file_rules, run_rules
from learner.diagnosis.case import Case, Finding, Trouble

ABOUT_TROUBLES = (*exec_rules.RULES, *run_rules.NETWORK, *file_rules.FIRST, *file_rules.LAST)
ABOUT_RUNS = run_rules.ENDS
RULES = (*ABOUT_TROUBLES, *ABOUT_RUNS)


def explain(case: Case, trouble: Trouble) -> Finding | None:
    """What the first rule that knows ``trouble`` says of it."""
    for rule in ABOUT_TROUBLES:
        found = rule.explain(case, trouble)
        if found is not None:
            return found
    return None


def conclude(case: Case) -> tuple[Finding, ...]:
    """What is to be said of how the run ended, most telling first."""
    found = [rule.conclude(case) for rule in ABOUT_RUNS]
    return tuple(one for one in found if one is not None)
