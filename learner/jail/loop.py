"""A small event loop: callbacks on descriptors. asyncio would do, but takes 37 ms to load (measured)."""

import heapq
import itertools
import selectors
import time
from collections.abc import Callable
from typing import Protocol

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class HasFileno(Protocol):
    """A socket or a file."""

    def fileno(self) -> int:
        """The descriptor."""
        ...


Callback = Callable[[int], None]
"""Takes the events that are there: READ, WRITE or both."""


class Loop:
    """Runs callbacks until it is stopped."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._masks: dict[int, int] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._over = False

    def watch(self, what: HasFileno | int, mask: int, callback: Callback) -> None:
        """Call ``callback`` whenever one of ``mask`` holds; a mask of 0 ends that. Cheap when nothing changed."""
        descriptor = what if isinstance(what, int) else what.fileno()
        before = self._masks.get(descriptor, 0)
        if mask == before:
            return
        if not mask:
            self._selector.unregister(descriptor)
            del self._masks[descriptor]
            return
        self._masks[descriptor] = mask
        if before:
            self._selector.modify(descriptor, mask, callback)
        else:
            self._selector.register(descriptor, mask, callback)

    def forget(self, what: HasFileno | int) -> None:
        """End watching; to be called before a descriptor is closed."""
        self.watch(what, 0, _nothing)

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call ``callback`` once, not before ``seconds`` have passed."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), callback))

    def stop(self) -> None:
        """Let :meth:`run` return."""
        self._over = True

    def run(self) -> None:
        """Serve until :meth:`stop`."""
        while not self._over:
            wait = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
            for key, events in self._selector.select(wait):
                # An earlier callback of this round may have ended the watch, and even reused the number.
                if self._masks.get(key.fd, 0) & events and self._selector.get_key(key.fd) is key:
                    key.data(events)
            while self._timers and self._timers[0][0] <= time.monotonic():
                heapq.heappop(self._timers)[2]()
        self._selector.close()


def _nothing(_events: int) -> None:
    """The callback of what is not watched."""
