"""Why a machine does not let us trace."""

import contextlib
import errno
import os

from tracers.tracer import TracerError

YAMA = "/proc/sys/kernel/yama/ptrace_scope"


_CLOSED = ("2", "3")
_CAP_SYS_PTRACE = 19


def _scope() -> str:
    with contextlib.suppress(OSError), open(YAMA) as setting:
        return setting.read().strip()
    return "?"


def forbidden() -> bool:
    """Whether this machine lets nobody trace, or nobody who has not CAP_SYS_PTRACE, as we have not."""
    scope = _scope()
    if scope not in _CLOSED:
        return False
    with contextlib.suppress(OSError, StopIteration), open("/proc/self/status") as status:
        effective = int(next(line for line in status if line.startswith("CapEff:")).split()[1], 16)
        return scope == "3" or not effective >> _CAP_SYS_PTRACE & 1
    return True


def not_permitted(code: int) -> TracerError:
    """The error for a refused PTRACE_SEIZE (``code``: its errno), with what to do about it."""
    scope = _scope()
    if code == errno.EPERM and scope in _CLOSED:
        return TracerError(
            f"this machine forbids ptrace (kernel.yama.ptrace_scope is {scope})",
            "run `sysctl kernel.yama.ptrace_scope=1` as root, or run sbx as root",
        )
    if code == errno.EPERM:
        return TracerError(
            "ptrace is not permitted here, which is usual in a container",
            "start the container with --cap-add=SYS_PTRACE, or learn outside of it (--tracer strace needs ptrace, too)",
        )
    return TracerError(f"ptrace failed: {os.strerror(code)}", "see `sbx doctor`")
