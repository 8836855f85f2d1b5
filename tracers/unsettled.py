"""Calls that were let go on and whose effect has not shown yet.

A call that changes something is told of once its effect can be seen, so that it is resolved when a tracer that sees
results would resolve it: afterwards. If its thread makes another call before, it must have failed.
"""

import os
from collections.abc import Callable

from tracers.caller import Caller, Verdict, Version
from tracers.deduced_views import stands
from tracers.entry import Entry
from tracers.images import Images, image_of
from tracers.known_execs import KnownExec, KnownExecs
from tracers.programs import ProgramTable
from tracers.report import Report, root_of
from tracers.tracee import NO_IMAGE, Image, Task, executable

_MOVES = frozenset({"chdir", "fchdir", "chroot", "pivot_root", "setns", "unshare"})
_SOON_MS, _LATER_MS = 2.0, 100.0
_UNEXPLAINED = "calls that should have succeeded did not take effect: they are recorded as not permitted"


class Waiting:
    """A call whose effect is waited for. ``pending`` is its entry, or the name of a call that is no access."""

    __slots__ = ("_caller", "done", "otherwise", "pending", "task")

    def __init__(
        self, task: Task, pending: Entry | str, done: Callable[[], bool], otherwise: int, caller: Caller | None = None
    ) -> None:
        self.task = task
        self.pending = pending
        self.done = done
        self.otherwise = otherwise
        self._caller = caller

    @classmethod
    def change(cls, task: Task, entry: Entry, caller: Caller, verdict: Verdict) -> "Waiting":
        """A change of the file system, or of what the task itself sees of it."""
        assert verdict.done is not None
        return cls(task, entry, verdict.done, verdict.otherwise, caller)

    @classmethod
    def move(cls, task: Task, name: str, directory: int) -> "Waiting":
        """A call that only changes where later paths start, to the descriptor ``directory``."""
        there = stands(task, f"fd/{directory}")
        return cls(task, name, lambda: stands(task, "cwd") == there, 0)

    @property
    def moves(self) -> bool:
        """Whether it changes where its task's relative paths start."""
        return (self.pending if isinstance(self.pending, str) else self.pending.plan.name) in _MOVES

    def gone(self) -> bool:
        """Whether its thread has ended."""
        return not executable(self.task)

    def opened(self) -> bytes | None:
        """The kernel's name of what it opened, if it opens anything."""
        if self._caller is None or isinstance(self.pending, str) or not self.pending.plan.opens:
            return None
        return self._caller.kernel_name()

    def close(self) -> None:
        """Let go of what was held to look at it."""
        if self._caller is not None:
            self._caller.close()


class Execing(Waiting):
    """An exec. ``after``: its process as a task, with its image once :attr:`done` has been true.

    ``known``: the former one that it repeats.
    """

    __slots__ = ("_before", "after", "known")

    def __init__(
        self,
        task: Task,
        entry: Entry,
        image: Image,
        otherwise: int,
        *,
        caller: Caller | None = None,
        known: KnownExec | None = None,
    ) -> None:
        super().__init__(task, entry, self._took_place, otherwise, caller)
        self.known = known
        self._before = image
        self.after = Task(task.pid, task.pid, task.program, root_of(task.pid) if task.root else "")

    def file(self) -> Version | None:
        """The file that runs since, if it needs no other to interpret it."""
        return self._caller.file if self._caller is not None else None

    def exe(self) -> str:
        """The kernel's name of what runs since, empty if it cannot be learned."""
        found = executable(self.after)
        if found or self._caller is None:
            return found
        return os.fsdecode(self._caller.kernel_name() or b"")  # it has ended

    def gone(self) -> bool:
        """Whether its process has ended. An exec makes its thread the first one: so this is looked for afterwards."""
        return super().gone() and not executable(self.after)

    def _took_place(self) -> bool:
        if self.after.image is NO_IMAGE:
            found = image_of(self.after)
            if found.mark in (b"", self._before.mark):
                self.after.forget_memory()
                return False
            self.after.image = found
        return True


class Unsettled:
    """The calls of one trace that wait for their effect, at most one a thread."""

    def __init__(
        self,
        report: Report,
        tasks: dict[int, Task],
        programs: ProgramTable,
        images: Images,
        note: Callable[[str], None],
    ) -> None:
        self._report = report
        self._tasks = tasks
        self._programs = programs
        self._images = images
        self._note = note
        self._pause = _SOON_MS
        self.execs = KnownExecs(report)
        self.waiting: dict[int, Waiting] = {}

    def add(self, waiting: Waiting) -> None:
        """A call is about to be let go on."""
        self.waiting[waiting.task.tid] = waiting
        if waiting.moves:
            self._report.moving = True
            self._report.cwds.clear()
        self._pause = _SOON_MS

    def drop(self, waiting: Waiting) -> None:
        """Its caller was gone before."""
        del self.waiting[waiting.task.tid]
        self._close(waiting)

    def settle(self, task: Task) -> None:
        """A call of ``task`` came: its former one is over, and others may be."""
        own = self.waiting.get(task.tid)
        if own is not None:
            self._over(own)
        for waiting in list(self.waiting.values()):
            if isinstance(waiting, Execing) and waiting.task.pid != task.pid:
                continue  # nothing that others could notice
            if waiting.done():
                self._end(waiting, 0)
            elif waiting.gone():
                self._over(waiting)

    def settle_execs(self) -> None:
        """Look which execs have taken place."""
        for waiting in list(self.waiting.values()):
            if isinstance(waiting, Execing) and waiting.done():
                self._end(waiting, 0)

    def look_again(self) -> None:
        """Nothing came for a while."""
        before = len(self.waiting)
        for waiting in list(self.waiting.values()):
            if waiting.done():
                self._end(waiting, 0)
            elif waiting.gone():
                self._over(waiting)
        self._pause = min(2 * self._pause, _LATER_MS) if len(self.waiting) == before else _SOON_MS

    def patience(self) -> float:
        """How many milliseconds to wait for the next call before looking again."""
        return self._pause

    def give_up(self) -> None:
        """Everything has ended."""
        for waiting in list(self.waiting.values()):
            self._over(waiting)

    def _over(self, waiting: Waiting) -> None:
        """The call must be over: either its effect shows now, or it had none."""
        if waiting.done() or (isinstance(waiting, Execing) and waiting.gone()):
            self._end(waiting, 0)
        else:
            if waiting.otherwise:
                self._note(_UNEXPLAINED)
            self._end(waiting, waiting.otherwise)

    def _end(self, waiting: Waiting, outcome: int) -> None:
        del self.waiting[waiting.task.tid]
        if isinstance(waiting, Execing) and not outcome:
            self._exec(waiting)
        else:
            self._tell(waiting.task, waiting, outcome)
        self._close(waiting)

    def _close(self, waiting: Waiting) -> None:
        waiting.close()
        if self._report.moving and not any(other.moves for other in self.waiting.values()):
            self._report.moving = False
            self._report.cwds.clear()

    def _tell(self, task: Task, waiting: Waiting, outcome: int) -> None:
        pending = waiting.pending
        if isinstance(pending, str):
            self._report.after(task, pending)
            return
        key = (task.program, pending, -outcome)
        if key not in self._report.seen or pending.varies:
            self._report.finish(task, pending, -outcome, key, None if outcome else waiting.opened())
        elif not outcome:
            self._report.after(task, pending)

    def _exec(self, waiting: Execing) -> None:
        """A successful exec: other threads are gone, and the process runs a new program."""
        former, entry = waiting.task, waiting.pending
        assert isinstance(entry, Entry)
        for other in [t for t in self._tasks.values() if t.pid == former.pid]:
            other.forget_memory()
            del self._tasks[other.tid]
            self._report.cwds.pop(other.tid, None)
        task = self._tasks[former.pid] = waiting.after
        if waiting.known is not None:
            task.program = waiting.known.program
            self._images.learn(task.image, task.program)
            return
        task.program = former.program
        self._tell(task, waiting, 0)
        exe, file = waiting.exe(), waiting.file()
        path, name = entry.text[0], exe
        if isinstance(path, bytes) and path:
            name = os.fsdecode(os.path.join(entry.base[0], path))
        task.program = self._programs.exec(former.program, name, exe)
        if file is not None and exe and (former.program, entry, 0) in self._report.seen:
            self.execs.learn(former, KnownExec(entry, file, task.program))
        self._images.learn(task.image, task.program)
