"""What a program tried on the network, as the filter saw it."""

import enum

import msgspec


class Way(enum.StrEnum):
    """How far an attempt got before it was decided."""

    NAME = "name"
    """It asked for a host name."""
    CONNECT = "connect"
    """It connected, or asked a proxy to."""


class Attempt(msgspec.Struct, frozen=True, order=True):
    """One distinct attempt.

    ``host`` is the name that was asked for, or a literal address; ``port`` is 0 for names. ``program`` is the name of
    the executable and ``pid`` its process (in our PID namespace); ``""`` and 0 where it could not be told in time.
    """

    host: str
    port: int
    way: Way
    allowed: bool
    program: str = ""
    pid: int = 0

    def __str__(self) -> str:
        """Such as ``api.example.org:443 (curl, pid 12)``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        place = f"{host}:{self.port}" if self.port else host
        who = f"{self.program}, pid {self.pid}" if self.program else "a process that could not be found in time"
        return f"{place} ({who})"


MAX_DISTINCT = 1000
"""Attempts remembered in one run: a program that tries every port must not fill our memory."""


class Ledger:
    """The distinct attempts of a run. ``more`` counts those beyond :data:`MAX_DISTINCT`."""

    def __init__(self, search: tuple[str, ...] = ()) -> None:
        self._search = tuple("." + domain for domain in search)
        self._found: dict[tuple[str, int, Way, bool], Attempt] = {}
        self.more = 0

    def new(self, host: str, port: int, way: Way, allowed: bool) -> bool:
        """Whether an attempt is not in the ledger yet, and may still go there."""
        if (host, port, way, allowed) in self._found or self._from_search(host, port, way):
            return False
        if len(self._found) >= MAX_DISTINCT:
            self.more += 1
            return False
        return True

    def add(self, attempt: Attempt) -> None:
        """Keep an attempt that is :meth:`new`."""
        self._found[attempt.host, attempt.port, attempt.way, attempt.allowed] = attempt

    def attempts(self) -> tuple[Attempt, ...]:
        """What was kept, sorted."""
        return tuple(sorted(self._found.values()))

    def _from_search(self, host: str, port: int, way: Way) -> bool:
        """Whether the C library only added a search domain (resolv.conf(5)) to a name that was refused."""
        return way is Way.NAME and any(
            host.endswith(domain) and (host.removesuffix(domain), port, way, False) in self._found
            for domain in self._search
        )
