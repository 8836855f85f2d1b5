"""The fast tracer: seccomp notifications, one round trip a call, and outcomes that are deduced.

The caller of each traced call waits while we read its strings, repeat its lookup and let it go on
(:mod:`tracers.deduction`); a call that changes something is settled when its effect shows, at the latest when the same
thread makes its next call (:mod:`tracers.unsettled`). Since Linux 6.6 the kernel wakes us on the caller's own CPU, and
that makes it fast. Nothing is traced with ptrace(2): the program may do that itself.

An outcome is deduced, not seen: enough to learn from, not to verify or to diagnose with.
"""

import errno
import gc
import os
import resource
import select
import time

from tracers import offspring
from tracers.abi import X32_BIT, abis, call_number, takes_x32
from tracers.adoption import Adoption
from tracers.caller import UNEXPLAINED, Caller, descriptor
from tracers.calls import AT_SYMLINK_NOFOLLOW, CONTEXT
from tracers.deduction import deduce
from tracers.entry import acts_on_descriptor, plans, read_general
from tracers.events import Memory, Opaque, Sink
from tracers.images import Images, image_of
from tracers.job import SignalRelay
from tracers.keeper import Keeper
from tracers.launch import Launch
from tracers.listener import Listener, ListenerFilter
from tracers.programs import LAUNCHER, ProgramTable
from tracers.quick import quick
from tracers.report import ROOTS, Report
from tracers.seccomp import LISTENS, Action, program
from tracers.site import AT_FDCWD, check, visible_at
from tracers.supervision import Course, take
from tracers.tracee import (
    PATH_MAX,
    Task,
    descriptor_path,
    read_string,
)
from tracers.tracer import Command, TraceEnd, TracerError, TracerName, launch_status
from tracers.unsettled import Execing, Unsettled, Waiting
from tracers.watched import WATCHED, leaves_root, makes_mounts

_IDLE_MS = 25.0
"""After so long without a call there is time for what was deferred: a little at a time, until the next one comes."""
_AT_ONCE = 8
_NOW_AND_THEN = 15
"""Calls of which none has these bits set in its number: then the clock is asked."""

_SLASH = ord("/")
_LONG = PATH_MAX - 64
"""Paths behind which there may be no room for the directory that they start at."""


class NotifyTracer:
    """Traces a command through a seccomp listener. Works as an ordinary user; one :meth:`run` per instance."""

    name = TracerName.NOTIFY

    def __init__(self) -> None:
        self.programs = ProgramTable()
        self._launcher = self.programs.exec(-1, LAUNCHER, "")
        found = abis()
        if found is None:
            raise TracerError(
                f"the notify tracer has no system call table for {os.uname().machine}", "use --tracer strace"
            )
        self._native, self._foreign = found
        self._plans, self._foreign_plans = plans(self._native), plans(self._foreign)
        self._quick = quick(self._plans)
        self._execve = next(number for number, plan in self._plans.items() if plan.name == "execve")
        self._filter = ListenerFilter(program(self._native, self._foreign, Action.NOTIFY, watched=WATCHED))
        self._tasks: dict[int, Task] = {}
        self._images = Images()
        self._calls = self._lost = self._unfinished = 0
        self._main = 0
        self._notes: set[str] = set()
        self._user = os.geteuid()

    def run(self, command: Command, sink: Sink) -> TraceEnd:
        """See :class:`~tracers.tracer.Tracer`."""
        keeper = self._keeper = Keeper()
        launch = Launch(command, self._filter, keeper.fork)
        task = Task(launch.pid, launch.pid, self._launcher)
        self._report = Report(self._tasks, task, sink)
        self._unsettled = Unsettled(self._report, self._tasks, self.programs, self._images, self._note)
        self._adoption = Adoption(self._tasks, self._images, self._launcher, self._report, self._unsettled)
        relay = SignalRelay(launch.pid)
        self._course = course = Course(launch.pid, keeper, relay)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        collected = gc.isenabled()
        gc.disable()
        try:
            with relay:
                launch.release()
                listener = take(self._filter, launch.pid, keeper)
                ended = time.monotonic()
                if listener is not None:
                    # One open memory file a task; raised after the fork, so that the program keeps its own limit.
                    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
                    self._images.learn(image_of(task), self._launcher)
                    self._adoption.apart = self._report.elsewhere(task)
                    task.forget_memory()
                    try:
                        self._loop(listener)
                    finally:
                        ended = time.monotonic()
                        listener.close()
                        self._report.flush()
        finally:
            keeper.end()
            if collected:
                gc.enable()
            for known in self._tasks.values():
                known.forget_memory()
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        launch_errno = launch.outcome()
        return TraceEnd(
            status=launch_status(launch_errno) if launch_errno else course.status,
            launch_errno=launch_errno,
            calls=self._calls,
            lost=self._lost,
            unfinished=self._unfinished,
            seconds=ended - launch.released,
            lingering=course.lingering,
            interrupted=relay.interrupted,
            notes=tuple(sorted(self._notes)),
            deduced=True,
        )

    # --- the loop

    def _loop(self, listener: Listener) -> None:
        """The hot loop: no work beyond reading the call, repeating its lookup and one set lookup."""
        self._listener, course = listener, self._course
        receive, resume, tasks, quickly = listener.receive, listener.resume, self._tasks, self._quick
        report, unsettled, directory = self._report, self._unsettled, self._report.directory
        adopt = self._adoption.adopt
        native, known, cwds = self._native.audit_arch, report.seen, report.cwds
        access, report_fd, listener_fd = os.access, self._keeper.fd, listener.fd
        poll = select.poll()
        poll.register(listener_fd, select.POLLIN)
        poll.register(report_fd, select.POLLIN)
        ready = poll.poll
        idle = False
        while True:
            if report.deferred:
                timeout: float | None = 0 if idle else _IDLE_MS
                if not self._calls & _NOW_AND_THEN and report.overdue:
                    report.flush()
            else:
                timeout = unsettled.patience() if unsettled.waiting or course.ending else None
            found = ready(timeout)
            idle = not found
            if idle:
                if report.deferred:
                    report.flush(_AT_ONCE)
                    continue
                unsettled.look_again()
                course.end_what_lingers(self._left)
                continue
            for fd, _event in found:
                if fd == report_fd:
                    if not course.hear():
                        unsettled.give_up()
                        return
                    continue
                if not _event & select.POLLIN:
                    poll.unregister(listener_fd)  # nobody is left who could call
                    continue
                notice = receive()
                if notice is None:
                    continue
                self._calls += 1
                number, tid = notice[0], notice[1]
                task = tasks.get(tid) or adopt(tid)
                if unsettled.waiting:
                    unsettled.settle(task)
                    task = tasks.get(tid) or adopt(tid)
                how = quickly.get(notice[2]) if notice[3] == native and not task.root else None
                if how is None:
                    self._enter(task, notice)
                    continue
                args = notice[4:]
                plan = how.plan
                address = args[how.path]
                first = task.mem < 0
                path = read_string(task, address) if address else None
                flags = args[how.flags] if how.flags >= 0 else 0
                if not path or path is Memory.UNREADABLE or len(path) > _LONG:
                    if not path and acts_on_descriptor(plan, flags, path):
                        resume(number)
                    else:
                        self._enter(task, notice)
                    continue
                base = b""
                if path[0] == _SLASH:
                    at = visible_at(task, path, AT_FDCWD, b"") if b"self" in path or path[:5] == b"/dev/" else path
                else:
                    dirfd = descriptor(args[how.dirfd]) if how.dirfd >= 0 else AT_FDCWD
                    found_base = cwds.get(tid) if dirfd == AT_FDCWD else descriptor_path(task, dirfd)
                    if found_base is None and dirfd == AT_FDCWD:
                        found_base = directory(task)
                    base = found_base or b""
                    at = visible_at(task, path, dirfd, base)
                mode, nofollow = how.question(args, flags)
                # access() only says yes or no, in half the time
                code = 0 if not nofollow and access(at, mode) else check(at, mode, AT_SYMLINK_NOFOLLOW * nofollow)
                kind = how.kind(at, nofollow) if how.opens and not code else 0
                key = (task.program, how.number, flags, path, base, code or -kind)
                if key in known:
                    if not resume(number):
                        self._unfinished += 1
                    continue
                answer = how.answer(code, kind, at, flags, nofollow) if base or at is path else None
                if answer is None:
                    if not self._enter(task, notice) or not how.repeats(code):
                        continue
                elif (at is path and not first) or listener.valid(number):  # else it may have been another's
                    outcome, kind = answer
                    # At once, while a change is under way, and what may be gone with its process.
                    if unsettled.waiting or (base or path)[:5] == b"/proc":
                        report.finish(task, (plan, flags, path, base), -outcome, key, None)
                    else:
                        report.defer(task, (plan, flags, path, base), -outcome, key, kind)
                    if not resume(number):
                        self._unfinished += 1
                    continue
                else:
                    continue
                report.remember(key)

    def _left(self) -> list[str]:
        """Labels of what the command left behind."""
        left = [self._tasks.get(pid) or self._adoption.adopt(pid) for pid in offspring.descendants(self._keeper.pid)]
        return [self.programs[task.program].label for task in left]

    # --- one call

    def _enter(self, task: Task, notice: tuple[int, ...]) -> bool:
        """Any call: what it will do, and its events, now or when that is settled. Whether repeating it is the same."""
        number, nr, arch, args = notice[0], notice[2], notice[3], notice[4:]
        foreign = arch != self._native.audit_arch and arch == self._foreign.audit_arch
        known, names = (self._foreign_plans, self._foreign.names) if foreign else (self._plans, self._native.names)
        plan = known.get(nr) if foreign or arch == self._native.audit_arch else None
        if plan is None:
            self._unplanned(task, notice, names.get(nr, "") if foreign or arch == self._native.audit_arch else "")
            return False
        if nr == self._execve and not foreign and self._exec_again(task, number, args):
            return False
        where = self._report.directory
        entry = read_general(task, plan, args, where)
        if entry is not None and Memory.UNREADABLE in entry.text and self._adoption.refresh(task):
            task = self._tasks[task.tid]
            entry = read_general(task, plan, args, where)
        if entry is None:
            self._listener.resume(number)
            return False
        if plan.name == "io_uring_setup":
            # Its operations bypass system calls, so nobody could see them: programs fall back.
            self._note("io_uring was answered ENOSYS, so that its file accesses stay visible")
            self._tell(Caller(task, entry, args, where), -errno.ENOSYS, number)
            self._listener.refuse(number, errno.ENOSYS)
            return False
        if entry.text == (b"",) and acts_on_descriptor(plan, entry.number, b"") and not plan.name.startswith("exec"):
            self._listener.resume(number)
            return False
        caller = Caller(task, entry, args, where)
        verdict = deduce(caller)
        if verdict.created and plan.opens:
            caller.entry = entry = entry._replace(existed=False)
        if not verdict.outcome:
            self._report.flush_before(task, entry)
        if verdict.outcome or (verdict.done is None and not plan.name.startswith("exec")):
            repeatable = self._tell(caller, -verdict.outcome, number)
            caller.close()
            if not self._listener.resume(number):
                self._unfinished += 1
            return repeatable
        if plan.name.startswith("exec"):
            waiting: Waiting = Execing(task, entry, self._adoption.image(task), verdict.otherwise, caller=caller)
            task.forget_memory()  # it shows the address space that is about to go
        else:
            self._adoption.apart |= plan.name in ROOTS
            waiting = Waiting.change(task, entry, caller, verdict)
        self._let_go(number, waiting)
        return False

    def _exec_again(self, task: Task, number: int, args: tuple[int, ...]) -> bool:
        """Let an execve go on that repeats a former one; False if it does not."""
        known = self._unsettled.execs.find(task, args)
        if known is None:
            return False
        waiting = Execing(task, known.entry, self._adoption.image(task), UNEXPLAINED, known=known)
        task.forget_memory()
        self._let_go(number, waiting)
        return True

    def _let_go(self, number: int, waiting: Waiting) -> None:
        """Have a call go on, and wait for its effect."""
        self._unsettled.add(waiting)  # before: as long as we are awake, the kernel moves an exec to another CPU
        if not self._listener.resume(number):
            self._unfinished += 1
            self._unsettled.drop(waiting)

    def _tell(self, caller: Caller, result: int, number: int) -> bool:
        """Send the events of a call whose outcome is known; whether a repetition means the same."""
        task, entry = caller.task, caller.entry
        key = (task.program, entry, result)
        if key in self._report.seen:
            if result >= 0:
                self._report.after(task, entry)
            return True
        if not self._listener.valid(number):
            return False  # what was read may have been another's
        opened = caller.kernel_name() if entry.plan.opens and result >= 0 else None
        return self._report.finish(task, entry, result, key, opened)

    def _unplanned(self, task: Task, notice: tuple[int, ...], name: str) -> None:
        """A call that attempts nothing itself, or of which only the number is known."""
        number, nr, arch = notice[0], notice[2], notice[3]
        if name == LISTENS:
            self._note(
                "the program asked for a seccomp listener of its own, which fails with EBUSY while it is traced "
                "this way: learn with --tracer ptrace"
            )
            self._listener.resume(number)
        elif name in WATCHED:
            self._adoption.apart |= makes_mounts(task, name, notice[4:])
            if not self._user and leaves_root(name, notice[4:]):  # others cannot, without new privileges
                self._note("programs ran as another user: what they may not do was told from what this user may not")
            self._listener.resume(number)
        elif name in CONTEXT:
            self._let_go(number, Waiting.move(task, name, descriptor(notice[4])))
        else:
            opaque = Opaque(call_number(arch, nr, self._native, self._foreign))
            code = errno.ENOSYS if arch == self._native.audit_arch and nr & X32_BIT and not takes_x32() else 0
            key = (task.program, opaque, code)
            if key not in self._report.seen:
                self._report.finish(task, opaque, -code, key, None)
            self._listener.resume(number)

    def _note(self, note: str) -> None:
        self._notes.add(note)
