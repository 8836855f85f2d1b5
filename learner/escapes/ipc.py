"""What processes share without files: System V and POSIX objects, and the kernel's keyrings."""

import ctypes
import os

from learner.escapes.calls import call, check, libc
from learner.escapes.escape import ABSENT, Escape, Family, Ground, Void

IPC_CREAT, IPC_EXCL, IPC_RMID = 0o1000, 0o2000, 0  # linux/ipc.h
_SHM_RDONLY, _IPC_NOWAIT = 0o10000, 0o4000
_SEARCH, _READ, _JOIN = 10, 11, 1  # KEYCTL_SEARCH, KEYCTL_READ, KEYCTL_JOIN_SESSION_KEYRING (linux/keyctl.h)
_SESSION = -3  # KEY_SPEC_SESSION_KEYRING
_KEY = b"sbx-canary"
MESSAGE_BYTES = 64
_SIZE = 4096

libc.shmat.restype = ctypes.c_void_p
libc.shmat.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
libc.shmdt.argtypes = (ctypes.c_void_p,)


class _Message(ctypes.Structure):
    """struct msgbuf (msgop(2))."""

    _fields_ = (("kind", ctypes.c_long), ("text", ctypes.c_char * MESSAGE_BYTES))


def attach(key: int, flags: int, token: bytes | None = None) -> bytes:
    """What a shared memory segment holds, after ``token`` was put in it. Raises OSError."""
    address = libc.shmat(check(libc.shmget(key, _SIZE, flags)), None, 0 if token else _SHM_RDONLY)
    if address in (None, ctypes.c_void_p(-1).value):
        check(-1)
    if token:
        ctypes.memmove(address, token, len(token))
    held = ctypes.string_at(address, 64)
    libc.shmdt(address)
    return held


def make_memory(key: int, token: bytes) -> None:
    """A segment that holds ``token``. Raises OSError."""
    attach(key, IPC_CREAT | IPC_EXCL | 0o600, token)


def remove_memory(key: int) -> None:
    """Remove a segment."""
    libc.shmctl(libc.shmget(key, 0, 0), IPC_RMID, None)


def make_queue(key: int, token: bytes) -> None:
    """A queue with two messages, one for each who may come. Raises OSError."""
    queue = check(libc.msgget(key, IPC_CREAT | IPC_EXCL | 0o600))
    for _ in range(2):
        check(libc.msgsnd(queue, ctypes.byref(_Message(1, token)), ctypes.c_size_t(MESSAGE_BYTES), 0))


def remove_queue(key: int) -> None:
    """Remove a queue."""
    libc.msgctl(libc.msgget(key, 0), IPC_RMID, None)


def make_posix_queue(name: str, token: bytes) -> None:
    """A queue with two messages (mq_overview(7); system calls take the name without its slash). Raises OSError."""
    attributes = (ctypes.c_long * 8)(0, 4, MESSAGE_BYTES, 0)
    buffer = ctypes.create_string_buffer(bytes(attributes), len(bytes(attributes)))
    queue = call("mq_open", name.encode(), os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600, buffer)
    for _ in range(2):
        call("mq_timedsend", queue, token, len(token), 0, None)
    os.close(queue)


def remove_posix_queue(name: str) -> None:
    """Remove a queue."""
    call("mq_unlink", name.encode())


def make_key(token: bytes) -> None:
    """A session keyring for this process and its children, and a key in it. Raises OSError, Void."""
    call("keyctl", _JOIN, None)
    call("add_key", b"user", _KEY, token, len(token), _SESSION)


def _memory(ground: Ground) -> None:
    if not ground.shared.memory:
        raise Void("no segment could be made")
    ground.found(attach(ground.shared.memory, 0))


def _queue(ground: Ground) -> None:
    if not ground.shared.queue:
        raise Void("no queue could be made")
    queue = check(libc.msgget(ground.shared.queue, 0))
    message = _Message()
    size = ctypes.c_size_t(MESSAGE_BYTES)
    check(libc.msgrcv(queue, ctypes.byref(message), size, ctypes.c_long(0), _IPC_NOWAIT))
    ground.found(message.text)


def _posix_queue(ground: Ground) -> None:
    if not ground.shared.posix_queue:
        raise Void("no queue could be made")
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    queue = call("mq_open", ground.shared.posix_queue.encode(), flags, 0, None)
    try:
        buffer = ctypes.create_string_buffer(MESSAGE_BYTES)
        call("mq_timedreceive", queue, buffer, MESSAGE_BYTES, None, None)
        ground.found(buffer.raw)
    finally:
        os.close(queue)


def _shm_file(ground: Ground) -> None:
    if not ground.shared.shm_file:
        raise Void("nothing could be made in /dev/shm, or it is granted")
    ground.read(ground.shared.shm_file)


def _key(ground: Ground) -> None:
    found = call("keyctl", _SEARCH, _SESSION, b"user", _KEY, 0)
    buffer = ctypes.create_string_buffer(64)
    call("keyctl", _READ, found, buffer, 64)
    ground.found(buffer.raw)


_I = Family.IPC
_SHARED = ("shared memory and queues",)
ESCAPES = (
    Escape("System V shared memory", _I, _memory, ABSENT, _SHARED),
    Escape("a System V message queue", _I, _queue, ABSENT, _SHARED),
    Escape("a POSIX message queue", _I, _posix_queue, ABSENT, _SHARED),
    Escape("POSIX shared memory (/dev/shm)", _I, _shm_file),
    Escape("a key of the session keyring (keyctl)", _I, _key, ABSENT, ("keyrings",)),
)
