"""The second tracer: runs strace and reads its output while the command runs.

For machines where the ptrace tracer has no system call table, and as its test oracle.
"""

import contextlib
import errno
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

from tracers import strace_guard
from tracers.calls import CONTEXT, SHAPES
from tracers.descendants import LINGER_SECONDS
from tracers.events import Sink
from tracers.job import Foreground, SignalRelay
from tracers.programs import ProgramTable
from tracers.strace_reader import Reader
from tracers.strace_tasks import FORKS
from tracers.tracer import Command, TraceEnd, TracerError, TracerName

_KILL_PAUSE_SECONDS = 0.05
_CHUNK = 1 << 16
_STRUCTURES = ("bind", "clone3", "connect", "execve", "execveat", "openat2", "sendmmsg", "sendmsg", "sendto")
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126


class StraceTracer:
    """Traces a command with strace; one :meth:`run` per instance.

    ``seccomp=False`` has strace stop at every call of the program: slower, and free of strace 6.1's errors
    after an exec from a thread.
    """

    name = TracerName.STRACE

    def __init__(self, *, seccomp: bool = True) -> None:
        self.programs = ProgramTable()
        self._seccomp = seccomp

    def run(self, command: Command, sink: Sink) -> TraceEnd:
        """See :class:`~tracers.tracer.Tracer`. ``command.confine`` is not supported: TracerError."""
        if command.confine is not None:
            raise TracerError("strace cannot confine the command that it starts", "use --tracer ptrace")
        strace = shutil.which("strace")
        if strace is None:
            raise TracerError("strace is not installed", "apt install strace, or use --tracer ptrace")
        reader = Reader(self.programs, sink)
        try:
            os.stat(command.file)
        except OSError as error:  # strace would look first and complain on the command's stderr
            code = error.errno or errno.ENOENT
            reader.launch_failed(command.file, code)
            return _end(reader, _launch_status(code))
        read_end, write_end = os.pipe()
        with open(read_end, "rb", buffering=0), open(write_end, "wb", buffering=0):
            os.set_blocking(read_end, False)
            # strace opens the pipe by our name for it: the command then inherits no descriptor of ours.
            options = _options(f"/proc/{os.getpid()}/fd/{write_end}", self._seccomp)
            started = time.monotonic()
            process = subprocess.Popen([strace, *options, "--", _program(command), *command.argv[1:]])
            with _guarded(process), contextlib.ExitStack() as signals:
                lingering, interrupted = _follow(process, read_end, reader, signals)
        status = process.wait()
        seconds = time.monotonic() - started
        reader.close()
        if not reader.calls:
            raise _refused(strace)
        if status < 0 and not reader.main_exited:
            # strace itself was killed: what it traced would stay behind without a tracer.
            interrupted = True
            for pid in reader.living():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if reader.launch_errno:
            status = _launch_status(reader.launch_errno)
        return _end(reader, status if status >= 0 else 128 - status, seconds, lingering, interrupted)


def _end(
    reader: Reader, status: int, seconds: float = 0.0, lingering: tuple[str, ...] = (), interrupted: bool = False
) -> TraceEnd:
    return TraceEnd(
        status=status,
        launch_errno=reader.launch_errno,
        calls=reader.calls,
        lost=reader.lost,
        unfinished=reader.unfinished,
        seconds=seconds,
        lingering=lingering,
        interrupted=interrupted,
        notes=tuple(sorted(reader.notes)),
    )


def _program(command: Command) -> str:
    """What strace is told to run, and makes ``argv[0]``: the plain name if PATH leads from it to the file."""
    name = command.argv[0] if command.argv else ""
    return name if name and "/" not in name and shutil.which(name) == command.file else command.file


def _launch_status(code: int) -> int:
    return _NOT_FOUND if code == errno.ENOENT else _NOT_EXECUTABLE


def _options(output: str, seccomp: bool) -> list[str]:
    # "?": a name that this strace or machine does not know is no error.
    names = ",".join(f"?{name}" for name in sorted(SHAPES.keys() | CONTEXT | FORKS))
    return [
        "-f",
        "-yy",
        "--decode-pids=pidns",  # fork results as we see them, if the program is in a PID namespace
        "-I4",  # the terminal's signals are for the command, ^Z too
        "-a1",
        "-s4096",
        "-Xraw",
        "-equiet=attach,path-resolution",
        "-esignal=!chld,urg,winch,cont",  # others may end a thread: shown only if traced
        f"-everbose={','.join('?' + name for name in _STRUCTURES)}",
        f"-etrace={names}",
        *(["--seccomp-bpf"] if seccomp else []),
        "-o",
        output,
    ]


@contextlib.contextmanager
def _guarded(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Whatever becomes of us, nothing that strace traces outlives the block."""
    guard = subprocess.Popen(
        [sys.executable, "-I", "-S", strace_guard.__file__, str(process.pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # out of reach of the terminal's signals
    )
    try:
        yield
    except BaseException:
        strace_guard.end_tracees(process.pid)
        process.kill()
        process.wait()
        raise
    finally:
        guard.communicate(b".")


def _follow(
    process: "subprocess.Popen[bytes]", source: int, reader: Reader, signals: contextlib.ExitStack
) -> tuple[tuple[str, ...], bool]:
    """Read until strace has ended: labels of programs that had to be killed, whether interrupted."""
    relay: SignalRelay | None = None
    lingering: tuple[str, ...] = ()
    deadline: float | None = None
    ended = os.pidfd_open(process.pid)
    signals.callback(os.close, ended)
    poll = select.poll()
    poll.register(source, select.POLLIN)
    poll.register(ended, select.POLLIN)
    while True:
        wait = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        over = any(descriptor == ended for descriptor, _ in poll.poll(wait))
        try:
            reader.feed(os.read(source, _CHUNK))
        except BlockingIOError:
            if over:
                return lingering, relay is not None and relay.interrupted
        if relay is None and reader.main is not None:
            relay = signals.enter_context(SignalRelay(reader.main))
            reader.on_signal, reader.on_stop = relay.seen, Foreground.follow_stop
        if not reader.main_exited:
            continue
        if deadline is None:
            deadline = time.monotonic() + LINGER_SECONDS
        elif time.monotonic() >= deadline:
            lingering = lingering or tuple(sorted(set(reader.living().values())))
            strace_guard.kill_tracees(process.pid)
            deadline = time.monotonic() + _KILL_PAUSE_SECONDS


def _refused(strace: str) -> TracerError:
    """Why strace started nothing, in its own words, which it says again on a command that does nothing."""
    trial = [strace, "-o", "/dev/null", "--", strace, "-V"]
    words = subprocess.run(trial, capture_output=True, text=True, check=False).stderr.strip().splitlines()
    if any("not permitted" in line for line in words):
        return TracerError(
            f"strace may not trace here: {words[-1]}",
            "start the container with --cap-add=SYS_PTRACE, or set kernel.yama.ptrace_scope to 1",
        )
    return TracerError(
        f"strace started nothing: {words[-1]}" if words else "strace started nothing",
        "strace 5.9 or newer is needed; or use --tracer ptrace",
    )
