"""How long a daemon with many partitions takes to be ready: after a stop, and after a kill."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.backend import Backend
from benchmarks.backends.shmbroker import TIMEOUT_S, TOPIC
from benchmarks.runner import RunFailedError, Sample
from benchmarks.usage import MIB, memory, process_trees
from benchmarks.workload import Workload


def run_start_time(backend: Backend, work: Workload, base: Path) -> Sample:
    """A record in each of `work.partitions`; then the daemon is stopped and started, killed and started."""
    from shmclient.admin import AdminClient, NewTopic
    from shmclient.testing import EmbeddedBroker

    with EmbeddedBroker(data_dir=base / f"bench-start-{time.monotonic_ns()}") as broker:
        try:
            admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
            began = time.monotonic()
            admin.create_topics([NewTopic(TOPIC, work.partitions)])[TOPIC].result(2 * TIMEOUT_S)
            metrics = {"create_ms": (time.monotonic() - began) * 1e3}
            _produce(broker.bootstrap_servers, work)
            broker.stop()
            metrics["start_ms"] = _timed_ms(broker.start)
            metrics["first_ack_ms"] = _timed_ms(
                lambda: _produce(broker.bootstrap_servers, work, partitions=1)
            )
            broker.kill()
            metrics["start_after_kill_ms"] = _timed_ms(broker.start)
            processes = process_trees([broker.pid])
            metrics["pss_mb"] = memory(processes).pss / MIB
            metrics["descriptors"] = float(sum(process.num_fds() for process in processes))
        finally:
            shutil.rmtree(broker.data_dir, ignore_errors=True)
    return Sample(records=0, seconds=metrics["start_ms"] / 1e3, metrics=metrics)


def _timed_ms(act: Callable[[], None]) -> float:
    began = time.monotonic()
    act()
    return (time.monotonic() - began) * 1e3


def _produce(address: str, work: Workload, partitions: int | None = None) -> None:
    from shmclient import Producer

    with Producer({"bootstrap.servers": address}) as producer:
        for number in range(partitions or work.partitions):
            producer.produce(TOPIC, bytes(work.record_bytes), partition=number)
        if left := producer.flush(TIMEOUT_S):
            raise RunFailedError(f"{left} records were not acknowledged in {TIMEOUT_S:g} s")
