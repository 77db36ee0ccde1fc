"""What read_committed costs: one log in which one transaction in ten was aborted, read at both isolation levels."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.backend import Backend
from benchmarks.backends.shmbroker import TIMEOUT_S, TOPIC, ShmBrokerBackend
from benchmarks.runner import RunFailedError, Sample
from benchmarks.stats import percentile
from benchmarks.workload import CHUNK_RECORDS, RecordSource, Workload

if TYPE_CHECKING:
    from shmbroker.log.writer import PartitionWriter
    from shmclient import Consumer

ABORTED = 10
"""One transaction in so many."""
TRANSACTION_RECORDS = 100
COMMIT_TRANSACTIONS = 20
"""Transactions that are appended at a time: nobody measures how."""
READS = 5
"""Of each level in turn, after one that does not count."""
LEVELS = ("read_uncommitted", "read_committed")


def run_isolation(backend: Backend, work: Workload, base: Path) -> Sample:
    """`work.records` in transactions of 100, read by this process: through consume(1000) or consume_batches()."""
    import tempfile

    from shmclient.admin import AdminClient, NewTopic
    from shmclient.testing import EmbeddedBroker

    assert isinstance(backend, ShmBrokerBackend)
    read = _read_batches if backend.batches else _read_messages
    with tempfile.TemporaryDirectory(prefix="bench-", dir=base) as name:
        data_dir = Path(name) / "data"
        with EmbeddedBroker(data_dir=data_dir) as broker:
            admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
            admin.create_topics([NewTopic(TOPIC, 1)])[TOPIC].result(TIMEOUT_S)
            broker.stop()  # so that the log can be written without a client for each transaction
            expected = dict(zip(LEVELS, _write(data_dir / "logs" / f"{TOPIC}-0", work), strict=True))
            broker.start()
            seconds: dict[str, list[float]] = {level: [] for level in LEVELS}
            for _ in range(READS + 1):
                for level in LEVELS:
                    seconds[level].append(_time(read, broker.bootstrap_servers, level, expected[level]))
    medians = {level: percentile(seconds[level][1:], 50) for level in LEVELS}
    metrics = {f"{level}_records_per_s": expected[level] / medians[level] for level in LEVELS}
    metrics["committed_time_ratio"] = medians["read_committed"] / medians["read_uncommitted"]
    return Sample(records=work.records, seconds=sum(medians.values()), metrics=metrics)


def _write(folder: Path, work: Workload) -> tuple[int, int]:
    """How many records there are, and how many of them were committed."""
    import contextlib

    from shmbroker.log.writer import PartitionWriter

    committed = 0
    with contextlib.closing(PartitionWriter(folder, 1 << 30, 4096, leader_epoch=0)) as writer:
        chunks = RecordSource(work, 0).chunks(TRANSACTION_RECORDS)
        for number, values in enumerate(chunks):
            is_committed = number % ABORTED != 0
            _append(writer, number, values, committed=is_committed)
            committed += len(values) * is_committed
            if number % COMMIT_TRANSACTIONS == 0:
                writer.commit()
        writer.commit()
        writer.flush()
    return work.records, committed


def _append(writer: PartitionWriter, number: int, values: list[bytes], *, committed: bool) -> None:
    """Producers take turns, as processes with a transactional id each would."""
    from shmbroker.records.builder import Columns, ProducerStamp, build_batch
    from shmbroker.records.control import Marker
    from shmbroker.records.layout import Flag, read_header

    epoch, producer_id = divmod(number, 8)
    stamp = ProducerStamp(producer_id, epoch, 0)
    batch = bytearray(b"".join(build_batch(Columns(values), 0, stamp, flags=Flag.TRANSACTIONAL)))
    writer.stage(batch, read_header(batch), -1)
    writer.stage_marker(Marker(producer_id, epoch + 1, committed, 0), 0)


def _time(read: Callable[[Consumer, int], int], address: str, level: str, expected: int) -> float:
    from shmclient import Consumer, TopicPartition

    config: dict[str, Any] = {"isolation.level": level, "group.id": "bench", "enable.auto.commit": False}
    with Consumer({"bootstrap.servers": address, **config}) as consumer:
        consumer.assign([TopicPartition(TOPIC, 0, 0)])
        start = time.monotonic()
        count = read(consumer, expected)
        seconds = time.monotonic() - start
    if count != expected:
        raise RunFailedError(f"{level}: {count} records were read, {expected} are there")
    return seconds


def _read_messages(consumer: Consumer, wanted: int) -> int:
    count = 0
    while count < wanted and (messages := consumer.consume(min(CHUNK_RECORDS, wanted - count), TIMEOUT_S)):
        count += len(messages)
    return count


def _read_batches(consumer: Consumer, wanted: int) -> int:
    count = 0
    for batch in consumer.consume_batches(TIMEOUT_S):
        count += batch.count
        if count >= wanted:
            break
    return count
