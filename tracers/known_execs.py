"""Execs that took place before. Most are repeated: an agent's shell runs the same few programs over and over.

As long as the file is the one that it was, equal calls of one program end alike and make the same program again.
"""

import os
from typing import NamedTuple

from tracers.caller import Version, version
from tracers.entry import Entry, first_word
from tracers.report import Report
from tracers.tracee import Task, read_string

_MOST = 1000
_OWN = (b"/proc/", b"/dev/")
"""Where a path may lead elsewhere from each process."""


class KnownExec(NamedTuple):
    """An exec that succeeded; ``program``: what runs since, by its index."""

    entry: Entry
    file: Version
    program: int


class KnownExecs:
    """Those of one trace."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._age = 0
        self._known: dict[tuple[int, bytes], KnownExec] = {}

    def find(self, task: Task, args: tuple[int, ...]) -> KnownExec | None:
        """The one that an execve(2) with these arguments repeats."""
        if self._age != self._report.age:
            self._known.clear()  # an equal path may lead elsewhere
        path = read_string(task, args[0]) if self._known and not task.root else None
        if not isinstance(path, bytes):
            return None
        known = self._known.get((task.program, path))
        if known is None or first_word(task, args[1]) != known.entry.word:
            return None
        try:
            return known if version(os.stat(path)) == known.file else None
        except OSError:
            return None

    def learn(self, task: Task, known: KnownExec) -> None:
        """An execve(2) of ``task`` succeeded. Only those that lead to the same file from everywhere are remembered."""
        path = known.entry.text[0]
        if task.root or known.entry.plan.abi or known.entry.plan.name != "execve" or not isinstance(path, bytes):
            return
        if path[:1] != b"/" or path.startswith(_OWN):
            return
        if self._age != self._report.age or len(self._known) >= _MOST:
            self._known.clear()
        self._age = self._report.age
        self._known[task.program, path] = known
