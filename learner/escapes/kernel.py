"""The kernel's own doors: settings, io_uring, 32-bit calls, BPF, and the terminal."""

import ctypes
import errno
import fcntl
import glob
import mmap
import os
import platform
import struct
import termios

from learner.escapes.calls import call, in_child
from learner.escapes.escape import ABSENT, REFUSED, Escape, Family, Ground, Void, Who


def open_to_write(path: str) -> None:
    """Open a setting for writing and close it: nothing is written."""
    os.close(os.open(path, os.O_WRONLY | os.O_CLOEXEC))


def settings() -> list[str]:
    """Files by which root takes over the machine, as far as they exist."""
    names = ("core_pattern", "modprobe", "hotplug", "randomize_va_space")
    found = [f"/proc/sys/kernel/{name}" for name in names]
    found += sorted(glob.glob("/sys/fs/cgroup/*/release_agent"))[:2]
    return [path for path in found if os.path.exists(path)]


def _release_agent(_ground: Ground) -> None:
    agents = [path for path in settings() if path.endswith("/release_agent")]
    if not agents:
        # Where it is hidden this is a refusal; where there is none the control says so.
        raise FileNotFoundError(errno.ENOENT, "there is no cgroup v1")
    open_to_write(agents[0])


def _ring(ground: Ground) -> None:
    """Open by io_uring_enter(2), without open(2)."""
    parameters = ctypes.create_string_buffer(120)  # struct io_uring_params, linux/io_uring.h
    ring = call("io_uring_setup", 4, parameters)
    entries, cq_entries = struct.unpack_from("=2I", parameters.raw)
    sq_tail, sq_array = struct.unpack_from("=I", parameters.raw, 44)[0], struct.unpack_from("=I", parameters.raw, 64)[0]
    cq_tail, cqes = struct.unpack_from("=I", parameters.raw, 84)[0], struct.unpack_from("=I", parameters.raw, 100)[0]
    submissions = mmap.mmap(ring, sq_array + 4 * entries, flags=mmap.MAP_SHARED, offset=0)
    completions = mmap.mmap(ring, cqes + 16 * cq_entries, flags=mmap.MAP_SHARED, offset=0x8000000)
    slots = mmap.mmap(ring, 64 * entries, flags=mmap.MAP_SHARED, offset=0x10000000)
    name = ctypes.create_string_buffer(os.fsencode(ground.secret))
    # struct io_uring_sqe: IORING_OP_OPENAT, its directory, its path, its flags
    slots[:64] = struct.pack("=BBHiQQII32x", 18, 0, 0, -100, 0, ctypes.addressof(name), 0, os.O_RDONLY)
    struct.pack_into("=I", submissions, sq_array, 0)
    struct.pack_into("=I", submissions, sq_tail, 1)
    call("io_uring_enter", ring, 1, 1, 1, None, 0)  # IORING_ENTER_GETEVENTS
    if struct.unpack_from("=I", completions, cq_tail)[0] != 1:
        raise OSError(errno.EIO, "no answer from the ring")
    result = struct.unpack_from("=Qi", completions, cqes)[1]
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    ground.found(os.read(result, 65536))


_CALL_32 = bytes.fromhex("5389fb89f131d2b805000000cd805bc3")
"""push rbx; ebx = path; ecx = flags; edx = 0; eax = 5 (open, asm/unistd_32.h); int 0x80; pop rbx; ret."""


def _open_32(ground: Ground) -> None:
    if platform.machine() != "x86_64":
        raise Void("only x86-64 has int 0x80")
    low = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40  # MAP_32BIT
    name = mmap.mmap(-1, 4096, flags=low)
    name.write(os.fsencode(ground.secret) + b"\0")
    code = mmap.mmap(-1, 4096, flags=low, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(_CALL_32)
    place = ctypes.addressof(ctypes.c_char.from_buffer(code))
    opening = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint, ctypes.c_uint)(place)
    result = opening(ctypes.addressof(ctypes.c_char.from_buffer(name)), os.O_RDONLY)
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    ground.found(os.read(result, 65536))


def _type(ground: Ground) -> None:
    """Type a character into the terminal from which one was started, as if the user had (TIOCSTI, ioctl_tty(2))."""
    _, terminal = ground.shared.terminal
    if terminal < 0:
        raise Void("no terminal could be made")
    in_child(lambda: _type_into(terminal))


def _type_into(terminal: int) -> None:
    os.setsid()
    # Another attempt may have left it to a session that is over; root may take it from one that is not.
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 1 if os.geteuid() == 0 else 0)
    fcntl.ioctl(terminal, termios.TIOCSTI, b"x")
    termios.tcflush(terminal, termios.TCIFLUSH)


def _bpf(_ground: Ground) -> None:
    """Load a program of two instructions into the kernel: it returns 0, and is gone when it is closed (bpf(2))."""
    code = ctypes.create_string_buffer(struct.pack("=BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0), 16)
    licence = ctypes.create_string_buffer(b"GPL")
    what = struct.pack("=IIQQIIQII", 1, 2, ctypes.addressof(code), ctypes.addressof(licence), 0, 0, 0, 0, 0)
    attributes = ctypes.create_string_buffer(what.ljust(128, b"\0"), 128)
    os.close(call("bpf", 5, attributes, 128))  # BPF_PROG_LOAD, a socket filter


_K = Family.KERNEL
ESCAPES = (
    Escape("open core_pattern to write", _K, lambda _: open_to_write("/proc/sys/kernel/core_pattern"), who=Who.ROOT),
    Escape(
        "open the kernel's modprobe setting to write",
        _K,
        lambda _: open_to_write("/proc/sys/kernel/modprobe"),
        who=Who.ROOT,
    ),
    Escape("open sysrq-trigger to write", _K, lambda _: open_to_write("/proc/sysrq-trigger"), who=Who.ROOT),
    Escape("open a cgroup's release_agent to write", _K, _release_agent, who=Who.ROOT),
    Escape("open by io_uring", _K, _ring, ABSENT),
    Escape("open by a 32-bit system call (int 0x80)", _K, _open_32, ABSENT),
    Escape("load a BPF program", _K, _bpf, ABSENT, who=Who.ROOT),
    Escape("type into the terminal (TIOCSTI)", _K, _type, REFUSED | {errno.EIO}, ("terminal",)),
)
