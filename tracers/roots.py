"""Root directories of other mount namespaces, kept open: they outlive the processes that saw them."""

import contextlib
import os

from tracers.report import root_of


class Roots:
    """Each distinct root directory, once; for tracers whose tasks do not wait until their events are resolved."""

    def __init__(self) -> None:
        self._prefixes: dict[tuple[int, int, int], str] = {}
        self._namespaces = {"": os.stat("/proc/self/ns/mnt").st_ino}
        self._open: list[int] = []

    def prefix(self, tid: int) -> str:
        """The prefix under which the root directory of a task is seen, also when the task is gone by then."""
        name = root_of(tid)
        try:
            root = os.stat(name)
            namespace = os.stat(f"/proc/{tid}/ns/mnt").st_ino
            key = (namespace, root.st_dev, root.st_ino)
            if key not in self._prefixes:
                # The namespace, too: its mounts fall apart when nothing holds it.
                self._open.append(os.open(f"/proc/{tid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC))
                self._open.append(os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
                self._prefixes[key] = f"/proc/{os.getpid()}/fd/{self._open[-1]}"
                self._namespaces[self._prefixes[key]] = namespace
        except OSError:
            return name
        return self._prefixes[key]

    def namespace(self, prefix: str) -> int:
        """The number of the mount namespace of a prefix (ours for an empty one), 0 if it is not known."""
        return self._namespaces.get(prefix, 0)

    def close(self) -> None:
        """Let go of all of them."""
        for descriptor in self._open:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._open.clear()
