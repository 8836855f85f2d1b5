"""Reports of the macOS sandbox as events: which program asked for what, and what came of it."""

import errno

from tracers.events import Event
from tracers.programs import LAUNCHER, ProgramTable
from tracers.seatbelt_calls import understand
from tracers.seatbelt_log import Report

_NAME = 16
"""The shortest length at which the kernel cuts the name of a process (MAXCOMLEN, bsd/sys/param.h)."""
_STARTER = "sandbox-exec"
"""Until it becomes the command, it is us."""
_EXECS = ("process-exec*", "process-exec")


class Translator:
    """``outcome_of_denials``: EPERM, or 0 where what another sandbox denied is to be learned as if it had worked.

    A process is known by its number until another name turns up under it: then it has exec'd.
    """

    def __init__(self, programs: ProgramTable, outcome_of_denials: int = errno.EPERM) -> None:
        self.strange = 0
        """Reports that make no sense as what they say they are."""
        self._programs = programs
        self._launcher = programs.exec(-1, LAUNCHER, "")
        self._denied = outcome_of_denials
        self._running: dict[int, tuple[str, int]] = {}
        self._about_to_run: dict[int, str] = {}

    def event(self, report: Report) -> Event | None:
        """The event of a report, None if it is strange."""
        found = understand(report.operation, report.target)
        if found is None:
            self.strange += 1
            return None
        operation, target = found
        program = self._program(report)
        outcome = self._denied if report.denied else 0
        return Event(program, report.pid, report.operation, operation, target, outcome)

    def _program(self, report: Report) -> int:
        known = self._running.get(report.pid)
        if known is not None and known[0] == report.process:
            program = known[1]
        else:
            path = self._about_to_run.pop(report.pid, "")
            fits = path.rpartition("/")[2][:_NAME] == report.process[:_NAME]
            parent = self._launcher if known is None else known[1]
            if report.process == _STARTER:
                program = self._launcher
            else:
                program = self._programs.exec(parent, path if fits and path else report.process, path)
            self._running[report.pid] = (report.process, program)
        if report.operation in _EXECS and not report.denied:
            self._about_to_run[report.pid] = report.target
        return program
