"""The fastest tracer: eBPF programs at the system call tracepoints watch, and the command does not wait for us.

Only calls that change what names mean (:data:`GATED`), start a program or end a process are held by a seccomp filter
until everything before them has been read and resolved: so a path is looked up in the world that the program saw.
Calls that such a filter holds are read as the ptrace tracer reads them; all others by the BPF programs. Needs root (or
CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE), and clang once.
"""

import contextlib
import ctypes
import errno
import gc
import os
import platform
import select
import signal
import time
from collections.abc import Iterable

from tracers.abi import X86_64, abis, call_number
from tracers.bpf_object import PACKAGES, BpfObject, cached, compiler, library, object_bytes
from tracers.calls import AT_REMOVEDIR, CONTEXT, RESOLUTION_CHANGES, events
from tracers.descendants import LINGER_SECONDS
from tracers.ebpf_guard import Guard, end_all
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
    OPENED_DELETED,
    RESULT,
    RING_SIZE,
    SIGNAL,
    SIMPLE,
    SKIP,
    TASK_SIZE,
    UNREAD,
    first_task,
    name,
)
from tracers.entry import Entry, Plan, acts_on_descriptor, base_of, plans, read_general, simple_call
from tracers.events import Event, Memory, Opaque, Operation, Sink
from tracers.job import Foreground, SignalRelay
from tracers.launch import Launch
from tracers.listener import Listener, ListenerFilter, Notice, borrow, wake_synchronously
from tracers.lookups import MOVES, REMOVES, leads_elsewhere, may_lead_elsewhere
from tracers.programs import LAUNCHER, ProgramTable
from tracers.ring import Ring
from tracers.seccomp import Action, program
from tracers.tracee import (
    Task,
    descriptor_path,
    mount_namespace,
    read_string,
    root_directory,
    thread_group,
    visible,
    working_directory,
)
from tracers.tracer import Command, TraceEnd, TracerError, TracerName, exit_status, launch_status

POLL_SECONDS = 0.01
"""How often the ring is emptied while records come: at a million a second it is then a tenth full."""
IDLE_SECONDS = 0.04
"""The same while none come."""

_MAX_SEEN = 200_000
_INTERRUPTED = {-512: -errno.EINTR, -514: -errno.EINTR, -516: -errno.EINTR, -513: None}
_CHANGES_NAMES = (
    frozenset({"mkdir", "mkdirat", "mknod", "mknodat", "rmdir", "chdir", "truncate", "truncate64"})
    | MOVES
    | REMOVES
    | RESOLUTION_CHANGES
)
_ROOTS = frozenset({"chroot", "pivot_root", "setns", "unshare"})
_LEAVES = frozenset({"exit_group"})
_KILL_PAUSE_SECONDS = 0.05


def _free() -> frozenset[str]:
    """Calls of one path that change no name: these never wait, unless they open with O_CREAT."""
    return frozenset(
        plan.name
        for plan in plans(X86_64).values()
        if plan.simple and plan.name not in _CHANGES_NAMES and plan.name not in ("creat", "openat2") and plan.path >= 0
    )


def available() -> str | None:
    """None if this tracer can work here, else why not, in one sentence."""
    if platform.machine() != "x86_64":
        return f"it is for x86-64 only, and this is {platform.machine()}"
    if not os.path.exists("/sys/kernel/btf/vmlinux"):
        return "the kernel describes no types (no /sys/kernel/btf/vmlinux)"
    if library() is None:
        return "libbpf is not installed (apt install libbpf1)"
    if compiler() is None and not cached().exists():
        return f"clang and libbpf's headers are not installed ({PACKAGES})"
    try:
        BpfObject(object_bytes()).close()
    except TracerError as problem:
        return str(problem)
    return None


class EbpfTracer:
    """Traces a command with eBPF; one :meth:`run` per instance."""

    name = TracerName.EBPF

    def __init__(self) -> None:
        self.programs = ProgramTable()
        self._launcher = self.programs.exec(-1, LAUNCHER, "")
        found = abis()
        if found is None or found[0] is not X86_64:
            raise TracerError(f"the eBPF tracer does not know {platform.machine()}", "use --tracer ptrace")
        self._native, self._foreign = found
        self._plans, self._foreign_plans = plans(self._native), plans(self._foreign)
        self._free = _free()
        self._tasks: dict[int, Task] = {}
        self._seen: set[object] = set()
        self._own_mounts, self._own_root, self._own_namespace = "", b"", 0
        self._calls = self._lost = self._unfinished = 0
        self._status: int | None = None
        self._lingering: tuple[str, ...] = ()
        self._notes: set[str] = set()
        self._changing: set[int] = set()

    def run(self, command: Command, sink: Sink) -> TraceEnd:
        """See :class:`~tracers.tracer.Tracer`."""
        self._sink = sink
        bpf = BpfObject(object_bytes())
        with contextlib.ExitStack() as undo:
            undo.callback(bpf.close)
            self._tell_calls(bpf)
            bpf.attach()
            self._ring = Ring(bpf.map("ring"), RING_SIZE)
            undo.callback(self._ring.close)
            self._known = Known(bpf)
            marks = bpf.map("tasks")

            def marked(pidfd: int) -> bool:
                return bpf.get(marks, pidfd.to_bytes(4, "little"), TASK_SIZE) is not None

            self._marked = marked
            code = ListenerFilter(
                program(self._native, self._foreign, Action.NOTIFY, free=self._free, also=_LEAVES)
            )
            launch = Launch(command, code)
            self._main = launch.pid
            pidfd = os.pidfd_open(launch.pid)
            undo.callback(os.close, pidfd)
            bpf.put(marks, pidfd.to_bytes(4, "little"), first_task(launch.pid))
            self._tasks[launch.pid] = main = Task(launch.pid, launch.pid, self._launcher)
            self._own_mounts, self._own_root = mount_namespace(main), root_directory(main)
            self._own_namespace = os.stat("/proc/self/ns/mnt").st_ino
            guard = Guard(marked, bpf.descriptors())
            relay = SignalRelay(launch.pid)
            collected = gc.isenabled()
            gc.disable()
            try:
                with relay:
                    self._relay = relay
                    launch.release()
                    self._gate = self._take(code)
                    self._loop(pidfd)
            except BaseException:
                guard.end()  # half a run that nobody watches would do more harm than one that ends
                raise
            finally:
                if collected:
                    gc.enable()
            guard.dismiss()
            repeated, dropped, control_dropped = _counts(bpf)
        launch_errno = launch.outcome()
        status = self._status if self._status is not None else 128 + signal.SIGKILL
        if dropped or control_dropped:
            self._notes.add("the program made calls faster than they could be read: some were not recorded")
        return TraceEnd(
            status=launch_status(launch_errno) if launch_errno else status,
            launch_errno=launch_errno,
            calls=self._calls + repeated,
            lost=self._lost + dropped + control_dropped,
            unfinished=self._unfinished,
            lingering=self._lingering,
            interrupted=relay.interrupted,
            notes=tuple(sorted(self._notes)),
        )

    def _tell_calls(self, bpf: BpfObject) -> None:
        """Say to the BPF programs how each native call is read."""
        table = bpf.map("calls")
        for number, name in self._native.names.items():
            plan = self._plans.get(number)
            if number >= CALL_SLOTS or (plan is None and name not in CONTEXT):
                continue
            if plan is None:
                slot = CALL_PLAN.pack(GATED, -1, -1, -1, 0)
            else:
                kind = SIMPLE if plan.name in self._free else GATED
                slot = CALL_PLAN.pack(kind, plan.path, plan.dirfd, plan.number, plan.opens)
            bpf.put(table, number.to_bytes(4, "little"), slot)

    def _take(self, code: ListenerFilter) -> Listener | None:
        """Our copy of the listener; None if the child ended before it made one."""
        number = code.number()
        if number <= 0:
            return None
        listener = Listener(borrow(self._main, number))
        wake_synchronously(listener.fd)
        code.taken()
        return listener

    # --- waiting

    def _loop(self, pidfd: int) -> None:
        """Until the command and everything that it started has ended."""
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if self._gate is not None:
            poll.register(self._gate.fd, select.POLLIN)
        deadline: float | None = None
        wait = POLL_SECONDS
        while self._tasks:
            ready = poll.poll(wait * 1000)
            wait = POLL_SECONDS if self._drain() else IDLE_SECONDS
            if deadline is None and self._reaped():
                poll.unregister(pidfd)
                deadline = time.monotonic() + LINGER_SECONDS
            elif deadline is not None and time.monotonic() >= deadline:
                self._lingering = self._lingering or tuple(sorted({self.programs[t.program].label for t in self._tasks.values()}))
                if not end_all(self._marked):
                    self._drain()
                    self._tasks.clear()
                deadline = time.monotonic() + _KILL_PAUSE_SECONDS
            for descriptor, what in ready:
                if descriptor == pidfd:
                    continue
                if what & select.POLLIN:
                    self._held()
                else:
                    poll.unregister(descriptor)  # nobody is left who has the filter
        self._drain()
        if deadline is None:
            self._reaped(0)

    def _reaped(self, options: int = os.WNOHANG | os.WUNTRACED) -> bool:
        """Whether the command has ended; follows its stops."""
        pid, status = os.waitpid(self._main, options)
        if not pid:
            return False
        if os.WIFSTOPPED(status):
            Foreground.follow_stop(os.WSTOPSIG(status))
            return False
        self._status = exit_status(status)
        return True

    # --- calls that wait

    def _held(self) -> None:
        """Answer one call at the gate, after everything that came before it."""
        gate = self._gate
        assert gate is not None
        notice = gate.receive()
        if notice is None:
            return
        self._drain()
        identity, tid, number, arch, *args = notice
        task = self._tasks.get(tid) or self._adopt(tid)
        task.pending = None
        plan = self._plans.get(number)
        if plan is not None and plan.name == "io_uring_setup" and arch == self._native.audit_arch:
            # Its operations bypass system calls, so nobody could see them: programs fall back.
            self._notes.add("io_uring was answered ENOSYS, so that its file accesses stay visible")
            self._calls += 1
            self._finish(task, read_general(task, plan, tuple(args), b""), -errno.ENOSYS, b"", None)
            gate.refuse(identity, errno.ENOSYS)
            return
        task.pending = self._enter(task, arch, number, tuple(args))
        if isinstance(task.pending, Entry):
            entry = task.pending
            if may_lead_elsewhere(entry.plan.name, entry.number, _names(task, entry), self._sink.links()):
                # From the change on until we read of it, the kernel must not take a call for one that we know.
                self._known.forget()
                self._changing.add(tid)
        gate.resume(identity)

    def _enter(self, task: Task, arch: int, number: int, args: tuple[int, ...]) -> object:
        """What a call at its entry is."""
        abi, table = self._native, self._plans
        if arch == self._foreign.audit_arch:
            abi, table = self._foreign, self._foreign_plans
        plan, name = table.get(number), abi.names.get(number)
        if plan is not None:
            return read_general(task, plan, args, working_directory(task))
        if name in CONTEXT:
            return name
        return None if name in _LEAVES else Opaque(call_number(arch, number, self._native, self._foreign))

    # --- records

    def _drain(self) -> bool:
        """Take everything from the ring; whether there was anything."""
        unpack, tasks, seen, interrupted = HEADER.unpack_from, self._tasks, self._seen, _INTERRUPTED
        record = None
        for record in self._ring.records():
            tid, kind, result, pointer, number, path, base, opened, flags, outcome, argument, digest = unpack(record)
            if kind != CALL:
                self._other(kind, tid, record, result, pointer, opened, flags, argument)
                continue
            if outcome in interrupted:
                if outcome == -513:
                    continue
                result = interrupted[outcome]
            self._calls += 1
            task = tasks.get(tid) or self._adopt(tid)
            key = (task.program, bytes(record[MEANING:]))
            if key in seen:
                continue
            plan = self._plans[number]
            if self._simple(task, record, plan, result, pointer, path, base, opened, flags, argument):
                self._remember(key)
                if not self._changing:
                    self._known.add(digest)
        return record is not None

    def _simple(
        self,
        task: Task,
        record: memoryview,
        plan: Plan,
        result: int,
        pointer: int,
        path_size: int,
        base_size: int,
        opened_size: int,
        flags: int,
        argument: int,
    ) -> bool:
        """A simple call that was not seen before; whether an equal one would say nothing new."""
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
            path = Memory.UNREADABLE if result == -errno.EFAULT else read_string(task, pointer)
        if flags & CUT:
            self._notes.add("a directory's name was too long to be read")
        if not path and acts_on_descriptor(plan, argument, path):
            return True
        if path is Memory.UNREADABLE or (path and path[:1] == b"/"):
            start = b""
        call = simple_call(plan, argument, path, start, result, opened)
        return self._send(events(call, task.program, task.pid, abi=plan.abi, root=task.root))

    def _send(self, found: Iterable[Event]) -> bool:
        repeatable = True
        for event in found:
            repeatable = self._sink.event(event) and repeatable
        return repeatable

    def _remember(self, key: object) -> None:
        if len(self._seen) >= _MAX_SEEN:
            self._seen.clear()
        self._seen.add(key)

    def _other(
        self, kind: int, tid: int, record: memoryview, result: int, pointer: int, size: int, flags: int, argument: int
    ) -> None:
        """A record that is no simple call."""
        at = HEADER.size
        opened = name(bytes(record[at : at + size]), bool(flags & OPENED_DELETED)) if flags & HAS_OPENED else None
        if kind == RESULT:
            task = self._tasks.get(tid) or self._adopt(tid)
            pending, task.pending = task.pending, None
            self._changing.discard(tid)
            code = _INTERRUPTED.get(result, result)
            if code is not None and pending is not None:
                self._calls += 1
                key = (task.program, pending, code if code < 0 else 0)
                if key not in self._seen:
                    self._finish(task, pending, code, key, opened)
                if code >= 0:
                    self._after(task, pending)
        elif kind == FORK:
            self._forked(tid, argument >> 32, argument & 0xFFFFFFFF, pointer)
        elif kind == EXEC:
            self._executed(tid, argument, os.fsdecode(opened or b""))
        elif kind == EXIT:
            task = self._tasks.pop(tid, None)
            self._changing.discard(tid)
            if task is not None:
                self._unfinished += bool(argument)
                task.forget_memory()
        elif kind == SIGNAL:
            self._relay.seen(argument)

    def _finish(self, task: Task, pending: object, result: int, key: object, opened: bytes | None) -> None:
        if self._send(self._events(task, pending, result, opened)):
            self._remember(key)

    def _events(self, task: Task, pending: object, result: int, opened: bytes | None) -> list[Event]:
        root = task.root
        if isinstance(pending, Opaque):
            outcome = -result if -4096 < result < 0 else 0
            return [Event(task.program, task.pid, pending.text, Operation.FOREIGN, pending, outcome, root=root)]
        if not isinstance(pending, Entry):
            return []
        if pending.plan.opens and result >= 0 and opened is None:
            opened = descriptor_path(task, result)  # of a foreign ABI, whose calls the BPF programs do not read
        elif not pending.plan.opens:
            opened = None
        calls = pending.raw_calls(result, opened)
        return [e for c in calls for e in events(c, task.program, task.pid, abi=pending.plan.abi, root=root)]

    def _after(self, task: Task, pending: object) -> None:
        """What a successful call changes for later lookups."""
        if not isinstance(pending, Entry):
            return
        call = pending.plan.name
        if leads_elsewhere(call, pending.number, _names(task, pending), self._sink.links()):
            self._forget()
        if call in _ROOTS:
            self._moved(task)

    def _moved(self, task: Task) -> None:
        """The root directory or mount namespace of ``task`` may be another one now."""
        if mount_namespace(task) == self._own_mounts and root_directory(task) == self._own_root:
            return
        for other in self._tasks.values():
            if other.pid == task.pid:
                other.root = _root_of(other.tid)

    def _forget(self) -> None:
        """Equal calls may mean something else from now on."""
        self._seen.clear()
        self._known.forget()
        self._sink.forget()

    # --- tasks

    def _adopt(self, tid: int) -> Task:
        """A task whose birth was not recorded (the ring was full)."""
        pid, parent = thread_group(tid)
        relative = self._tasks.get(pid) or self._tasks.get(parent)
        program, apart = (relative.program, relative.root) if relative else (self._launcher, "")
        task = self._tasks[tid] = Task(tid, pid, program, _root_of(tid) if apart else "")
        return task

    def _forked(self, parent_tid: int, tid: int, pid: int, mounts: int) -> None:
        parent = self._tasks.get(parent_tid) or self._adopt(parent_tid)
        task = self._tasks[tid] = Task(tid, pid, parent.program, _root_of(tid) if parent.root else "")
        if pid != parent.pid and not task.root and mounts != self._own_namespace:
            task.root = _root_of(tid)
            self._forget()  # an equal path means another file in there

    def _executed(self, tid: int, former_tid: int, exe: str) -> None:
        """A successful exec: the call ends here, under its new program and perhaps a new thread id."""
        former = self._tasks.pop(former_tid, None) or self._adopt(tid)
        for other in [t for t in self._tasks.values() if t.pid == tid]:
            self._tasks.pop(other.tid)
            other.forget_memory()
        former.forget_memory()
        task = self._tasks[tid] = Task(tid, tid, former.program, _root_of(tid) if former.root else "")
        exe = exe.removesuffix(" (deleted)") if not os.path.lexists(exe) else exe
        called, pending = exe, former.pending
        if isinstance(pending, Entry):
            self._calls += 1
            key = (task.program, pending, 0)
            if pending.varies or key not in self._seen:
                self._finish(task, pending, 0, key, None)
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


def _names(task: Task, entry: Entry) -> list[bytes]:
    """The paths of a call, where we find them; ``b""`` for one that could not be read."""
    pairs = zip(entry.text, entry.base, strict=False)
    return [visible(task, path, base) if isinstance(path, bytes) else b"" for path, base in pairs]


def _root_of(tid: int) -> str:
    return f"/proc/{tid}/root"
