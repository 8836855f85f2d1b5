"""As much of a file system as planning needs, so that a plan can be made of any."""

import os
import stat
from typing import Protocol


class View(Protocol):
    """As much of a file system as planning needs."""

    def mode(self, path: str) -> int:
        """``st_mode`` of the object itself (lstat), 0 if there is none or it cannot be reached."""
        ...

    def readlink(self, path: str) -> str:
        """The text of a symlink."""
        ...

    def entries(self, path: str) -> list[tuple[str, int]]:
        """Names in a directory, each with its S_IFMT bits; empty if it cannot be listed."""
        ...


class HostView:
    """This machine's file system."""

    def __init__(self) -> None:
        self._modes: dict[str, int] = {}

    def mode(self, path: str) -> int:
        """See :class:`View`."""
        found = self._modes.get(path)
        if found is None:
            try:
                found = os.lstat(path).st_mode
            except (OSError, ValueError):
                found = 0
            self._modes[path] = found
        return found

    def readlink(self, path: str) -> str:
        """See :class:`View`."""
        try:
            return os.readlink(path)
        except OSError:
            return ""

    def entries(self, path: str) -> list[tuple[str, int]]:
        """See :class:`View`."""
        try:
            with os.scandir(path) as found:
                return [(e.name, _format(e)) for e in found]
        except OSError:
            return []


def _format(entry: "os.DirEntry[str]") -> int:
    if entry.is_symlink():
        return stat.S_IFLNK
    return stat.S_IFDIR if entry.is_dir(follow_symlinks=False) else stat.S_IFREG
