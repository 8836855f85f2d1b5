"""What the recorded run changed and this one did not. Pure."""

import re

from learner.access import Access
from learner.diagnosis.case import Case
from learner.needs import CREATING
from learner.places import is_within
from learner.volatile import lasting_part
from tracers.events import Operation

_CHANGES = CREATING | {Operation.WRITE, Operation.TRUNCATE}
_ASIDE = re.compile(r"/(?:dev|proc|sys)/|/__pycache__/|/[.]cache/")


def undone(case: Case) -> tuple[str, ...]:
    """The objects that the recorded run made or wrote, and this one did not even try to, sorted.

    Names that are other ones in each run are left out. What is done once (a directory that is there by now) may be
    among them, so this tells that something *may* be missing.
    """
    if case.good is None:
        return ()
    tried = {access.object for access in case.accesses if access.operation in _CHANGES}
    header = case.good.header
    return tuple(sorted(_changed(case.good.accesses, (header.project, header.home)) - tried))


def _changed(accesses: tuple[Access, ...], own: tuple[str, ...]) -> set[str]:
    return {
        access.object
        for access in accesses
        if access.operation in _CHANGES
        and not access.outcome
        and access.object.startswith("/")
        and not _ASIDE.search(access.object + "/")
        and _lasts(access.object, own)
    }


def _lasts(path: str, own: tuple[str, ...]) -> bool:
    """Whether another run would make the same name; the project's and the home directory's own names do not count."""
    rest = next((path[len(top) :] for top in own if is_within(path, top)), path)
    return lasting_part(rest) == rest
