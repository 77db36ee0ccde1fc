"""What records take on the disk: all files of a log against the bytes of its records."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.backend import Backend
from benchmarks.backends.shmbroker import TIMEOUT_S, TOPIC
from benchmarks.runner import RunFailedError, Sample
from benchmarks.usage import MIB
from benchmarks.workload import Workload, pool

if TYPE_CHECKING:
    from shmclient import Producer

SEGMENT_BYTES = 16 * MIB
"""Small enough that a run has several segments, as a log that lives for long has."""


def run_disk_space(backend: Backend, work: Workload, base: Path) -> Sample:
    """`work.keyed` stands for records that come one by one: each is a batch of its own."""
    from shmclient import Producer
    from shmclient.testing import EmbeddedBroker

    config = {"log.segment.bytes": SEGMENT_BYTES, "log.min.free.bytes": 0}
    with EmbeddedBroker(config=config) as broker:
        began = time.monotonic()
        with Producer({"bootstrap.servers": broker.bootstrap_servers, "acks": "1"}) as producer:
            for number, value in enumerate(islice(cycle(pool(work.record_bytes, 0)), work.records)):
                _produce(producer, value)
                if work.keyed or number % 100_000 == 0:
                    producer.flush(TIMEOUT_S)
            if left := producer.flush(TIMEOUT_S):
                raise RunFailedError(f"{left} records were not acknowledged in {TIMEOUT_S:g} s")
        seconds = time.monotonic() - began
        files = list((broker.data_dir / "logs" / f"{TOPIC}-0").iterdir())
        taken, sizes = _disk_bytes(files), sum(path.stat().st_size for path in files)
    payload = work.records * work.record_bytes
    metrics = {
        "disk_per_payload": taken / payload,
        "files_per_payload": sizes / payload,
        "bytes_per_record": taken / work.records,
        "segments": float(sum(path.suffix == ".mdb" for path in files)),
    }
    return Sample(work.records, seconds, metrics)


def _produce(producer: Producer, value: bytes) -> None:
    while True:
        try:
            producer.produce(TOPIC, value)
            return
        except BufferError:
            producer.poll(0.1)


def _disk_bytes(files: Iterable[Path]) -> int:
    """What the file system has set aside: holes take nothing, the last block is a whole one."""
    return sum(path.stat().st_blocks * 512 for path in files)
