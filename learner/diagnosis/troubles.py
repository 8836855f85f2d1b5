"""Which accesses of a confined run went otherwise than they would have without the sandbox. Pure, given a machine."""

import errno
import os
import stat
from collections.abc import Iterator

import msgspec

from learner.access import ELIBBAD, Access, Kind, Meaning
from learner.denials import ACCESS_MODES, as_done, missing, refused
from learner.diagnosis.case import Case, Role, Trouble
from learner.diagnosis.launching import steps
from learner.needs import CREATING, needs
from learner.policy import NO_RIGHT, Right
from learner.resolver import kind_of
from learner.volatile import is_volatile
from tracers.events import Operation

ASKING = frozenset({Operation.STAT, Operation.READLINK, Operation.CHDIR, Operation.GETXATTR, Operation.WATCH})
"""Operations that take no right: where names are not hidden, they work on everything."""
_NOTHING = (errno.ENOENT, errno.ENOTDIR)
_NO_SUCH_COMMAND = 127
_LIMITS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ELOOP})
_NESTED = frozenset({Operation.MOUNT, Operation.NAMESPACE, Operation.PTRACE, Operation.IO_URING, Operation.FOREIGN})
_LAUNCH_ERRNOS = frozenset({errno.ENOEXEC, errno.E2BIG, ELIBBAD, errno.ETXTBSY, errno.EINVAL, errno.ELOOP})
_CHANGING = CREATING | {Operation.WRITE, Operation.TRUNCATE}
_MADE = {
    Operation.CREATE: Kind.FILE,
    Operation.MKDIR: Kind.DIRECTORY,
    Operation.SYMLINK: Kind.SYMLINK,
    Operation.BIND: Kind.SOCKET,
}


class _Known:
    """What the recorded run says of an access: allowed, failed in the same way, or nothing."""

    def __init__(self, case: Case) -> None:
        accesses = case.good.accesses if case.good else ()
        self.any = case.good is not None
        self._done = {(a.operation, a.object) for a in accesses if a.meaning is Meaning.DONE}
        self._same = {(a.operation, a.object, a.outcome) for a in accesses if a.outcome}
        self._refused = {(a.operation, a.object) for a in accesses if refused(a)} - self._done
        self._within = {(operation, os.path.dirname(path)) for operation, path in self._done}
        self._same_within = {(o, os.path.dirname(p), c) for o, p, c in self._same if is_volatile(os.path.basename(p))}

    def allowed(self, operation: Operation, path: str) -> bool:
        if (operation, path) in self._done:
            return True
        return is_volatile(os.path.basename(path)) and (operation, os.path.dirname(path)) in self._within

    def failed_too(self, access: Access) -> bool:
        key = (access.operation, access.object)
        if is_volatile(os.path.basename(access.object)):
            return (access.operation, os.path.dirname(access.object), access.outcome) in self._same_within
        return (*key, access.outcome) in self._same or (refused(access) and key in self._refused)


def troubles(case: Case) -> tuple[Trouble, ...]:
    """In the order in which they were first seen."""
    known = _Known(case)
    moved = {a.peer: a.kind for a in case.accesses if a.operation is Operation.RENAME_FROM and a.peer}
    ran = {os.path.basename(a.object) for a in case.accesses if a.operation is Operation.EXEC and not a.outcome}
    found: list[Trouble] = [_elsewhere(case)] if _starts_elsewhere(case) else []
    for position, access in enumerate(case.accesses):
        settled = _settled(access, moved)
        if settled.operation is Operation.EXEC:
            one = _exec(case, known, settled, position, ran)
            found += [one] if one else []
        elif access.program not in case.outer and _label(case, access) not in case.own:
            found += _other(case, known, settled, position)
    found = _one_search(found)
    missed = (one for one in found if one.refused and one.recorded and one.access.operation not in ASKING)
    if case.failed and case.good is not None and not any(missed):
        found += _not_tried(case)
    return tuple(found)


def _starts_elsewhere(case: Case) -> bool:
    """Whether a sandbox that is not ours lacks the current directory; ours always show it."""
    return bool(case.cwd) and not case.policy.rights_on(case.cwd)


def _elsewhere(case: Case) -> Trouble:
    seen = Access(Operation.CHDIR, case.cwd, Kind.DIRECTORY, errno.ENOENT, 0, "chdir")
    return Trouble(seen, case.command, 0, case.cwd, case.cwd, Right.READ | Right.LIST, recorded=True)


def _one_search(found: list[Trouble]) -> list[Trouble]:
    """Of the attempts of one search along PATH only those that a grant would have ended, one for each file."""
    searches: dict[tuple[int, str], list[Trouble]] = {}
    for one in found:
        if one.access.operation is Operation.EXEC:
            searches.setdefault((one.access.program, os.path.basename(one.access.object)), []).append(one)
    dropped: set[int] = set()
    for attempts in searches.values():
        refusals = [one for one in attempts if one.refused]
        if refusals:
            dropped |= {id(one) for one in attempts if one is not refusals[0]}
    return [one for one in found if id(one) not in dropped]


def _not_tried(case: Case) -> Iterator[Trouble]:
    """Endpoints and names that the recorded run reached, and this one never asked for: it had no socket to ask with.

    And calls that a filter refused: that comes before any tracer is asked, so it is not seen.
    """
    assert case.good is not None
    reached = {(a.operation, a.object) for a in case.accesses}
    for access in case.good.accesses:
        if access.operation in _NESTED and case.enforcer.hides and access.meaning is Meaning.DONE:
            if (access.operation, access.object) not in reached:
                told = msgspec.structs.replace(access, program=0, outcome=errno.EPERM)
                yield Trouble(told, "the command", 0, access.object, access.object, recorded=True, exists=False)
            continue
        if access.endpoint is None and access.operation is not Operation.RESOLVE:
            continue
        if access.meaning is not Meaning.DONE or (access.operation, access.object) in reached:
            continue
        lacks = access.endpoint is not None and missing(access, case.policy, case.enforcer) is not None
        if lacks or access.operation is Operation.RESOLVE:
            told = msgspec.structs.replace(access, program=0, outcome=errno.EACCES)
            path = access.object
            yield Trouble(told, "the command", len(case.accesses), path, path, recorded=True, network=lacks)


def _settled(access: Access, moved: dict[str, Kind]) -> Access:
    """An access that would have made something, with the kind of what it would have made."""
    if access.kind is not Kind.ABSENT:
        return access
    kind = moved.get(access.object) if access.operation is Operation.RENAME_TO else _MADE.get(access.operation)
    return msgspec.structs.replace(access, kind=kind) if kind else access


def _label(case: Case, access: Access) -> str:
    return case.programs[access.program] if access.program < len(case.programs) else "?"


# --- programs that could not be started


def _exec(case: Case, known: _Known, access: Access, position: int, ran: set[str]) -> Trouble | None:
    if access.outcome == 0 or access.kind is Kind.OPAQUE or not access.object.startswith("/"):
        return None
    if known.failed_too(access) or (
        access.outcome in _NOTHING and os.path.basename(access.object) in ran and not case.machine.mode(access.object)
    ):
        return None  # a step of a search along PATH
    asked_for = os.path.basename(access.object) == case.command
    if access.program in case.outer and not asked_for and not case.machine.mode(access.object):
        return None  # the sandbox looks for something of its own
    label = _label(case, access)
    way = steps(case.machine, access.object)
    recorded = known.allowed(Operation.EXEC, way[0].path) or known.allowed(Operation.EXEC, access.object)
    last = way[-1]
    if access.outcome not in _LAUNCH_ERRNOS:
        for step in way:
            if not step.there:
                break
            lacking = case.enforcer.mediates(Right.EXEC & ~case.policy.rights_on(step.path))
            if lacking:
                links = _walked(case, access) if step is way[0] else step.links
                return Trouble(access, label, position, step.path, step.path, lacking, step.role, links, recorded)
        else:
            chains = [_walked(case, access), *(step.links for step in way[1:])]
            linked = _hidden_link(case, tuple(link for chain in chains for link in chain))
            if linked and access.outcome in _NOTHING:
                links = next(chain for chain in chains if linked in dict(chain))
                return Trouble(access, label, position, linked, linked, Right.EXEC, Role.LINK, links, recorded)
    links = _walked(case, access) if last is way[0] else last.links
    return Trouble(access, label, position, last.path, last.path, NO_RIGHT, last.role, links, recorded, last.there)


def _hidden_link(case: Case, links: tuple[tuple[str, str], ...]) -> str:
    """The first symlink that nothing granted shows, "" if there is none: what hides, hides links, too."""
    if not case.enforcer.hides:
        return ""
    return next((link for link, _ in links if not case.policy.rights_on(link)), "")


# --- everything else


def _other(case: Case, known: _Known, access: Access, position: int) -> Iterator[Trouble]:
    label, path = _label(case, access), access.object
    if access.endpoint is not None or (access.operation in (Operation.RESOLVE, Operation.SEND) and path[:1] != "/"):
        yield from _socket(case, known, access, position, label)
        return
    if access.operation in _NESTED:
        if access.outcome and not known.failed_too(access):
            recorded = known.allowed(access.operation, path)
            yield Trouble(access, label, position, path, path, recorded=recorded, exists=False)
        return
    if access.kind is Kind.OPAQUE or not path.startswith("/") or known.failed_too(access):
        return
    if access.outcome == 0:
        if case.enforcer.hides and access.operation in _CHANGING:
            yield from _swallowed(case, known, access, position, label)
        return
    if access.outcome in _LIMITS:
        yield Trouble(access, label, position, path, path, exists=False)
        return
    hidden = access.outcome in _NOTHING
    if not hidden and not refused(access):
        return
    real = case.machine.real(path)
    mode = case.machine.mode(real)
    made = access.operation in CREATING
    links = _walked(case, access)
    recorded = known.allowed(access.operation, real) or known.allowed(access.operation, path)
    if hidden and not mode and not (made and case.enforcer.hides and _is_directory(case, os.path.dirname(real))):
        if recorded and not made:  # it was there once
            yield Trouble(access, label, position, real, real, links=links, recorded=True, exists=False)
        return
    if hidden and not case.enforcer.hides:
        return  # it came to be since then
    kind = kind_of(mode) if mode else access.kind
    there = msgspec.structs.replace(access, object=real, kind=kind, outcome=0)
    yield from _path(case, access, there, position, label, links, recorded)


def _walked(case: Case, access: Access) -> tuple[tuple[str, str], ...]:
    """The symlinks from the name that was asked for to the object: those that the trace saw, and the rest."""
    seen = {link: dict(case.machine.links(link)).get(link, "") for link in access.links}
    return tuple((seen | dict(case.machine.links(access.object))).items())


def _is_directory(case: Case, path: str) -> bool:
    return stat.S_ISDIR(case.machine.mode(path))


def _path(
    case: Case,
    access: Access,
    there: Access,
    position: int,
    label: str,
    links: tuple[tuple[str, str], ...],
    recorded: bool,
) -> Iterator[Trouble]:
    """A path that was refused or hidden; ``there``: the access as it would have been without a sandbox."""
    for need in needs(there):
        if not case.machine.permits(need.path, _access_mode(need.right)):
            continue
        lacking = case.enforcer.mediates(need.right & ~case.policy.rights_on(need.path))
        if lacking:
            yield Trouble(access, label, position, there.object, need.path, lacking, Role.ITSELF, links, recorded)
            return
    link = _hidden_link(case, links) if access.outcome in _NOTHING else ""
    if link and case.policy.rights_on(there.object):
        right = next((need.right for need in needs(there)), Right.READ)
        yield Trouble(access, label, position, link, link, right, Role.LINK, links, recorded)
        return
    if there.operation in ASKING:
        right = Right.LIST if there.kind is Kind.DIRECTORY else Right.READ
        if access.outcome in _NOTHING and not case.policy.rights_on(there.object):
            subject = there.object
            if _was_to_run(case, subject):
                run = msgspec.structs.replace(access, operation=Operation.EXEC)
                yield Trouble(run, label, position, subject, subject, Right.EXEC, Role.ITSELF, links, recorded)
                return
            yield Trouble(access, label, position, subject, subject, right, Role.ITSELF, links, recorded)
            return
        if access.outcome in _NOTHING:
            return
    exists = bool(case.machine.mode(there.object))
    yield Trouble(access, label, position, there.object, there.object, NO_RIGHT, Role.ITSELF, links, recorded, exists)


def _was_to_run(case: Case, path: str) -> bool:
    """Whether a program was looked for: shells ask where it is first, and end with 127 if it is nowhere (sh(1))."""
    mode = case.machine.mode(path)
    return case.status == _NO_SUCH_COMMAND and stat.S_ISREG(mode) and bool(mode & 0o111)


def _access_mode(right: Right) -> int:
    mode = 0
    for each in right:
        mode |= ACCESS_MODES.get(each, os.W_OK | os.X_OK)
    return mode


def _swallowed(case: Case, known: _Known, access: Access, position: int, label: str) -> Iterator[Trouble]:
    """Something was written that nobody outside will see: what is not granted is a place of the sandbox's own."""
    if access.object.startswith(("/proc/", "/dev/")):
        return
    for need in needs(access):
        lacking = need.right & ~case.policy.rights_on(need.path)
        given = any(grant.ensure and grant.covers(need.path) for grant in case.policy.grants)
        if lacking and not given and not case.machine.mode(access.object):
            recorded = known.allowed(access.operation, access.object)
            yield Trouble(access, label, position, access.object, need.path, lacking, recorded=recorded, exists=False)
            return


def _socket(case: Case, known: _Known, access: Access, position: int, label: str) -> Iterator[Trouble]:
    if access.outcome == 0 or known.failed_too(access):
        return
    recorded = known.allowed(access.operation, access.object)
    lacks = access.endpoint is not None and missing(as_done(access), case.policy, case.enforcer) is not None
    if lacks or recorded:
        yield Trouble(access, label, position, access.object, access.object, recorded=recorded, network=lacks)
