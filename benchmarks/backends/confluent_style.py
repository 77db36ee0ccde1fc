"""Both sides for client libraries with confluent_kafka's API: one program for Kafka and for this broker."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.backend import RECEIVE_TIMEOUT_S, ConsumerSide, ProducerSide
from benchmarks.tally import Tally
from benchmarks.workload import CHUNK_RECORDS, RecordSource, Workload

CONSUME_TIMEOUT_S = 0.05
"""consume() waits this long for the rest of its 1,000 records: by so much the end may be measured late where several consumers
share the records, so that none knows how many are left for it."""
CONNECT_TIMEOUT_S = 30.0
QUEUE_FULL_POLL_S = 1.0
"""Longest wait for room in a full queue before produce() is tried again; there is room sooner unless many share a processor."""

CONSUMER_CONFIG: dict[str, Any] = {
    "group.id": "bench",
    # Often enough that runs of a second pay for storing offsets, as Redis pays for XACK.
    "auto.commit.interval.ms": 100,
}


@dataclass(frozen=True)
class Client:
    """Which library, where the broker is, and the settings that differ from one backend to the other."""

    library: str
    bootstrap_servers: str
    topic: str
    producer_config: dict[str, Any] = field(default_factory=dict)
    settle_s: float = 0.05
    """How long a consumer polls an empty topic before it counts as ready."""

    def module(self) -> Any:
        return importlib.import_module(self.library)


class ClientProducer(ProducerSide):
    """produce() per record; a full queue is waited out with poll(); flush() at the end."""

    def __init__(self, client: Client) -> None:
        config = {
            "bootstrap.servers": client.bootstrap_servers,
            "on_delivery": _raise_failure,
            "delivery.report.only.error": True,
        }
        self._topic = client.topic
        self._producer = client.module().Producer(config | client.producer_config)
        self._producer.list_topics(client.topic, timeout=CONNECT_TIMEOUT_S)

    def produce(self, source: RecordSource) -> None:
        if source.keys is None:
            self._produce_values(source)
        else:
            self._produce_keyed(source)
        if left := self._producer.flush(CONNECT_TIMEOUT_S):
            raise RuntimeError(f"{left} records were not acknowledged in {CONNECT_TIMEOUT_S:g} s")

    def send_one(self, value: bytes) -> None:
        self._producer.produce(self._topic, value)
        self._producer.poll(0)

    def close(self) -> None:
        self._producer.flush(CONNECT_TIMEOUT_S)

    def _produce_values(self, source: RecordSource) -> None:
        topic, produce = self._topic, self._producer.produce
        for value in source:
            try:
                produce(topic, value)
            except BufferError:
                self._produce_when_there_is_room(value, None)

    def _produce_keyed(self, source: RecordSource) -> None:
        topic, produce = self._topic, self._producer.produce
        for key, value in source.keyed():
            try:
                produce(topic, value, key)
            except BufferError:
                self._produce_when_there_is_room(value, key)

    def _produce_when_there_is_room(self, value: bytes, key: bytes | None) -> None:
        while True:
            self._producer.poll(QUEUE_FULL_POLL_S)
            try:
                self._producer.produce(self._topic, value, key)
                return
            except BufferError:
                continue


class ClientConsumer(ConsumerSide):
    """assign() to the partitions that are this consumer's share, consume(1000)."""

    def __init__(self, client: Client, work: Workload, number: int) -> None:
        library = client.module()
        self._consumer = library.Consumer({"bootstrap.servers": client.bootstrap_servers} | CONSUMER_CONFIG)
        share = work.partitions_of(number)
        beginning = library.OFFSET_BEGINNING
        self._consumer.assign([library.TopicPartition(client.topic, each, beginning) for each in share])
        self._take(self._consumer.consume(1, timeout=client.settle_s))

    def consume(self, tally: Tally) -> None:
        consume = self._consumer.consume
        while not tally.finished:
            wanted = min(CHUNK_RECORDS, tally.remaining)
            tally.add(self._take(consume(wanted, timeout=CONSUME_TIMEOUT_S)))

    def receive(self) -> Sequence[bytes]:
        message = self._consumer.poll(RECEIVE_TIMEOUT_S)
        return () if message is None else self._take([message])

    def close(self) -> None:
        self._consumer.close()

    @staticmethod
    def _take(messages: list[Any]) -> list[bytes]:
        values = []
        for message in messages:
            if message.error() is not None:
                raise RuntimeError(f"the consumer got an error: {message.error()}")
            values.append(message.value())
        return values


def _raise_failure(error: Any, message: Any) -> None:
    if error is not None:
        raise RuntimeError(f"a record for {message.topic()} was not delivered: {error}")
