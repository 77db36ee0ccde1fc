"""Whole batches instead of single records: ``shmbroker run -- python examples/batches.py``.

``produce_batch`` takes columns and ``consume_batches`` gives columns: views of the log itself, which this process has
mapped. No Python object is made for a record, and no byte of it is copied. With NumPy installed the columns are arrays.
"""

from __future__ import annotations

import struct
import time

from shmclient import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

TOPIC = "measurements"
RECORDS = 500_000
CHUNK = 10_000
RECORD = struct.Struct("<qd")
"""A sensor's number and what it measured."""


def produce() -> None:
    with Producer({"queue.buffering.max.messages": 2 * CHUNK}) as producer:
        for start in range(0, RECORDS, CHUNK):
            values = [RECORD.pack(number % 100, number / 7) for number in range(start, start + CHUNK)]
            while True:
                try:
                    producer.produce_batch(TOPIC, values=values, partition=0)
                    break
                except BufferError:  # the queue is full
                    producer.poll(0.1)


def consume() -> float:
    """The sum of all measurements."""
    total, count = 0.0, 0
    with Consumer({"group.id": "sum", "enable.auto.commit": False}) as consumer:
        consumer.assign([TopicPartition(TOPIC, 0, OFFSET_BEGINNING)])
        for batch in consumer.consume_batches(timeout=5.0):
            total += sum_of(batch.values[batch.value_offsets[0] : batch.value_offsets[-1]])
            count += batch.count
            if count == RECORDS:
                break
    return total


def sum_of(values: memoryview) -> float:
    """All records of a batch lie one after the other, so the column can be read as an array of structures."""
    try:
        import numpy
    except ImportError:
        return float(sum(measured for _sensor, measured in RECORD.iter_unpack(values)))
    records = numpy.frombuffer(values, dtype=[("sensor", "<i8"), ("measured", "<f8")])
    total: float = records["measured"].sum()
    return total


if __name__ == "__main__":
    produce()
    started_at = time.perf_counter()
    total = consume()
    seconds = time.perf_counter() - started_at
    expected = sum(number / 7 for number in range(RECORDS))
    if abs(total - expected) > 1e-6 * expected:
        raise SystemExit(f"the sum is {total}, not {expected}")
    print(f"sum of {RECORDS:,} measurements: {total:,.1f}, read in {seconds * 1000:.0f} ms")
