"""Threads that a supervisor hears of for the first time: of which process they are, and what program they run."""

import os

from tracers.images import Images, image_of
from tracers.report import Report, root_of
from tracers.tracee import NO_IMAGE, Image, Task, has_ended, is_first_thread, thread_group
from tracers.unsettled import Unsettled

_FEW_TASKS = 32
"""Threads that are known before those that ended are looked for."""


class Adoption:
    """Fills the ``tasks`` of one trace. ``launcher``: the program of those of which nothing can be told."""

    def __init__(
        self, tasks: dict[int, Task], images: Images, launcher: int, report: Report, unsettled: Unsettled
    ) -> None:
        self._tasks = tasks
        self._images = images
        self._launcher = launcher
        self._report = report
        self._unsettled = unsettled
        self._many = _FEW_TASKS
        self.apart = False
        """Whether anything may have another root directory than the command began with."""

    def adopt(self, tid: int) -> Task:
        """A thread that is heard of for the first time."""
        if len(self._tasks) >= self._many:
            self._sweep()
        pid = tid if is_first_thread(tid) else thread_group(tid)[0]
        group = self._tasks.get(pid)
        if group is not None and pid != tid:
            task = self._tasks[tid] = Task(tid, pid, group.program, root_of(tid) if group.root else "")
            return task
        task = self._tasks[tid] = Task(tid, pid, self._launcher)
        task.image = self._images.of(task)
        task.program = self._program(task)
        if self.apart and self._report.elsewhere(task):
            task.root = root_of(tid)
        return task

    def _program(self, task: Task) -> int:
        """What a new process was forked from."""
        found = self._images.program(task.image)
        if found is None:
            self._unsettled.settle_execs()
            found = self._images.program(task.image)
        if found is None:
            parent = self._tasks.get(thread_group(task.tid)[1])
            found = parent.program if parent is not None else self._launcher
        return found

    def image(self, task: Task) -> Image:
        """What a task runs."""
        return image_of(task) if task.image is NO_IMAGE else task.image

    def refresh(self, task: Task) -> bool:
        """Whether a thread's memory was that of a program that is gone: then it is looked at anew."""
        if task.mem < 0:
            return False
        former = task.mem
        task.mem = -1
        image = image_of(task)
        os.close(former)
        if image.mark and self._images.program(image) == task.program:
            return True
        task.forget_memory()
        self._tasks.pop(task.tid, None)
        self._report.cwds.pop(task.tid, None)
        self.adopt(task.tid)
        return True

    def _sweep(self) -> None:
        """Forget the threads that have ended."""
        for tid, task in list(self._tasks.items()):
            if has_ended(tid):
                task.forget_memory()
                del self._tasks[tid]
                self._report.cwds.pop(tid, None)
        if self._images.crowded():
            self._images.keep({image_of(task) for task in self._tasks.values()})
        self._many = max(_FEW_TASKS, 2 * len(self._tasks))
