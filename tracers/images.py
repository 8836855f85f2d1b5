"""Which program a thread runs, told from the program image itself.

The kernel puts 16 random bytes into every image that it makes (AT_RANDOM, getauxval(3)). All that is forked from an
image carries the same bytes, however its parents ended meanwhile; a new exec has others. So they name the exec that a
thread descends from, and tell whether one took place.
"""

import os
import struct

from tracers.tracee import Task, read_bytes

_AT_RANDOM = 25  # linux/auxvec.h
_MAX_AUXV = 4096
_SIZE = 16
_MAX_KNOWN = 20_000

Image = bytes
"""16 bytes; empty where they cannot be read."""


def image_of(task: Task) -> Image:
    """The image that ``task`` runs now."""
    try:
        fd = os.open(f"/proc/{task.tid}/auxv", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        vector = os.read(fd, _MAX_AUXV)
    except OSError:
        return b""
    finally:
        os.close(fd)
    address = _value(vector, "=QQ") or _value(vector, "=II")  # the latter of a 32-bit program
    found = read_bytes(task, address, _SIZE)
    return found if len(found) == _SIZE else b""


def _value(vector: bytes, layout: str) -> int:
    size = struct.calcsize(layout)
    for kind, value in struct.iter_unpack(layout, vector[: len(vector) // size * size]):
        if kind == _AT_RANDOM:
            return int(value)
    return 0


class Images:
    """The program of each image."""

    def __init__(self) -> None:
        self._programs: dict[Image, int] = {}

    def learn(self, image: Image, program: int) -> None:
        """``image`` was made by running ``program``."""
        if image:
            self._programs[image] = program

    def program(self, image: Image) -> int | None:
        """The program of an image, None if its exec was not seen."""
        return self._programs.get(image)

    def crowded(self) -> bool:
        """Whether it is time for :meth:`keep`."""
        return len(self._programs) > _MAX_KNOWN

    def keep(self, images: set[Image]) -> None:
        """Forget all others."""
        self._programs = {image: program for image, program in self._programs.items() if image in images}
