"""What a consumer has received, and the proof that it is what the producers sent."""

from __future__ import annotations

import time
from collections.abc import Sequence

from crc32c import crc32c

from benchmarks.scoreboard import Scoreboard
from benchmarks.workload import HEADER, POOL_RECORDS, Workload, bodies, pool


class BrokenDeliveryError(Exception):
    """Records are missing, repeated, changed or out of order: the run does not count."""


class Tally:
    """Counts records and bytes, and compares the first and last record of every delivery with what was sent.

    Checking every record would cost more than some backends take to deliver it. In ordered work a record has
    only one right position, so that a lost, repeated or swapped delivery shows at the next check. Blocks of
    bytes (`add_block`) are checked in full by a running CRC.
    """

    def __init__(self, work: Workload, scoreboard: Scoreboard, consumer: int) -> None:
        self._work = work
        self._scoreboard = scoreboard
        self._consumer = consumer
        self._bodies = bodies(work.record_bytes)
        self._expected = pool(work.record_bytes, 0)
        self._crc = 0
        self._blocks = 0
        self.received = 0
        self.received_bytes = 0
        self.last_ns = 0

    @property
    def finished(self) -> bool:
        """Whether all consumers together have received everything."""
        if self._work.consumers == 1:
            return self.received >= self._work.records
        return self._scoreboard.total() >= self._work.records

    @property
    def remaining(self) -> int:
        """Records this consumer may still receive at most."""
        if self._work.consumers == 1:
            return self._work.records - self.received
        return self._work.records

    def add(self, values: Sequence[bytes], at_ns: int = 0) -> None:
        """Count one delivery, received at `at_ns` (CLOCK_MONOTONIC, default now)."""
        if not values:
            return
        self.last_ns = at_ns or time.monotonic_ns()
        self._check(values[0], self.received)
        self.received += len(values)
        self._check(values[-1], self.received - 1)
        self.received_bytes += sum(map(len, values))
        self._scoreboard.publish(self._consumer, self.received)

    def add_block(self, block: memoryview | bytes, count: int) -> None:
        """Count `count` records whose bytes lie one after the other in `block`. Reads every byte."""
        self._crc = crc32c(block, self._crc)
        self.last_ns = time.monotonic_ns()
        self._blocks += 1
        self.received += count
        self.received_bytes += len(block)
        self._scoreboard.publish(self._consumer, self.received)

    def verify(self) -> None:
        """Check the totals of this consumer.

        Raises:
            BrokenDeliveryError: bytes do not match the count, a single consumer did not get exactly all
                records, or the CRC of an ordered stream of blocks is wrong.
        """
        if self.received_bytes != self.received * self._work.record_bytes:
            raise BrokenDeliveryError(
                f"{self.received} records of {self._work.record_bytes} bytes "
                f"came as {self.received_bytes} bytes"
            )
        if self._work.consumers == 1 and self.received != self._work.records:
            raise BrokenDeliveryError(f"{self._work.records} records were sent, {self.received} received")
        if self._blocks and self._work.ordered and self._crc != expected_crc(self._work):
            raise BrokenDeliveryError("the CRC of the received bytes differs from that of the sent ones")

    def _check(self, value: bytes, position: int) -> None:
        if self._work.ordered:
            if value != self._expected[position % POOL_RECORDS]:
                raise BrokenDeliveryError(f"the record at position {position} is not the one sent there")
            return
        producer, index = HEADER.unpack_from(value)
        if producer >= self._work.producers or value[HEADER.size :] != self._bodies[index % POOL_RECORDS]:
            raise BrokenDeliveryError(f"received a record that nobody sent: {bytes(value[:16])!r}...")


def expected_crc(work: Workload) -> int:
    """CRC32C of all bytes that the only producer of an ordered workload sends."""
    records = pool(work.record_bytes, 0)
    whole = b"".join(records)
    crc = 0
    for _ in range(work.records // POOL_RECORDS):
        crc = crc32c(whole, crc)
    return crc32c(b"".join(records[: work.records % POOL_RECORDS]), crc)
