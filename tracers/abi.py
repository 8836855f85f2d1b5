"""System call numbers to names, for this machine's own ABI and the 32-bit one beside it.

The tables are python-ptrace's; calls newer than it (Linux 5.18 on) share one number on every architecture
(include/uapi/asm-generic/unistd.h) and are added here.
"""

import ctypes
import platform

import msgspec
from ptrace.syscall.linux import aarch64, i386, x86_64

_GETPID = 39  # arch/x86/entry/syscalls/syscall_64.tbl
X32_BIT = 0x40000000  # __X32_SYSCALL_BIT, arch/x86/include/uapi/asm/unistd.h

_SHARED = {
    428: "open_tree",
    429: "move_mount",
    433: "fspick",
    437: "openat2",
    439: "faccessat2",
    442: "mount_setattr",
    452: "fchmodat2",
    463: "setxattrat",
    464: "getxattrat",
    465: "listxattrat",
    466: "removexattrat",
}

_I386_SINCE_2_6_22 = {  # arch/x86/entry/syscalls/syscall_32.tbl
    341: "name_to_handle_at",
    345: "sendmmsg",
    346: "setns",
    353: "renameat2",
    356: "memfd_create",
    358: "execveat",
    361: "bind",
    362: "connect",
    363: "listen",
    369: "sendto",
    370: "sendmsg",
    383: "statx",
    412: "utimensat_time64",
    425: "io_uring_setup",
}


class Abi(msgspec.Struct, frozen=True):
    """One calling convention: its AUDIT_ARCH_* (linux/audit.h), its calls, and a prefix (empty for the native one)."""

    audit_arch: int
    names: dict[int, str]
    prefix: str = ""


X86_64 = Abi(0xC000003E, {**x86_64.SYSCALL_NAMES, **_SHARED})
I386 = Abi(0x40000003, {**i386.SYSCALL_NAMES, **_SHARED, **_I386_SINCE_2_6_22}, "i386")
AARCH64 = Abi(0xC00000B7, {**aarch64.SYSCALL_NAMES, **_SHARED})
ARM = Abi(0x40000028, {}, "arm")  # no table: its calls are recorded by number

_MACHINES = {"x86_64": (X86_64, I386), "aarch64": (AARCH64, ARM)}


def abis(machine: str | None = None) -> tuple[Abi, Abi] | None:
    """(native, 32-bit) for a ``uname -m`` name (default: this machine's), or None for one without tables."""
    return _MACHINES.get(machine or platform.machine())


def call_number(arch: int, number: int, native: Abi, foreign: Abi) -> str:
    """What to call a system call that has no name of its own here: ``x32:1``, ``arm:5``, ``i386:socketcall``."""
    if arch == native.audit_arch:
        return f"x32:{number & ~X32_BIT}" if number & X32_BIT else str(number)
    prefix = foreign.prefix if arch == foreign.audit_arch else f"{arch:#x}"
    return f"{prefix}:{foreign.names.get(number, number)}"


def takes_x32() -> bool:
    """Whether this kernel takes x32 calls, by asking it for our process id that way."""
    return int(ctypes.CDLL(None).syscall(ctypes.c_long(X32_BIT | _GETPID))) >= 0
