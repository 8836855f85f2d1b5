"""Passing bytes between the two ends of a connection, each at the other's pace."""

import contextlib
import functools
import socket
import struct

from learner.jail.loop import READ, WRITE, Loop

_CHUNK = 1 << 18
_buffer = memoryview(bytearray(_CHUNK))  # one for all: what was read is sent before the next read
REFUSE_SECONDS = 0.2
"""How long a refused connection may say nothing before it is reset."""

_ABORT = struct.pack("ii", 1, 0)


def abort(connection: socket.socket) -> None:
    """Close so that the other end sees a reset (SO_LINGER of 0 seconds, socket(7))."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    connection.close()


def refuse(loop: Loop, connection: socket.socket) -> None:
    """Reset a connection as soon as its client has shown that it knows of it: by its first bytes, or by and by.

    Node's fetch never settles if the reset is there before it has seen the connection made (measured, Node 20).
    """
    over = False

    def end() -> None:
        nonlocal over
        if not over:
            over = True
            loop.forget(connection)
            abort(connection)

    loop.watch(connection, READ, lambda _events: end())
    loop.after(REFUSE_SECONDS, end)


class _End:
    """One end: its socket, what waits to be written to it, and whether it has nothing more to say."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.waiting = b""
        self.finished = False


class Relay:
    """Carries bytes both ways until both ends have finished, or one is broken (then the other is reset, too)."""

    def __init__(self, loop: Loop, inside: socket.socket, outside: socket.socket, first: bytes = b"") -> None:
        """``first``: what the inside said already, to be passed on before anything else."""
        self._loop = loop
        self._ends = _End(inside), _End(outside)
        for end in self._ends:
            end.socket.setblocking(False)
            with contextlib.suppress(OSError):
                end.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ends[1].waiting = first
        self._rewatch()

    def _rewatch(self) -> None:
        for end, other in (self._ends, self._ends[::-1]):
            reads = READ if not end.finished and not other.waiting else 0
            mask = reads | (WRITE if end.waiting else 0)
            self._loop.watch(end.socket, mask, functools.partial(self._ready, end, other))

    def _ready(self, end: _End, other: _End, events: int) -> None:
        try:
            if events & WRITE:
                self._flush(end, other)
            if events & READ and not other.waiting:
                self._read(end, other)
        except BlockingIOError:
            pass
        except OSError:
            self._close(broken=True)
            return
        if all(e.finished and not e.waiting for e in self._ends):
            self._close()
        else:
            self._rewatch()

    def _flush(self, end: _End, other: _End) -> None:
        end.waiting = end.waiting[end.socket.send(end.waiting) :]
        if other.finished and not end.waiting:
            end.socket.shutdown(socket.SHUT_WR)

    def _read(self, end: _End, other: _End) -> None:
        size = end.socket.recv_into(_buffer)
        if not size:
            end.finished = True
            other.socket.shutdown(socket.SHUT_WR)
            return
        try:
            sent = other.socket.send(_buffer[:size])
        except BlockingIOError:
            sent = 0
        if sent < size:
            other.waiting = bytes(_buffer[sent:size])

    def _close(self, *, broken: bool = False) -> None:
        for end in self._ends:
            self._loop.forget(end.socket)
            if broken:
                abort(end.socket)
            else:
                end.socket.close()
