"""Running a command with a process beside it that serves its network and ends everything that it leaves behind.

::

    sbx ── waits, passes signals on; adopts what the supervisor leaves, if that is killed
     └── supervisor ── the filter; adopts every orphan of the program
          └── program ── enters the jail, confines itself, execs

If sbx is killed, the supervisor notices (the pipe ``alive`` closes) and ends everything; if the supervisor is, sbx
adopts the program and all that it started, and ends them. Without a filter nothing in the jail reaches the network.
"""

import contextlib
import json
import os
import resource
import signal
from collections.abc import Callable
from typing import NamedTuple, NoReturn, Protocol

import msgspec

from learner import kinship
from learner.errors import LaunchError, NotExecutable, NotFound, SbxError
from learner.jail.attempts import Attempt, Ledger
from learner.jail.loop import READ, Loop
from learner.jail.permission import NotPermitted
from tracers.job import Foreground

_KEYS = (signal.SIGINT, signal.SIGQUIT)
_PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_ERRORS: dict[str, type[SbxError]] = {c.__name__: c for c in (NotPermitted, NotExecutable, NotFound)}


class Network(Protocol):
    """What a supervisor serves: a jail, or a proxy."""

    def attend(self, loop: Loop, ledger: Ledger) -> object:
        """Serve as part of ``loop``."""
        ...

    def ledger(self) -> Ledger:
        """An empty ledger."""
        ...

    def close(self) -> None:
        """Give descriptors back, in sbx itself."""
        ...


class Ended(msgspec.Struct, frozen=True):
    """How the command ended: ``wait_status`` as waitpid(2) has it. ``more``: attempts that were not kept."""

    wait_status: int
    attempts: tuple[Attempt, ...] = ()
    more: int = 0

    @property
    def refused(self) -> tuple[Attempt, ...]:
        """The attempts that were refused, sorted."""
        return tuple(a for a in self.attempts if not a.allowed)


class _Pipe(NamedTuple):
    read: int
    write: int


def _pipe() -> _Pipe:
    return _Pipe(*os.pipe())


def run(network: Network, become: Callable[[], NoReturn]) -> Ended:
    """Run ``become`` (which confines the process and execs) in a child under a supervisor that serves ``network``.

    Waits for its end; when it returns nothing that the command started is left. Raises what ``become`` raised.
    """
    report, failure, alive = _pipe(), _pipe(), _pipe()
    before = frozenset(_children())
    kinship.adopt_orphans()
    previous = {number: signal.getsignal(number) for number in (*_KEYS, *_PASSED_ON, signal.SIGTSTP)}
    supervisor = os.fork()
    if supervisor == 0:
        try:
            for descriptor in (report.read, failure.read, alive.write):
                os.close(descriptor)
            _supervise(network, become, report.write, failure.write, alive.read)
        finally:
            os._exit(125)
    network.close()
    for descriptor in (report.write, failure.write, alive.read):
        os.close(descriptor)
    kinship.ignore_keys()
    for number in _PASSED_ON:
        if previous[number] is not signal.SIG_IGN:
            signal.signal(number, lambda n, _frame: _kill(supervisor, n))
    try:
        with os.fdopen(failure.read, "rb") as stream:
            failed = stream.read()  # ends when the program has exec'd
        with os.fdopen(report.read, "rb") as stream:
            said = stream.read()
    finally:
        os.close(alive.write)
        os.waitpid(supervisor, 0)
        end_descendants(before)
        for number, handler in previous.items():
            signal.signal(number, handler)
    if failed:
        kind, message, remedy = json.loads(failed)
        raise _ERRORS.get(kind, LaunchError)(message, remedy)
    if not said:
        raise LaunchError("the process that serves the command's network was killed", "the command was ended with it")
    return msgspec.json.decode(said, type=Ended)


def _supervise(network: Network, become: Callable[[], NoReturn], report: int, failure: int, alive: int) -> None:
    """The supervisor: returns when everything is over."""
    kinship.adopt_orphans()
    sbx = os.getppid()
    pid = os.fork()
    if pid == 0:
        os.close(report)
        os.close(alive)
        _child(become, failure)
    os.close(failure)
    kinship.ignore_keys()
    wake_read, wake_write = _pipe()
    for descriptor in (wake_read, wake_write):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for number in (*_PASSED_ON, signal.SIGCHLD):
        if signal.getsignal(number) is not signal.SIG_IGN or number is signal.SIGCHLD:
            signal.signal(number, lambda _n, _frame: None)
    _raise_descriptor_limit()
    loop, ledger = Loop(), network.ledger()
    ended: list[int] = []

    def woken(_events: int) -> None:
        numbers = os.read(wake_read, 4096)
        for number in set(numbers) & set(_PASSED_ON):
            _kill(pid, number)
        if _reap(pid, sbx, ended):
            loop.stop()

    loop.watch(wake_read, READ, woken)
    loop.watch(alive, READ, lambda _events: loop.stop())
    network.attend(loop, ledger)
    if not _reap(pid, sbx, ended):  # it may have ended before we listened
        loop.run()
    end_descendants()
    if ended:
        with contextlib.suppress(OSError), os.fdopen(report, "wb") as stream:
            stream.write(msgspec.json.encode(Ended(ended[0], ledger.attempts(), ledger.more)))
    os._exit(0)


def _child(become: Callable[[], NoReturn], failure: int) -> NoReturn:
    try:
        become()
    except SbxError as problem:
        os.write(failure, json.dumps([type(problem).__name__, str(problem), problem.remedy]).encode())
    except BaseException as problem:  # noqa: BLE001 - whatever it was, sbx must hear of it
        said = f"{type(problem).__name__}: {problem}"
        os.write(failure, json.dumps(["", said, "report this"]).encode())
    finally:
        os._exit(LaunchError.status)


def _reap(pid: int, sbx: int, ended: list[int]) -> bool:
    """Take the ends of children; True when the program's own is among them. Its stop becomes sbx's."""
    with contextlib.suppress(ChildProcessError):
        while True:
            found, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            if not found:
                break
            if found != pid:
                continue
            if not os.WIFSTOPPED(status):
                ended.append(status)
                return True
            if os.WSTOPSIG(status) in (signal.SIGTTIN, signal.SIGTTOU) or Foreground.owned():
                _kill(sbx, signal.SIGSTOP)
    return False


def end_descendants(spared: frozenset[int] = frozenset()) -> None:
    """Kill all children except ``spared``, and what becomes a child when its parent dies, until there is none."""
    while children := set(_children()) - spared:
        for child in children:
            _kill(child, signal.SIGKILL)
        for child in children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child, 0)


def _children() -> list[int]:
    """Children of this thread, dead ones included (proc_tid_children(5)); those of other threads are not ours."""
    me = os.getpid()
    try:
        with open(f"/proc/{me}/task/{me}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _parent(pid) == me]


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError):
        return 0


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _raise_descriptor_limit() -> None:
    """Each connection takes two descriptors."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 1 << 16) if hard > 0 else 1 << 16, hard))
