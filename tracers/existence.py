"""Whether a name was there before a call that may have created it, told after the fact.

For tracers that see a call only when it is over. What the trace itself did to the name decides first;
failing that, an object that was born after the trace began was not there before.
"""

import ctypes
import errno
import os
import struct
import time

from tracers.calls import RawCall
from tracers.strace_calls import OPENS

_AT_FDCWD, _STATX_BTIME = -100, 0x800  # fcntl.h, linux/stat.h
_STATX_SIZE, _MASK_AT, _BTIME_AT = 256, 0, 80  # struct statx: stx_mask u32, stx_btime {s64 sec, u32 nsec}
_COARSE = 5  # CLOCK_REALTIME_COARSE, linux/time.h: the clock that file systems stamp with
_TICK_SECONDS = 0.001
_RENAME_NOREPLACE = 1
_EXISTING_PREFIXES = (b"/proc/self", b"/proc/thread-self", b"/dev/fd/", b"/dev/std")
_libc = ctypes.CDLL(None)


def birth_ns(path: bytes) -> int | None:
    """When the object at ``path`` came into being, in ns of the epoch; None if that is not recorded."""
    buffer = ctypes.create_string_buffer(_STATX_SIZE)
    try:
        failed = _libc.statx(_AT_FDCWD, path, 0, _STATX_BTIME, buffer)
    except AttributeError:  # a C library older than glibc 2.28 or musl 1.2.3
        return None
    if failed or not struct.unpack_from("=I", buffer, _MASK_AT)[0] & _STATX_BTIME:
        return None
    seconds, nanoseconds = struct.unpack_from("=qI", buffer, _BTIME_AT)
    return int(seconds * 1_000_000_000 + nanoseconds)


class Existence:
    """What a trace knows of which names exist. Feed it every call, in order, through :meth:`before`."""

    def __init__(self) -> None:
        self._start = time.clock_gettime_ns(time.CLOCK_REALTIME)
        # What is made from now on must have a later time than that, from a clock that ticks every few ms.
        while time.clock_gettime_ns(_COARSE) <= self._start:
            time.sleep(_TICK_SECONDS)
        self._known: dict[bytes, bool] = {}

    def before(self, call: RawCall, device: bool = False) -> bool | None:
        """Whether the name that ``call`` creates or replaces was there, None if unknown or it makes none.

        ``device`` says that the call opened a device, which no open creates. Learns from the call as well.
        """
        names = {index: name for index in call.text if (name := _absolute(call, index)) is not None}
        existed = None
        if call.name in OPENS:
            flags = call.args[2] if call.name in ("openat", "openat2") else call.args[1]
            if names and (call.name == "creat" or flags & os.O_CREAT):
                existed = True if device else self._opened(next(iter(names.values())), call)
        elif call.name.startswith(("rename", "link")):
            existed = self._target(max(names), names, call) if names else None
        self._learn(call, names)
        return existed

    def _opened(self, name: bytes, call: RawCall) -> bool | None:
        if name.startswith(_EXISTING_PREFIXES):
            return True
        # The name may be a link's: what it led to is the file in question.
        known = self._known.get(name if call.opened is None else call.opened)
        if known is not None:
            return known
        if call.result < 0:
            return _there(name, follow=True)
        born = birth_ns(call.opened or name)
        return None if born is None else born <= self._start

    def _target(self, index: int, names: dict[int, bytes], call: RawCall) -> bool | None:
        if call.result >= 0 and (call.name.startswith("link") or call.args[4] & _RENAME_NOREPLACE):
            return False
        known = self._known.get(names[index])
        return _there(names[index], follow=False) if known is None and call.result < 0 else known

    def _learn(self, call: RawCall, names: dict[int, bytes]) -> None:
        if call.result < 0:
            if call.result == -errno.ENOENT and len(names) == 1 and not call.name.startswith(_OBLIQUE):
                self._known[next(iter(names.values()))] = False
            return
        if call.name.startswith("rename") and len(names) == 2:
            old, new = (names[index] for index in sorted(names))
            self._known[old], self._known[new] = False, True
            if os.path.isdir(new):
                self._known.clear()  # everything below has another name now
            return
        gone = call.name in ("unlink", "unlinkat", "rmdir")
        for name in names.values():
            self._known[name] = not gone
        if call.opened is not None:
            self._known[call.opened] = True


# Their ENOENT may speak of a directory, a script's interpreter or the target of a link.
_OBLIQUE = ("open", "creat", "exec", "readlink")


def _absolute(call: RawCall, index: int) -> bytes | None:
    text = call.text[index]
    if not isinstance(text, bytes) or not text:
        return None
    name = os.path.join(call.base.get(index, b""), text)
    return os.path.normpath(name) if name.startswith(b"/") else None


def _there(name: bytes, follow: bool) -> bool | None:
    try:
        os.stat(name, follow_symlinks=follow)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    return True
