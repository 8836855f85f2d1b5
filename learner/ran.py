"""The programs that a trace shows: which were started, and by which. Pure."""

import os
from collections import defaultdict
from collections.abc import Mapping

from learner.access import Meaning
from learner.agent import Ran
from learner.folding import Folding
from learner.interpreters import Via
from learner.places import Place, ancestors
from learner.trace import Trace
from tracers.events import Operation
from tracers.programs import LAUNCHER

_MOST_LINKS = 40  # path_resolution(7)


def programs(trace: Trace) -> tuple[Ran, ...]:
    """The programs that were started in a trace, their ``#!`` interpreters among them, sorted by path."""
    starters: dict[tuple[str, str], set[str]] = defaultdict(set)
    folding, places = Folding(trace.header.variables.places), trace.header.variables.places

    def lasting(path: str) -> str:
        """The path; where only this run knows its name, the folded one."""
        own = places.locate(path)[0] in (Place.TEMPORARY, Place.HOME, Place.CACHE, Place.OTHER)
        return folding.path(path) if own else path

    for program in trace.programs:
        path = program.name if program.name.startswith("/") else program.exe
        if program.parent >= 0 and path.startswith("/"):
            path = lasting(_placed(path, trace.links))
            starters[path, program.label].add(trace.programs[program.parent].label)
    started = frozenset(starters)
    for script, path in _interpreted(trace):
        kept = lasting(path)
        starters[kept, kept.rpartition("/")[2]].add(script.rpartition("/")[2])
    return tuple(
        Ran(label, path, tuple(sorted(by - {LAUNCHER})), interpreter=(path, label) not in started)
        for (path, label), by in sorted(starters.items())
    )


def _placed(path: str, links: Mapping[str, str]) -> str:
    """``path`` with the links on the way to it resolved, so that /bin/sh is /usr/bin/sh where /bin is a link.

    Its own name stays: it may be what the program goes by (busybox).
    """
    for _ in range(_MOST_LINKS):
        link = next((above for above in reversed(ancestors(path)) if above in links), None)
        if link is None:
            break
        target = os.path.join(os.path.dirname(link), links[link])
        path = os.path.normpath(target) + path[len(link) :]
    return path


def shebangs(trace: Trace) -> frozenset[str]:
    """The ``#!`` interpreters that were started, links resolved."""
    return frozenset(path for _, path in _interpreted(trace))


def _interpreted(trace: Trace) -> list[tuple[str, str]]:
    """(script, interpreter) of each script that the kernel started an interpreter for."""
    found = []
    for access in trace.accesses:
        if access.operation is Operation.EXEC and access.meaning is Meaning.DONE and " " in access.call:
            script = access.call.removeprefix("interpreter of ")
            if any(interpreter.via is Via.SHEBANG for interpreter in trace.interpreted.get(script, ())):
                found.append((script, access.object))
    return found
