"""The kernel's side of a seccomp listener: installing the filter, taking notifications, answering them.

Numbers and layouts are those of linux/seccomp.h: ``struct seccomp_notif`` (80 bytes: id, pid, flags, then seccomp_data:
nr, arch, ip, six arguments) and ``struct seccomp_notif_resp`` (24 bytes: id, val, error, flags).
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import struct
import threading

from tracers.filters import Filter

_SYS_SECCOMP = {"x86_64": 317, "aarch64": 277}.get(os.uname().machine, 317)
_SYS_PIDFD_GETFD = 438  # the same on every architecture, asm-generic/unistd.h
_SET_MODE_FILTER = 1
_NEW_LISTENER, _WAIT_KILLABLE_RECV = 1 << 3, 1 << 5
_RECV, _SEND, _ID_VALID, _SET_FLAGS = 0xC0502100, 0xC0182101, 0x40082102, 0x40082104
_CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
_SYNC_WAKE_UP = 1  # SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
ALLOW_ALL = struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000)
"""A filter of one instruction: BPF_RET | BPF_K, SECCOMP_RET_ALLOW."""

SYNC_LINUX = "6.6"
"""The kernel that brought the synchronous wake-up, without which notify is no faster than ptrace."""

_libc = ctypes.CDLL(None, use_errno=True)
_notice = struct.Struct("=QI4xiI8x6Q").unpack_from
_answer = struct.Struct("=QqiI").pack_into
_ZEROS = bytes(80)

Notice = tuple[int, ...]
"""(id, thread id, system call number, AUDIT_ARCH, six arguments)."""


def listen(code: Filter) -> int:
    """Set no_new_privs and a filter on the calling thread: the filter's listener. Raises OSError (EBUSY: has one)."""
    code.forbid_privileges()
    for flags in (_NEW_LISTENER | _WAIT_KILLABLE_RECV, _NEW_LISTENER):  # the former since Linux 5.19
        number = int(_libc.syscall(_SYS_SECCOMP, _SET_MODE_FILTER, flags, code.address))
        if number >= 0:
            os.set_inheritable(number, False)
            return number
        problem = ctypes.get_errno()
        if problem != errno.EINVAL:
            break
    raise OSError(problem, os.strerror(problem))


class ListenerFilter(Filter):
    """A filter whose caller gets a listener, which a parent then takes (:meth:`Listener.take`)."""

    def __init__(self, code: bytes) -> None:
        super().__init__(code)
        self._number_read, self._number_write = os.pipe()
        self._taken_read, self._taken_write = os.pipe()

    def install(self) -> None:
        """In the child: install, and wait until the listener was taken. Raises OSError."""
        os.close(self._number_read)
        os.close(self._taken_write)
        try:
            number = listen(self)
        except OSError as problem:
            os.write(self._number_write, struct.pack("=i", -(problem.errno or errno.EIO)))
            raise
        # Neither of these is a traced call: it would wait for ever.
        os.write(self._number_write, struct.pack("=i", number))
        taken = os.read(self._taken_read, 1)
        for fd in (number, self._number_write, self._taken_read):
            os.close(fd)
        if not taken:
            os._exit(127)

    def number(self) -> int:
        """In the parent, once the child was released: the listener's number in the child, ``-errno`` if there is none.

        0 if the child ended before it came to that.
        """
        os.close(self._number_write)
        os.close(self._taken_read)
        with os.fdopen(self._number_read, "rb") as said:
            data = said.read(4)
        return int(struct.unpack("=i", data)[0]) if len(data) == 4 else 0

    def taken(self) -> None:
        """In the parent: the child may go on."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._taken_write, b"x")
        os.close(self._taken_write)

    def abandon(self) -> None:
        """In the parent: the child must end."""
        os.close(self._taken_write)


def borrow(pid: int, number: int) -> int:
    """Our own copy of a descriptor of another process (pidfd_getfd(2)). Raises OSError."""
    process = os.pidfd_open(pid)
    try:
        copy = int(_libc.syscall(_SYS_PIDFD_GETFD, process, number, 0))
    finally:
        os.close(process)
    if copy < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return copy


def wake_synchronously(listener: int) -> bool:
    """Have the kernel wake the supervisor on the caller's own CPU; False before Linux 6.6."""
    return int(_libc.ioctl(listener, ctypes.c_ulong(_SET_FLAGS), ctypes.c_ulong(_SYNC_WAKE_UP))) == 0


class Listener:
    """Our end of a listener. ``fd`` is readable while a notification waits."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._notice = bytearray(80)
        self._answer = bytearray(24)
        self._id = bytearray(8)

    def receive(self) -> Notice | None:
        """The next notification, None if its caller went away."""
        notice = self._notice
        notice[:] = _ZEROS  # the kernel insists
        return _notice(notice) if self._do(_RECV, notice) else None

    def resume(self, number: int) -> bool:
        """Let the caller of a notification make its call; False if it is gone."""
        _answer(self._answer, 0, number, 0, 0, _CONTINUE)
        return self._do(_SEND, self._answer)

    def refuse(self, number: int, code: int) -> bool:
        """Have the call fail with the errno ``code``; False if its caller is gone."""
        _answer(self._answer, 0, number, 0, -code, 0)
        return self._do(_SEND, self._answer)

    def valid(self, number: int) -> bool:
        """Whether the caller still waits, so that what was read of its memory was its own."""
        self._id[:] = number.to_bytes(8, "little")
        return self._do(_ID_VALID, self._id)

    def _do(self, request: int, argument: bytearray) -> bool:
        try:
            fcntl.ioctl(self.fd, request, argument)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Give it up: whoever still waits gets ENOSYS."""
        os.close(self.fd)


def trial() -> tuple[int, bool]:
    """(errno of installing a listener here, 0 if it works; whether it wakes synchronously), by trying.

    In a thread of its own: a filter and no_new_privs are a thread's, and end with it.
    """
    found = (errno.EIO, False)

    def attempt() -> None:
        nonlocal found
        try:
            listener = listen(Filter(ALLOW_ALL))
        except OSError as problem:
            found = (problem.errno or errno.EIO, False)
            return
        try:
            # Some containers allow seccomp and ptrace, but not this.
            os.close(borrow(os.getpid(), listener))
            found = (0, wake_synchronously(listener))
        except OSError as problem:
            found = (problem.errno or errno.EIO, False)
        finally:
            os.close(listener)

    thread = threading.Thread(target=attempt, name="seccomp trial")
    thread.start()
    thread.join()
    return found
