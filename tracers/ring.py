"""Reading a BPF ring buffer from its memory, without a call for each record.

Layout: Documentation/bpf/ringbuf.rst and kernel/bpf/ringbuf.c. The consumer's page is writable, the producer's page
and the data are not; the data is mapped twice in a row, so that no record is ever cut at the end.
"""

import contextlib
import mmap
import struct
from collections.abc import Iterator

_BUSY, _DISCARDED = 1 << 31, 1 << 30  # BPF_RINGBUF_BUSY_BIT, BPF_RINGBUF_DISCARD_BIT
_HEADER_SIZE = 8
_header = struct.Struct("=I").unpack_from


class Ring:
    """The consumer's side of the ring buffer map behind ``descriptor``; ``size`` is its ``max_entries``."""

    def __init__(self, descriptor: int, size: int) -> None:
        page = mmap.PAGESIZE
        self._consumer = mmap.mmap(descriptor, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._producer = mmap.mmap(descriptor, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self._data = memoryview(self._producer)[page:]
        # As native words, which are read and written whole.
        self._consumed = memoryview(self._consumer).cast("Q")
        self._produced = memoryview(self._producer)[:page].cast("Q")
        self._mask = size - 1

    def records(self) -> Iterator[memoryview]:
        """What is there now, oldest first; what comes meanwhile is for the next time, as it may never end.

        Each is valid until the next one is asked for.
        """
        data, mask, consumed = self._data, self._mask, self._consumed
        at, end = consumed[0], self._produced[0]
        while at < end:
            start = at & mask
            (size,) = _header(data, start)
            if size & _BUSY:
                return
            length = size & ~_DISCARDED
            start += _HEADER_SIZE
            if not size & _DISCARDED:
                yield data[start : start + length]
            at += (_HEADER_SIZE + length + 7) & ~7
            consumed[0] = at

    def close(self) -> None:
        """Give the memory back."""
        for view in (self._data, self._consumed, self._produced):
            view.release()
        self._consumer.close()
        with contextlib.suppress(BufferError):  # an error's traceback holds a record: then it goes with that
            self._producer.close()
