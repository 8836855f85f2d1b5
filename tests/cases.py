"""Failed runs made by hand: a machine of a few files, an enforcer that refuses or hides all that is not granted."""

import stat
from typing import NamedTuple

from accesses import HEADER, PROGRAMS, access
from accesses import trace as trace_of

from learner.access import Access
from learner.diagnosis.case import Case
from learner.diagnosis.machine import Mount
from learner.enforcers.enforcer import Confinement
from learner.interpreters import Interpreter
from learner.policy import Policy, Right
from learner.trace import Trace

FILE, PROGRAM, DIRECTORY = stat.S_IFREG | 0o644, stat.S_IFREG | 0o755, stat.S_IFDIR | 0o755
SETUID = stat.S_IFREG | 0o4755


class FakeMachine:
    """``modes``: what is there; ``to``: symlinks; ``names``: interpreters; ``denied``: by permissions."""

    name = "x86_64"

    def __init__(
        self,
        modes: dict[str, int] | None = None,
        to: dict[str, str] | None = None,
        names: dict[str, tuple[Interpreter, ...]] | None = None,
        heads: dict[str, bytes] | None = None,
        denied: tuple[str, ...] = (),
        mounted: Mount | None = None,
    ) -> None:
        self._modes, self._to, self._names = modes or {}, to or {}, names or {}
        self._heads, self._denied, self._mount = heads or {}, denied, mounted or Mount("/", "ext4")

    def mode(self, path: str) -> int:
        return stat.S_IFLNK | 0o777 if path in self._to else self._modes.get(path, 0)

    def real(self, path: str) -> str:
        for _ in range(10):
            path = self._to.get(path, path)
        return path

    def links(self, path: str) -> tuple[tuple[str, str], ...]:
        found = []
        while path in self._to and len(found) < 10:
            found.append((path, self._to[path]))
            path = self._to[path]
        return tuple(found)

    def permits(self, path: str, mode: int) -> bool:
        return path not in self._denied

    def head(self, path: str) -> bytes:
        return self._heads.get(path, b"")

    def interpreters(self, path: str) -> tuple[Interpreter, ...]:
        return self._names.get(path, ())

    def mount(self, path: str) -> Mount:
        return self._mount


class FakeEnforcer(NamedTuple):
    """Holds everything."""

    name: str = "fake"
    hides: bool = False

    def prepare(self, policy: Policy) -> Confinement:
        raise NotImplementedError

    def mediates(self, rights: Right) -> Right:
        return rights

    def gates(self, access: Access) -> bool:
        return True


def good(*accesses: Access) -> Trace:
    """A recorded run that was allowed all that it did."""
    return trace_of(*accesses)


def case(
    *accesses: Access,
    machine: FakeMachine | None = None,
    policy: Policy | None = None,
    hides: bool = False,
    status: int = 1,
    recorded: Trace | None = None,
    launch_errno: int = 0,
    unset: tuple[str, ...] = (),
    waiting: str = "",
    own: frozenset[str] = frozenset(),
) -> Case:
    """A run that ended with ``status``."""
    return Case(
        command="vibe",
        policy=policy or Policy(),
        enforcer=FakeEnforcer(hides=hides),
        machine=machine or FakeMachine(),
        programs=tuple(program.label for program in PROGRAMS),
        accesses=accesses,
        status=status,
        launch_errno=launch_errno,
        good=recorded,
        unset=unset,
        waiting=waiting,
        own=own,
        cwd=HEADER.cwd if own else "",
        lineage=tuple(program.parent for program in PROGRAMS),
    )


__all__ = ["DIRECTORY", "FILE", "HEADER", "PROGRAM", "SETUID", "FakeEnforcer", "FakeMachine", "access", "case", "good"]
