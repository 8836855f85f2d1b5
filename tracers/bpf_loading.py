"""Whether the eBPF tracer can work here, and loading its programs while sbx still does other things.

libbpf reads megabytes of type descriptions from the kernel first: 36 ms (measured), on another CPU if there is one.
"""

import os
import platform
import threading

from tracers.bpf_object import PACKAGES, BpfObject, cached, compiler, library, object_bytes
from tracers.tracer import TracerError

_NEEDED_CAPABILITIES = {19: "CAP_SYS_PTRACE", 38: "CAP_PERFMON", 39: "CAP_BPF"}  # linux/capability.h


class Loading(threading.Thread):
    """The programs on their way into the kernel."""

    def __init__(self) -> None:
        super().__init__(name="bpf loading", daemon=True)
        self._found: BpfObject | TracerError = TracerError(
            "the eBPF programs could not be loaded", "use --tracer ptrace"
        )
        self.start()

    def run(self) -> None:
        """See :class:`threading.Thread`."""
        try:
            self._found = BpfObject(object_bytes())
        except TracerError as problem:
            self._found = problem

    def outcome(self) -> BpfObject | TracerError:
        """Waits for the end."""
        self.join()
        return self._found


def begin() -> Loading | str:
    """Start to load the programs for the next :func:`load`; or what is known to stand in the way, in one sentence."""
    global _loading
    obstacle = _obstacle()
    if obstacle is not None:
        return obstacle
    if _loading is None:
        _loading = Loading()
    return _loading


def available() -> str | None:
    """None if the tracer can work here, else why not, in one sentence. Tried: what it loads, the next trace uses."""
    begun = begin()
    if isinstance(begun, str):
        return begun
    found = begun.outcome()
    return str(found) if isinstance(found, TracerError) else None


def load() -> BpfObject:
    """The programs, not attached yet. Raises TracerError."""
    global _loading
    begun = begin()
    if isinstance(begun, str):
        raise TracerError(f"the eBPF tracer cannot work here: {begun}", "use --tracer ptrace")
    _loading = None  # the next trace needs its own
    found = begun.outcome()
    if isinstance(found, TracerError):
        raise found
    return found


_loading: Loading | None = None


def _obstacle() -> str | None:
    """What can be told without trying."""
    if platform.machine() != "x86_64":
        return f"it is for x86-64 only, and this is {platform.machine()}"
    lacking = sorted(_NEEDED_CAPABILITIES.keys() - _capabilities())
    if lacking:
        return f"it is for root, or needs {', '.join(_NEEDED_CAPABILITIES[number] for number in lacking)}"
    if not os.path.exists("/sys/kernel/btf/vmlinux"):
        return "the kernel describes no types (no /sys/kernel/btf/vmlinux)"
    if library() is None:
        return "libbpf is not installed (apt install libbpf1)"
    if not cached().exists() and compiler() is None:
        return f"clang and libbpf's headers are not installed ({PACKAGES})"
    return None


def _capabilities() -> frozenset[int]:
    """The effective capabilities of this process (proc_pid_status(5))."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        words = next((line.split()[1] for line in status if line.startswith("CapEff:")), "0")
    return frozenset(number for number in range(64) if int(words, 16) >> number & 1)
