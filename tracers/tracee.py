"""Looking into a stopped program: its memory, directories, descriptors and sockets."""

import ctypes
import errno
import os
import socket
import struct
from typing import NamedTuple

from tracers.events import Endpoint, Memory
from tracers.sockets import sockaddr, transport

PATH_MAX = 4096  # linux/limits.h
_FIRST_READ = 256
_MACHINE = os.uname().machine
_PIDFD_GETFD = 438  # the same on every architecture, asm-generic/unistd.h
_STATX = ctypes.c_long({"x86_64": 332, "aarch64": 291}.get(_MACHINE, 332))
_KILL = ctypes.c_long({"x86_64": 62, "aarch64": 129}.get(_MACHINE, 62))
_TGKILL = ctypes.c_long({"x86_64": 234, "aarch64": 131}.get(_MACHINE, 234))
_AT_FDCWD, _NO_FLAGS = ctypes.c_int(-100), ctypes.c_int(0)  # linux/fcntl.h
_STATX_INO, _STATX_MNT_ID = 0x100, 0x1000  # linux/stat.h, as are the offsets in struct statx below
_INODE, _DEVICE_AND_MOUNT = slice(32, 40), slice(136, 152)
_MSGHDR = struct.Struct("=QIxxxxQQ")  # name, namelen, iov, iovlen: struct user_msghdr on 64-bit
_IOVEC = struct.Struct("=QQ")
_MAX_DATAGRAM = 4096
_MAX_MESSAGES = 16

_libc = ctypes.CDLL(None, use_errno=True)
# None of these waits, and giving up the interpreter lock costs more than the call.
_syscall = ctypes.PyDLL(None, use_errno=True)["syscall"]
_syscall.restype = ctypes.c_long
_status = ctypes.create_string_buffer(256)  # struct statx
_number = ctypes.c_int()


class Image(NamedTuple):
    """A program image. ``mark``: the kernel's 16 random bytes in it, empty if unknown; ``address``: where they are."""

    mark: bytes = b""
    address: int = 0


NO_IMAGE = Image()


class Task:
    """One traced thread. ``ctid`` is its id as a ready ctypes argument; ``mem`` an open ``/proc/TID/mem``, or -1.

    ``image``: what it runs, :data:`NO_IMAGE` where nobody has looked.
    """

    __slots__ = ("ctid", "image", "mem", "pending", "pid", "program", "root", "tid")

    def __init__(self, tid: int, pid: int, program: int, root: str = "") -> None:
        self.tid = tid
        self.pid = pid
        self.program = program
        self.root = root
        self.ctid = ctypes.c_long(tid)
        self.mem = -1
        self.image = NO_IMAGE
        self.pending: object = None

    def forget_memory(self) -> None:
        """Close the memory file: after exec the old one shows the address space that is gone."""
        if self.mem >= 0:
            os.close(self.mem)
            self.mem = -1


def read_bytes(task: Task, address: int, size: int) -> bytes:
    """Up to ``size`` bytes at ``address``; fewer where the mapping ends, none where there is none."""
    if not address or size <= 0:
        return b""
    try:
        if task.mem < 0:
            task.mem = os.open(b"/proc/%d/mem" % task.tid, os.O_RDONLY | os.O_CLOEXEC)
        return os.pread(task.mem, size, address)
    except OverflowError:  # an address of 2^63 or more
        return b""
    except OSError as problem:  # EIO, EFAULT: not mapped
        full = problem.errno in (errno.EMFILE, errno.ENFILE)  # more threads than we may have files
        return _read_at_once(task, address, size) if full else b""


def _read_at_once(task: Task, address: int, size: int) -> bytes:
    """:func:`read_bytes` without a file; process_vm_readv(2) takes twice the time."""
    buffer = ctypes.create_string_buffer(size)
    here, there = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), size), (ctypes.c_size_t * 2)(address, size)
    got = _libc.process_vm_readv(task.ctid, here, ctypes.c_ulong(1), there, ctypes.c_ulong(1), ctypes.c_ulong(0))
    return buffer.raw[: max(0, got)]


def read_string(task: Task, address: int) -> bytes | Memory:
    """The NUL-terminated string at ``address``, at most PATH_MAX bytes; UNREADABLE if it does not end there."""
    data = read_bytes(task, address, _FIRST_READ)
    end = data.find(0)
    if end < 0:
        data = read_bytes(task, address, PATH_MAX)
        end = data.find(0)
        if end < 0:
            return Memory.UNREADABLE  # too long a name, or it runs into unmapped memory: both fail
    return data[:end]


def descriptor_path(task: Task, fd: int) -> bytes | None:
    """The kernel's name of an open descriptor (``/path``, ``socket:[N]``, ``/path (deleted)``), None if closed."""
    try:
        return os.readlink(b"/proc/%d/fd/%d" % (task.tid, fd))
    except OSError:
        return None


def working_directory(task: Task) -> bytes:
    """The program's current directory, ``b""`` if it cannot be learned."""
    try:
        return os.readlink(b"/proc/%d/cwd" % task.tid)
    except OSError:
        return b""


def executable(task: Task) -> str:
    """The kernel's name of what the process runs, empty if it is gone."""
    try:
        name = os.readlink(b"/proc/%d/exe" % task.tid)
    except OSError:
        return ""
    if name.endswith(b" (deleted)") and not os.path.lexists(name):
        name = name[: -len(b" (deleted)")]
    return os.fsdecode(name)


def root_directory(task: Task) -> bytes:
    """The program's root directory as we call it, ``b""`` if it cannot be learned."""
    try:
        return os.readlink(b"/proc/%d/root" % task.tid)
    except OSError:
        return b""


def visible(task: Task, path: bytes, base: bytes) -> bytes:
    """Where we find what the program calls ``path``; ``base`` is the kernel's name of where a relative one starts."""
    if not task.root or not (base or path.startswith(b"/")):
        return os.path.join(base, path)
    root = os.fsencode(task.root)
    if path.startswith(b"/"):
        return root + path
    jail = root_directory(task).rstrip(b"/")  # the kernel's names begin at our root, not at the program's
    if jail and base != jail and not base.startswith(jail + b"/"):
        return os.path.join(base, path)
    return root + os.path.join(base[len(jail) :] or b"/", path)


def root_identity(task: Task) -> bytes:
    """What tells the program's root directory from all others, empty if it cannot be learned.

    In another mount namespace it is another one, since the mount that it is in has a number of its own there.
    """
    root = b"/proc/%d/root" % task.tid
    wanted = ctypes.c_uint(_STATX_INO | _STATX_MNT_ID)
    if _syscall(_STATX, _AT_FDCWD, root, _NO_FLAGS, wanted, _status) < 0:
        return b""
    found = _status.raw
    if int.from_bytes(found[:4], "little") & _STATX_MNT_ID:
        return found[_INODE] + found[_DEVICE_AND_MOUNT]
    try:  # before Linux 5.8
        return os.readlink(b"/proc/%d/ns/mnt" % task.tid) + os.readlink(root)
    except OSError:
        return b""


def has_ended(tid: int) -> bool:
    """Whether there is no thread with this id, not even one that waits to be reaped."""
    _number.value = tid
    return _syscall(_KILL, _number, _NO_FLAGS) != 0 and ctypes.get_errno() == errno.ESRCH


def is_first_thread(tid: int) -> bool:
    """Whether a thread's id is that of its process: tgkill(2) finds no other. False if it has ended."""
    _number.value = tid
    return _syscall(_TGKILL, _number, _number, _NO_FLAGS) == 0 or ctypes.get_errno() != errno.ESRCH


def thread_group(tid: int) -> tuple[int, int]:
    """(process id, parent's process id) of a task, (tid, 0) if it is gone."""
    pid, parent = tid, 0
    try:
        with open(f"/proc/{tid}/status", "rb") as status:
            for line in status:
                if line.startswith(b"Tgid:"):
                    pid = int(line[5:])
                elif line.startswith(b"PPid:"):
                    parent = int(line[5:])
                    break
    except OSError:
        pass
    return pid, parent


def _borrow_socket(task: Task, fd: int) -> socket.socket | None:
    """Our own copy of the program's socket. A tracer may take one (pidfd_getfd(2), PTRACE_MODE_ATTACH)."""
    try:
        pidfd = os.pidfd_open(task.pid)
    except OSError:
        return None
    try:
        copy = int(_libc.syscall(_PIDFD_GETFD, pidfd, fd, 0))
    finally:
        os.close(pidfd)
    if copy < 0:
        return None
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        return None


def socket_facts(task: Task, fd: int) -> tuple[str, Endpoint | None, Endpoint | None]:
    """(transport, local endpoint, connected endpoint) of a descriptor; ("", None, None) if it is no socket."""
    borrowed = _borrow_socket(task, fd)
    if borrowed is None:
        return "", None, None
    with borrowed:
        if borrowed.family not in (socket.AF_INET, socket.AF_INET6):
            return "", None, None
        over = transport(borrowed.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL))
        ends: list[Endpoint | None] = []
        for name in (borrowed.getsockname, borrowed.getpeername):
            try:
                host, port, *_ = name()
            except OSError:
                ends.append(None)
                continue
            packed = socket.inet_pton(borrowed.family, host.partition("%")[0])
            raw = struct.pack("=H", borrowed.family) + struct.pack("!H", port)
            raw += packed if borrowed.family == socket.AF_INET else b"\0\0\0\0" + packed + b"\0\0\0\0"
            found = sockaddr(raw, over)
            ends.append(found if isinstance(found, Endpoint) else None)
        return over, ends[0], ends[1]


def read_message(task: Task, address: int) -> tuple[bytes, bytes]:
    """(address, first datagram bytes) of the ``struct msghdr`` at ``address``."""
    header = read_bytes(task, address, _MSGHDR.size)
    if len(header) < _MSGHDR.size:
        return b"", b""
    name, name_length, vector, count = _MSGHDR.unpack(header)
    where = read_bytes(task, name, min(name_length, 128))
    payload = b""
    for index in range(min(count, _MAX_MESSAGES)):
        entry = read_bytes(task, vector + index * _IOVEC.size, _IOVEC.size)
        if len(entry) < _IOVEC.size or len(payload) >= _MAX_DATAGRAM:
            break
        start, size = _IOVEC.unpack(entry)
        payload += read_bytes(task, start, min(size, _MAX_DATAGRAM))
    return where, payload


MMSGHDR_SIZE = 64  # struct mmsghdr on 64-bit: msghdr (56) + msg_len, padded


def read_messages(task: Task, address: int, count: int) -> list[tuple[bytes, bytes]]:
    """Each message of a sendmmsg vector, at most 16, as :func:`read_message` gives them."""
    return [read_message(task, address + i * MMSGHDR_SIZE) for i in range(min(count, _MAX_MESSAGES))]
