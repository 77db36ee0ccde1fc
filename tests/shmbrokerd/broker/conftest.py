"""A broker's loop in this process: real regions, rings, logs and flush threads, no daemon."""

from __future__ import annotations

import itertools
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shmbroker.log.reader import LogReader
from shmbroker.protocol.messages import AttachSession, BrokerAnswer, BrokerReply, LogConfig, OpenPartition
from shmbroker.records.builder import Columns, ProducerStamp, build_batch
from shmbroker.shm.completions import Completion, CompletionReader
from shmbroker.shm.counters import CountersFile
from shmbroker.shm.region import create_session_fd, map_session_fd
from shmbroker.shm.ring import RingWriter, topic_tag
from shmbroker.shm.session import (
    WAITING_WORD,
    SessionLayout,
    consumer_layout,
    producer_layout,
    write_header,
)
from shmbroker.shm.table import PartitionTable
from shmbroker.shm.wakeup import make_bell
from shmbrokerd.broker.append_loop import AppendLoop
from shmbrokerd.broker.commands import Commands
from shmbrokerd.broker.flusher import Flusher
from shmbrokerd.broker.upkeep import Upkeep

DEADLINE_S = 20.0
SLOTS = 16
NOBODY = ProducerStamp()
CONFIG = LogConfig(
    segment_bytes=1 << 30,
    segment_ms=1 << 40,
    max_message_bytes=1 << 20,
    flush_on_ack=True,
    message_timestamp_type="CreateTime",
    message_timestamp_before_max_ms=1 << 62,
    message_timestamp_after_max_ms=1 << 62,
    compression_type="producer",
    min_insync_replicas=1,
    index_interval_bytes=4096,
    producer_id_expiration_ms=86_400_000,
    max_producers=10_000,
    segment_jitter_ms=0,
    retention_ms=-1,
    retention_bytes=-1,
    retention_groups=(),
    retention_groups_max_bytes=-1,
    retention_groups_max_ms=-1,
    cleanup_policy=("delete",),
    delete_retention_ms=1 << 40,
    min_compaction_lag_ms=0,
    max_compaction_lag_ms=1 << 62,
    min_cleanable_dirty_ratio=0.5,
    flush_messages=1 << 62,
    flush_ms=1 << 62,
    file_delete_delay_ms=60_000,
)


def topic_id(slot: int) -> bytes:
    return bytes([slot + 1 & 0xFF]) * 16


def config_with(**changes: Any) -> LogConfig:
    return LogConfig(**{name: getattr(CONFIG, name) for name in CONFIG.__struct_fields__} | changes)


@pytest.fixture(scope="session")
def make_config() -> Callable[..., LogConfig]:
    """``make_config(retention_ms=1)``: settings under which nothing happens by itself, but for those named."""
    return config_with


class Client:
    """The other end of a session: what a producer or consumer maps."""

    def __init__(self, session_id: int, layout: SessionLayout) -> None:
        self.session_id = session_id
        self.layout = layout
        self.region_fd = create_session_fd("test", layout.total_bytes)
        self.region = map_session_fd(self.region_fd)
        write_header(self.region, layout)
        self.sleep_fd, self.ring_fd = make_bell()
        self.view = memoryview(self.region)
        self.words = self.view.cast("q")

    def sleep(self) -> None:
        """Raise the flag, as one who is about to sleep."""
        self.words[WAITING_WORD] = 1

    def was_rung(self) -> bool:
        """Whether the broker rang since the last call."""
        if not select.select([self.sleep_fd], [], [], 0)[0]:
            return False
        os.read(self.sleep_fd, 1 << 16)
        return True

    def close(self) -> None:
        for fd in (self.region_fd, self.sleep_fd, self.ring_fd):
            os.close(fd)


class Producer(Client):
    """A producer that numbers its requests."""

    def __init__(self, session_id: int, ring_bytes: int, entries: int) -> None:
        super().__init__(session_id, producer_layout(ring_bytes, entries))
        self.ring = RingWriter(self.view, self.layout)
        self.completions = CompletionReader(self.view, self.layout)
        self._request_ids = itertools.count(1)

    def send(
        self,
        values: list[bytes | None],
        *,
        slot: int = 0,
        acks: int = 1,
        stamp: ProducerStamp = NOBODY,
        tag: int | None = None,
        flags: int = 0,
        **columns: Any,
    ) -> int:
        """Publish a batch and return its request id; RuntimeError when the ring is full."""
        base_timestamp = min(columns.get("timestamps", [0]))
        header, body = build_batch(Columns(values, **columns), base_timestamp, stamp, flags=flags)
        return self.send_raw(header + body, slot=slot, acks=acks, tag=tag)

    def send_raw(self, batch: bytes, *, slot: int = 0, acks: int = 1, tag: int | None = None) -> int:
        request_id = next(self._request_ids)
        tag = topic_tag(topic_id(slot)) if tag is None else tag
        if not self.ring.try_write(request_id, slot, acks, batch, topic_tag=tag):
            raise RuntimeError("the ring is full")
        return request_id

    def answers(self) -> list[Completion]:
        return self.completions.take_all()


class Consumer(Client):
    """A consumer that wants to hear of some slots."""

    def __init__(self, session_id: int, slots: list[int]) -> None:
        super().__init__(session_id, consumer_layout(SLOTS))
        for slot in slots:
            self.view[self.layout.interest_start + (slot >> 3)] |= 1 << (slot & 7)


class Bench:
    """An :class:`AppendLoop` and all that it stands on. ``faults`` has what the main process would be told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.table = PartitionTable.create(folder / "partitions", SLOTS, 1)
        self.counters = CountersFile.create(folder / "counters", SLOTS, os.getpid(), 0)
        self._flushed = threading.Event()
        self.flusher = Flusher(self._flushed.set)
        self.faults: list[tuple[str, int, str]] = []
        self.opened: list[tuple[int, ...]] = []
        """(slot, producer id, epoch, first offset) of transactions, as the main process would be told."""
        self.loop = AppendLoop(
            self.counters,
            self.flusher,
            lambda session_id, reason: self.faults.append(("session", session_id, reason)),
            lambda slot, reason: self.faults.append(("partition", slot, reason)),
            lambda slot, opened: self.opened.append((slot, *opened)),
        )
        self.upkeep = Upkeep(self.loop, self.counters)
        self.commands = Commands(self.loop, self.table, self.upkeep)
        self._session_ids = itertools.count(1)
        self._clients: list[Client] = []

    def open(self, slot: int = 0, **config: Any) -> BrokerReply:
        """Open partition ``slot`` of the topic ``topic``; the log's folder is ``topic-<slot>``."""
        self.table.assign(slot, "topic", topic_id(slot), slot, 0, 3)
        folder = str(self.folder / f"topic-{slot}")
        return self.run(OpenPartition(slot, "topic", slot, folder, 3, config_with(**config)))

    def run(self, command: Any, fds: tuple[int, ...] = ()) -> Any:
        """The answer to a command; what runs in the loop is waited for."""
        answers: list[BrokerAnswer] = []
        self.commands.run(command, lambda count: list(fds)[:count], answers.append)
        if not answers:
            self.work()
        (answer,) = answers
        return answer

    def producer(self, ring_bytes: int = 1 << 16, entries: int = 64) -> Producer:
        return self._attach(Producer(next(self._session_ids), ring_bytes, entries))

    def consumer(self, *slots: int) -> Consumer:
        return self._attach(Consumer(next(self._session_ids), list(slots)))

    def _attach(self, client: Any) -> Any:
        self._clients.append(client)
        reply = self.attach(client)
        assert reply == BrokerReply(), reply
        return client

    def attach(self, client: Client, session_id: int | None = None) -> BrokerReply:
        """Hand the client's region to the broker, which may be another one than before."""
        number = client.session_id if session_id is None else session_id
        entry = client.session_id
        self.counters.open_session(entry, number, os.getpid(), client.layout.kind, 0, "test")
        return self.run(
            AttachSession(number, entry, os.getpid()), (os.dup(client.region_fd), os.dup(client.ring_fd))
        )

    def work(self) -> None:
        """Rounds until there is nothing to do, flushes that run included."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            self._flushed.clear()
            if self.loop.do_work():
                continue
            if not self.flusher.is_busy() and not self.loop.has_work():
                return
            assert self._flushed.wait(max(0.0, deadline - time.monotonic())), "a flush does not end"

    def values(self, slot: int = 0) -> list[bytes | None]:
        """What a reader sees of a partition."""
        figures = self.table.figures(slot)
        reader = LogReader(self.folder / f"topic-{slot}")
        values: list[bytes | None] = []
        offset = figures.log_start
        try:
            while offset < figures.high_watermark:
                for batch in reader.read(
                    offset, figures.high_watermark, 1 << 20, check_crcs=True, active_base=figures.active_base
                ):
                    values += batch.value_list()
                    offset = batch.last_offset + 1
        finally:
            reader.close()
        return values

    def close(self) -> None:
        self.flusher.stop()
        for partition in self.loop.partitions.values():
            partition.close()
        for client in self._clients:
            self.loop.detach(client.session_id)
            client.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A broker's loop with partition 0 of ``topic`` open."""
    bench = Bench(tmp_path)
    assert bench.open() == BrokerReply()
    yield bench
    bench.close()
