"""From the path that a program passed to the object that the kernel found.

The walk is the kernel's own (path_resolution(7)): component by component, ``..`` after links, at most 40 links. It is
done while the program waits, because a minute later the links may be others. Directories and links that were walked
are remembered until :meth:`Resolver.forget`, and so is where each directory led by the name that a program had for it:
a distinct access costs about one ``lstat``.
"""

import os
import re
import stat
from typing import NamedTuple

from learner.access import UNNAMED, Kind
from learner.links import MAX_LINKS

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
_TMPFILE = re.compile(r"/#\d+ \(deleted\)$")  # what O_TMPFILE makes, until it is linked; the number is its inode's
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


class _View(NamedTuple):
    """How a process sees the file system.

    ``root``: its ``/proc/PID/root`` if that is another directory than ours, else empty; ``jail``: what we call that
    directory, empty for ``/``. Paths are named from our root throughout, so that a grant on them means something.
    """

    pid: int
    root: str = ""
    jail: str = ""

    def place(self, path: str) -> str:
        """Where we can look at ``path``."""
        if not self.root:
            return path
        own = f"/proc/{self.pid}"
        if path == own or path.startswith(own + "/"):
            return path  # in a process namespace of its own it has another number
        inside = self.inside(path)
        return path if inside is None else self.root + inside

    def inside(self, path: str) -> str | None:
        """What the process calls ``path``, None if it is outside of its root directory."""
        if path == self.jail:
            return "/"
        return path[len(self.jail) :] if path.startswith(self.jail + "/") else None

    def is_self(self, path: str) -> bool:
        """Whether ``path`` is one of the links by which a process names itself."""
        return path.endswith("self") and self.inside(path) in ("/proc/self", "/proc/thread-self")


class Resolver:
    """Resolves paths against the live file system, as a given process sees them."""

    def __init__(self) -> None:
        self._known: dict[str, str | None] = {}
        self._ways: dict[str, tuple[str, tuple[str, ...]]] = {}
        self.targets: dict[str, str] = {}
        """Every symlink walked so far and what it holds."""
        self.link_names: set[str] = set()
        """The last components of those links."""

    def forget(self) -> None:
        """Drop what was remembered of directories and links; :attr:`targets` stays."""
        self._known.clear()
        self._ways.clear()

    def place(self, path: str, pid: int, root: str) -> str:
        """Where we can look at a resolved ``path`` of a process."""
        return _view(pid, root).place(path)

    def resolve(self, path: str, *, follow: bool, pid: int, root: str = "", opened: str | None = None) -> Resolution:
        """Resolve ``path``: as the program gave it if that was absolute, else behind the kernel's name of its start.

        ``follow``: whether a final link is followed. ``root``: a prefix under which the process's root directory is
        seen (``/proc/PID/root``), else empty. ``opened``: the kernel's name of what the call opened, which wins.
        """
        view = _view(pid, root)
        if opened is None:
            return _own(self._walk(path, follow, view), pid)
        if not opened.startswith("/"):
            return Resolution(_unplaced(opened), Kind.OPAQUE, (), False)
        gone = _gone(opened, view)
        if opened == path and not gone:
            return Resolution(own_proc(path, pid), _kind(view.place(path)), (), True)
        found = self._walk(path, follow, view)
        if gone:
            if found.kind is not Kind.OPAQUE and found.path != opened.removesuffix(_DELETED):
                found = Resolution(_unplaced(opened), Kind.OPAQUE, found.links, False)
        elif opened != found.path:
            found = found._replace(path=opened, kind=_kind(view.place(opened)))
        return _own(found, pid)

    def _walk(self, path: str, follow: bool, view: _View) -> Resolution:
        head, _, name = path.rpartition("/")
        named = not view.root and name not in ("", ".", "..")
        way = self._ways.get(head) if named else None
        if way is not None:
            return self._steps(way[0], [name], list(way[1]), follow, view, "")
        inside = view.inside(path)
        todo = (path if inside is None else inside).split("/")
        todo.reverse()
        current = "" if inside is None else view.jail
        return self._steps(current, todo, [], follow or path.endswith("/"), view, head if named else "")

    def _steps(
        self, current: str, todo: list[str], links: list[str], follow: bool, view: _View, head: str
    ) -> Resolution:
        """Walk the components of ``todo`` (the next one last) from the directory ``current``.

        ``head``: what stands before the last of them, to be remembered if it leads to the same place for everybody;
        empty if it must not.
        """
        lasting = True
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            if name == "..":
                current = view.jail if current == view.jail else current.rpartition("/")[0]
                continue
            here = f"{current}/{name}"
            last = not any(todo)
            if last and head:
                self._ways[head] = current, tuple(links)
                head = ""
            if (follow or not last) and view.is_self(here):
                current = f"/proc/{view.pid}"
                head = ""
                continue
            if last and not follow:
                return Resolution(here, _kind(view.place(here)), tuple(links), lasting)
            target, kind = self._look(view.place(here), last)
            if target is None:
                if last or kind is not Kind.DIRECTORY:
                    stopped = _append(here, todo)
                    return Resolution(stopped, kind if stopped == here else Kind.ABSENT, tuple(links), lasting)
                current = here
                continue
            if _MAGIC.fullmatch(here):
                lasting = False
                head = ""
                if not target.startswith("/") or _gone(target, view):
                    return Resolution(_unplaced(target), Kind.OPAQUE, tuple(links), False)
                current = target if target != "/" else ""
                continue
            links.append(here)
            self.targets[here] = target
            self.link_names.add(name)
            if len(links) > MAX_LINKS:
                return Resolution(here, Kind.SYMLINK, tuple(dict.fromkeys(links)), lasting)
            if target.startswith("/"):
                current = view.jail
            todo.extend(reversed(target.split("/")))
        current = current or "/"
        return Resolution(current, _kind(view.place(current)), tuple(links), lasting)

    def _look(self, path: str, last: bool) -> tuple[str | None, Kind]:
        """(link text or None, kind) of one component. Absent ones are never remembered: they may be made.

        The ``last`` one is looked at in any case: a directory on the way was used by the call, but this may be gone.
        """
        if not last and path in self._known:
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


def _view(pid: int, root: str) -> _View:
    return _View(pid, root, jail(root)) if root else _View(pid)


def jail(root: str) -> str:
    """What we call the root directory behind ``/proc/PID/root``; empty for ``/``, or when it cannot be learned."""
    if not root:
        return ""
    try:
        return os.readlink(root).rstrip("/")
    except OSError:
        return ""


def _kind(path: str) -> Kind:
    try:
        return kind_of(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return Kind.ABSENT


def _gone(name: str, view: _View) -> bool:
    """Whether the kernel's name of an object says that nothing leads to it any more."""
    return name.endswith(_DELETED) and _kind(view.place(name)) is Kind.ABSENT


def _unplaced(name: str) -> str:
    """A description of an object without a place in the file system, the same in every run."""
    if not name.startswith("/"):
        return name.partition(":")[0]  # pipe:[12345]
    if name.startswith("/memfd:"):
        return name.removesuffix(_DELETED)[1:]
    return _TMPFILE.sub(f"/{UNNAMED}", name)


def _own(found: Resolution, pid: int) -> Resolution:
    return found._replace(path=own_proc(found.path, pid)) if found.path.startswith("/proc/") else found


def _append(path: str, rest_reversed: list[str]) -> str:
    """``path`` with the components behind it; just ``path`` if they lead out of it, as the kernel never got there."""
    rest = [name for name in reversed(rest_reversed) if name not in ("", ".")]
    return path if ".." in rest else "/".join([path, *rest])
