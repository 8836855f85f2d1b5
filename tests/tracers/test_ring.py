"""Reading a ring buffer, from memory that is laid out as the kernel lays it out."""

import mmap
import os
import struct
from collections.abc import Iterator

import pytest

from tracers.ring import Ring

SIZE, PAGE = 4096, mmap.PAGESIZE
BUSY, DISCARDED = 1 << 31, 1 << 30


class Kernel:
    """The producer's side, in a file: there the data is not mapped twice, so it is written twice."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("ring")
        os.ftruncate(self.descriptor, 2 * PAGE + 2 * SIZE)
        self.at = 0

    def produce(self, data: bytes, flags: int = 0) -> int:
        """Where the record's header is."""
        header = self.at
        record = struct.pack("=II", len(data) | flags, 0) + data
        record += bytes(-len(record) % 8)
        for place, byte in enumerate(record, header):
            for copy in (0, SIZE):
                os.pwrite(self.descriptor, bytes([byte]), 2 * PAGE + place % SIZE + copy)
        self.at += len(record)
        os.pwrite(self.descriptor, struct.pack("=Q", self.at), PAGE)
        return header

    def commit(self, header: int, size: int) -> None:
        for copy in (0, SIZE):
            os.pwrite(self.descriptor, struct.pack("=I", size), 2 * PAGE + header % SIZE + copy)

    @property
    def consumed(self) -> int:
        return int(struct.unpack("=Q", os.pread(self.descriptor, 8, 0))[0])


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    kernel = Kernel()
    yield kernel
    os.close(kernel.descriptor)


def test_records_come_in_order_across_the_end(kernel: Kernel) -> None:
    ring = Ring(kernel.descriptor, SIZE)
    for round_ in range(20):
        sent = [bytes([round_, n]) * (37 * n + 1) for n in range(6)]
        for data in sent:
            kernel.produce(data)
        assert [bytes(record) for record in ring.records()] == sent
        assert kernel.consumed == kernel.at
    assert kernel.at > 2 * SIZE
    ring.close()


def test_an_unfinished_record_holds_up_those_behind_it(kernel: Kernel) -> None:
    ring = Ring(kernel.descriptor, SIZE)
    kernel.produce(b"first")
    header = kernel.produce(b"second", BUSY)
    kernel.produce(b"gone", DISCARDED)
    kernel.produce(b"third")
    assert [bytes(record) for record in ring.records()] == [b"first"]
    kernel.commit(header, len(b"second"))
    assert [bytes(record) for record in ring.records()] == [b"second", b"third"]
    ring.close()


def test_a_drain_ends_where_it_began(kernel: Kernel) -> None:
    ring = Ring(kernel.descriptor, SIZE)
    kernel.produce(b"before")
    found = []
    for record in ring.records():
        found.append(bytes(record))
        kernel.produce(b"meanwhile")
    assert found == [b"before"]
    assert [bytes(record) for record in ring.records()] == [b"meanwhile"]
    ring.close()
