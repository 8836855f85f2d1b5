"""What a loop that sees calls one by one tells the sink, and what it must forget when a call changes lookups."""

import errno
import time
from collections.abc import Callable, Iterable
from typing import Any

from tracers.calls import AT_REMOVEDIR, RESOLUTION_CHANGES, events
from tracers.entry import Entry, Plan, simple_call
from tracers.events import Event, Opaque, Operation, Sink
from tracers.lookups import MOVES, REMOVES, leads_elsewhere, may_lead_elsewhere, touched
from tracers.sockets import sockaddr
from tracers.tracee import Task, root_identity, visible, working_directory

MAX_SEEN = 200_000
"""Calls remembered as known; more are forgotten, which costs time and not correctness."""

MAX_LATER = 4096
"""Calls that may be deferred: telling of so many takes about a tenth of a second."""
LATER_SECONDS = 1.0
"""How long they may be while others come: what is deferred is lost if sbx is killed."""

INTERRUPTED = {-512: -errno.EINTR, -514: -errno.EINTR, -516: -errno.EINTR, -513: None}
"""ERESTART*, linux/errno.h: a signal came. The program sees EINTR or the kernel runs the call again, which cannot be
told apart here; both got as far as the object itself. ERESTARTNOINTR (513) is always run again."""

_CHANGES_DIRECTORY = frozenset({"chdir", "fchdir"})
ROOTS = frozenset({"chroot", "pivot_root", "setns", "unshare"})
"""Calls that may give their program another root directory."""
_CHANGING = _CHANGES_DIRECTORY | {"rmdir"} | ROOTS | MOVES | REMOVES | RESOLUTION_CHANGES


_Deferred = tuple[int, int, tuple[Plan, int, bytes, bytes], int, object, int]
"""(program, process, pending, result, key, ``st_mode`` of what was there) of a simple call."""


class Report:
    """The tasks of one trace towards its sink.

    ``pending`` is what was read of a call at its entry: an :class:`Entry`, (plan, number, path, base) of a simple call,
    an :class:`Opaque`, or the name of a call of CONTEXT.
    """

    def __init__(
        self, tasks: dict[int, Task], main: Task, sink: Sink, prefix: Callable[[int], str] | None = None
    ) -> None:
        """``prefix``: under what a task's root directory is seen, instead of :func:`root_of`."""
        self._tasks = tasks
        self._sink = sink
        self._prefix = prefix or root_of
        self.seen: set[object] = set()
        """Keys of calls with results whose repetition means nothing new."""
        self._since = 0.0  # when the oldest of these came
        self.deferred: list[_Deferred] = []
        """What is still to be sent, the oldest first."""
        self._parts: set[bytes] = set()  # components of their paths
        self.cwds: dict[int, bytes] = {}
        """Working directories by thread, as far as they are known."""
        self.age = 0
        """How often :meth:`forget` was called."""
        self.moving = False
        """Whether a working directory may change at any moment."""
        self._own_root = root_identity(main)

    def directory(self, task: Task) -> bytes:
        """A task's working directory, ``b""`` if it cannot be learned."""
        found = self.cwds.get(task.tid)
        if found is None:
            found = working_directory(task)
            if not self.moving:
                self.cwds[task.tid] = found
        return found

    def finish(self, task: Task, pending: object, result: int, key: object, opened: bytes | None) -> bool:
        """Send the events of a call with a result that was not seen before; whether repeating it means the same.

        ``opened``: the kernel's name of what it opened.
        """
        repeatable = True
        for event in _events(task.program, task.pid, task.root, pending, result, opened):
            repeatable = self._sink.event(event) and repeatable
        if repeatable:
            self.remember(key)
        if result >= 0:
            self.after(task, pending)
        return repeatable

    def remember(self, key: object) -> None:
        """Repeating the call with this key means nothing new."""
        if len(self.seen) >= MAX_SEEN:
            self.seen.clear()
        self.seen.add(key)

    def defer(self, task: Task, pending: tuple[Plan, int, bytes, bytes], result: int, key: object, mode: int) -> None:
        """As :meth:`finish`, when there is time: for a call that changed nothing, of a path that leads to the same
        place until something is changed. :meth:`flush_before` that. ``mode``: ``st_mode`` of what is there.
        """
        self.remember(key)
        if not self.deferred:
            self._since = time.monotonic()
        self.deferred.append((task.program, task.pid, pending, result, key, mode))
        self._parts.update(pending[2].split(b"/"))
        if pending[3]:
            self._parts.update(pending[3].split(b"/"))

    @property
    def overdue(self) -> bool:
        """Whether what was deferred must be sent now."""
        return len(self.deferred) >= MAX_LATER or time.monotonic() - self._since > LATER_SECONDS

    def flush(self, most: int = MAX_LATER) -> None:
        """Send the events of what was deferred, the oldest first; of ``most`` calls."""
        now, self.deferred = self.deferred[:most], self.deferred[most:]
        if not self.deferred:
            self._parts.clear()
        self._send(now)

    def _send(self, now: Iterable[_Deferred]) -> None:
        for program, pid, (plan, number, path, base), result, key, mode in now:
            call = simple_call(plan, number, path, base, result, None, mode)
            for event in events(call, program, pid, abi=plan.abi):
                if not self._sink.event(event):
                    self.seen.discard(key)

    def flush_before(self, task: Task, entry: Entry) -> None:
        """:meth:`flush` what could not be told any more after a call that has not been made yet."""
        if not self.deferred:
            return
        if entry.data:
            found = sockaddr(entry.data[0][0])
            names = [found] if isinstance(found, bytes) else []
        else:
            names = _places(task, entry)
        parts = touched(entry.plan.name, names)
        if parts is None:
            self.flush()
        elif not self._parts.isdisjoint(parts):
            now: list[_Deferred] = []
            later: list[_Deferred] = []
            for one in self.deferred:
                (now if any(part in one[2][2] or part in one[2][3] for part in parts) else later).append(one)
            self.deferred = later
            self._send(now)

    def after(self, task: Task, pending: object) -> None:
        """What a successful call changes for later lookups."""
        if isinstance(pending, str):  # a call of CONTEXT
            self.cwds.clear()
            return
        if not isinstance(pending, tuple):
            return
        plan: Plan = pending[0]
        name = plan.name
        if name not in _CHANGING:
            return
        if name in _CHANGES_DIRECTORY:
            self.cwds.clear()
            return
        if leads_elsewhere(name, pending[1], _places(task, pending), self._sink.links()):
            self.forget()
        elif name == "rmdir" or (name == "unlinkat" and pending[1] & AT_REMOVEDIR):
            self.cwds.clear()  # of who stands in it
        if name in ROOTS:
            self._moved(task)

    def may_change(self, task: Task, entry: Entry) -> bool:
        """Whether equal calls may mean something else after a call that has not been made yet."""
        name = entry.plan.name
        if name not in _CHANGING:
            return False
        return may_lead_elsewhere(name, entry.number, _places(task, entry), self._sink.links())

    def forget(self) -> None:
        """Equal calls may mean something else from now on."""
        self.age += 1
        self.seen.clear()
        self.cwds.clear()
        self._sink.forget()

    def elsewhere(self, task: Task) -> bool:
        """Whether ``task`` has another root directory or mount namespace than the command began with."""
        return root_identity(task) not in (b"", self._own_root)

    def _moved(self, task: Task) -> None:
        if not self.elsewhere(task):
            return
        for other in list(self._tasks.values()):
            if other.pid == task.pid:
                other.root = self._prefix(other.tid)


def _places(task: Task, pending: tuple[Any, ...]) -> list[bytes]:
    """Where we find the paths of a call; ``b""`` for one that could not be read."""
    paths, bases = (pending.text, pending.base) if isinstance(pending, Entry) else ((pending[2],), (pending[3],))
    return [
        visible(task, path, base) if isinstance(path, bytes) else b"" for path, base in zip(paths, bases, strict=True)
    ]


def root_of(tid: int) -> str:
    """The prefix under which a task's root directory is seen."""
    return f"/proc/{tid}/root"


def _events(program: int, pid: int, root: str, pending: object, result: int, opened: bytes | None) -> list[Event]:
    if isinstance(pending, Opaque):
        outcome = -result if -4096 < result < 0 else 0
        return [Event(program, pid, pending.text, Operation.FOREIGN, pending, outcome, root=root)]
    if not isinstance(pending, tuple):
        return []
    plan: Plan = pending[0]
    if isinstance(pending, Entry):
        calls = pending.raw_calls(result, opened)
    else:
        _, number, path, base = pending
        calls = [simple_call(plan, number, path, base, result, opened)]
    return [e for call in calls for e in events(call, program, pid, abi=plan.abi, root=root)]
