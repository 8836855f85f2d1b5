"""Running a command confined and traced, for a diagnosis: with an end to its time, and its accesses in order."""

import os
import signal
import sys
import threading
import time

from learner.derivation import Derived
from learner.diagnosis.case import Case
from learner.diagnosis.machine import Host
from learner.diagnosis.wrappers.wrapper import Wrapper
from learner.enforcers.choice import EnforcerName
from learner.enforcers.enforcer import Enforcer
from learner.launch import ensure_directories
from learner.policy import Policy
from learner.session import record, tracer_of
from learner.trace import Trace
from learner.variables import Variables
from tracers.process_table import processes
from tracers.programs import Program
from tracers.tracer import Command

USUAL = ("HOME", "PATH")
"""Variables without which many programs fail (environ(7))."""
_A_SESSIONS = frozenset(
    {"_", "OLDPWD", "PWD", "SHLVL", "SSH_CLIENT", "SSH_CONNECTION", "SSH_TTY", "STY", "TMUX", "TMUX_PANE", "WINDOWID"}
)
"""Variables of one shell, terminal or login (bash(1), ssh(1), tmux(1), screen(1)): nothing works because of them."""


def unset(good: Trace | None) -> tuple[str, ...]:
    """Variables that this process lacks: of those that the recorded run had, where that is known; the usual first."""
    known = good.header.environment if good is not None else ()
    lacking = [name for name in known or USUAL if name not in os.environ and name not in _A_SESSIONS]
    return tuple(sorted(lacking, key=lambda name: (name not in USUAL, name)))


class Watchdog:
    """Ends the children of this process when the time is over, having looked at what they wait for."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self.waiting = ""

    def __enter__(self) -> "Watchdog":
        if self._seconds is not None:
            self._before = set(_children(os.getpid()))
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        if self._over.wait(self._seconds):
            return
        tree = [pid for child in set(_children(os.getpid())) - self._before for pid in _family(child)]
        said = [waits_for(pid) for pid in reversed(tree)]
        self.waiting = next((one for one in said if one), "") or f"it was still running after {self._seconds:g} s"
        while not self._over.wait(0.1):
            for child in set(_children(os.getpid())) - self._before:
                for pid in _family(child):
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        continue


def _children(pid: int) -> list[int]:
    """The processes that ``pid`` has started (proc_pid_task(5), children)."""
    if sys.platform == "darwin":
        return _children_on_macos(pid)
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as names:
                found += map(int, names.read().split())
    except (OSError, ValueError):
        pass
    return found


def _children_on_macos(pid: int) -> list[int]:
    """The same, without what is no part of the command: ``log`` and the like have sessions of their own."""
    try:
        found = [one.pid for one in processes() if one.parent == pid]
        return [one for one in found if pid != os.getpid() or os.getpgid(one) == os.getpgrp()]
    except OSError:
        return []


def _family(pid: int) -> list[int]:
    """``pid`` and all its descendants, parents first."""
    found = [pid]
    for each in found:
        found += _children(each)
    return found


def waits_for(pid: int) -> str:
    """What a process waits for in words, "" if it is busy or waits for a child (/proc/PID/wchan, /proc/PID/syscall)."""
    try:
        with open(f"/proc/{pid}/comm") as file:
            name = file.read().strip()
        with open(f"/proc/{pid}/syscall") as file:
            call = file.read().split()
    except OSError:
        return ""
    if len(call) < 2 or call[0] == "running":
        return ""
    try:
        what = os.readlink(f"/proc/{pid}/fd/{int(call[1], 16)}")
    except (OSError, ValueError):
        what = ""
    if call[0] == "0" and what:  # read, on x86-64; elsewhere the number is another one, and only the name is told
        return f"{name} waits to read from {what}"
    if call[0] in ("42", "45", "47") and what:
        return f"{name} waits for the network ({what})"
    if call[0] == "61":
        return ""  # wait4: its child knows more
    return f"{name} waits in the kernel (system call {call[0]})"


def _outer(programs: tuple[Program, ...], file: str) -> frozenset[int]:
    """The programs of a sandbox itself, and of what it starts besides: all that do not descend from ``file``."""
    inside: set[int] = set()
    for index, program in enumerate(programs):
        if program.name == file or program.parent in inside:
            inside.add(index)
    return frozenset(range(len(programs))) - inside


def observe(
    command: Command,
    policy: Policy,
    enforcer: Enforcer,
    variables: Variables,
    good: Trace | None,
    wanted: Derived | None,
    timeout: float | None = None,
) -> Case:
    """Run ``command`` under ``policy`` by ``enforcer``. Raises MachineError, LaunchError."""
    foreign = isinstance(enforcer, Wrapper)  # its policy says what it shows, not what is wanted
    if not foreign:
        ensure_directories(policy)
    started = time.monotonic()
    confinement = enforcer.prepare(policy)
    try:
        with Watchdog(timeout) as dog:
            run = record(confinement.wrap(command), tracer_of(confinement), variables)
    finally:
        confinement.close()
    return Case(
        command=os.path.basename(command.argv[0]),
        policy=policy,
        enforcer=enforcer,
        machine=Host(),
        programs=tuple(program.label for program in run.trace.programs),
        accesses=run.in_order,
        status=run.end.status,
        launch_errno=run.end.launch_errno,
        good=good,
        wanted=wanted,
        unset=unset(good),
        waiting=dog.waiting,
        cwd=run.trace.header.cwd if foreign and enforcer.hides else "",
        own=frozenset({"bwrap"}) if enforcer.name == EnforcerName.BUBBLEWRAP else frozenset(),
        lineage=tuple(program.parent for program in run.trace.programs),
        outer=_outer(run.trace.programs, command.file) if foreign else frozenset(),
        lost=run.end.lost,
        seconds=time.monotonic() - started,
    )
