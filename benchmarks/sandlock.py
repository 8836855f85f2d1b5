"""sandlock: what `sandlock learn --collapse 4` would have granted."""

import os
import re
from collections import Counter

from confined import ALL, SEEN, listed_directories, outermost, policy

from learner.access import Access, Kind
from learner.needs import created
from learner.places import ancestors
from learner.policy import Grant, Policy, Scope
from learner.trace import Trace
from tracers.events import Operation

COLLAPSE = 4
"""What ``--collapse`` means without a number."""
_PROTECTED = re.compile(r"/|/root|.*/\.(?:ssh|aws|kube|gnupg)", re.DOTALL)
_GUARDED = frozenset({"/etc", "/proc", "/sys", "/dev", "/boot", "/run/secrets"})
_UNSTABLE = re.compile(r"/proc/[0-9].*|/dev/pts(?:/.*)?|/dev/tty", re.DOTALL)
_OPENS = frozenset({"open", "openat", "openat2", "creat"})
_IN_PARENT = frozenset(
    {
        *(Operation.MKDIR, Operation.MKNOD, Operation.REMOVE, Operation.RMDIR, Operation.SYMLINK, Operation.BIND),
        *(Operation.RENAME_FROM, Operation.RENAME_TO, Operation.LINK_TO),
    }
)
_CHANGED = frozenset({Operation.WRITE, Operation.CREATE, Operation.TRUNCATE})


def sandlock(trace: Trace) -> Policy:
    """``sandlock learn --collapse 4``: attempts, whether or not they succeeded, as long as the object exists.

    Each run is undone afterwards (copy on write), so "exists" is before the run. Reads: what was opened, directories
    too, what was executed and its interpreters. Writes: what was opened for writing, and the parent directory of all
    that was made, renamed or removed, or was tried to be; something that does not exist is replaced by its nearest
    ancestor that does, unless that is protected. Dropped: /proc/PID, terminals, and the root directory.

    Collapsed once, not again and again: four or more listed paths in one directory become the directory, except for
    protected and guarded ones; then what lies beneath another of the list goes. Landlock grants are of whole trees, so
    a directory that was only listed is granted with all that is in it. Nothing is granted besides.
    """
    home = trace.header.home
    made = created(trace.accesses)
    there = {a.object for a in trace.accesses if a.kind is not Kind.ABSENT} - made
    absent = (made | {a.object for a in trace.accesses if a.kind is Kind.ABSENT}) - there
    wanted = set()
    for a in (a for a in trace.accesses if a.object.startswith("/")):
        if a.operation in _CHANGED and (a.call in _OPENS or a.operation is Operation.TRUNCATE):
            wanted.add(a.object)
        elif a.operation in _IN_PARENT:
            wanted.add(os.path.dirname(a.object))
    writes = {_sandlock_existing(path, absent, home) for path in wanted if not _UNSTABLE.fullmatch(path)} - {""}
    reads = {a.object for a in trace.accesses if _sandlock_reads(a)} - wanted
    reads = {path for path in reads if path not in absent and not _UNSTABLE.fullmatch(path)} - {"/"}
    directories = listed_directories(trace)
    grants = []
    for paths, rights in ((reads, SEEN), (writes, ALL)):
        for path in outermost(_sandlock_collapse(paths, home)):
            grants.append(Grant(path, Scope.TREE if path in directories else Scope.FILE, rights, ()))
    return policy(grants)


def _sandlock_reads(access: Access) -> bool:
    opened = access.operation in (Operation.READ, Operation.LIST) and access.call in _OPENS
    return access.object.startswith("/") and (opened or access.operation in (Operation.EXEC, Operation.LINK_FROM))


def _sandlock_existing(path: str, absent: frozenset[str] | set[str], home: str) -> str:
    if path not in absent:
        return "" if path == "/" else path
    nearest = next(above for above in ancestors(path) if above not in absent)
    return "" if _PROTECTED.fullmatch(nearest) else nearest


def _sandlock_collapse(paths: set[str], home: str) -> set[str]:
    members = Counter(os.path.dirname(path) for path in paths)
    found = set()
    for path in paths:
        parent = os.path.dirname(path)
        ordinary = not _PROTECTED.fullmatch(parent) and parent not in _GUARDED and parent != home
        found.add(parent if members[parent] >= COLLAPSE and ordinary else path)
    return found
