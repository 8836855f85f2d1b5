"""The processes that came from one."""

import os
import sys


def descendants(of: int | None = None) -> tuple[int, ...]:
    """The processes beneath one (default: this one), the nearest first. Raises OSError where they cannot be listed."""
    parents = _children_on_macos() if sys.platform == "darwin" else _children()
    found: list[int] = []
    todo = sorted(parents.get(os.getpid() if of is None else of, []))
    while todo:
        pid = todo.pop(0)
        found.append(pid)
        todo += sorted(parents.get(pid, []))
    return tuple(found)


def remaining(known: set[int]) -> tuple[int, ...]:
    """:func:`descendants`, and on macOS, where nobody adopts orphans, those of ``known`` that have become some.

    ``known`` grows by them. Raises OSError.
    """
    found = descendants()
    if sys.platform != "darwin":
        return found
    from tracers.process_table import processes

    known.update(found)
    return tuple(one.pid for one in processes() if one.pid in known and one.parent in {1, os.getpid(), *known})


def _children() -> dict[int, list[int]]:
    """By process, those that it started (proc_pid_stat(5))."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
            parents.setdefault(parent, []).append(int(name))
    return parents


def _children_on_macos() -> dict[int, list[int]]:
    from tracers.process_table import processes

    parents: dict[int, list[int]] = {}
    for one in processes():
        parents.setdefault(one.parent, []).append(one.pid)
    return parents
