"""This broker: a private daemon for each run, records through shared memory, read in place."""

from __future__ import annotations

import importlib.util
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.backend import RECEIVE_TIMEOUT_S, Backend, ConsumerSide, Durability, Link, ProducerSide
from benchmarks.backends.confluent_style import Client, ClientConsumer, ClientProducer
from benchmarks.tally import Tally
from benchmarks.workload import BLOCK_BYTES, RecordSource, Workload

TOPIC = "bench"
TIMEOUT_S = 30.0


class ShmBrokerBackend(Backend):
    """Through produce()/consume(1000), or with `batches` through produce_batch()/consume_batches()."""

    server = "shmbroker"

    def __init__(self, acks: str, batches: bool = False, idempotence: bool | None = None) -> None:
        """``idempotence``: enable.idempotence, in topics that are not flushed, so that the disk does not hide what it costs."""
        self.acks = acks
        self.batches = batches
        self.idempotence = idempotence
        self.name = f"shmbroker{'-batch' if batches else ''}-{'acks1' if acks == '1' else acks}"
        self.title = f"shmbroker, {'batch API' if batches else 'produce()/consume()'}, acks={acks}"
        is_flushed = acks == "all" and idempotence is None
        self.durability = Durability.POWER if is_flushed else Durability.CRASH
        self.rate_hint = 5_000_000 if batches else 1_000_000
        self.fans = not batches
        self.has_latency = not batches

    def missing(self) -> str | None:
        try:
            found = importlib.util.find_spec("shmclient.testing") is not None
        except ModuleNotFoundError:
            found = False
        return None if found else "shmclient is not installed (pip install -e .)"

    @contextmanager
    def open(self, work: Workload, directory: Path) -> Iterator[Link]:
        from shmclient.admin import AdminClient, NewTopic
        from shmclient.testing import EmbeddedBroker

        before = set(psutil.Process().children())
        with EmbeddedBroker() as broker:
            daemons = set(psutil.Process().children()) - before
            admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
            config = {} if self.idempotence is None else {"flush.on.ack": "false"}
            new = NewTopic(TOPIC, num_partitions=work.partitions, replication_factor=1, config=config)
            admin.create_topics([new])[TOPIC].result(TIMEOUT_S)
            yield Link(broker.bootstrap_servers, tuple(process.pid for process in daemons))

    def producer(self, link: Link, work: Workload, number: int, low_latency: bool) -> ProducerSide:
        config: dict[str, object] = {"acks": self.acks}
        if self.idempotence is not None:
            config["enable.idempotence"] = self.idempotence
        client = self._client(link, config)
        return _BatchProducer(client) if self.batches else ClientProducer(client)

    def consumer(self, link: Link, work: Workload, number: int, low_latency: bool) -> ConsumerSide:
        client = self._client(link, {})
        return _BatchConsumer(client, work, number) if self.batches else ClientConsumer(client, work, number)

    @staticmethod
    def _client(link: Link, producer_config: dict[str, object]) -> Client:
        return Client("shmclient", link.address, TOPIC, producer_config)


class _BatchProducer(ClientProducer):
    """produce_batch() with a megabyte of values at a time that lie packed in one block, as a consumed batch or an Arrow array
    has them."""

    def produce(self, source: RecordSource) -> None:
        size = source.record_bytes
        count = BLOCK_BYTES // size
        offsets = array("i", range(0, (count + 1) * size, size))
        for block in source.blocks(count):
            self._send(block, memoryview(offsets)[: len(block) // size + 1])
        if left := self._producer.flush(TIMEOUT_S):
            raise RuntimeError(f"{left} records were not acknowledged in {TIMEOUT_S:g} s")

    def _send(self, values: memoryview, offsets: memoryview) -> None:
        while True:
            try:
                self._producer.produce_batch(self._topic, values=values, value_offsets=offsets)
                return
            except BufferError:
                self._producer.poll(RECEIVE_TIMEOUT_S)


class _BatchConsumer(ClientConsumer):
    """consume_batches(): the values of a whole batch as one block of bytes, no object per record."""

    def consume(self, tally: Tally) -> None:
        while not tally.finished:
            self._consume_some(tally)

    def _consume_some(self, tally: Tally) -> None:
        batch: Any
        for batch in self._consumer.consume_batches(timeout=RECEIVE_TIMEOUT_S):
            tally.add_block(batch.values, batch.count)
            if tally.finished:
                return
