"""From the path that a program passed to the object that the kernel found.

The walk is the kernel's own (path_resolution(7)): component by component, ``..`` after links, at most 40 links. It is
done while the program waits, because a minute later the links may be others. Directories and links that were walked
are remembered until :meth:`Resolver.forget`, so that a distinct access costs about one ``lstat``.
"""

import os
import re
import stat
from typing import NamedTuple

from learner.access import Kind

MAX_LINKS = 40  # MAXSYMLINKS, linux/namei.h

_KINDS = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIRECTORY,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFSOCK: Kind.SOCKET,
    stat.S_IFIFO: Kind.FIFO,
    stat.S_IFCHR: Kind.CHAR,
    stat.S_IFBLK: Kind.BLOCK,
}
_MAGIC = re.compile(r"/proc/\d+(/task/\d+)?/(fd/\d+|cwd|root|exe|ns/\w+|map_files/.*)")
_TASK = re.compile(r"/proc/self/task/\d+(?=/|$)")
_DELETED = " (deleted)"


class Resolution(NamedTuple):
    """``path``: absolute, without links (or a description of something opaque). ``links``: those walked, in order.

    ``lasting``: whether the same path of the same program would lead here again, whichever process asks.
    """

    path: str
    kind: Kind
    links: tuple[str, ...]
    lasting: bool


def kind_of(mode: int) -> Kind:
    """The kind of an ``st_mode``."""
    return _KINDS.get(stat.S_IFMT(mode), Kind.FILE)


def own_proc(path: str, pid: int) -> str:
    """``path`` with ``/proc/PID`` of the process itself written as ``/proc/self`` (threads: ``/proc/thread-self``)."""
    if not path.startswith("/proc/"):
        return path
    own = f"/proc/{pid}"
    if path == own or path.startswith(own + "/"):
        path = "/proc/self" + path[len(own) :]
        path = _TASK.sub("/proc/thread-self", path, count=1)
    return path


class Resolver:
    """Resolves paths against the live file system, as a given process sees them."""

    def __init__(self) -> None:
        self._known: dict[str, str | None] = {}
        self.targets: dict[str, str] = {}
        """Every symlink walked so far and what it holds."""

    def forget(self) -> None:
        """Drop what was remembered of directories and links; :attr:`targets` stays."""
        self._known.clear()

    def resolve(self, path: str, *, follow: bool, pid: int, root: str = "", opened: str | None = None) -> Resolution:
        """Resolve the absolute ``path``.

        ``follow``: whether a final link is followed. ``root``: a prefix under which the process's root directory is
        seen (``/proc/PID/root``), else empty. ``opened``: the kernel's name of what the call opened, which wins.
        """
        if opened is not None:
            if not opened.startswith("/"):
                return Resolution(opened.partition(":")[0], Kind.OPAQUE, (), False)
            if opened == path:
                return Resolution(own_proc(path, pid), self._kind(root + path), (), True)
        found = self._walk(path, follow, pid, root)
        if opened is not None and opened != found.path and not opened.endswith(_DELETED):
            found = found._replace(path=opened, kind=self._kind(root + opened))
        return found._replace(path=own_proc(found.path, pid))

    def _walk(self, path: str, follow: bool, pid: int, root: str) -> Resolution:
        todo = path.split("/")
        todo.reverse()
        links: list[str] = []
        current = ""
        lasting = True
        follow = follow or path.endswith("/")
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            if name == "..":
                current = current.rpartition("/")[0]
                continue
            here = f"{current}/{name}"
            last = not any(todo)
            if here in ("/proc/self", "/proc/thread-self") and (follow or not last):
                current = f"/proc/{pid}"
                continue
            if last and not follow:
                return Resolution(here, self._kind(root + here), tuple(links), lasting)
            target, kind = self._look(root + here)
            if kind is Kind.ABSENT:
                return Resolution(_append(here, todo), kind, tuple(links), lasting)
            if target is None:
                current = here
                if todo and kind is not Kind.DIRECTORY and not last:
                    return Resolution(_append(here, todo), Kind.ABSENT, tuple(links), lasting)
                continue
            magic = _MAGIC.fullmatch(here)
            if magic:
                lasting = False
                if not target.startswith("/") or target.endswith(_DELETED):
                    return Resolution(target.partition(":")[0], Kind.OPAQUE, tuple(links), False)
                current = target if target != "/" else ""
                continue
            links.append(here)
            self.targets[here] = target
            if len(links) > MAX_LINKS:
                return Resolution(here, Kind.SYMLINK, tuple(dict.fromkeys(links)), lasting)
            if target.startswith("/"):
                current = ""
            todo.extend(reversed(target.split("/")))
        current = current or "/"
        return Resolution(current, self._kind(root + current), tuple(links), lasting)

    def _look(self, path: str) -> tuple[str | None, Kind]:
        """(link text or None, kind) of one component. Absent ones are never remembered: they may be made."""
        if path in self._known:
            target = self._known[path]
            return target, Kind.DIRECTORY if target is None else Kind.SYMLINK
        try:
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                target = os.readlink(path)
                if not path.startswith("/proc/"):
                    self._known[path] = target
                return target, Kind.SYMLINK
        except (OSError, ValueError):
            return None, Kind.ABSENT
        if stat.S_ISDIR(mode) and not path.startswith("/proc/"):
            self._known[path] = None
        return None, kind_of(mode)

    @staticmethod
    def _kind(path: str) -> Kind:
        try:
            return kind_of(os.lstat(path).st_mode)
        except (OSError, ValueError):
            return Kind.ABSENT


def _append(path: str, rest_reversed: list[str]) -> str:
    """``path`` with the components that could not be walked, their ``..`` taken as text."""
    rest = [name for name in reversed(rest_reversed) if name not in ("", ".")]
    return os.path.normpath("/".join([path, *rest])) if rest else path
