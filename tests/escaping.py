"""Escapes let loose as any user, an enforcer of nothing to compare with, and what may be left behind."""

import os
from collections.abc import Callable
from pathlib import Path

from accesses import policy
from children import in_child

from learner.access import Access
from learner.enforcers.enforcer import Strength
from learner.enforcers.landlock import LandlockEnforcer
from learner.escapes.escape import Escape
from learner.escapes.release import release
from learner.escapes.table import TABLE
from learner.gaps import Gap
from learner.places import Map
from learner.policy import NO_RIGHT, Policy, Right, Scope
from learner.probe import NAME

READ = Right.READ | Right.LIST | Right.EXEC
SYSTEM = policy(*((d, Scope.TREE, READ) for d in ("/usr", "/etc", "/proc")))
EVERYTHING = policy(("/", Scope.TREE, ~NO_RIGHT))
Rows = dict[str, tuple[str, str]]


OURS = f"{os.getpid():x}t"
"""Marks the names that this process made: others may be trying escapes at the same time."""


class Nothing:
    """An enforcer that enforces nothing, and may say so; or that does something else instead."""

    name = "nothing"

    def __init__(self, *gaps: str, instead: Callable[[], object] = lambda: None) -> None:
        self.strength = Strength.NONE
        self.gaps = tuple(Gap(item, "nothing is held") for item in gaps)
        self._instead = instead

    def prepare(self, _policy: Policy) -> "Nothing":
        return self

    def apply(self) -> None:
        self._instead()

    def close(self) -> None:
        """Do nothing."""

    def mediates(self, _rights: Right) -> Right:
        return NO_RIGHT

    def gates(self, _access: Access) -> bool:
        return False


def let_loose(
    places: Map,
    user: int,
    granted: Policy = SYSTEM,
    enforcer: LandlockEnforcer | Nothing | None = None,
    escapes: tuple[Escape, ...] = TABLE,
    seconds: float = 3.0,
) -> tuple[Rows, list[str]]:
    """(verdict, detail) of each escape by its name, and what has changed."""

    def work() -> object:
        found = release(granted, places, enforcer or LandlockEnforcer(), escapes, seconds=seconds)
        return [[(t.escape.name, t.verdict.name, t.detail) for t in found.tried], found.changed]

    tried, changed = in_child(work, user)
    return {name: (verdict, detail) for name, verdict, detail in tried}, changed


def leftovers(places: Map) -> list[str]:
    """Names, objects and processes of ours that are still there."""
    directories = (places.home, os.path.dirname(places.project), "/tmp", "/var/tmp", "/dev/shm", "/run")
    found = [n for d in directories for n in os.listdir(d) if NAME in n and OURS in n]
    found += [line for line in Path("/proc/net/unix").read_text().splitlines() if NAME in line and OURS in line]
    return found


def objects() -> list[str]:
    """System V objects, as the kernel lists them, without their times."""
    return [
        line.split()[0] + line.split()[1]
        for kind in ("shm", "msg", "sem")
        for line in Path(f"/proc/sysvipc/{kind}").read_text().splitlines()[1:]
    ]


def sleepers() -> set[str]:
    """Processes that the suite could have left."""
    found = set()
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and b"SBX_CANARY=" in Path(f"/proc/{name}/environ").read_bytes():
                found.add(name)
        except OSError:
            continue
    return found
