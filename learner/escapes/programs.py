"""Running what is not granted, and loading it."""

import ctypes
import errno
import fcntl
import os
import platform
import resource
import shutil
import stat
import struct
import time

from learner.escapes.calls import end, execute
from learner.escapes.escape import REFUSED, Escape, Family, Ground, Void, Who
from learner.policy import Right

# Exit with geteuid() & 255: geteuid, then exit with its result (asm/unistd.h: 107 and 60; 175 and 93).
_CODE = {
    "x86_64": (62, bytes.fromhex("b86b0000000f0589c7b83c0000000f05")),
    "aarch64": (183, struct.pack("<4I", 0xD28015E8, 0xD4000001, 0xD2800BA8, 0xD4000001)),
}
"""(e_machine, machine code) by ``uname -m``."""

_ADDRESS = 0x400000
_HEADERS = 64 + 56


def static_program() -> bytes:
    """An ELF file that needs no loader and exits with its effective user id; empty if this architecture has no code."""
    machine, code = _CODE.get(platform.machine(), (0, b""))
    if not code:
        return b""
    size = _HEADERS + len(code)
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    entry = _ADDRESS + _HEADERS
    header = struct.pack("<16sHHIQQQIHHHHHH", ident, 2, machine, 1, entry, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _ADDRESS, _ADDRESS, size, size, 0x1000)  # PT_LOAD, R and X
    return header + segment + code


def _program(ground: Ground) -> bytes:
    if not ground.shared.program:
        raise Void(f"there is no program for {platform.machine()}")
    return ground.shared.program


def _planted(ground: Ground, mode: int = 0o700) -> str:
    path = f"{ground.inside}/program"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o700)
    try:
        os.write(fd, _program(ground))
        os.fchmod(fd, mode)
    finally:
        os.close(fd)
    return path


def _run_outside(ground: Ground) -> None:
    _program(ground)
    execute(f"{ground.outside}/program", ["program"])


def _run_own(ground: Ground) -> None:
    execute(_planted(ground), ["program"])


def _run_memfd(ground: Ground) -> None:
    fd = os.memfd_create("escape", os.MFD_CLOEXEC)
    try:
        os.write(fd, _program(ground))
        execute(fd, ["program"])
    finally:
        os.close(fd)


def _load_outside(ground: Ground) -> None:
    """What LD_PRELOAD=FILE does: have the loader map a library that is not granted."""
    library = f"{ground.outside}/library.so"
    try:
        ctypes.CDLL(library)
    except OSError as problem:
        # dlopen(3) says it in words only.
        for code in (errno.EACCES, errno.EPERM, errno.ENOENT):
            if os.strerror(code) in str(problem):
                raise OSError(code, os.strerror(code)) from None
        raise


def _setuid_own(ground: Ground) -> None:
    """As root: a program of one's own that becomes nobody. Nothing but no_new_privs stands against it."""
    path = _planted(ground)
    os.chown(path, 65534, -1)
    os.chmod(path, 0o4755)  # noqa: S103 - a set-user-ID program is what it is about
    status = execute(path, ["program"])
    if os.waitstatus_to_exitcode(status) != 65534 & 255:
        raise OSError(errno.EPERM, "it ran as the one who called it")


_SETUID = ("umount", "mount", "passwd", "chsh", "gpasswd", "newgrp", "su")


def _setuid_system(_ground: Ground) -> None:
    """Start a set-user-ID program of the system's, held at its first output, and see whether it has become root.

    Then its limits are out of reach: prlimit(2) compares this user with all three of its user ids.
    """
    program = next((p for p in map(shutil.which, _SETUID) if p and os.stat(p).st_mode & stat.S_ISUID), None)
    if program is None:
        raise FileNotFoundError(errno.ENOENT, "there is no set-user-ID program")
    out, full = os.pipe()
    fcntl.fcntl(full, fcntl.F_SETFL, os.O_NONBLOCK)
    try:
        while True:
            os.write(full, bytes(4096))
    except BlockingIOError:
        pass
    fcntl.fcntl(full, fcntl.F_SETFL, 0)
    begun, closes = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(full, 1)
            os.dup2(full, 2)
            os.execve(program, [program, "--help"], {})
        except OSError as problem:
            os.write(closes, struct.pack("=i", problem.errno or 5))
        finally:
            os._exit(127)
    os.close(closes)
    try:
        code = os.read(begun, 4)
        if code:
            raise OSError(struct.unpack("=i", code)[0], "it cannot be executed")
        time.sleep(0.01)  # exec closes descriptors just before the new user id holds
        try:
            resource.prlimit(pid, resource.RLIMIT_CORE)
        except PermissionError:
            return
        raise OSError(errno.EPERM, "it ran as the one who called it")
    finally:
        os.close(out)
        os.close(full)
        os.close(begun)
        end(pid)


def _own_hooks(ground: Ground) -> None:
    if ground.shared.policy.rights_on("/etc/ld.so.preload") & Right.WRITE:
        raise Void("the policy grants it")
    os.close(os.open("/etc/ld.so.cache", os.O_WRONLY | os.O_CLOEXEC))


_P = Family.PROGRAMS
ESCAPES = (
    Escape("execute a program that is not granted", _P, _run_outside, twin=_run_own),
    Escape("execute a program from memory (memfd)", _P, _run_memfd, gaps=("programs in memory",)),
    Escape("load a library that is not granted (LD_PRELOAD)", _P, _load_outside),
    Escape("open the loader's cache to write", _P, _own_hooks, who=Who.ROOT),
    # EINVAL: nobody else exists in a user namespace, so no file can be given to them.
    Escape("execute a set-user-ID program of one's own", _P, _setuid_own, REFUSED | {errno.EINVAL}, who=Who.ROOT),
    Escape("execute a set-user-ID program of the system", _P, _setuid_system, who=Who.USER),
)
