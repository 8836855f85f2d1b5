"""Second names that mounts give to objects: the same file system mounted at two places, or a part of it bound."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from learner.places import is_within

_ESCAPE = re.compile(rb"\\([0-7]{3})")


class Mount(NamedTuple):
    """``root``: the directory of the file system that is seen at ``point``."""

    device: str
    root: str
    point: str


def mounts() -> tuple[Mount, ...]:
    """The mounts of this process, in the order in which they were made (proc_pid_mountinfo(5)); none if unreadable."""
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            rows = [line.split(b" ")[2:5] for line in file]
    except OSError:
        return ()
    return tuple(Mount(*(os.fsdecode(_ESCAPE.sub(_byte, word)) for word in row)) for row in rows)


def _byte(match: re.Match[bytes]) -> bytes:
    return bytes([int(match[1], 8)])


def second_names(paths: Iterable[str], known: tuple[Mount, ...]) -> Iterator[tuple[str, str]]:
    """(path, another name of the same object, or of one within it) for each of ``paths`` that has one.

    ``paths``: absolute, without links. A name that another mount hides is none.
    """
    often = {device for device, count in Counter(mount.device for mount in known).items() if count > 1}
    if not often:
        return
    for path in paths:
        own = max(enumerate(m for m in known if is_within(path, m.point)), key=_depth, default=(0, None))[1]
        if own is None or own.device not in often:
            continue
        inside = _joined(own.root, path, own.point)
        for other in known:
            if other == own or other.device != own.device:
                continue
            if is_within(inside, other.root):
                name = _joined(other.point, inside, other.root)
                if name != path and _same(name, path):
                    yield path, name
                continue
            part = is_within(other.root, inside) and not is_within(other.point, path)
            if part and _same(other.point, _joined(path, other.root, inside)):
                yield path, other.point


def _depth(numbered: tuple[int, Mount]) -> tuple[int, int]:
    """Which of the mounts above a path is the one it lies on: the deepest, of several there the latest."""
    number, mount = numbered
    return len(mount.point), number


def _joined(base: str, path: str, top: str) -> str:
    """``path``, which is at or below ``top``, as if that were ``base``."""
    return (base.rstrip("/") + path[len(top.rstrip("/")) :]) or "/"


def _same(one: str, other: str) -> bool:
    try:
        return os.path.samestat(os.lstat(one), os.lstat(other))
    except OSError:
        return False
