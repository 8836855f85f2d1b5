"""Which thread is whose: processes, programs and current directories, from the order of strace's lines.

A child's first line may come before the line that tells its parent's fork result. As strace reports every
fork, that child then belongs to a fork that is still unfinished: if there is only one, it is that one; if
there are several, the child's lines are kept until the results say whose it is.
"""

import os

from tracers.strace_text import Call, members, number

FORKS = frozenset({"fork", "vfork", "clone", "clone3"})
_CLONE_FS, _CLONE_THREAD = 0x200, 0x10000  # linux/sched.h


class Process:
    """A thread group: its id and the program that it runs."""

    __slots__ = ("pid", "program")

    def __init__(self, pid: int, program: int) -> None:
        self.pid = pid
        self.program = program


class Directory:
    """A current directory; one object for all threads that share it (CLONE_FS)."""

    __slots__ = ("path",)

    def __init__(self, path: bytes) -> None:
        self.path = path


class Task:
    """A thread. ``pending`` is the text of its unfinished call, ``child`` whom that fork has made already."""

    __slots__ = ("abi", "child", "cwd", "pending", "process", "superseding")

    def __init__(self, process: Process, cwd: Directory, abi: str = "") -> None:
        self.process = process
        self.cwd = cwd
        self.abi = abi
        self.pending: bytes | None = None
        self.child: bytes | None = None
        self.superseding = False

    @property
    def forking(self) -> bool:
        """Whether it is inside a fork whose child is not known yet."""
        return self.pending is not None and self.child is None and self.pending.startswith(_FORK_HEADS)


_FORK_HEADS = tuple(f"{name}(".encode() for name in sorted(FORKS))


def clone_flags(call: Call) -> int:
    """CLONE_* bits of a call of the fork family."""
    if call.name == "clone3":
        return number(members(call.args[0]).get(b"flags", b"")) if call.args else 0
    if call.name == "clone":
        named = (argument.partition(b"=") for argument in call.args)
        return next((number(value) for name, _, value in named if name == b"flags"), 0)
    return 0


class Tasks(dict[bytes, Task]):
    """Every live thread by its id as strace prints it."""

    def start(self, tid: bytes, program: int) -> Task:
        """The command itself: first of the trace, in our own directory."""
        task = self[tid] = Task(Process(int(tid), program), Directory(os.getcwdb()))
        return task

    def born(self, parent: Task, tid: bytes, flags: int) -> Task:
        """A new thread or process of ``parent``."""
        process = parent.process if flags & _CLONE_THREAD else Process(int(tid), parent.process.program)
        cwd = parent.cwd if flags & _CLONE_FS else Directory(parent.cwd.path)
        task = self[tid] = Task(process, cwd, parent.abi)
        return task

    def parents(self) -> list[Task]:
        """Tasks that an unknown thread may come from."""
        return [task for task in self.values() if task.forking]

    def superseded(self, leader: bytes, by: bytes) -> None:
        """Thread ``by`` exec'd: it goes on under the id of its leader, with the call it is in."""
        task = self.pop(by, None)
        if task is not None:
            task.superseding = True
            self[leader] = task
