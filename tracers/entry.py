"""Reading a system call at its entry: strings before another thread can change them, facts that the call destroys."""

import os
import stat
import struct
from collections.abc import Callable
from typing import NamedTuple

from tracers.abi import Abi
from tracers.calls import (
    AT_EMPTY_PATH,
    CREAT_FLAGS,
    NULL_PATH_IS_DESCRIPTOR,
    SHAPES,
    PathArg,
    RawCall,
    Shape,
    as_openat,
)
from tracers.events import Endpoint, Memory
from tracers.tracee import (
    Task,
    descriptor_path,
    read_bytes,
    read_message,
    read_messages,
    read_string,
    socket_facts,
    visible,
)
from tracers.words import KEPT_BACK, LONGEST, plain_word

_NO_DIRECTORY = 0xFFFFFF9C  # AT_FDCWD as an unsigned 32-bit number
_SOCKADDR_MAX = 128  # sizeof(struct sockaddr_storage)
_DATAGRAM_MAX = 4096


class Plan(NamedTuple):
    """How to read one call of one ABI. ``simple`` calls have one path and nothing else that matters."""

    name: str
    shape: Shape
    abi: str
    path: int
    dirfd: int
    number: int
    simple: bool
    opens: bool


_OPENING = frozenset({"open", "openat", "openat2", "creat"})
_ENTRY_FACTS = frozenset(
    {
        "openat2",
        "rename",
        "renameat",
        "renameat2",
        "link",
        "linkat",
        "symlink",
        "symlinkat",
        "execve",
        "execveat",
        "memfd_create",
        "ioctl",
        "ftruncate",
        "ftruncate64",
        "connect",
        "bind",
        "listen",
        "sendto",
        "sendmsg",
        "sendmmsg",
        "unshare",
        "setns",
        "ptrace",
        "io_uring_setup",
    }
)
_OPEN_HOW = struct.Struct("=Q8xQ")  # flags and resolve of struct open_how, linux/openat2.h
_STRUCTURES = frozenset({"sendmsg", "sendmmsg"})  # laid out differently for a 32-bit program


def plans(abi: Abi) -> dict[int, Plan]:
    """The traced calls of an ABI by number."""
    found: dict[int, Plan] = {}
    for number, name in abi.names.items():
        shape = SHAPES.get(name)
        if shape is None or (abi.prefix and name in _STRUCTURES):
            continue
        first = shape.paths[0] if shape.paths else PathArg(-1)
        found[number] = Plan(
            name=name,
            shape=shape,
            abi=abi.prefix,
            path=first.at,
            dirfd=-1 if first.dirfd is None else first.dirfd,
            number=-1 if shape.number is None else shape.number,
            simple=name not in _ENTRY_FACTS,
            opens=name in _OPENING,
        )
    return found


class Entry(NamedTuple):
    """What was read of a call at its entry; equal entries with equal results are one event."""

    plan: Plan
    number: int
    text: tuple[bytes | Memory | None, ...]
    base: tuple[bytes, ...]
    data: tuple[tuple[bytes, bytes], ...] = ()
    existed: bool | None = None
    opened: bytes | None = None
    transport: str = ""
    peer: Endpoint | None = None
    varies: bool = False
    word: str = ""

    def raw_calls(self, result: int, opened: bytes | None) -> list[RawCall]:
        """The call as :func:`tracers.calls.events` takes it: one record, or one for each message of a vector."""
        numbers = [0] * 6
        if self.plan.number >= 0:
            numbers[self.plan.number] = self.number
        paths = self.plan.shape.paths
        text = {p.at: t for p, t in zip(paths, self.text, strict=True) if t is not None}
        if paths:
            base = {p.at: b for p, b in zip(paths, self.base, strict=True) if b}
        else:
            base = {i: b for b in self.base for i in (1, 4)}  # where the relative name of a unix socket starts
        calls = []
        for address, payload in self.data or ((b"", b""),):
            where = 4 if self.plan.name in _SENDS else 1
            data = {k: v for k, v in ((where, address), (1, payload)) if v}
            calls.append(
                RawCall(
                    name=self.plan.name,
                    args=tuple(numbers),
                    result=result,
                    text=text,
                    base=base,
                    data=data,
                    opened=opened if opened is not None else self.opened,
                    existed=self.existed,
                    transport=self.transport,
                    peer=self.peer,
                    word=self.word,
                )
            )
        return calls


_SENDS = frozenset({"sendto", "sendmsg", "sendmmsg"})


def simple_call(
    plan: Plan, number: int, path: bytes | Memory | None, base: bytes, result: int, opened: bytes | None, mode: int = 0
) -> RawCall:
    """A simple call as :func:`tracers.calls.events` takes it."""
    numbers = [0] * 6
    if plan.number >= 0:
        numbers[plan.number] = number
    return RawCall(
        name=plan.name,
        args=tuple(numbers),
        result=result,
        text={} if path is None else {plan.path: path},
        base={plan.path: base} if base else {},
        opened=opened,
        mode=stat.S_IFMT(mode),
    )


Where = Callable[[Task], bytes]
"""Tells a task's current directory, ``b""`` if it cannot be learned."""


def base_of(task: Task, dirfd: int, where: Where) -> bytes:
    """The directory that a relative path starts at; ``b""`` if it cannot be learned."""
    if dirfd == _NO_DIRECTORY:
        return where(task)
    return descriptor_path(task, dirfd) or b""


def read_path(
    task: Task, args: tuple[int, ...], path: int, dirfd: int, where: Where
) -> tuple[bytes | Memory | None, bytes]:
    """(string, base) of a path argument; None for a NULL pointer. ``path``, ``dirfd``: as of :class:`Plan`."""
    address = args[path]
    if not address:
        return None, b""
    found = read_string(task, address)
    if found is Memory.UNREADABLE or found[:1] == b"/":
        return found, b""
    return found, base_of(task, args[dirfd] & 0xFFFFFFFF if dirfd >= 0 else _NO_DIRECTORY, where)


def acts_on_descriptor(plan: Plan, number: int, path: bytes | Memory | None) -> bool:
    """Whether the call only asks about a descriptor that was opened before (fstat by another name)."""
    if path:
        return False
    return bool(number & AT_EMPTY_PATH) or (path is None and plan.name in NULL_PATH_IS_DESCRIPTOR)


def existing(task: Task, path: bytes | Memory | None, base: bytes, follow: bool) -> bool | None:
    """Whether a name exists right now, as the program sees it; None if it cannot be told."""
    if not isinstance(path, bytes) or not path or not (base or path[:1] == b"/"):
        return None
    if path.startswith((b"/proc/self", b"/proc/thread-self", b"/dev/fd/", b"/dev/std")):
        return True  # of the caller, and never created by opening it
    try:
        os.stat(visible(task, path, base), follow_symlinks=follow)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    return True


def read_general(task: Task, plan: Plan, args: tuple[int, ...], where: Where) -> Entry | None:
    """Read a call that is not simple. None if it concerns nothing that is recorded."""
    name = plan.name
    text: list[bytes | Memory | None] = []
    base: list[bytes] = []
    for argument in plan.shape.paths:
        path, start = read_path(task, args, argument.at, -1 if argument.dirfd is None else argument.dirfd, where)
        text.append(path)
        base.append(start)
    number = args[plan.number] if plan.number >= 0 else 0
    if name in _EXECS:
        word = first_word(task, args[plan.path + 1], _LONG if not plan.abi else _SHORT)
        varies = name == "execveat" and bool(number & AT_EMPTY_PATH) and text[0] == b""
        if varies:
            base = [descriptor_path(task, args[0] & 0xFFFFFFFF) or b""]
        return Entry(plan, number, tuple(text), tuple(base), varies=varies, word=word)
    entry = Entry(plan, number, tuple(text), tuple(base))
    if plan.opens:
        if name == "openat2":
            how = read_bytes(task, args[2], 24).ljust(24, b"\0")
            path, number = as_openat(text[0], *_OPEN_HOW.unpack(how))
            if path != text[0]:
                text, base = [path], [base_of(task, args[0] & 0xFFFFFFFF, where)]
        elif name == "creat":
            number = CREAT_FLAGS
        existed = None
        if number & os.O_CREAT:
            existed = existing(task, text[0], base[0], not number & (os.O_NOFOLLOW | os.O_EXCL))
        return entry._replace(number=number, text=tuple(text), base=tuple(base), existed=existed)
    if name.startswith("rename"):
        return entry._replace(existed=existing(task, text[1], base[1], follow=False))
    if name in ("ioctl", "ftruncate", "ftruncate64"):
        opened = descriptor_path(task, args[0] & 0xFFFFFFFF)
        if opened is None or not opened.startswith(b"/dev/" if name == "ioctl" else b"/"):
            return None
        if opened.endswith(b" (deleted)") and not os.path.lexists(opened):
            return None  # it has no name any more, so no grant could be about it
        return entry._replace(opened=opened)
    if name in _SOCKETS:
        return _read_socket(task, entry, args, where)
    return entry


_EXECS = frozenset({"execve", "execveat"})
_LONG, _SHORT = struct.Struct("=2Q"), struct.Struct("=2I")  # two pointers; those of i386 and x32 have 32 bits


def first_word(task: Task, argv: int, pointers: struct.Struct = _LONG) -> str:
    """What is let out of ``argv[1]``; ``argv`` ends with a null pointer, and may be one itself."""
    data = read_bytes(task, argv, pointers.size)
    if len(data) < pointers.size:
        return KEPT_BACK if argv else ""
    zeroth, first = pointers.unpack(data)
    if not zeroth or not first:
        return ""
    word, end, _ = read_bytes(task, first, LONGEST + 1).partition(b"\0")
    return plain_word(word) if end else KEPT_BACK


_SOCKETS = _SENDS | {"connect", "bind", "listen"}


def _read_socket(task: Task, entry: Entry, args: tuple[int, ...], where: Where) -> Entry | None:
    name = entry.plan.name
    fd = args[0] & 0xFFFFFFFF
    if name == "sendmsg":
        data = [read_message(task, args[1])]
    elif name == "sendmmsg":
        data = read_messages(task, args[1], args[2] & 0xFFFFFFFF)
    elif name == "sendto":
        address = read_bytes(task, args[4], min(args[5] & 0xFFFFFFFF, _SOCKADDR_MAX))
        data = [(address, read_bytes(task, args[1], min(args[2], _DATAGRAM_MAX)))]
    elif name == "listen":
        data = []
    else:
        data = [(read_bytes(task, args[1], min(args[2] & 0xFFFFFFFF, _SOCKADDR_MAX)), b"")]
    family = int.from_bytes(data[0][0][:2], "little") if data and data[0][0] else 0
    if family == _AF_UNIX:
        return entry._replace(data=tuple((a, b"") for a, _ in data), base=(where(task),))
    transport, local, peer = socket_facts(task, fd) if family in _INTERNET or not family else ("", None, None)
    if name in _SENDS:
        if transport != "udp":
            return None  # a stream: its connect was the access
        if not family and peer is None:
            return None
        return entry._replace(data=_datagrams(data, peer), transport=transport, peer=None if family else peer)
    if name == "listen":
        return entry._replace(peer=local, transport=transport) if local else None
    return entry._replace(data=tuple(data), transport=transport)


_AF_UNIX = 1
_INTERNET = frozenset({2, 10})  # AF_INET, AF_INET6, linux/socket.h


def _datagrams(data: list[tuple[bytes, bytes]], peer: Endpoint | None) -> tuple[tuple[bytes, bytes], ...]:
    """Keep payloads only where they may be DNS questions: the rest is the program's own business."""
    kept = []
    for address, payload in data:
        port = int.from_bytes(address[2:4], "big") if address else (peer.port if peer else 0)
        kept.append((address, payload if port == _DNS_PORT else b""))
    return tuple(sorted(set(kept)))


_DNS_PORT = 53
