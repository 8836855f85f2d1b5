"""A trace of another project, account or machine as if it had been made here: its paths, with our variables' values.

So that the traces of a fleet can be learned from together.
"""

from collections.abc import Callable

import msgspec

from learner.census import Beside
from learner.interpreters import Interpreter
from learner.trace import Trace, sort_key, with_paths
from learner.variables import Variables
from tracers.programs import Program


def rebase(trace: Trace, to: Variables) -> Trace:
    """``trace`` with each path that begins with one of its variables moved to what that variable is in ``to``.

    A path whose variable has no value in ``to`` stays as it is.
    """
    own = trace.header.variables
    if own == to:
        return trace
    move = _mover(own, to)
    header = msgspec.structs.replace(
        trace.header,
        cwd=move(trace.header.cwd),
        project=to.project,
        home=to.home,
        temporary=to.temporary,
        prefix=to.prefix,
        xdg=to.xdg,
        uid=to.uid,
        changing=tuple(sorted(move(name) for name in trace.header.changing)),
        masked=tuple(sorted((move(path), reason) for path, reason in trace.header.masked)),
    )
    beside: dict[str, Beside] = {}
    for path, seen in trace.beside.items():
        there = move(path)
        beside[there] = seen.joined(beside.get(there, seen))
    return Trace(
        header,
        tuple(Program(move(p.name), move(p.exe), p.parent) for p in trace.programs),
        tuple(sorted({with_paths(access, move) for access in trace.accesses}, key=sort_key)),
        {move(path): move(target) for path, target in trace.links.items()},
        {move(path): tuple(Interpreter(i.via, move(i.path)) for i in by) for path, by in trace.interpreted.items()},
        trace.end,
        trace.skipped,
        beside,
        {move(path): tuple(move(d) for d in directories) for path, directories in trace.helpers.items()},
        trace.subcommands,
    )


def _mover(own: Variables, to: Variables) -> Callable[[str], str]:
    moved: dict[str, str] = {}

    def move(path: str) -> str:
        if not path.startswith("/"):
            return path
        if path not in moved:
            try:
                moved[path] = to.expand_any(own.contract(path))
            except ValueError:
                moved[path] = path
        return moved[path]

    return move
