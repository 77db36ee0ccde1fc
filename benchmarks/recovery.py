"""How long a daemon takes to be ready after the machine went down: newest segments are checked, or rebuilt."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.backend import Backend
from benchmarks.backends.shmbroker import TIMEOUT_S, TOPIC
from benchmarks.runner import RunFailedError, Sample
from benchmarks.usage import MIB
from benchmarks.workload import Workload, pool

BOOT_ID_VARIABLE = "SHMBROKERD_BOOT_ID"
"""The daemon takes its value for the id of the boot."""
META_BYTES = 2 * 4096
"""Without its two meta pages nothing of a segment's trees can be believed."""
START_TIMEOUT_S = 300.0


def run_recovery(backend: Backend, work: Workload, base: Path) -> Sample:
    """`work.records` over `work.partitions`, a segment each. The daemon is killed and started in the same boot, in another one,
    and in yet another one after the trees of all segments were lost."""
    from shmclient.testing import EmbeddedBroker

    config = {"log.min.free.bytes": 0}
    data_dir = base / f"bench-recovery-{time.monotonic_ns()}"
    with _boot("first"):
        broker = EmbeddedBroker(config=config, data_dir=data_dir, start_timeout_s=START_TIMEOUT_S)
        try:
            broker.start()
            _produce(broker.bootstrap_servers, work)
            segments = sorted((data_dir / "logs").glob("*/*.mdb"))
            if len(segments) != work.partitions:
                raise RunFailedError(f"{len(segments)} segments of {work.partitions} partitions")
            size = sum(path.stat().st_blocks * 512 for path in segments)
            metrics = {"segment_mb": size / MIB / len(segments)}
            broker.kill()
            metrics["same_boot_ms"] = _timed_ms(broker.start)
            broker.kill()
            with _boot("second"):
                metrics["checked_ms"] = _timed_ms(broker.start)
            _expect(broker.log, f"{work.partitions} whole")
            broker.kill()
            for path in segments:
                _lose_trees(path)
            with _boot("third"):
                metrics["rebuilt_ms"] = _timed_ms(broker.start)
            _expect(broker.log, f"{work.partitions} rebuilt from its batches")
        finally:
            broker.stop()
            shutil.rmtree(data_dir, ignore_errors=True)
    metrics["checked_mb_per_s"] = size / MIB / (metrics["checked_ms"] / 1e3)
    return Sample(records=0, seconds=metrics["checked_ms"] / 1e3, metrics=metrics)


@contextmanager
def _boot(boot_id: str) -> Iterator[None]:
    """Daemons that are started inside of this run in the boot ``boot_id``."""
    before = os.environ.get(BOOT_ID_VARIABLE)
    os.environ[BOOT_ID_VARIABLE] = boot_id
    try:
        yield
    finally:
        if before is None:
            del os.environ[BOOT_ID_VARIABLE]
        else:
            os.environ[BOOT_ID_VARIABLE] = before


def _produce(address: str, work: Workload) -> None:
    from shmclient import Producer
    from shmclient.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": address})
    admin.create_topics([NewTopic(TOPIC, work.partitions)])[TOPIC].result(2 * TIMEOUT_S)
    values = pool(work.record_bytes, 0)
    with Producer({"bootstrap.servers": address, "acks": "1"}) as producer:
        for number in range(work.records):
            value, partition = values[number % len(values)], number % work.partitions
            while True:
                try:
                    producer.produce(TOPIC, value, partition=partition)
                    break
                except BufferError:
                    producer.poll(0.1)
        if left := producer.flush(TIMEOUT_S):
            raise RunFailedError(f"{left} records were not acknowledged in {TIMEOUT_S:g} s")


def _timed_ms(act: Callable[[], None]) -> float:
    began = time.monotonic()
    act()
    return (time.monotonic() - began) * 1e3


def _lose_trees(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(META_BYTES))


def _expect(log: str, words: str) -> None:
    """That what was timed is what was meant."""
    line = next((line for line in log.splitlines() if "checked " in line and " segments in " in line), "")
    if words not in line:
        raise RunFailedError(f"the daemon said {line!r}, not {words!r}")
