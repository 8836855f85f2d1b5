"""Which program runs where: processes folded by how they came to run what.

Five hundred children of one shell that all run ``/bin/true`` are one program, so that a trace stays as
small as what happened in it, and two traces of the same work are equal although their pids differ.
"""

import msgspec

LAUNCHER = "sbx"
"""Name of the program that is there before the command: sbx itself, about to exec it."""
MAX_DEPTH = 64
"""Longest exec chain kept; deeper ones (programs that exec each other for ever) fold onto their ancestor."""


class Program(msgspec.Struct, frozen=True):
    """``name``: the path that was exec'd; ``exe``: the kernel's ``/proc/PID/exe`` (the interpreter, for a script).

    ``parent`` is the index of the program that spawned it, -1 for the first one.
    """

    name: str
    exe: str
    parent: int

    @property
    def label(self) -> str:
        """Short name for people: the last component of what was exec'd."""
        return self.name.rsplit("/", 1)[-1] or self.name


class ProgramTable:
    """Interns programs; index 0 is the first one exec'd (or what failed to)."""

    def __init__(self) -> None:
        self._programs: list[Program] = []
        self._index: dict[Program, int] = {}
        self._depth: list[int] = []

    def __len__(self) -> int:
        return len(self._programs)

    def __getitem__(self, index: int) -> Program:
        return self._programs[index]

    def all(self) -> tuple[Program, ...]:
        """Every program in the order of first sight."""
        return tuple(self._programs)

    def exec(self, parent: int, name: str, exe: str) -> int:
        """Index of the program that ``parent`` becomes or spawns by running ``name``."""
        if parent >= 0:
            before = self._programs[parent]
            if (before.name, before.exe) == (name, exe):
                return parent
            if self._depth[parent] >= MAX_DEPTH:
                ancestor = parent
                while ancestor >= 0:
                    known = self._programs[ancestor]
                    if (known.name, known.exe) == (name, exe):
                        return ancestor
                    ancestor = known.parent
        program = Program(name, exe, parent)
        index = self._index.get(program)
        if index is None:
            index = self._index[program] = len(self._programs)
            self._programs.append(program)
            self._depth.append(self._depth[parent] + 1 if parent >= 0 else 0)
        return index
