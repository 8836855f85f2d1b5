"""A file system made up for a test: as much of one as planning needs (:class:`learner.enforcers.view.View`)."""

import os
import stat

from learner.places import ancestors

DIRECTORY, REGULAR, LINK, DEVICE = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o644, stat.S_IFLNK, stat.S_IFCHR | 0o666


class Disk:
    """Objects by path: a directory (None), a file (an empty text), a device (``char``), a symlink (``-> text``)."""

    def __init__(self, objects: dict[str, str | None]) -> None:
        self.objects: dict[str, str | None] = {"/": None}
        for path, what in objects.items():
            for above in ancestors(path):
                self.objects.setdefault(above, None)
            self.objects[path] = what

    def mode(self, path: str) -> int:
        if path not in self.objects:
            return 0
        what = self.objects[path]
        if what is None:
            return DIRECTORY
        if what == "char":
            return DEVICE
        return LINK if what.startswith("-> ") else REGULAR

    def readlink(self, path: str) -> str:
        return (self.objects[path] or "").removeprefix("-> ")

    def entries(self, path: str) -> list[tuple[str, int]]:
        names = [p for p in self.objects if p != "/" and os.path.dirname(p) == path]
        return [(os.path.basename(p), stat.S_IFMT(self.mode(p))) for p in sorted(names)]
