"""The fastest tracer: eBPF programs at the system call tracepoints watch, and the command does not wait for us.

Only calls that change what names mean or start a program, and those whose arguments are structures, are held by a
seccomp filter until everything before them has been read and resolved: so a path is looked up in the world that the
program saw.
Calls that such a filter holds are read as the ptrace tracer reads them; all others by the BPF programs. Needs root (or
CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE), and clang once.
"""

import contextlib
import errno
import gc
import os
import select
import time

from tracers import bpf_loading
from tracers.abi import I386, X86_64, Abi, call_number
from tracers.bpf_object import BpfObject
from tracers.calls import CONTEXT, RESOLUTION_CHANGES
from tracers.ebpf_records import (
    BASE_DELETED,
    CALL,
    CALL_PLAN,
    CALL_SLOTS,
    COUNTERS,
    CUT,
    EXEC,
    EXIT,
    FORK,
    GATED,
    HAS_BASE,
    HAS_OPENED,
    HEADER,
    MEANING,
    NO_POINTER,
    OF_PROCESS,
    OPENED_DELETED,
    RESULT,
    RING_SIZE,
    SIMPLE,
    UNREAD,
    behind_own_link,
    first_task,
    name,
)
from tracers.entry import Entry, Plan, acts_on_descriptor, plans, read_general
from tracers.events import Memory, Opaque, Sink
from tracers.job import SignalRelay
from tracers.keeper import Keeper
from tracers.launch import Launch
from tracers.listener import Listener, ListenerFilter
from tracers.lookups import MOVES, REMOVES
from tracers.programs import LAUNCHER, ProgramTable
from tracers.report import INTERRUPTED, Report
from tracers.ring import Ring
from tracers.roots import Roots
from tracers.seccomp import LISTENS, Action, program
from tracers.supervision import Course, take
from tracers.tracee import Task, descriptor_path, read_string, thread_group, working_directory
from tracers.tracer import Command, TraceEnd, TracerName, launch_status

POLL_SECONDS = 0.01
"""How often the ring is emptied while records come: at a million a second it is then a tenth full."""
IDLE_SECONDS = 0.04
"""The same while none come."""

_CHANGES_NAMES = frozenset({"creat", "openat2", "mkdir", "rmdir", "symlink", "mknod", "chdir"}) | RESOLUTION_CHANGES


def _passing() -> frozenset[str]:
    simple = {plan.name for plan in plans(X86_64).values() if plan.simple and plan.path >= 0}
    return frozenset(simple - _CHANGES_NAMES - {f"{name}at" for name in _CHANGES_NAMES} - MOVES - REMOVES)


PASSING = _passing()
"""Native calls that never wait, unless they open with O_CREAT: one path, and no name is changed by them."""


class EbpfTracer:
    """Traces a command with eBPF; one :meth:`run` per instance."""

    name = TracerName.EBPF

    def __init__(self) -> None:
        self.programs = ProgramTable()
        self._launcher = self.programs.exec(-1, LAUNCHER, "")
        self._bpf = bpf_loading.load()
        self._native, self._foreign = X86_64, I386
        self._plans, self._foreign_plans = plans(self._native), plans(self._foreign)
        self._filter = ListenerFilter(
            program(self._native, self._foreign, Action.NOTIFY, watched={LISTENS}, free=PASSING)
        )
        self._tasks: dict[int, Task] = {}
        self._calls = self._lost = self._unfinished = 0
        self._notes: set[str] = set()
        self._changing: set[int] = set()

    def run(self, command: Command, sink: Sink) -> TraceEnd:
        """See :class:`~tracers.tracer.Tracer`."""
        bpf = self._bpf
        with contextlib.ExitStack() as undo:
            undo.callback(bpf.close)
            _tell_calls(bpf, self._native, self._plans)
            bpf.attach()
            self._ring = Ring(bpf.map("ring"), RING_SIZE)
            undo.callback(self._ring.close)
            self._known = Known(bpf)
            keeper = self._keeper = Keeper()
            undo.callback(keeper.end)
            launch = Launch(command, self._filter, keeper.fork)
            _mark(bpf, launch.pid)
            self._tasks[launch.pid] = main = Task(launch.pid, launch.pid, self._launcher)
            self._roots = Roots()
            undo.callback(self._roots.close)
            self._report = Report(self._tasks, main, sink, self._roots.prefix)
            relay = SignalRelay(launch.pid)
            course = Course(launch.pid, keeper, relay)
            collected = gc.isenabled()
            gc.disable()
            try:
                with relay:
                    launch.release()
                    listener = take(self._filter, launch.pid, keeper)
                    if listener is not None:
                        undo.callback(listener.close)
                        self._loop(listener, course)
                    ended = time.monotonic()
            finally:
                if collected:
                    gc.enable()
                for known in self._tasks.values():
                    known.forget_memory()
            repeated, dropped, control_dropped = _counts(bpf)
        launch_errno = launch.outcome()
        if dropped or control_dropped:
            self._notes.add("the program made calls faster than they could be read: some were not recorded")
        return TraceEnd(
            status=launch_status(launch_errno) if launch_errno else course.status,
            launch_errno=launch_errno,
            calls=self._calls + repeated,
            lost=self._lost + dropped + control_dropped,
            unfinished=self._unfinished,
            seconds=ended - launch.released,
            lingering=course.lingering,
            interrupted=relay.interrupted,
            notes=tuple(sorted(self._notes)),
        )

    # --- waiting

    def _loop(self, listener: Listener, course: Course) -> None:
        """Until the command and everything that it started has ended."""
        keeper_fd, listener_fd = self._keeper.fd, listener.fd
        poll = select.poll()
        poll.register(keeper_fd, select.POLLIN)
        poll.register(listener_fd, select.POLLIN)
        pause = POLL_SECONDS
        over = False
        while not over:
            for descriptor, what in poll.poll(pause * 1000):
                if descriptor == keeper_fd:
                    over = not course.hear()
                elif what & select.POLLIN:
                    self._held(listener)
                else:
                    poll.unregister(listener_fd)  # nobody is left who could call
            pause = POLL_SECONDS if self._drain() else IDLE_SECONDS
            course.end_what_lingers(self._left)

    def _left(self) -> list[str]:
        """Labels of what the command left behind."""
        return [self.programs[task.program].label for task in self._tasks.values()]

    # --- calls that wait

    def _held(self, listener: Listener) -> None:
        """Answer one call at the gate, after everything that came before it."""
        notice = listener.receive()
        if notice is None:
            return
        self._drain()
        identity, tid, number, arch, *arguments = notice
        args = tuple(arguments)
        task = self._tasks.get(tid)
        if task is None:
            task = self._adopt(tid)
            with contextlib.suppress(OSError):  # a thread that is not the first of its process
                _mark(self._bpf, tid)
        if task.root:
            task.root = self._roots.prefix(tid)
        task.pending = entry = self._enter(task, arch, number, args)
        if isinstance(entry, Entry):
            if entry.plan.name == "io_uring_setup":
                # Its operations bypass system calls, so nobody could see them: programs fall back.
                self._notes.add("io_uring was answered ENOSYS, so that its file accesses stay visible")
                self._calls += 1
                task.pending = None  # the BPF programs do not see a call that a filter refused
                self._report.finish(task, entry, -errno.ENOSYS, (task.program, entry), None)
                listener.refuse(identity, errno.ENOSYS)
                return
            if self._report.may_change(task, entry):
                # From the change on until we read of it, the kernel must not take a call for one that we know.
                self._known.forget()
                self._changing.add(tid)
        listener.resume(identity)

    def _enter(self, task: Task, arch: int, number: int, args: tuple[int, ...]) -> object:
        """What a call at its entry is; None if there is nothing to say of it."""
        foreign = arch == self._foreign.audit_arch
        known, names = (self._foreign_plans, self._foreign.names) if foreign else (self._plans, self._native.names)
        plan, name = known.get(number), names.get(number)
        if plan is not None:
            return read_general(task, plan, args, working_directory)
        if name in CONTEXT:
            return name
        if name == LISTENS:
            self._notes.add(
                "the program asked for a seccomp listener of its own, which fails with EBUSY while it is traced "
                "this way: learn with --tracer ptrace"
            )
            return None
        return Opaque(call_number(arch, number, self._native, self._foreign))

    # --- records

    def _drain(self) -> bool:
        """Take what is in the ring; whether there was anything."""
        unpack, tasks, seen, interrupted = HEADER.unpack_from, self._tasks, self._report.seen, INTERRUPTED
        record = None
        for record in self._ring.records():
            tid, kind, result, pointer, number, path, base, opened, flags, outcome, argument, digest = unpack(record)
            if kind != CALL:
                self._other(kind, tid, record, result, pointer, opened, flags, argument)
                continue
            if outcome in interrupted:
                if interrupted[outcome] is None:
                    continue
                result = interrupted[outcome]
            self._calls += 1
            task = tasks.get(tid) or self._adopt(tid)
            key = (task.program, bytes(record[MEANING:]))
            if key in seen:
                continue
            plan = self._plans[number]
            pending, name = self._simple(task, record, plan, result, pointer, (path, base, opened), flags, argument)
            lasting = pending is None or self._report.finish(task, pending, result, key, name)
            if lasting and not self._changing:
                self._known.add(digest)
        return record is not None

    def _simple(
        self,
        task: Task,
        record: memoryview,
        plan: Plan,
        result: int,
        pointer: int,
        sizes: tuple[int, int, int],
        flags: int,
        argument: int,
    ) -> tuple[tuple[Plan, int, bytes | Memory | None, bytes] | None, bytes | None]:
        """(what a simple call was, None if it concerned no path; the kernel's name of what it opened)."""
        path_size, base_size, opened_size = sizes
        at = HEADER.size
        path: bytes | Memory | None = bytes(record[at : at + path_size - 1])
        at += path_size
        start = name(bytes(record[at : at + base_size]), bool(flags & BASE_DELETED)) if flags & HAS_BASE else b""
        at += base_size
        opened = None
        if flags & HAS_OPENED:
            opened = name(bytes(record[at : at + opened_size]), bool(flags & OPENED_DELETED))
        if flags & NO_POINTER:
            path = None
        elif flags & UNREAD:
            # The call did not look at it, or we could not: it is there all the same.
            path = Memory.UNREADABLE if result == -errno.EFAULT else read_string(task, pointer)
        if flags & CUT:
            self._notes.add("the name of a directory was too long to be read")
            self._lost += 1
        if not path and acts_on_descriptor(plan, argument, path):
            return None, None
        if flags & OF_PROCESS and isinstance(path, bytes) and start.startswith(b"/"):
            path = behind_own_link(path)
        if path is Memory.UNREADABLE or (path and path[:1] == b"/"):
            start = b""
        return (plan, argument, path, start), opened

    def _other(
        self, kind: int, tid: int, record: memoryview, result: int, pointer: int, size: int, flags: int, argument: int
    ) -> None:
        """A record that is no simple call."""
        at = HEADER.size
        opened = name(bytes(record[at : at + size]), bool(flags & OPENED_DELETED)) if flags & HAS_OPENED else None
        if kind == RESULT:
            self._finished(tid, INTERRUPTED.get(result, result), opened)
        elif kind == FORK:
            self._forked(tid, argument >> 32, argument & 0xFFFFFFFF, pointer)
        elif kind == EXEC:
            self._executed(tid, argument, os.fsdecode(opened or b""))
        elif kind == EXIT:
            gone = self._tasks.pop(tid, None)
            self._changing.discard(tid)
            self._unfinished += bool(argument)
            if gone is not None:
                gone.forget_memory()

    def _finished(self, tid: int, result: int | None, opened: bytes | None) -> None:
        """The end of a call that had waited."""
        task = self._tasks.get(tid) or self._adopt(tid)
        pending, task.pending = task.pending, None
        self._changing.discard(tid)
        if result is None or pending is None:
            return
        self._calls += 1
        key = (task.program, pending, min(result, 0))
        if key not in self._report.seen:
            if isinstance(pending, Entry) and not pending.plan.opens:
                opened = None
            elif isinstance(pending, Entry) and result >= 0 and opened is None:
                opened = descriptor_path(task, result)  # of a foreign ABI, whose arguments the BPF programs do not know
            self._report.finish(task, pending, result, key, opened)
        elif result >= 0:
            self._report.after(task, pending)
        if not self._report.seen:  # it made the report forget
            self._known.forget()

    # --- tasks

    def _adopt(self, tid: int) -> Task:
        """A task whose birth was not recorded (the ring was full, or the kernel had no memory for its mark)."""
        pid, parent = thread_group(tid)
        relative = self._tasks.get(pid) or self._tasks.get(parent)
        program, apart = (relative.program, relative.root) if relative else (self._launcher, "")
        task = self._tasks[tid] = Task(tid, pid, program, self._roots.prefix(tid) if apart else "")
        return task

    def _forked(self, parent_tid: int, tid: int, pid: int, mounts: int) -> None:
        parent = self._tasks.get(parent_tid) or self._adopt(parent_tid)
        task = self._tasks[tid] = Task(tid, pid, parent.program, parent.root)
        if pid != parent.pid and mounts != self._roots.namespace(parent.root):
            task.root = self._roots.prefix(tid)
            self._report.forget()  # an equal path means another file in there
            self._known.forget()

    def _executed(self, tid: int, former_tid: int, exe: str) -> None:
        """A successful exec: the call ends here, under its new program and perhaps a new thread id."""
        former = self._tasks.pop(former_tid, None) or self._adopt(tid)
        for other in [t for t in self._tasks.values() if t.pid == tid]:
            self._tasks.pop(other.tid)
            other.forget_memory()
        former.forget_memory()
        task = self._tasks[tid] = Task(tid, tid, former.program, former.root)
        exe = exe.removesuffix(" (deleted)") if not os.path.lexists(exe) else exe
        called, pending = exe, former.pending
        if isinstance(pending, Entry):
            self._calls += 1
            key = (task.program, pending, 0)
            if pending.varies or key not in self._report.seen:
                self._report.finish(task, pending, 0, key, None)
            path = pending.text[0]
            if isinstance(path, bytes) and path:
                called = os.fsdecode(os.path.join(pending.base[0], path))
        else:
            self._lost += 1
        task.program = self.programs.exec(task.program, called, exe)


class Known:
    """What the BPF programs need not tell again."""

    def __init__(self, bpf: BpfObject) -> None:
        self._bpf = bpf
        self._known, self._seed = bpf.map("known"), bpf.map("seed")
        self.forget()

    def add(self, digest: int) -> None:
        """The call with this digest would say nothing new, nor would its equals."""
        self._bpf.put(self._known, digest.to_bytes(8, "little"), b"\1")

    def forget(self) -> None:
        """Everything is new again. At random: a program cannot tell which calls have the same digest."""
        self._bpf.put(self._seed, bytes(4), os.urandom(8))


def _counts(bpf: BpfObject) -> tuple[int, int, int]:
    """Calls that were known, calls that were lost, and lost records of other things: of all CPUs."""
    size = COUNTERS.size
    found = bpf.get(bpf.map("counters"), bytes(4), size * bpf.cpus()) or b""
    repeated, dropped, control_dropped = (sum(column) for column in zip(*COUNTERS.iter_unpack(found), strict=True))
    return repeated, dropped, control_dropped


def _tell_calls(bpf: BpfObject, abi: Abi, known: dict[int, Plan]) -> None:
    """Say to the BPF programs how each native call is read."""
    table = bpf.map("calls")
    for number, call in abi.names.items():
        plan = known.get(number)
        if number >= CALL_SLOTS or (plan is None and call not in CONTEXT):
            continue
        if plan is None:
            slot = CALL_PLAN.pack(GATED, -1, -1, -1, 0)
        else:
            kind = SIMPLE if call in PASSING else GATED
            slot = CALL_PLAN.pack(kind, plan.path, plan.dirfd, plan.number, plan.opens)
        bpf.put(table, number.to_bytes(4, "little"), slot)


def _mark(bpf: BpfObject, pid: int) -> None:
    """From now on ``pid`` is watched, and all that it forks."""
    pidfd = os.pidfd_open(pid)
    try:
        bpf.put(bpf.map("tasks"), pidfd.to_bytes(4, "little"), first_task(pid))
    finally:
        os.close(pidfd)
