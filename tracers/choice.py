"""Which tracer to use: the fastest that works here.

For learning only. Where the outcome is the point, in verification and diagnosis, it must have been seen: there ptrace.
"""

import errno
import os
import platform
import sys
from collections.abc import Callable
from typing import NamedTuple

from tracers.tracer import TracerName

AUTO = "auto"
"""The name of leaving the choice to :func:`choose`."""


class Candidate(NamedTuple):
    """A tracer that may be chosen. ``obstacle``: why it cannot be, empty if it can; ``remedy``: what to do about it."""

    name: TracerName
    obstacle: str = ""
    remedy: str = ""


class Chosen(NamedTuple):
    """``reason``: why it is none of the faster ones, empty if it is the fastest that needs no privilege, or faster."""

    name: TracerName
    reason: str


def _ebpf() -> tuple[str, str]:
    from tracers.bpf_loading import available, begin

    begin()
    from tracers import ebpf  # noqa: F401 - whoever chooses it needs it, and importing it takes as long as loading

    obstacle = available()
    return (obstacle, "run sbx as root, with clang and libbpf-dev installed") if obstacle else _listener()[0]


def _notify() -> tuple[str, str]:
    from tracers.listener import SYNC_LINUX

    obstacle, synchronous = _listener()
    if not obstacle[0] and not synchronous:
        return f"slower than ptrace before Linux {SYNC_LINUX}", f"use Linux {SYNC_LINUX} or newer"
    return obstacle


def _listener() -> tuple[tuple[str, str], bool]:
    """What keeps a seccomp listener from working here, with its remedy; whether one is woken synchronously."""
    from tracers.abi import abis
    from tracers.listener import trial
    from tracers.permission import forbidden

    if abis() is None:
        return (f"no table of system calls for {platform.machine()}", "use --tracer strace"), False
    if forbidden():
        why = "it reads the memory of processes, and this machine forbids ptrace"
        return (why, "set kernel.yama.ptrace_scope to 1"), False
    code, synchronous = trial()
    if code == errno.EBUSY:
        return ("another supervisor already takes the notifications of this process", "start sbx outside of it"), False
    if code:
        return (f"the kernel refused: {os.strerror(code)}", "a container must allow seccomp and pidfd_getfd"), False
    return ("", ""), synchronous


def _ptrace() -> tuple[str, str]:
    from tracers.abi import abis
    from tracers.permission import forbidden

    if abis() is None:
        return f"no table of system calls for {platform.machine()}", "use --tracer strace"
    return ("this machine forbids ptrace", "set kernel.yama.ptrace_scope to 1") if forbidden() else ("", "")


_IN_ORDER: tuple[tuple[TracerName, Callable[[], tuple[str, str]]], ...] = (
    (TracerName.EBPF, _ebpf),
    (TracerName.NOTIFY, _notify),
    (TracerName.PTRACE, _ptrace),
    (TracerName.STRACE, lambda: ("", "")),
)
"""The fastest first, each with its (obstacle, remedy) on this machine."""


def candidates() -> tuple[Candidate, ...]:
    """Every tracer, the fastest first, with what keeps it from being used here."""
    return tuple(Candidate(name, *look()) for name, look in _IN_ORDER)


SEEING = frozenset({TracerName.PTRACE, TracerName.SEATBELT, TracerName.STRACE})
"""Those that see how a call ends."""


def choose(*, seeing: bool = False) -> Chosen:
    """The tracer to learn with. ``seeing``: one that sees outcomes, because something is refused meanwhile."""
    if sys.platform == "darwin":
        return Chosen(TracerName.SEATBELT, "")
    passed = []
    for name, look in _IN_ORDER:
        if seeing and name not in SEEING:
            continue
        obstacle, _ = look()
        if not obstacle:
            break
        if name is not TracerName.EBPF:  # which is for root: that others go without it is nothing to report
            passed.append(f"{name} could not be used: {obstacle}")
    return Chosen(name, "; ".join(passed))
