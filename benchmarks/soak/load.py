"""The load: one producer and two consumers, each on a thread, with proof that nothing is lost on the way.

Values are numbered for each partition. The topic is kept for the consumer's group (`retention.groups`), so whatever is
missing is an error, however fast segments are deleted. One record of `TABLE_EVERY` goes to a compacted topic: see `table`.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from typing import Any

from benchmarks.soak.table import PARTITIONS as PARTITIONS_OF_TABLE
from benchmarks.soak.table import TOPIC as TABLE
from benchmarks.soak.table import Table, read_whole

TOPIC = "soak"
GROUP = "soak"
PARTITIONS = 4
VALUE_BYTES = 16 * 1024
"""Large, so that the work is rolling and deleting, not cutting records; small enough for batches of several."""
MAX_BEHIND = 2000
"""Values (32 MiB) that the consumer may be behind before the producer waits for it: what is on the disk stays the same."""
COMMIT_EVERY = 200
TABLE_EVERY = 4
"""A sixteenth of the bytes: on a busy machine, too, the cleaner is done with them in time."""
TIMEOUT_S = 60.0
_NUMBER_BYTES = 8


class Load:
    """Runs from :meth:`start` to :meth:`stop`; ``rate_bytes`` a second, 0 for as fast as it goes."""

    def __init__(self, address: str, rate_bytes: float) -> None:
        self._address = address
        self._rate_bytes = rate_bytes
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._guard, args=(run,))
            for run in (self._produce, self._consume, self._follow)
        ]
        self.table = Table()
        self.sent = self.received = 0
        self.failure: BaseException | None = None

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Returns when both are done; raises what went wrong."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(2 * TIMEOUT_S)
        self.check()
        self.table.check(read_whole(self._address))

    def check(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _guard(self, run: Any) -> None:
        try:
            run()
        except BaseException as error:  # told by check(), on the thread that waits
            self.failure = error
            self._stopping.set()

    def _produce(self) -> None:
        from shmclient import Producer

        body, began = bytes(range(256)) * (VALUE_BYTES // 256), time.monotonic()
        with Producer({"bootstrap.servers": self._address}) as producer:
            while not self._stopping.is_set():
                self._keep_pace(began)
                partition, number = self.sent % PARTITIONS, self.sent // PARTITIONS
                value = number.to_bytes(_NUMBER_BYTES, "big") + body
                try:
                    producer.produce(TOPIC, value, partition=partition, on_delivery=self._delivered)
                    self.sent += 1
                    if self.sent % TABLE_EVERY == 0:
                        self._produce_to_table(producer)
                except BufferError:
                    producer.poll(0.1)
                producer.poll(0)
            if left := producer.flush(TIMEOUT_S):
                raise RuntimeError(f"{left} values were not acknowledged in {TIMEOUT_S:g} s")

    def _produce_to_table(self, producer: Any) -> None:
        partition, key, value = self.table.next_record()
        producer.produce(TABLE, value, key, partition=partition, on_delivery=self._delivered)
        self.table.note_sent(key, value)

    def _delivered(self, error: object, _message: object) -> None:
        if error is not None and self.failure is None:
            self.failure = RuntimeError(f"a value was not delivered: {error}")
            self._stopping.set()

    def _keep_pace(self, began: float) -> None:
        while self.sent - self.received > MAX_BEHIND and not self._stopping.is_set():
            self._stopping.wait(0.001)
        if self._rate_bytes:
            ahead_s = self.sent * VALUE_BYTES / self._rate_bytes - (time.monotonic() - began)
            if ahead_s > 0.001:
                self._stopping.wait(ahead_s)

    def _consume(self) -> None:
        from shmclient import Consumer

        config = {
            "bootstrap.servers": self._address,
            "group.id": GROUP,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
        expected: defaultdict[int, int] = defaultdict(int)
        with Consumer(config) as consumer:
            consumer.subscribe([TOPIC])
            uncommitted = 0
            while not self._stopping.is_set():
                for message in consumer.consume(100, 0.2):
                    self._take(message, expected)
                    uncommitted += 1
                if uncommitted >= COMMIT_EVERY:
                    consumer.commit(asynchronous=False)
                    uncommitted = 0

    def _follow(self) -> None:
        """Read the compacted topic while it is compacted."""
        from shmclient import OFFSET_BEGINNING, Consumer, TopicPartition

        config = {"bootstrap.servers": self._address, "group.id": GROUP, "enable.auto.commit": False}
        with Consumer(config) as consumer:
            consumer.assign(
                [TopicPartition(TABLE, number, OFFSET_BEGINNING) for number in range(PARTITIONS_OF_TABLE)]
            )
            while not self._stopping.is_set():
                for message in consumer.consume(100, 0.2):
                    if message.error() is not None:
                        raise RuntimeError(f"reading {TABLE}: {message.error()}")
                    self.table.take(message)

    def _take(self, message: Any, expected: defaultdict[int, int]) -> None:
        if message.error() is not None:
            raise RuntimeError(f"reading: {message.error()}")
        number = int.from_bytes(message.value()[:_NUMBER_BYTES], "big")
        if number != expected[message.partition()]:
            raise RuntimeError(
                f"partition {message.partition()}: value {number} where {expected[message.partition()]} comes next"
            )
        expected[message.partition()] = number + 1
        self.received += 1
