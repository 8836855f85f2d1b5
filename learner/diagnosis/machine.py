"""What a diagnosis asks of the machine as it is outside of the sandbox. Rules see only the protocol."""

import os
from typing import NamedTuple, Protocol

from learner.enforcers.view import HostView
from learner.interpreters import Interpreter, head_of, interpreters
from learner.links import walk

_ELF_MACHINES = {0x03: "i386", 0x28: "arm", 0x3E: "x86_64", 0xB7: "aarch64", 0xF3: "riscv64"}
"""``e_machine`` (elf.h) in the words of uname -m."""
_FOREIGN = {"x86_64": ("i386",), "aarch64": ("arm",)}
"""What else a 64-bit kernel usually runs."""


class Mount(NamedTuple):
    """A mount: where, of which file system, and two of its options."""

    at: str
    kind: str
    read_only: bool = False
    no_exec: bool = False


class Machine(Protocol):
    """As much of a machine as rules need."""

    name: str
    """As uname -m says: ``x86_64``."""

    def mode(self, path: str) -> int:
        """``st_mode`` of the object itself (lstat), 0 if there is none."""
        ...

    def real(self, path: str) -> str:
        """``path`` without symlinks, as realpath(3)."""
        ...

    def links(self, path: str) -> tuple[tuple[str, str], ...]:
        """The symlinks on the way to an object, each with its text, in the order in which they are walked."""
        ...

    def permits(self, path: str, mode: int) -> bool:
        """What access(2) says for our effective ids; True where it cannot be asked."""
        ...

    def head(self, path: str) -> bytes:
        """The first bytes of a file, b"" if it cannot be read."""
        ...

    def interpreters(self, path: str) -> tuple[Interpreter, ...]:
        """See :func:`learner.interpreters.interpreters`."""
        ...

    def mount(self, path: str) -> Mount:
        """The mount that ``path`` lies on."""
        ...


def elf_machine(head: bytes) -> str:
    """The machine that an ELF file is for, "" if it is none that we know or no ELF file."""
    if head[:4] != b"\x7fELF" or len(head) < 20:
        return ""
    order = "little" if head[5:6] == b"\x01" else "big"
    return _ELF_MACHINES.get(int.from_bytes(head[18:20], order), "")  # type: ignore[arg-type]


def runs(machine: str, file: str) -> bool:
    """Whether a machine usually runs ELF files for ``file`` (both in the words of uname -m; "" is not known)."""
    return not file or machine == file or file in _FOREIGN.get(machine, ())


class Host(HostView):
    """This machine."""

    def __init__(self) -> None:
        super().__init__()
        self.name = os.uname().machine
        self._reals: dict[str, str] = {}
        self._mounts: tuple[Mount, ...] | None = None

    def real(self, path: str) -> str:
        """See :class:`Machine`."""
        found = self._reals.get(path)
        if found is None:
            try:
                # A process's own files lead elsewhere for us than for it.
                found = path if path.startswith("/proc/") else os.path.realpath(path)
            except (OSError, ValueError):
                found = path
            self._reals[path] = found
        return found

    def links(self, path: str) -> tuple[tuple[str, str], ...]:
        """See :class:`Machine`."""
        return walk(path).links

    def permits(self, path: str, mode: int) -> bool:
        """See :class:`Machine`."""
        try:
            os.stat(path)
        except PermissionError:
            return False
        except (OSError, ValueError):
            return True
        return os.access(path, mode, effective_ids=True)

    def head(self, path: str) -> bytes:
        """See :class:`Machine`."""
        return head_of(path)

    def interpreters(self, path: str) -> tuple[Interpreter, ...]:
        """See :class:`Machine`."""
        return interpreters(path)

    def mount(self, path: str) -> Mount:
        """See :class:`Machine`."""
        if self._mounts is None:
            self._mounts = _mounts()
        best = Mount("/", "")
        for each in self._mounts:
            inside = each.at == "/" or path == each.at or path.startswith(each.at + "/")
            if inside and len(each.at) >= len(best.at):
                best = each
        return best


def _mounts() -> tuple[Mount, ...]:
    """The table of /proc/self/mounts (proc(5), fstab(5)); () if it cannot be read."""
    found = []
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as table:
            for line in table:
                parts = line.split(" ")
                if len(parts) >= 4:
                    at = parts[1].replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n")
                    options = set(parts[3].split(","))
                    found.append(Mount(at.replace("\\134", "\\"), parts[2], "ro" in options, "noexec" in options))
    except OSError:
        return ()
    return tuple(found)
