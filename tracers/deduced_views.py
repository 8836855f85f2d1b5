"""How changing what a program sees will end: its directories, mounts and namespaces."""

import errno
import os
import stat

from tracers.caller import (
    UNEXPLAINED,
    Caller,
    Verdict,
    descriptor,
    identity,
    look,
)
from tracers.calls import (
    NAMESPACE_FLAGS,
)
from tracers.tracee import Task, descriptor_path

_CAP_SYS_ADMIN = 21
_NAMESPACES = {
    0x00020000: "mnt",
    0x02000000: "cgroup",
    0x04000000: "uts",
    0x08000000: "ipc",
    0x10000000: "user",
    0x20000000: "pid_for_children",
    0x40000000: "net",
    0x00000080: "time_for_children",
}


def chdir(caller: Caller) -> Verdict:
    """chdir and chroot."""
    site = caller.argument()
    if isinstance(site, int):
        return Verdict(site)
    code = site.check()
    status = site.stat()
    if code or status is None:
        return Verdict(code or errno.ENOENT)
    if not stat.S_ISDIR(status.st_mode):
        return Verdict(errno.ENOTDIR)
    code = site.check(os.X_OK)
    where = "root" if caller.plan.name == "chroot" else "cwd"
    if code == 0 and where == "root" and not _privileged(caller.task):
        return Verdict(errno.EPERM)
    return Verdict(code) if code else Verdict(0, lambda: _stands_in(caller.task, where, status), otherwise=0)


def stands(task: Task, where: str) -> tuple[int, int] | None:
    """The identity of a directory that a task has (``cwd``, ``root``, ``fd/N``), None if it has none."""
    try:
        return identity(os.stat(f"/proc/{task.tid}/{where}"))
    except OSError:
        return None


def _stands_in(task: Task, where: str, status: os.stat_result) -> bool:
    return stands(task, where) == identity(status)


def mount(caller: Caller) -> Verdict:
    """Calls on mounts: whatever needs CAP_SYS_ADMIN in the own user namespace."""
    looked = look(caller)
    if looked.outcome:
        return looked
    if not _privileged(caller.task):
        return Verdict(errno.EPERM)
    before = _mounts(caller.task)
    return Verdict(0, lambda: _mounts(caller.task) != before, otherwise=0)


def _mounts(task: Task) -> bytes:
    try:
        with open(f"/proc/{task.tid}/mountinfo", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _privileged(task: Task) -> bool:
    """Whether a task has CAP_SYS_ADMIN in its own user namespace."""
    try:
        with open(f"/proc/{task.tid}/status", "rb") as file:
            effective = next(line for line in file if line.startswith(b"CapEff:"))
    except (OSError, StopIteration):
        return True
    return bool(int(effective.split()[1], 16) >> _CAP_SYS_ADMIN & 1)


def unshare(caller: Caller) -> Verdict:
    """unshare: the namespaces that it makes."""
    asked = caller.args[0] & NAMESPACE_FLAGS
    return _enters(caller.task, [name for flag, name in _NAMESPACES.items() if asked & flag], UNEXPLAINED)


def setns(caller: Caller) -> Verdict:
    """setns."""
    if descriptor_path(caller.task, descriptor(caller.args[0])) is None:
        return Verdict(errno.EBADF)
    return _enters(caller.task, list(_NAMESPACES.values()), 0)


def _enters(task: Task, names: list[str], otherwise: int) -> Verdict:
    if not names:
        return Verdict()
    before = {name: _namespace(task, name) for name in names}
    return Verdict(0, lambda: any(_namespace(task, n) != was for n, was in before.items()), otherwise=otherwise)


def _namespace(task: Task, name: str) -> str:
    try:
        return os.readlink(f"/proc/{task.tid}/ns/{name}")
    except OSError:
        return ""
