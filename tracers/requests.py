"""The ptrace requests of the loop, with their arguments made ready once.

Constants come from python-ptrace where it has them; the SEIZE family is newer than it (linux/ptrace.h).
"""

import ctypes
import platform
import struct

from ptrace.binding.func import (
    PTRACE_CONT,
    PTRACE_GETEVENTMSG,
    PTRACE_O_TRACECLONE,
    PTRACE_O_TRACEEXEC,
    PTRACE_O_TRACEFORK,
    PTRACE_O_TRACESYSGOOD,
    PTRACE_O_TRACEVFORK,
    PTRACE_POKEUSER,
    PTRACE_SETREGSET,
    PTRACE_SYSCALL,
)

PTRACE_SEIZE, PTRACE_LISTEN, PTRACE_GET_SYSCALL_INFO, PTRACE_GETREGSET = 0x4206, 0x4208, 0x420E, 0x4204
PTRACE_EVENT_SECCOMP, PTRACE_EVENT_STOP = 7, 128
_O_TRACESECCOMP, _O_EXITKILL = 0x80, 0x100000
OPTIONS = (
    PTRACE_O_TRACESYSGOOD
    | PTRACE_O_TRACEFORK
    | PTRACE_O_TRACEVFORK
    | PTRACE_O_TRACECLONE
    | PTRACE_O_TRACEEXEC
    | _O_TRACESECCOMP
    | _O_EXITKILL
)
SECCOMP_STOP = PTRACE_EVENT_SECCOMP << 16 | 0x057F  # wait status of a seccomp stop
SYSCALL_STOP = 0x857F  # wait status of a system call stop under TRACESYSGOOD
INFO_EXIT = 2  # PTRACE_SYSCALL_INFO_EXIT, linux/ptrace.h

# PyDLL keeps the interpreter lock: none of these calls blocks, and giving it up costs more than the call.
_ptrace = ctypes.PyDLL(None, use_errno=True)["ptrace"]
_ptrace.restype = ctypes.c_long
_ZERO = ctypes.c_long(0)
_CONT, _SYSCALL = ctypes.c_long(PTRACE_CONT), ctypes.c_long(PTRACE_SYSCALL)
_INFO, _LISTEN = ctypes.c_long(PTRACE_GET_SYSCALL_INFO), ctypes.c_long(PTRACE_LISTEN)
_INFO_SIZE = ctypes.c_long(88)  # sizeof(struct ptrace_syscall_info) with its seccomp part

_info = ctypes.create_string_buffer(88)
_info_address = ctypes.c_void_p(ctypes.addressof(_info))
_word = ctypes.create_string_buffer(8)
_word_address = ctypes.c_void_p(ctypes.addressof(_word))
_entry = struct.Struct("=I16x7Q").unpack_from  # from offset 4: arch; from 24: nr, args[6]
_exit = struct.Struct("=q").unpack_from  # at offset 24: rval

Ctid = ctypes.c_long


def seize(tid: int) -> int:
    """Attach with our options; 0, or the errno."""
    return 0 if _ptrace(PTRACE_SEIZE, Ctid(tid), _ZERO, ctypes.c_long(OPTIONS)) == 0 else ctypes.get_errno()


def resume(ctid: Ctid, signal: int = 0) -> None:
    """Let a stopped task run on, delivering ``signal`` if any. A task that was killed meanwhile is no error."""
    _ptrace(_CONT, ctid, _ZERO, ctypes.c_long(signal) if signal else _ZERO)


def resume_to_exit(ctid: Ctid) -> None:
    """Let a task run to the end of the system call it stands in."""
    _ptrace(_SYSCALL, ctid, _ZERO, _ZERO)


def listen(ctid: Ctid) -> None:
    """Leave a task in its group-stop, to be woken by SIGCONT as if untraced."""
    _ptrace(_LISTEN, ctid, _ZERO, _ZERO)


def event_message(ctid: Ctid) -> int:
    """What PTRACE_GETEVENTMSG says of the last event (a new task's id, a former id), 0 if the task is gone."""
    if _ptrace(PTRACE_GETEVENTMSG, ctid, _ZERO, _word_address) < 0:
        return 0
    return int.from_bytes(_word.raw, "little")


def syscall_entry(ctid: Ctid) -> tuple[int, ...] | None:
    """(AUDIT_ARCH, number, six arguments) at a seccomp stop; None if the task is gone."""
    if _ptrace(_INFO, ctid, _INFO_SIZE, _info_address) <= 0:
        return None
    return _entry(_info, 4)


def syscall_result(ctid: Ctid) -> int | None:
    """The return value at an exit stop (``-errno`` on failure); None if the task is gone or stands elsewhere."""
    if _ptrace(_INFO, ctid, _INFO_SIZE, _info_address) <= 0 or _info[0] != b"\x02":
        return None
    value: int = _exit(_info, 24)[0]
    return value


_ORIG_RAX = 120  # offsetof(struct user, regs.orig_rax), sys/user.h
_NT_PRSTATUS, _NT_ARM_SYSTEM_CALL = 1, 0x404  # linux/elf.h
_ENOSYS = 38


def refuse(ctid: Ctid) -> None:
    """Make the system call at this seccomp stop fail with ENOSYS instead of running."""
    if platform.machine() == "aarch64":
        number = ctypes.c_int(-1)
        registers = ctypes.create_string_buffer(272)  # struct user_pt_regs
        for request, note, buffer in (
            (PTRACE_GETREGSET, _NT_PRSTATUS, registers),
            (PTRACE_SETREGSET, _NT_PRSTATUS, registers),
            (PTRACE_SETREGSET, _NT_ARM_SYSTEM_CALL, number),
        ):
            if request == PTRACE_SETREGSET and buffer is registers:
                struct.pack_into("=q", registers, 0, -_ENOSYS)
            vector = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), ctypes.sizeof(buffer))
            _ptrace(request, ctid, ctypes.c_long(note), ctypes.byref(vector))
        return
    # A negative number skips the call; the result is then the -ENOSYS that the kernel put there at entry.
    _ptrace(PTRACE_POKEUSER, ctid, ctypes.c_long(_ORIG_RAX), ctypes.c_long(-1))
