"""Limits on what a confined command may use up: ``time=300s,memory=2G,procs=200,files=1024``.

Most are rlimits, set in the command's own process just before exec (setrlimit(2)); wall time needs a watcher
(:mod:`learner.watch`), and a delegated cgroup (:mod:`learner.cgroups`) counts memory and processes together. What
this machine cannot hold is a gap: *unmet* if nothing holds it, a caveat if something does in part.
"""

import enum
import errno
import os
import re
import resource
import sys
from collections.abc import Callable, Iterable
from typing import NamedTuple

from learner.cgroups import Group
from learner.enforcers.enforcer import Confinement
from learner.errors import UsageError
from learner.gaps import Gap
from learner.names import to_text
from tracers.tracer import Command


class Unit(enum.Enum):
    """What the number of a limit counts."""

    SECONDS = enum.auto()
    BYTES = enum.auto()
    COUNT = enum.auto()


_SUFFIXES = {
    Unit.SECONDS: {"": 1, "s": 1, "m": 60, "h": 3600},
    Unit.BYTES: {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40},
    Unit.COUNT: {"": 1},
}


class Kind(NamedTuple):
    """A limit's unit, the least that makes sense, and what it limits."""

    unit: Unit
    least: int
    meaning: str


KINDS = {
    "time": Kind(Unit.SECONDS, 1, "time from start to end"),
    "cpu": Kind(Unit.SECONDS, 1, "processor time of each process"),
    "memory": Kind(Unit.BYTES, 1 << 20, "memory"),
    "procs": Kind(Unit.COUNT, 1, "processes and threads"),
    "files": Kind(Unit.COUNT, 4, "open files of each process"),
    "size": Kind(Unit.BYTES, 0, "size of a file that is written"),
}
"""The items of ``--limit``."""

TIMED_OUT = 124
"""Exit status when the time is over, as timeout(1) has it."""

_NUMBER = re.compile(r"(\d{1,15})([a-zA-Z]?)(?:iB|B)?")
_CAP_SYS_ADMIN, _CAP_SYS_RESOURCE = 21, 24  # linux/capability.h
_NO_GROUP = ": there is no delegated cgroup"
_CPU_GRACE = 1  # seconds between SIGXCPU and SIGKILL


class Limits(NamedTuple):
    """What was asked for; None is no limit. Seconds, bytes, counts."""

    time: int | None = None
    cpu: int | None = None
    memory: int | None = None
    procs: int | None = None
    files: int | None = None
    size: int | None = None


def parse(texts: Iterable[str]) -> Limits:
    """The limits that ``item=value,item=value`` texts name. Raises UsageError with the item that is wrong."""
    found: dict[str, int] = {}
    for part in (part.strip() for text in texts for part in text.split(",")):
        name, equals, value = part.partition("=")
        kind = KINDS.get(name)
        if kind is None or not equals:
            known = ", ".join(f"{item} ({kind.meaning})" for item, kind in KINDS.items())
            raise UsageError(f'--limit: "{to_text(part)}" is no limit', f"write item=value; the items are {known}")
        if name in found:
            raise UsageError(f"--limit: {name} is given twice", "give each limit once")
        found[name] = _value(name, kind, value)
    return Limits(**found)


def _value(name: str, kind: Kind, text: str) -> int:
    match = _NUMBER.fullmatch(text)
    suffixes = _SUFFIXES[kind.unit]
    bytes_word = text.endswith("B") and kind.unit is not Unit.BYTES
    if match is None or bytes_word or match[2].lower() not in suffixes:
        known = ", ".join(suffix for suffix in suffixes if suffix) or "none"
        raise UsageError(
            f'--limit: {name}: "{to_text(text)}" is no value', f"write a whole number; its unit may be: {known}"
        )
    value = int(match[1]) * suffixes[match[2].lower()]
    if value < kind.least:
        raise UsageError(f"--limit: {name}: {to_text(text)} is too little", f"the least is {kind.least}")
    return min(value, (1 << 63) - 1)


class Held(NamedTuple):
    """How limits are held here. ``unmet``: what was asked for and is not held. ``gaps``: what is held in part."""

    limits: Limits
    rlimits: tuple[str, ...] = ()
    group: Group | None = None
    unmet: tuple[Gap, ...] = ()
    gaps: tuple[Gap, ...] = ()

    @property
    def watched(self) -> bool:
        """Whether a parent has to stay while the command runs."""
        return self.limits.time is not None or self.group is not None


def hold(limits: Limits, *, exempt: bool | None = None) -> Held:
    """Decide how to hold ``limits``, and make the cgroup for them where one can be had.

    ``exempt``: whether RLIMIT_NPROC does not bind this process (default: as it is). Raises nothing.
    """
    unmet, gaps = [], []
    mac = sys.platform == "darwin"
    if mac and limits.memory is not None:
        unmet.append(Gap("memory", "nothing in macOS is known to hold it"))
        limits = limits._replace(memory=None)
    if mac and not _process_list():
        unmet += [Gap(name, "ps is missing") for name in ("procs", "time") if getattr(limits, name) is not None]
        limits = limits._replace(procs=None, time=None)
    rlimits = [name for name in ("cpu", "files", "size") if getattr(limits, name) is not None]
    group = None if mac else Group.make(memory=limits.memory, procs=limits.procs)
    if limits.memory is not None and not (group and group.memory):
        rlimits.append("memory")
        gaps.append(
            Gap("memory", "counted for each process alone, and only its private memory: there is no delegated cgroup")
        )
    if limits.procs is not None and not (group and group.procs):
        if _exempt() if exempt is None else exempt:
            unmet.append(Gap("procs", "RLIMIT_NPROC does not bind root" + ("" if mac else _NO_GROUP)))
        else:
            rlimits.append("procs")
            threads = ", and no threads" if mac else _NO_GROUP
            gaps.append(Gap("procs", "counted together with your other processes" + threads))
    if limits.cpu is not None:
        gaps.append(Gap("cpu", "counted for each process alone"))
    if limits.time is not None:
        left = ", and is still beneath the command (a daemon is not)" if mac else ""
        gaps.append(Gap("time", "held by a process of yours: it ends only what it can signal" + left))
    return Held(limits, tuple(rlimits), group, tuple(sorted(unmet)), tuple(sorted(gaps)))


def _process_list() -> bool:
    """Whether the processes of macOS can be listed."""
    from tracers.process_table import PS  # only there

    return os.access(PS, os.X_OK)


class Limited:
    """A confinement and limits: ``apply`` restricts this process by both, for good, over exec too."""

    def __init__(self, confinement: Confinement, held: Held) -> None:
        self._confinement, self._held = confinement, held
        self.strength, self.gaps = confinement.strength, confinement.gaps
        self.supervised = confinement.supervised

    def wrap(self, command: Command) -> Command:
        """See :class:`~learner.enforcers.enforcer.Confinement`."""
        inner = self._confinement.wrap(command)
        confine = inner.confine
        return Command(inner.file, inner.argv, lambda: self._limit(confine) if confine else None)

    def apply(self) -> None:
        """See :class:`~learner.enforcers.enforcer.Confinement`."""
        self._limit(self._confinement.apply)

    def _limit(self, confine: Callable[[], None]) -> None:
        if self._held.group is not None:
            self._held.group.enter()
        others = tasks_of(os.getuid()) - 1 if "procs" in self._held.rlimits else 0
        confine()
        # Last: a small limit would hold for the confinement's own work too.
        for name in self._held.rlimits:
            _set(name, getattr(self._held.limits, name), others)

    def check(self) -> None:
        """See :class:`~learner.enforcers.enforcer.Confinement`."""
        self._confinement.check()

    def close(self) -> None:
        """See :class:`~learner.enforcers.enforcer.Confinement`."""
        self._confinement.close()


def _set(name: str, value: int, others: int) -> None:
    match name:
        case "cpu":
            _lower(resource.RLIMIT_CPU, value, value + _CPU_GRACE)
        case "memory":
            # Not RLIMIT_AS: runtimes reserve far more addresses than they use (node dies at 512 MiB of addresses,
            # and runs within 512 MiB of RLIMIT_DATA: measured, node 20). Since Linux 4.7 it counts private mmaps.
            _lower(resource.RLIMIT_DATA, value, value)
        case "procs":
            _lower(resource.RLIMIT_NPROC, others + value, others + value)
        case "files":
            _lower(resource.RLIMIT_NOFILE, value, value)
        case "size":
            _lower(resource.RLIMIT_FSIZE, value, value)


def _lower(number: int, soft: int, hard: int) -> None:
    """Set a limit, but never above the one that holds already."""
    _, most = resource.getrlimit(number)
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    try:
        resource.setrlimit(number, (soft, hard))
    except ValueError:
        raise OSError(errno.EINVAL, f"a limit of {soft} is none that this system takes") from None


def tasks_of(user: int) -> int:
    """How many processes of ``user`` there are, as far as they can be seen; this one is one. On Linux with threads."""
    if sys.platform == "darwin":
        from tracers.process_table import processes

        return max(sum(one.user == user for one in processes()), 1)
    total = 0
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/status", "rb") as file:
                fields = dict(line.split(b":", 1) for line in file.read().splitlines() if b":" in line)
        except OSError:
            continue
        if int(fields[b"Uid"].split()[0]) == user:
            total += int(fields.get(b"Threads", b"1"))
    return max(total, 1)


def _exempt() -> bool:
    """Whether this process may start as many others as it likes (copy_process in the kernel's fork.c)."""
    try:
        with open("/proc/self/status") as file:
            lines = dict(line.split(":", 1) for line in file.read().splitlines() if ":" in line)
        effective = int(lines["CapEff"], 16)
    except (OSError, KeyError, ValueError):
        effective = 0  # macOS has none
    return os.getuid() == 0 or bool(effective & (1 << _CAP_SYS_ADMIN | 1 << _CAP_SYS_RESOURCE))
