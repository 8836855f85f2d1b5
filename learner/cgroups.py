"""A cgroup of one's own for one command, where the system delegates one (cgroups(7), version 2).

systemd gives each login session a subtree that belongs to the user. A directory of it whose
``cgroup.subtree_control`` names the controllers can hold a new group beside ours. Version 1 is not used.
"""

import contextlib
import os
from typing import Self

from learner.settings import read_setting, write_setting

MOUNTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
_SELF = "/proc/self/cgroup"


class Group:
    """A new cgroup. ``memory`` and ``procs`` tell which limits it holds."""

    def __init__(self, path: str, *, memory: bool, procs: bool) -> None:
        self.path, self.memory, self.procs = path, memory, procs

    @classmethod
    def make(
        cls,
        *,
        memory: int | None,
        procs: int | None,
        mounts: tuple[str, ...] = MOUNTS,
        own: str = _SELF,
    ) -> Self | None:
        """A group with these limits (bytes, tasks), or None where nothing is wanted or delegated."""
        wanted = {"memory": memory, "pids": procs}
        names = {name for name, value in wanted.items() if value is not None}
        parent = _delegated(names, mounts, own) if names else None
        if parent is None:
            return None
        directory, offered = parent
        path = os.path.join(directory, f"sbx-{os.urandom(6).hex()}")
        try:
            os.mkdir(path)
        except OSError:
            return None
        group = cls(path, memory=False, procs=False)
        try:
            if "memory" in names & offered:
                # First, and without it nothing: what is swapped out would not be counted.
                with contextlib.suppress(FileNotFoundError):
                    write_setting(f"{path}/memory.swap.max", "0")
                write_setting(f"{path}/memory.max", str(memory))
                group.memory = True
            if "pids" in names & offered:
                write_setting(f"{path}/pids.max", str(procs))
                group.procs = True
        except OSError:
            pass  # what was not set is held by rlimits, or is a gap
        if not (group.memory or group.procs):
            group.remove()
            return None
        return group

    def enter(self) -> None:
        """Put this process into the group. Raises OSError."""
        write_setting(f"{self.path}/cgroup.procs", "0")  # 0: the writer

    def kill(self) -> None:
        """End everything in the group at once (Linux 5.14; before, nothing happens here)."""
        with contextlib.suppress(OSError):
            write_setting(f"{self.path}/cgroup.kill", "1")

    def remove(self) -> None:
        """Remove the group; one that is not empty stays."""
        with contextlib.suppress(OSError):
            os.rmdir(self.path)


def _delegated(names: set[str], mounts: tuple[str, ...], own: str) -> tuple[str, set[str]] | None:
    """The nearest directory above us in which a group can be made, and those of the controllers that it offers."""
    try:
        with open(own) as file:
            place = next(line[3:].rstrip("\n") for line in file if line.startswith("0::"))
    except (OSError, StopIteration):
        return None
    for mount in mounts:
        if not os.path.exists(f"{mount}/cgroup.procs"):
            continue
        while True:
            directory = os.path.normpath(mount + place)
            offered = names & set(read_setting(f"{directory}/cgroup.subtree_control").split())
            # To move a process takes writing to the nearest directory that holds both groups.
            if offered and os.access(directory, os.W_OK) and os.access(f"{directory}/cgroup.procs", os.W_OK):
                return directory, offered
            if place in ("/", ""):
                break
            place = os.path.dirname(place)
    return None
