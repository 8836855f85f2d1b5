"""Calls that are no accesses, but tell a supervisor what to mind from then on."""

from tracers.seccomp import CLONE_NEWNS, LISTENS
from tracers.tracee import Task, read_bytes

_CLONES = frozenset({"clone", "clone3"})
_USERS = {"setuid": 1, "setreuid": 2, "setresuid": 3, "setuid32": 1, "setreuid32": 2, "setresuid32": 3}
"""How many user ids each call takes that changes what its program may do."""
_UNCHANGED = 0xFFFFFFFF
WATCHED = frozenset({LISTENS}) | _CLONES | _USERS.keys()


def makes_mounts(task: Task, name: str, args: tuple[int, ...]) -> bool:
    """Whether the call makes a process in a mount namespace of its own, or may: clone3 has its flags in memory."""
    if name not in _CLONES:
        return False
    flags = read_bytes(task, args[0], 8) if name == "clone3" else args[0].to_bytes(8, "little")
    return len(flags) < 8 or bool(int.from_bytes(flags, "little") & CLONE_NEWNS)


def leaves_root(name: str, args: tuple[int, ...]) -> bool:
    """Whether the call makes its caller another user than root."""
    return bool({user & _UNCHANGED for user in args[: _USERS.get(name, 0)]} - {0, _UNCHANGED})
