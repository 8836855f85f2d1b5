"""The processes that a command leaves behind, and how a trace ends them."""

import contextlib
import os
import signal
import threading
from types import TracebackType

from tracers.programs import ProgramTable
from tracers.tracee import Task

WALL = 0x40000000  # __WALL, waitpid(2): threads too
LINGER_SECONDS = 2.0
"""How long the descendants of a command may outlive it before the trace ends them."""

_KILL_PAUSE_SECONDS = 0.05


class Descendants:
    """Watches, in a thread of its own while active, over the tasks of one trace once its command has ended.

    ``tasks`` is the tracer's own table. ``lingering``: the labels of the programs that had to be ended.
    """

    def __init__(self, tasks: dict[int, Task], programs: ProgramTable) -> None:
        self._tasks = tasks
        self._programs = programs
        self._main_gone, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="linger", daemon=True)
        self.lingering: tuple[str, ...] = ()

    def __enter__(self) -> "Descendants":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._main_gone.set()
        self._thread.join()

    def main_gone(self) -> None:
        """The command has ended: what it left behind has :data:`LINGER_SECONDS` to end as well."""
        self._main_gone.set()

    def abandon(self) -> None:
        """End the command and everything that it started, also what was born just now."""
        self._kill_all()
        with contextlib.suppress(ChildProcessError):
            while True:
                tid, status = os.waitpid(-1, WALL)
                if os.WIFSTOPPED(status):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(tid, signal.SIGKILL)

    def _watch(self) -> None:
        self._main_gone.wait()
        pause = LINGER_SECONDS
        while not self._over.wait(pause):
            if not self.lingering:
                tasks = list(self._tasks.values())
                self.lingering = tuple(sorted({self._programs[task.program].label for task in tasks}))
            self._kill_all()
            pause = _KILL_PAUSE_SECONDS  # again: one of them may have forked meanwhile

    def _kill_all(self) -> None:
        for pid in {task.pid for task in list(self._tasks.values())}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
