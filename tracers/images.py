"""Which program a thread runs, told from the program image itself.

The kernel puts 16 random bytes into every image that it makes (AT_RANDOM, getauxval(3)). All that is forked from an
image carries the same bytes, however its parents ended meanwhile; a new exec has others. So they name the exec that a
thread descends from, and tell whether one took place.
"""

import os
import struct

from tracers.tracee import NO_IMAGE, Image, Task, read_bytes

_LONG, _SHORT = struct.pack("=Q", 25), struct.pack("=I", 25)  # AT_RANDOM, linux/auxvec.h
_MAX_AUXV = 4096
_SIZE = 16
_MAX_KNOWN = 20_000


def image_of(task: Task) -> Image:
    """The image that ``task`` runs now."""
    try:
        fd = os.open(b"/proc/%d/auxv" % task.tid, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return NO_IMAGE
    try:
        vector = os.read(fd, _MAX_AUXV)
    except OSError:
        return NO_IMAGE
    finally:
        os.close(fd)
    return _image_at(task, _value(vector, _LONG) or _value(vector, _SHORT))  # the latter of a 32-bit program


def _image_at(task: Task, address: int) -> Image:
    mark = read_bytes(task, address, _SIZE)
    return Image(mark, address) if len(mark) == _SIZE else NO_IMAGE


def _value(vector: bytes, kind: bytes) -> int:
    """The value of an entry: two words, of which the first is ``kind``."""
    size, at = len(kind), vector.find(kind)
    while at % (2 * size):  # not found, or within something else
        if at < 0:
            return 0
        at = vector.find(kind, at + 1)
    return int.from_bytes(vector[at + size : at + 2 * size], "little")


class Images:
    """The program of each image."""

    def __init__(self) -> None:
        self._programs: dict[bytes, int] = {}
        self._forking = 0

    def learn(self, image: Image, program: int) -> None:
        """``image`` was made by running ``program``."""
        if image.mark:
            self._programs[image.mark] = program

    def of(self, task: Task) -> Image:
        """The image of a task that was forked, looked for first where the last one's was: in a loop it is the same."""
        image = _image_at(task, self._forking)
        if image.mark not in self._programs:
            image = image_of(task)
            self._forking = image.address
        return image

    def program(self, image: Image) -> int | None:
        """The program of an image, None if its exec was not seen."""
        return self._programs.get(image.mark)

    def crowded(self) -> bool:
        """Whether it is time for :meth:`keep`."""
        return len(self._programs) > _MAX_KNOWN

    def keep(self, images: set[Image]) -> None:
        """Forget all others."""
        marks = {image.mark for image in images}
        self._programs = {mark: program for mark, program in self._programs.items() if mark in marks}
