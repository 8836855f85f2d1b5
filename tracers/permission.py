"""Why a machine does not let us trace."""

import contextlib
import errno
import os

from tracers.tracer import TracerError

YAMA = "/proc/sys/kernel/yama/ptrace_scope"


def not_permitted(code: int) -> TracerError:
    """The error for a refused PTRACE_SEIZE (``code``: its errno), with what to do about it."""
    scope = "?"
    with contextlib.suppress(OSError), open(YAMA) as setting:
        scope = setting.read().strip()
    if code == errno.EPERM and scope in ("2", "3"):
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
