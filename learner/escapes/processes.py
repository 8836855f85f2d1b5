"""Processes outside, and descriptors that came from outside."""

import ctypes
import errno
import os
import resource
import signal

from learner.escapes.calls import CLONE_NEWNS, call, check, end, libc
from learner.escapes.escape import UNKNOWN, Escape, Family, Ground, Void, Who

_SEIZE, _DETACH = 0x4206, 17  # linux/ptrace.h
_NOT_OPEN = UNKNOWN | {errno.EBADF}


def _proc(ground: Ground, name: str) -> str:
    return f"/proc/{ground.shared.outsider.pid}/{name}"


def _runner_environment(ground: Ground) -> None:
    with open(f"/proc/{ground.shared.runner}/environ", "rb") as file:
        if not file.read():
            raise OSError(errno.ENODATA, "it is empty")


def _memory(ground: Ground) -> None:
    address, length = ground.shared.outsider.environment
    fd = os.open(_proc(ground, "mem"), os.O_RDONLY | os.O_CLOEXEC)
    try:
        ground.found(os.pread(fd, length, address))
    finally:
        os.close(fd)


class _Span(ctypes.Structure):
    """struct iovec (readv(2))."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def _read_memory(ground: Ground) -> None:
    address, length = ground.shared.outsider.environment
    buffer = ctypes.create_string_buffer(length)
    here, there = _Span(ctypes.addressof(buffer), length), _Span(address, length)
    pid, one, none = ground.shared.outsider.pid, ctypes.c_ulong(1), ctypes.c_ulong(0)
    check(libc.process_vm_readv(pid, ctypes.byref(here), one, ctypes.byref(there), one, none))
    ground.found(buffer.raw)


def _seize(pid: int) -> None:
    """Become the tracer of a process without stopping it, and let go."""
    libc.ptrace.restype = ctypes.c_long
    check(libc.ptrace(_SEIZE, pid, None, None))


def _own_seize(_ground: Ground) -> None:
    pid = os.fork()
    if pid == 0:
        signal.pause()
    try:
        _seize(pid)
    finally:
        end(pid)


def _own_signal(_ground: Ground) -> None:
    pid = os.fork()
    if pid == 0:
        signal.pause()
    try:
        os.kill(pid, 0)
    finally:
        end(pid)


def _pidfd_signal(ground: Ground) -> None:
    fd = os.pidfd_open(ground.shared.outsider.pid)
    try:
        signal.pidfd_send_signal(fd, 0)
    finally:
        os.close(fd)


def _steal(ground: Ground) -> None:
    fd = os.pidfd_open(ground.shared.outsider.pid)
    try:
        stolen = call("pidfd_getfd", fd, ground.shared.outsider.descriptor, 0)
        ground.found(os.pread(stolen, 65536, 0))
        os.close(stolen)
    finally:
        os.close(fd)


def _limit(ground: Ground) -> None:
    """Set a limit of another process: to what it is."""
    pid = ground.shared.outsider.pid
    resource.prlimit(pid, resource.RLIMIT_CORE, resource.prlimit(pid, resource.RLIMIT_CORE))


def _nice(ground: Ground) -> None:
    pid = ground.shared.outsider.pid
    os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, pid))


def _enter_mounts(ground: Ground) -> None:
    fd = os.open(_proc(ground, "ns/mnt"), os.O_RDONLY | os.O_CLOEXEC)
    try:
        check(libc.setns(fd, CLONE_NEWNS))
    finally:
        os.close(fd)
    ground.read(ground.secret)


def _inherited(fd: int) -> int:
    """``fd``, if it would outlive the exec by which a command starts; else OSError (EBADF)."""
    if not os.get_inheritable(fd):
        raise OSError(errno.EBADF, "closed when the command starts")
    return fd


def _inherited_file(ground: Ground) -> None:
    ground.found(os.pread(_inherited(ground.descriptor), 65536, 0))


def _inherited_directory(ground: Ground) -> None:
    ground.read("secret", dir_fd=_inherited(ground.directory))


def _enter_inherited(ground: Ground) -> None:
    os.fchdir(_inherited(ground.directory))
    ground.read("secret")


def _upgrade_inherited(ground: Ground) -> None:
    """Write through a descriptor that was handed over for reading only."""
    fd = _inherited(ground.descriptor)
    os.close(os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_CLOEXEC))


def _raw_memory(_ground: Ground) -> None:
    fd = os.open("/proc/kcore", os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.read(fd, 64)
    finally:
        os.close(fd)


def _own_proc(ground: Ground) -> None:
    """Its own environment: what is read of others is not refused for the name's sake."""
    if not ground.shared.policy.rights_on("/proc/self/environ"):
        raise Void("the policy does not grant /proc")
    with open("/proc/self/environ", "rb") as file:
        file.read()


_P, _D = Family.PROCESSES, Family.DESCRIPTORS
_SIGNALS = "abstract unix sockets and signals"
ESCAPES = (
    Escape("/proc/PID/environ of the process that started it", _P, _runner_environment, UNKNOWN, twin=_own_proc),
    Escape("/proc/PID/environ of a process outside", _P, lambda g: g.read(_proc(g, "environ")), UNKNOWN),
    Escape("/proc/PID/root of a process outside", _P, lambda g: g.read(_proc(g, f"root{g.secret}")), UNKNOWN),
    Escape("/proc/PID/cwd of a process outside", _P, lambda g: os.listdir(_proc(g, "cwd/")), UNKNOWN),
    Escape("/proc/PID/fd of a process outside", _P, lambda g: g.read(_proc(g, "fd/0")), UNKNOWN),
    Escape("/proc/PID/mem of a process outside", _P, _memory, UNKNOWN),
    Escape("/proc/PID/maps of a process outside", _P, lambda g: open(_proc(g, "maps")).close(), UNKNOWN),
    Escape("process_vm_readv of a process outside", _P, _read_memory, UNKNOWN),
    Escape(
        "ptrace a process outside",
        _P,
        lambda g: _seize(g.shared.outsider.pid),
        UNKNOWN,
        twin=_own_seize,
    ),
    Escape(
        "signal a process outside",
        _P,
        lambda g: os.kill(g.shared.outsider.pid, 0),
        UNKNOWN,
        (_SIGNALS,),
        twin=_own_signal,
    ),
    Escape("signal a process outside by pidfd", _P, _pidfd_signal, UNKNOWN, (_SIGNALS,)),
    Escape("take a descriptor of a process outside (pidfd_getfd)", _P, _steal, UNKNOWN),
    Escape("set a limit of a process outside (prlimit)", _P, _limit, UNKNOWN, ("other processes",)),
    Escape("set the priority of a process outside", _P, _nice, UNKNOWN, ("other processes",)),
    Escape("enter the mount namespace of a process outside", _P, _enter_mounts, UNKNOWN, who=Who.ROOT),
    Escape("the kernel's memory (/proc/kcore)", _P, _raw_memory, who=Who.ROOT),
    Escape("a file that was open at the start", _D, _inherited_file, _NOT_OPEN, ("inherited descriptors",)),
    Escape("open for writing what was open for reading", _D, _upgrade_inherited, _NOT_OPEN, ("inherited descriptors",)),
    Escape("openat from a directory that was open at the start", _D, _inherited_directory, _NOT_OPEN),
    Escape("fchdir to a directory that was open at the start", _D, _enter_inherited, _NOT_OPEN),
)
