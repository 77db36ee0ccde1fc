"""A compacted topic under load while its cleaner, the broker and the daemon are killed: no key loses its last value, readers
miss nothing that is still there and see nothing twice."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections.abc import Callable
from itertools import islice
from typing import Any

import psutil
import pytest
from systemkit.waiting import wait_for

from shmclient.admin import AdminClient, NewTopic
from shmclient.consumer import Consumer
from shmclient.error import KafkaError
from shmclient.producer import Producer
from shmclient.testing import EmbeddedBroker
from shmclient.types import TopicPartition

TOPIC = "table"
KEYS = 400
LOAD_S = float(os.environ.get("SHMBROKER_COMPACTION_SECONDS", "8"))
SEED = int(os.environ.get("SHMBROKER_COMPACTION_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
PAUSE_S = 0.5
"""Between two kills."""
DAEMON = {
    "log.cleaner.backoff.ms": 20,
    "broker.restart.max.attempts": 1000,
    "broker.restart.backoff.max.ms": 50,
}
SETTINGS = {
    "cleanup.policy": "compact",
    "segment.bytes": str(1 << 20),
    "min.cleanable.dirty.ratio": "0.01",
    "delete.retention.ms": "500",
    "flush.on.ack": "false",
}


def create(
    make_admin: Callable[..., AdminClient], broker: EmbeddedBroker, partitions: int = 1, **settings: str
) -> None:
    admin, changes = make_admin(broker), {name.replace("_", "."): value for name, value in settings.items()}
    (created,) = admin.create_topics([NewTopic(TOPIC, partitions, config=SETTINGS | changes)]).values()
    created.result()


class Load:
    """Writes keys over and over on a thread of its own, and knows what was acknowledged for each."""

    def __init__(self, producer: Producer, seed: int) -> None:
        self._producer = producer
        self._random = random.Random(seed)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.sent: dict[bytes, list[bytes | None]] = {}
        """All values of each key, in order."""
        self.acknowledged: dict[bytes, tuple[int, bytes | None]] = {}
        self.partitions: dict[bytes, int] = {}
        self.failures: list[str] = []

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._is_over.is_set():
            for _ in range(50):
                number += 1
                key = b"%d" % self._random.randrange(KEYS)
                value = (
                    None
                    if self._random.random() < 0.05
                    else b"%d." % number + bytes(self._random.randrange(300))
                )
                self.sent.setdefault(key, []).append(value)
                self._producer.produce(TOPIC, key=key, value=value, on_delivery=self._delivered)
            self._producer.poll(0.002)
        assert self._producer.flush(30) == 0

    def _delivered(self, error: KafkaError | None, message: Any) -> None:
        if error is not None:
            self.failures.append(str(error))
            return
        self.acknowledged[message.key()] = message.offset(), message.value()
        self.partitions[message.key()] = message.partition()


class Follower:
    """Reads the topic from its start to its end and on, and keeps the last value of each key as a table would."""

    def __init__(self, consumer: Consumer, *, in_batches: bool) -> None:
        self._consumer = consumer
        self._in_batches = in_batches
        self._batches = consumer.consume_batches(timeout=0.01)
        self.table: dict[bytes, tuple[int, bytes | None]] = {}
        self.position = -1
        self.records = 0

    def read_some(self) -> None:
        if self._in_batches:
            # The iterator ends when nothing came for that long, which under load may be never.
            batches = list(islice(self._batches, 100))
            for batch in batches:
                assert batch.count == len(batch.offset_list()) > 0
                self._take(batch.offset_list(), batch.key_list(), batch.value_list())
            if len(batches) < 100:
                self._batches = self._consumer.consume_batches(timeout=0.01)
            return
        messages = self._consumer.consume(500, 0.01)
        for message in messages:
            assert message.error() is None, message.error()
        self._take([m.offset() for m in messages], [m.key() for m in messages], [m.value() for m in messages])

    def _take(self, offsets: list[int], keys: list[Any], values: list[Any]) -> None:
        for offset, key, value in zip(offsets, keys, values, strict=True):
            assert offset > self.position, "a record came twice, or out of order"
            self.position = offset
            self.table[key] = offset, value
            self.records += 1


class Killer:
    """Kills one process of the daemon after the other."""

    def __init__(self, broker: EmbeddedBroker, seed: int) -> None:
        self._broker = broker
        self._random = random.Random(seed)
        self.killed = {"cleaner": 0, "broker": 0, "main": 0}

    def kill_one(self) -> None:
        what = self._random.choice(["cleaner", "cleaner", "cleaner", "broker", "main"])
        if what == "main":
            self._broker.kill()
            self._broker.restart()
            self.killed[what] += 1
            return
        for process in psutil.Process(self._broker.pid).children():
            try:
                if f"shmbrokerd.{what}" in process.cmdline():
                    process.kill()
                    self.killed[what] += 1
            except psutil.NoSuchProcess:
                continue


@pytest.mark.slow
def test_kills_under_load_cost_no_key_its_last_value(
    start_broker: Callable[..., EmbeddedBroker],
    make_admin: Callable[..., AdminClient],
    make_producer: Callable[..., Producer],
    make_consumer: Callable[..., Consumer],
) -> None:
    broker = start_broker(config=DAEMON)
    create(make_admin, broker)
    followers = [
        Follower(make_consumer(broker, TOPIC), in_batches=in_batches) for in_batches in (False, True)
    ]
    killer = Killer(broker, SEED)
    with Load(make_producer(broker), SEED) as load:
        over, next_kill = time.monotonic() + LOAD_S, time.monotonic() + PAUSE_S
        while time.monotonic() < over:
            for follower in followers:
                follower.read_some()
            if time.monotonic() > next_kill:
                killer.kill_one()
                next_kill = time.monotonic() + PAUSE_S
    told = f"seed {SEED}, {killer.killed}"
    assert not load.failures, (told, load.failures[:3])
    end = max(offset for offset, _ in load.acknowledged.values())
    for follower in followers:
        wait_for(
            lambda follower=follower: follower.read_some() or follower.position >= end, f"the end ({told})"
        )
        assert follower.table == load.acknowledged, told
    # One pass may have had many full segments to look after: what it leaves of them is joined by the next pass.
    wait_for(lambda: max(_sealed_sizes(broker), default=0) < 1 << 19, f"small sealed segments ({told})")
    _check_what_is_left(make_consumer(broker, TOPIC), load, end, told)


def _check_what_is_left(consumer: Consumer, load: Load, end: int, told: str) -> None:
    """A reader that comes now finds the last value of each key, and less than was written."""
    late = Follower(consumer, in_batches=False)
    wait_for(lambda: late.read_some() or late.position >= end, f"the end, read anew ({told})")
    written = sum(map(len, load.sent.values()))
    assert late.records < written, told
    for key, (offset, value) in load.acknowledged.items():
        if value is not None:
            assert late.table[key] == (offset, value), told
        else:
            # The tombstone may be gone, and then all that it deleted is.
            assert late.table.get(key, (offset, None)) == (offset, None), told


def test_a_reader_goes_on_while_the_log_is_compacted_and_finds_it_small_when_it_comes_back(
    start_broker: Callable[..., EmbeddedBroker],
    make_admin: Callable[..., AdminClient],
    make_producer: Callable[..., Producer],
    make_consumer: Callable[..., Consumer],
) -> None:
    broker = start_broker(config=DAEMON)
    create(make_admin, broker)
    reader = make_consumer(broker, TOPIC)
    producer = make_producer(broker)

    def write(number: int) -> None:
        for key in range(KEYS):
            producer.produce(TOPIC, key=b"%d" % key, value=b"%d" % number + bytes(1000))
        assert producer.flush(30) == 0

    write(0)
    first = reader.consume(100, 30)
    for number in range(1, 12):
        write(number)
    wait_for(lambda: "compacted table [0]" in broker.log, "a compaction")
    wait_for(lambda: sum(_sealed_sizes(broker)) < 3 << 20, "small sealed segments")
    offsets = [message.offset() for message in first]

    def read_on() -> bool:
        offsets.extend(message.offset() for message in reader.consume(100, 0.1))
        return offsets[-1] == 12 * KEYS - 1

    wait_for(read_on, "the end")
    assert offsets == sorted(set(offsets))
    assert offsets[-KEYS:] == list(range(11 * KEYS, 12 * KEYS))
    # The reader was at an offset whose record is gone: it went on with the next one that is there.
    assert len(offsets) < 12 * KEYS


@pytest.mark.slow
def test_two_cleaners_and_retention_at_one_topic_leave_all_that_is_to_stay(
    start_broker: Callable[..., EmbeddedBroker],
    make_admin: Callable[..., AdminClient],
    make_producer: Callable[..., Producer],
    make_consumer: Callable[..., Consumer],
) -> None:
    settings = {
        "log.cleaner.threads": 2,
        "log.retention.check.interval.ms": 100,
        "log.initial.task.delay.ms": 0,
    }
    broker = start_broker(config=DAEMON | settings)
    # Less than a segment that is full: the oldest goes before the active one is.
    create(make_admin, broker, 4, cleanup_policy="compact,delete", retention_bytes="700000")

    def both_happened(folders: set[str]) -> bool:
        compacted = {name for name in folders if f"compacted {name}" in broker.log}
        deleted = {name for name in folders if f"{name} begins at offset" in broker.log}
        return compacted == deleted == folders

    names = {f"{TOPIC} [{partition}]" for partition in range(4)}
    with Load(make_producer(broker), SEED) as load:
        wait_for(lambda: len(_cleaners(broker)) == 2, "two cleaner processes")
        wait_for(lambda: both_happened(names), "both in each partition", 60)
        broker.kill()
        broker.restart()
        began = broker.log.count("compacted ")
        wait_for(lambda: broker.log.count("compacted ") > began + 4, "passes after the restart", 60)
    assert not load.failures, load.failures[:3]
    assert "cannot compact" not in broker.log
    consumer = make_consumer(broker, TOPIC, *range(4), config={"auto.offset.reset": "earliest"})
    _check_what_retention_left(consumer, load)


def _cleaners(broker: EmbeddedBroker) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(broker.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [process] if "shmbrokerd.cleaner" in process.cmdline() else []
    return found


def _check_what_retention_left(consumer: Consumer, load: Load) -> None:
    """From each log start on: the last value of each key."""
    ends = {p: consumer.get_watermark_offsets(TopicPartition(TOPIC, p), 30)[1] for p in range(4)}
    table: dict[bytes, tuple[int, bytes | None]] = {}
    reached: dict[int, int] = {}

    def read_on() -> bool:
        for message in consumer.consume(500, 0.1):
            assert message.error() is None, message.error()
            assert message.offset() > reached.get(message.partition(), -1)
            reached[message.partition()] = message.offset()
            table[message.key()] = message.offset(), message.value()
        positions = consumer.position([TopicPartition(TOPIC, p) for p in range(4)])
        return all(position.offset >= ends[position.partition] for position in positions)

    wait_for(read_on, "the ends")
    # Retention goes on while it is read: what was there at the end of that is what must have been seen.
    starts = {p: consumer.get_watermark_offsets(TopicPartition(TOPIC, p), 30)[0] for p in range(4)}
    assert any(starts.values())
    for key, (offset, value) in load.acknowledged.items():
        if offset >= starts[load.partitions[key]] and value is not None:
            assert table[key] == (offset, value), SEED


def _sealed_sizes(broker: EmbeddedBroker) -> list[int]:
    """In bytes. Files that are being swapped are left out."""
    sizes = []
    for path in sorted((broker.data_dir / "logs" / f"{TOPIC}-0").glob("*.mdb"))[:-1]:
        with contextlib.suppress(FileNotFoundError):
            sizes.append(path.stat().st_size)
    return sizes


def test_a_record_without_a_key_is_refused_and_the_topic_goes_on(
    start_broker: Callable[..., EmbeddedBroker],
    make_admin: Callable[..., AdminClient],
    make_producer: Callable[..., Producer],
) -> None:
    broker = start_broker(config=DAEMON)
    create(make_admin, broker)
    producer = make_producer(broker)
    outcomes: list[KafkaError | None] = []
    for key in (b"a", None, b"b"):
        producer.produce(TOPIC, key=key, value=b"v", on_delivery=lambda error, _: outcomes.append(error))
        assert producer.flush(30) == 0
    assert [error and error.code() for error in outcomes] == [None, KafkaError.INVALID_RECORD, None]
