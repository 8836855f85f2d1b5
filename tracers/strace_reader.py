"""From strace's lines, as they come, to events: joins what was interrupted, and knows who ran what where."""

import os
import re
import signal
from collections.abc import Callable

import msgspec

from tracers.calls import CONTEXT, RESOLUTION_CHANGES, RawCall, events
from tracers.events import Event, Sink
from tracers.existence import Existence
from tracers.lookups import MOVES, REMOVES, leads_elsewhere
from tracers.programs import LAUNCHER, ProgramTable
from tracers.strace_calls import OPENS, raw_calls
from tracers.strace_tasks import FORKS, Task, Tasks, clone_flags
from tracers.strace_text import RUN_AGAIN, Call, descriptor, result, split_call

_EXECS = frozenset({"execve", "execveat"})
_CHANGES = frozenset(
    {"chdir", "mkdir", "mkdirat", "rmdir", "symlink", "symlinkat", "mknod", "mknodat", "bind"} | RESOLUTION_CHANGES
)
"""Calls whose success must be looked at each time, besides exec, moves, removals and creating opens."""

_BREAK = re.compile(rb" ?<(?:unfinished|pid changed to [0-9]+) \.\.\.>$")
_RESUMED = re.compile(rb"<\.\.\. [a-z0-9_]+ resumed> ?")
_SUPERSEDED = re.compile(rb"\+\+\+ superseded by execve in pid ([0-9]+) \+\+\+")
_PERSONALITY = re.compile(rb"\[ Process PID=[0-9]+ runs in (64 bit|32 bit|x32) mode\. \]")
_SIGNAL = re.compile(rb"--- (stopped by )?(SIG[A-Z0-9]+)\b")
_KILLED_INSIDE = (b"???(", b"<... ??? resumed>")  # killed before strace could ask which call it is in
_OUR_PID = re.compile(rb"[0-9]+ /\* ([0-9]+) in strace's PID NS \*/")
# A pointer right after a string: the quote before it closes one, and flags have at most 8 digits.
_BUFFER = re.compile(rb'(?<=[^\\( @=]", 0x)[0-9a-f]{9,}')
_CLONE_FS = 0x200  # linux/sched.h
_NOTES = {
    "io_uring_setup": "the program asked for io_uring, whose file accesses strace cannot see",
    "ptrace": "the program called ptrace itself, which fails with EPERM while it is traced",
}
_MAX_TAILS = 200_000
_MAX_TAIL = 2_000
_ABIS = {b"64 bit": "", b"32 bit": "i386", b"x32": "x32"}
_SHEBANG_SIZE, _SHEBANG_DEPTH = 256, 5  # BINPRM_BUF_SIZE and the rewrite limit of fs/exec.c
_CALLERS_OWN = ("/proc/self/", "/proc/thread-self/", "/dev/fd/")


class Reader:
    """Reads one trace. Never raises on bad input: what is not understood is counted in ``lost``.

    ``calls``, ``lost``, ``unfinished``, ``notes`` and ``launch_errno`` are those of ``TraceEnd``.
    ``main`` is the command's process id once it is known, ``main_exited`` whether it has ended.
    ``on_signal`` and ``on_stop`` are called with the number of a signal that reaches or stops the command.
    """

    def __init__(self, programs: ProgramTable, sink: Sink) -> None:
        self.calls = self.lost = self.unfinished = self.launch_errno = 0
        self.main: int | None = None
        self.main_exited = False
        self.notes: set[str] = set()
        self.on_signal: Callable[[int], None] = lambda _number: None
        self.on_stop: Callable[[int], None] = lambda _number: None
        self._programs = programs
        self._launcher = programs.exec(-1, LAUNCHER, "")
        self._sink = sink
        self._tasks = Tasks()
        self._root: Task | None = None
        self._launched = False
        self._existence = Existence()
        self._rest = b""
        self._held: dict[bytes, list[bytes]] = {}
        # (program, directory, ABI, line) that would say nothing new, and how many calls it counts for.
        self._tails: dict[tuple[int, bytes, str, bytes], int] = {}
        self._sent: set[tuple[Event, ...]] = set()

    def feed(self, data: bytes) -> None:
        """Take the next piece of output, of any length."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line)

    def close(self) -> None:
        """The output has ended: what is still open stays unfinished, and a cut last line is lost."""
        if self._rest:
            self.lost += 1
        self.lost += sum(len(lines) for lines in self._held.values())
        self.unfinished += sum(task.pending is not None for task in self._tasks.values())

    def living(self) -> dict[int, str]:
        """Process ids that have not exited, with the labels of their programs."""
        return {t.process.pid: self._programs[t.process.program].label for t in self._tasks.values()}

    def launch_failed(self, file: str, code: int) -> None:
        """The command could not even be looked at, for which strace prints no line."""
        self.launch_errno = code
        self.calls += 1
        raw = RawCall("execve", (0,) * 6, -code, text={0: os.fsencode(file)})
        for event in events(raw, self._launcher, os.getpid()):
            self._sink.event(event)

    # --- lines

    def _line(self, line: bytes) -> None:
        tid, _, text = line.partition(b" ")
        text = text.lstrip()
        task = self._tasks.get(tid)
        if task is None:
            task = self._stranger(tid, line)
            if task is None:
                return
        known = self._tails.get((task.process.program, task.cwd.path, task.abi, text))
        if known is None:
            # The same call with its buffer elsewhere: one substitution is cheaper than taking the line apart.
            known = self._tails.get((task.process.program, task.cwd.path, task.abi, _without_buffer(text)))
        if known is None:
            self._text(tid, task, text)
        else:
            self.calls += known

    def _text(self, tid: bytes, task: Task, text: bytes) -> None:
        if text.startswith(b"+++ "):
            self._notice(tid, task, text)
        elif text.startswith(b"--- "):
            self._signal(tid, text)
        elif text.startswith(b"[ "):
            match = _PERSONALITY.match(text)
            task.abi = _ABIS[match[1]] if match else task.abi
        elif text.startswith(_KILLED_INSIDE):
            self.unfinished += 1
            task.pending = None
        else:
            if resumed := _RESUMED.match(text):
                if task.pending is None:
                    self.lost += 1
                    return
                text, task.pending = task.pending + text[resumed.end() :], None
            if interrupted := _BREAK.search(text):
                task.pending = text[: interrupted.start()]
                return
            call = split_call(text)
            try:
                if call is None:
                    self.lost += 1
                else:
                    self._call(task, call, text)
            except (IndexError, ValueError):  # fewer arguments than it has, or no number where one must be
                self.lost += 1
            task.child, task.superseding = None, False
            if self._held:
                self._settle(task)

    def _notice(self, tid: bytes, task: Task, text: bytes) -> None:
        """A thread's end, or its replacement by another that called exec."""
        if task.pending is not None:
            self.unfinished += 1
        if superseded := _SUPERSEDED.match(text):
            self._tasks.superseded(tid, superseded[1])
            return
        del self._tasks[tid]
        if tid == b"%d" % (self.main or 0):
            self.main_exited = True
        if self._held:
            self._settle(task)

    def _signal(self, tid: bytes, text: bytes) -> None:
        match = _SIGNAL.match(text)
        number = getattr(signal, match[2].decode("ascii"), None) if match else None
        if match is None or number is None:
            return
        if not match[1]:
            self.on_signal(int(number))
        elif int(tid) == self.main:
            self.on_stop(int(number))

    # --- whose line it is

    def _stranger(self, tid: bytes, line: bytes) -> Task | None:
        """The task of a thread that was never heard of; None if the line is junk or must wait."""
        if not tid.isdigit():
            self.lost += 1
            return None
        if self._root is None:
            self.main = int(tid)
            self._root = self._tasks.start(tid, self._launcher)
            return self._root
        if tid in self._held:
            self._held[tid].append(line)
            return None
        parents = self._tasks.parents()
        if len(parents) > 1:
            self._held[tid] = [line]
            return None
        return self._adopt(tid, parents[0] if parents else self._root)

    def _adopt(self, tid: bytes, parent: Task) -> Task:
        parent.child = tid
        fork = split_call((parent.pending or b"") + b") = 0")
        return self._tasks.born(parent, tid, clone_flags(fork) if fork else 0)

    def _settle(self, last: Task) -> None:
        """Give threads that wait for their parent to the only fork left, or to ``last`` if none is."""
        parents = self._tasks.parents()
        if len(parents) > 1:
            return
        for tid in list(self._held):
            self._adopt(tid, parents[0] if parents else last)
            self._release(tid)

    def _release(self, tid: bytes) -> None:
        for line in self._held.pop(tid, ()):
            self._line(line)

    def _forked(self, task: Task, call: Call) -> None:
        number = result(call.result)
        if number is None or number <= 0 or task.child is not None:
            return
        translated = _OUR_PID.match(call.result)
        tid = translated[1] if translated else b"%d" % number
        if tid not in self._tasks:
            self._tasks.born(task, tid, clone_flags(call))
            self._release(tid)

    # --- calls

    def _call(self, task: Task, call: Call, text: bytes) -> None:
        if call.result.startswith(RUN_AGAIN):
            return
        if result(call.result) is None and call.result.startswith(b"?"):
            self.unfinished += 1
        elif call.name in FORKS:
            self._forked(task, call)
        elif call.name in CONTEXT:
            self.calls += 1
            found = descriptor(call.args[0])
            if result(call.result) == 0 and found and found.path:
                task.cwd.path = found.path
        else:
            if call.name in _EXECS and task.superseding:
                call = call._replace(result=b"0")  # strace 6.1 with --seccomp-bpf prints a bogus errno
            if call.args and call.args[0].startswith(b"-100<"):
                # AT_FDCWD comes with the directory itself: mends what we derived from chdir's argument.
                at = descriptor(call.args[0])
                task.cwd.path = at.path or task.cwd.path if at else task.cwd.path
            self._report(task, call, text)

    def _report(self, task: Task, call: Call, text: bytes) -> None:
        """Send what the call attempted, then follow what it changed."""
        raws = raw_calls(call, task.cwd.path)
        self.calls += bool(raws)
        if call.name in _NOTES:
            self.notes.add(_NOTES[call.name])
        program, process, abi = task.process.program, task.process, task.abi
        repeatable = True
        for raw in raws:
            opened = descriptor(call.result) if call.name in OPENS else None
            raw.existed = self._existence.before(raw, opened is not None and opened.device)
            happened = events(raw, program, 0, abi=abi)  # no pid: equal events of two processes are one
            if happened in self._sent:
                continue
            answers = [self._sink.event(msgspec.structs.replace(e, pid=process.pid)) for e in happened]
            if all(answers):
                self._sent.add(happened)
            else:
                repeatable = False
        if raws and call.name in _EXECS:
            self._executed(task, raws[0])
        elif raws and raws[0].result >= 0:
            self._changed(task, raws[0])
        if repeatable and len(text) <= _MAX_TAIL and not (raws and _must_be_seen(raws[0])):
            if len(self._tails) >= _MAX_TAILS:
                self._tails.clear()
            self._tails[program, task.cwd.path, abi, _without_buffer(text)] = int(bool(raws))

    def _changed(self, task: Task, raw: RawCall) -> None:
        """What a successful call changes for later ones."""
        if raw.name == "chdir":
            path = raw.text.get(0)
            if isinstance(path, bytes):
                task.cwd.path = os.path.realpath(os.path.join(raw.base.get(0, b""), path))
        elif raw.name == "unshare" and raw.args[0] & _CLONE_FS:
            task.cwd = type(task.cwd)(task.cwd.path)
        if leads_elsewhere(raw.name, raw.args[4], _names(raw), self._sink.links()):
            self._tails.clear()
            self._sent.clear()
            self._sink.forget()

    def _executed(self, task: Task, raw: RawCall) -> None:
        if not self._launched and task.process.pid == self.main:
            self._launched = raw.result >= 0
            self.launch_errno = max(0, -raw.result)
        if raw.result >= 0:
            name = os.fsdecode(_last_path(raw)).removesuffix(" (deleted)")
            exe = _executable(name, task)
            task.process.program = self._programs.exec(task.process.program, name or exe, exe)


def _without_buffer(text: bytes) -> bytes:
    return _BUFFER.sub(b"", text, count=1)


def _must_be_seen(raw: RawCall) -> bool:
    """Whether an equal call may change something, or depend on what others changed."""
    if raw.name in OPENS:
        return raw.name == "creat" or bool(raw.args[1 if raw.name == "open" else 2] & os.O_CREAT)
    if raw.name in MOVES or raw.name in _EXECS:
        return True
    return raw.result >= 0 and (raw.name in _CHANGES or raw.name in REMOVES)


def _last_path(raw: RawCall) -> bytes:
    """The last path argument, from its base; empty if it could not be read."""
    if not raw.text:
        return b""
    index = max(raw.text)
    text = raw.text[index]
    if not isinstance(text, bytes):
        return b""
    # An empty name is execveat's AT_EMPTY_PATH: the descriptor's own path.
    return os.path.join(raw.base.get(index, b""), text) if text else raw.base.get(index, b"")


def _names(raw: RawCall) -> list[bytes]:
    """Its path arguments, each from its base; empty ones could not be read."""
    return [
        os.path.join(raw.base.get(index, b""), text) if isinstance(text, bytes) else b""
        for index, text in sorted(raw.text.items())
    ]


def _executable(name: str, task: Task, depth: int = 0) -> str:
    """What ``/proc/PID/exe`` said right after the exec of ``name``: that file, or a script's interpreter.

    Read from the file, because the process may have exec'd again by now; the link serves where that fails.
    """
    if not name or name.startswith(_CALLERS_OWN):
        return _link(task) or name
    real = os.path.realpath(name)
    try:
        with open(real, "rb") as file:
            head = file.read(_SHEBANG_SIZE)
    except OSError:
        return _link(task) or real
    interpreter = head[2:].split(b"\n", 1)[0].split()[:1] if head.startswith(b"#!") else []
    if not interpreter or depth >= _SHEBANG_DEPTH:
        return real
    return _executable(os.fsdecode(os.path.join(task.cwd.path, interpreter[0])), task, depth + 1)


def _link(task: Task) -> str:
    try:
        return os.readlink(f"/proc/{task.process.pid}/exe")
    except OSError:
        return ""
