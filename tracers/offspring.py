"""The processes that came from one."""

import os


def descendants(of: int | None = None) -> tuple[int, ...]:
    """The processes beneath one (default: this one), the nearest first (proc_pid_stat(5))."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
            parents.setdefault(parent, []).append(int(name))
    found: list[int] = []
    todo = sorted(parents.get(os.getpid() if of is None else of, []))
    while todo:
        pid = todo.pop(0)
        found.append(pid)
        todo += sorted(parents.get(pid, []))
    return tuple(found)
