"""The default tracer: a ptrace loop of our own behind a seccomp filter.

Each traced call stops twice: at its entry, where its strings are read, and at its exit for the result. An equal
call with an equal result that the sink called repeatable is only counted. The program runs with no_new_privs,
which the kernel asks of an ordinary user's filter, so setuid programs keep the user's rights.
"""

import gc
import os
import resource
import signal
import time

from ptrace.binding.func import PTRACE_EVENT_CLONE, PTRACE_EVENT_EXEC, PTRACE_EVENT_FORK, PTRACE_EVENT_VFORK

from tracers import requests
from tracers.abi import abis, call_number
from tracers.calls import CONTEXT
from tracers.descendants import WALL, Descendants
from tracers.entry import Entry, Plan, acts_on_descriptor, plans, read_general, read_path
from tracers.events import Opaque, Sink
from tracers.filters import Filter
from tracers.job import Foreground, SignalRelay
from tracers.launch import Launch
from tracers.permission import not_permitted
from tracers.programs import LAUNCHER, ProgramTable
from tracers.report import INTERRUPTED, Report, root_of
from tracers.requests import SECCOMP_STOP, SYSCALL_STOP
from tracers.seccomp import program
from tracers.tracee import (
    Task,
    descriptor_path,
    executable,
    thread_group,
)
from tracers.tracer import Command, TraceEnd, TracerError, TracerName, exit_status, launch_status

SPINS = 1000
"""How often the loop asks for the next stop before it sleeps (about a millisecond), giving way to others each time.

Most of a stop's cost is waking a tracer that sleeps, from another CPU. Measured on 2 cores: asking instead saves up to
half of the run time where the cores are idle, and neither saves nor costs where something keeps them awake."""

_CREATES = os.O_CREAT
_NEW_TASK = frozenset({PTRACE_EVENT_FORK, PTRACE_EVENT_VFORK, PTRACE_EVENT_CLONE})


class PtraceTracer:
    """Traces a command with ptrace. Works as an ordinary user; one :meth:`run` per instance."""

    name = TracerName.PTRACE

    def __init__(self) -> None:
        self.programs = ProgramTable()
        self._launcher = self.programs.exec(-1, LAUNCHER, "")
        found = abis()
        if found is None:
            raise TracerError(
                f"the ptrace tracer has no system call table for {os.uname().machine}", "use --tracer strace"
            )
        native, foreign = found
        self._native, self._foreign = native, foreign
        self._plans, self._foreign_plans = plans(native), plans(foreign)
        self._filter = Filter(program(native, foreign))
        self._tasks: dict[int, Task] = {}
        self._calls = self._lost = self._unfinished = 0
        self._status: int | None = None
        self._main = 0
        self._notes: set[str] = set()
        self._descendants = Descendants(self._tasks, self.programs)

    def run(self, command: Command, sink: Sink) -> TraceEnd:
        """See :class:`~tracers.tracer.Tracer`."""
        launch = Launch(command, self._filter)
        failure = requests.seize(launch.pid)
        if failure:
            launch.abort()
            raise not_permitted(failure)
        self._main = launch.pid
        self._tasks[launch.pid] = main = Task(launch.pid, launch.pid, self._launcher)
        self._report = Report(self._tasks, main, sink)
        relay = SignalRelay(launch.pid)
        # One open memory file a task; raised after the fork, so that the program keeps its own limit.
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
        collected = gc.isenabled()
        gc.disable()
        try:
            with relay:
                self._relay = relay
                with self._descendants:  # in here, so that its thread leaves the relayed signals alone
                    launch.release()
                    self._loop()
            ended = time.monotonic()
        except BaseException:
            self._descendants.abandon()  # half a run that nobody watches would do more harm than one that ends
            raise
        finally:
            if collected:
                gc.enable()
            for task in self._tasks.values():
                task.forget_memory()
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        launch_errno = launch.outcome()
        status = self._status if self._status is not None else 128 + signal.SIGKILL
        return TraceEnd(
            status=launch_status(launch_errno) if launch_errno else status,
            launch_errno=launch_errno,
            calls=self._calls,
            lost=self._lost,
            unfinished=self._unfinished,
            seconds=ended - launch.released,
            lingering=self._descendants.lingering,
            interrupted=relay.interrupted,
            notes=tuple(sorted(self._notes)),
        )

    def _loop(self) -> None:
        """The hot loop: no per-event work beyond reading the call and one set lookup."""
        wait, tasks, native, simple_plans = os.waitpid, self._tasks, self._native.audit_arch, self._plans
        entry_of, result_of = requests.syscall_entry, requests.syscall_result
        resume, to_exit = requests.resume, requests.resume_to_exit
        seen, where, interrupted = self._report.seen, self._report.directory, INTERRUPTED
        give_way = os.sched_yield
        poll, spins = WALL | os.WNOHANG, range(SPINS if len(os.sched_getaffinity(0)) > 1 else 0)
        while True:
            try:
                for _ in spins:
                    tid, status = wait(-1, poll)
                    if tid:
                        break
                    give_way()
                else:
                    tid, status = wait(-1, WALL)
            except ChildProcessError:
                return
            if status == SECCOMP_STOP:
                task = tasks.get(tid) or self._adopt(tid)
                call = entry_of(task.ctid)
                if call is None:
                    resume(task.ctid)  # killed meanwhile
                    continue
                plan = simple_plans.get(call[1]) if call[0] == native else None
                if plan is None or not plan.simple:
                    self._enter(task, call, plan)
                    continue
                args = call[2:]
                path, base = read_path(task, args, plan.path, plan.dirfd, where)
                number = args[plan.number] if plan.number >= 0 else 0
                if not path and acts_on_descriptor(plan, number, path):
                    resume(task.ctid)
                elif plan.opens and (number & _CREATES or plan.number < 0):
                    task.pending = read_general(task, plan, args, where)
                    to_exit(task.ctid)
                else:
                    task.pending = (plan, number, path, base)
                    to_exit(task.ctid)
            elif status == SYSCALL_STOP:
                task = tasks.get(tid) or self._adopt(tid)
                result = result_of(task.ctid)
                pending, task.pending = task.pending, None
                if result in interrupted:
                    result = interrupted[result]
                if result is not None and pending is not None:
                    self._calls += 1
                    key = (task.program, pending, result if result < 0 else 0)
                    if key not in seen:
                        self._finish(task, pending, result, key)
                    elif result >= 0:
                        self._report.after(task, pending)
                resume(task.ctid)
            else:
                self._other_stop(tid, status)

    # --- system calls off the hot path

    def _enter(self, task: Task, call: tuple[int, ...], plan: Plan | None) -> None:
        """The entry of a call that is not simple, of a foreign ABI, or of none that we know."""
        arch, number, args = call[0], call[1], call[2:]
        foreign = arch != self._native.audit_arch and arch == self._foreign.audit_arch
        if foreign:
            plan = self._foreign_plans.get(number)
        names = self._foreign.names if foreign else self._native.names
        if plan is None and names.get(number) in CONTEXT:
            task.pending = names[number]
            requests.resume_to_exit(task.ctid)
            return
        if plan is None:
            task.pending = Opaque(call_number(arch, number, self._native, self._foreign))
            requests.resume_to_exit(task.ctid)
            return
        if plan.name == "io_uring_setup":
            # Its operations bypass system calls, so neither we nor strace could see them: programs fall back.
            requests.refuse(task.ctid)
            self._notes.add("io_uring was answered ENOSYS, so that its file accesses stay visible")
        if plan.name == "ptrace":
            self._notes.add("the program called ptrace itself, which fails with EPERM while it is traced")
        entry = read_general(task, plan, args, self._report.directory)
        if entry is None:
            requests.resume(task.ctid)
            return
        task.pending = entry
        requests.resume_to_exit(task.ctid)

    def _finish(self, task: Task, pending: object, result: int, key: object) -> None:
        """A call with a result that was not seen before: send its events."""
        plan = pending[0] if isinstance(pending, tuple) else None
        opens = isinstance(plan, Plan) and plan.opens and result >= 0
        self._report.finish(task, pending, result, key, descriptor_path(task, result) if opens else None)

    # --- everything that is not a system call

    def _adopt(self, tid: int) -> Task:
        """A task that stopped before its parent's event told of it."""
        pid, parent = thread_group(tid)
        relative = self._tasks.get(pid) or self._tasks.get(parent)
        program, apart = (relative.program, relative.root) if relative else (self._launcher, "")
        task = self._tasks[tid] = Task(tid, pid, program, root_of(tid) if apart else "")
        return task

    def _other_stop(self, tid: int, status: int) -> None:
        if status & 0xFF != 0x7F:
            self._gone(tid, status)
            return
        task = self._tasks.get(tid) or self._adopt(tid)
        kind, stop_signal = status >> 16, (status >> 8) & 0xFF
        if kind == 0:
            self._relay.seen(stop_signal)
            requests.resume(task.ctid, stop_signal)
        elif kind == requests.PTRACE_EVENT_STOP:
            if stop_signal == signal.SIGTRAP:
                requests.resume(task.ctid)
                return
            requests.listen(task.ctid)
            if tid == self._main:
                Foreground.follow_stop(stop_signal)
        elif kind == PTRACE_EVENT_EXEC:
            self._exec(task)
            requests.resume(task.ctid)
        else:
            if kind in _NEW_TASK:
                self._spawned(task, requests.event_message(task.ctid), kind)
            if task.pending is not None:
                requests.resume_to_exit(task.ctid)
            else:
                requests.resume(task.ctid)

    def _spawned(self, parent: Task, tid: int, kind: int) -> None:
        if not tid:
            return
        thread = kind == PTRACE_EVENT_CLONE and os.path.exists(f"/proc/{parent.pid}/task/{tid}")
        task = self._tasks.get(tid)
        if task is None:
            task = self._tasks[tid] = Task(tid, parent.pid if thread else tid, parent.program)
        elif task.program == self._launcher:
            task.program = parent.program
        if parent.root:
            task.root = root_of(tid)
        if not thread and not task.root and self._report.elsewhere(task):
            task.root = root_of(tid)
            self._report.forget()  # an equal path means another file in there

    def _exec(self, task: Task) -> None:
        """A successful exec: the call ends here, under its new program and perhaps a new thread id."""
        former = self._tasks.get(requests.event_message(task.ctid), task)
        pending, task.pending, former.pending = former.pending, None, None
        program, task.program = former.program, former.program
        task.root = root_of(task.tid) if former.root else ""
        for other in [t for t in self._tasks.values() if t.pid == task.pid and t is not task]:
            other.forget_memory()
            self._tasks.pop(other.tid, None)
            self._report.cwds.pop(other.tid, None)
        exe = executable(task)
        name = exe
        if isinstance(pending, Entry):
            self._calls += 1
            key = (program, pending, 0)
            if pending.varies or key not in self._report.seen:
                self._finish(task, pending, 0, key)
            path = pending.text[0]
            if isinstance(path, bytes) and path:
                name = os.fsdecode(os.path.join(pending.base[0], path))
        else:
            self._lost += 1
        task.forget_memory()
        self._report.cwds.pop(task.tid, None)
        task.program = self.programs.exec(program, name, exe)

    def _gone(self, tid: int, status: int) -> None:
        task = self._tasks.pop(tid, None)
        self._report.cwds.pop(tid, None)
        if task is not None:
            task.forget_memory()
            if task.pending is not None:
                self._unfinished += 1
        if tid == self._main:
            self._status = exit_status(status)
            self._descendants.main_gone()
