"""Producing numbers and reading them back."""

from __future__ import annotations

import time
from typing import Any

from shmclient.consumer import Consumer
from shmclient.producer import Producer
from systemkit.waiting import DEADLINE_S


class Reports:
    """What a producer heard of numbered records: each number at most once."""

    def __init__(self) -> None:
        self.offsets: dict[int, int] = {}
        self.errors: dict[int, int] = {}

    def heard(self, error: Any, message: Any) -> None:
        number = int(message.value())
        assert number not in self.offsets, f"{number} was reported twice"
        assert number not in self.errors, f"{number} was reported twice"
        if error is None:
            self.offsets[number] = message.offset()
        else:
            self.errors[number] = error.code()

    def __len__(self) -> int:
        return len(self.offsets) + len(self.errors)


def produce_numbers(producer: Producer, topic: str, numbers: range, reports: Reports, **options: Any) -> None:
    """Queue the numbers as values for partition 0, in order, waiting for room where the queue is full."""
    for number in numbers:
        while True:
            try:
                producer.produce(topic, b"%d" % number, partition=0, on_delivery=reports.heard, **options)
                break
            except BufferError:
                producer.poll(0.05)


def read_values(consumer: Consumer, count: int, timeout_s: float = DEADLINE_S) -> list[bytes]:
    """The next ``count`` values; AssertionError for an error event, or when they do not come."""
    values: list[bytes] = []
    deadline = time.monotonic() + timeout_s
    while len(values) < count:
        for message in consumer.consume(count - len(values), max(0.0, deadline - time.monotonic())):
            assert message.error() is None, message.error()
            values.append(message.value())
        assert time.monotonic() < deadline, f"{len(values)} of {count} records came within {timeout_s:g} s"
    return values


def read_numbers(consumer: Consumer, count: int, timeout_s: float = DEADLINE_S) -> list[int]:
    return [int(value) for value in read_values(consumer, count, timeout_s)]
