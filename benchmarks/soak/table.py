"""The compacted topic of the soak: some keys that are written over and over, and what must be left of them.

Values are numbered over all keys, so whoever follows the topic sees the numbers of each key grow; a null deletes the key. At
the end a reader from the start must find the last value of each key.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

TOPIC = "soak-table"
PARTITIONS = 2
KEYS = 500
VALUE_BYTES = 4 * 1024
"""500 keys of 4 KiB: two segments when clean."""
TOMBSTONE_EVERY = 37
READ_TIMEOUT_S = 60.0
_NUMBER_BYTES = 8
_STRIDE = 137
"""No divisor of KEYS: all keys in turn, neighbours far apart."""


class Table:
    """What was written, and what a follower saw."""

    def __init__(self) -> None:
        self.sent = 0
        self._last: dict[bytes, bytes | None] = {}
        self._seen: dict[bytes, int] = {}
        self._positions: dict[int, int] = {}

    def next_record(self) -> tuple[int, bytes, bytes | None]:
        """Partition, key, value; :meth:`note_sent` when it was taken."""
        number = self.sent
        index = number * _STRIDE % KEYS
        body = bytes(range(256)) * (VALUE_BYTES // 256)
        value = None if number % TOMBSTONE_EVERY == 0 else number.to_bytes(_NUMBER_BYTES, "big") + body
        return index % PARTITIONS, b"%d" % index, value

    def note_sent(self, key: bytes, value: bytes | None) -> None:
        self._last[key] = value
        self.sent += 1

    def take(self, message: Any) -> None:
        """A follower has read ``message``. Raises RuntimeError when it came out of order."""
        key, partition, offset = message.key(), message.partition(), message.offset()
        if offset <= self._positions.get(partition, -1):
            raise RuntimeError(f"{TOPIC} [{partition}]: offset {offset} after {self._positions[partition]}")
        self._positions[partition] = offset
        if message.value() is None:
            return
        number = int.from_bytes(message.value()[:_NUMBER_BYTES], "big")
        if number <= self._seen.get(key, -1):
            raise RuntimeError(f"{TOPIC}: key {key!r} has value {number} after {self._seen[key]}")
        self._seen[key] = number

    def check(self, found: dict[bytes, bytes | None]) -> None:
        """``found``: the table as a new reader has it. Raises RuntimeError when a key has another value than its last."""
        for key, value in self._last.items():
            if found.get(key) != value:
                raise RuntimeError(f"{TOPIC}: key {key!r} has lost its last value")


def read_whole(address: str) -> dict[bytes, bytes | None]:
    """The last record of each key, read from the start of the topic to its end."""
    from shmclient import OFFSET_BEGINNING, Consumer, TopicPartition

    config = {"bootstrap.servers": address, "group.id": TOPIC, "enable.auto.commit": False}
    with Consumer(config) as consumer:
        assigned = [TopicPartition(TOPIC, number, OFFSET_BEGINNING) for number in range(PARTITIONS)]
        consumer.assign(assigned)
        ends = [consumer.get_watermark_offsets(partition, READ_TIMEOUT_S)[1] for partition in assigned]
        return dict(_records(consumer, sum(end > 0 for end in ends), ends))


def _records(consumer: Any, left: int, ends: list[int]) -> Iterator[tuple[bytes, bytes | None]]:
    """Compaction never touches the newest segment, so each partition ends with a record."""
    deadline = time.monotonic() + READ_TIMEOUT_S
    while left:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{TOPIC}: its end was not read in {READ_TIMEOUT_S:g} s")
        for message in consumer.consume(500, 0.1):
            if message.error() is not None:
                raise RuntimeError(f"reading {TOPIC}: {message.error()}")
            yield message.key(), message.value()
            left -= message.offset() == ends[message.partition()] - 1
