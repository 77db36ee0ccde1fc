"""What compaction costs while records are produced: the same load to a topic that is not compacted, and to one that is all the
time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from benchmarks.backend import Backend
from benchmarks.runner import RunFailedError, Sample
from benchmarks.usage import MIB, peak_rss
from benchmarks.workload import Workload

if TYPE_CHECKING:
    from shmclient.testing import EmbeddedBroker

TIMEOUT_S = 60.0
TOPIC = "table"
KEYS = 50_000
"""What is left of a topic in the end: 5 MB."""
DAEMON = {"log.cleaner.backoff.ms": 10}
PLAIN = {"segment.bytes": str(16 * MIB)}
COMPACTED = {**PLAIN, "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01"}
"""The cleaner is at work from the first sealed segment on."""


def run_compaction(_backend: Backend, work: Workload, base: Path) -> Sample:
    """`work.records` records with keys in turn, to one partition."""
    from shmclient.testing import EmbeddedBroker

    with EmbeddedBroker(config=DAEMON) as broker:
        plain_s = _produce(broker, "plain", PLAIN, work)
        compacting_s = _produce(broker, TOPIC, COMPACTED, work)
        cleaner_bytes = _wait_compacted(broker, work)
        left_bytes = _bytes_of(broker, TOPIC)
        written_bytes = _bytes_of(broker, "plain")
        passes = broker.log.count(f"compacted {TOPIC}")
    metrics = {
        "plain_records_per_s": work.records / plain_s,
        "compacting_records_per_s": work.records / compacting_s,
        "drop_percent": 100 * (1 - plain_s / compacting_s),
        "cleaner_peak_rss_mb": cleaner_bytes / MIB,
        "written_mb": written_bytes / MIB,
        "left_mb": left_bytes / MIB,
        "passes": float(passes),
    }
    return Sample(records=work.records, seconds=compacting_s, metrics=metrics)


def _produce(broker: EmbeddedBroker, topic: str, settings: Mapping[str, str], work: Workload) -> float:
    """Seconds until all is acknowledged."""
    from shmclient import Producer
    from shmclient.admin import AdminClient, NewTopic

    config = {"bootstrap.servers": broker.bootstrap_servers}
    AdminClient(config).create_topics([NewTopic(topic, 1, config=dict(settings))])[topic].result(TIMEOUT_S)
    keys = [b"%d" % number for number in range(KEYS)]
    value = bytes(work.record_bytes)
    with Producer({**config, "acks": "1"}) as producer:
        started = time.monotonic()
        for number in range(work.records):
            while True:
                try:
                    producer.produce(topic, value, key=keys[number % KEYS])
                    break
                except BufferError:
                    producer.poll(0.1)
        if left := producer.flush(TIMEOUT_S):
            raise RunFailedError(f"{left} records were not acknowledged in {TIMEOUT_S:g} s")
        return time.monotonic() - started


def _wait_compacted(broker: EmbeddedBroker, work: Workload) -> int:
    """Wait until little is left; the most memory that the cleaner had."""
    deadline = time.monotonic() + TIMEOUT_S
    most = 0
    while True:
        most = max([most, *(peak_rss(pid) for pid in _cleaners(broker))])
        if most and _bytes_of(broker, TOPIC) < _bytes_of(broker, "plain") / 2:
            return most
        if time.monotonic() > deadline:
            raise RunFailedError(f"the topic was not compacted in {TIMEOUT_S:g} s")
        time.sleep(0.05)


def _cleaners(broker: EmbeddedBroker) -> list[int]:
    children = psutil.Process(broker.pid).children()
    return [process.pid for process in children if "shmbrokerd.cleaner" in process.cmdline()]


def _bytes_of(broker: EmbeddedBroker, topic: str) -> int:
    """Of the topic's files, as far as they are there: the cleaner replaces them meanwhile."""
    size = 0
    for path in (broker.data_dir / "logs" / f"{topic}-0").glob("*.mdb"):
        try:
            size += path.stat().st_size
        except FileNotFoundError:
            continue
    return size
