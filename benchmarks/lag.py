"""What it costs a daemon to judge many groups: all of them asked for, while somebody else asks for something small."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.backend import Backend
from benchmarks.backends.shmbroker import TOPIC
from benchmarks.runner import RunFailedError, Sample, opened
from benchmarks.stats import percentile
from benchmarks.usage import MIB, cpu_seconds, memory, process_trees
from benchmarks.workload import Workload

if TYPE_CHECKING:
    from shmclient.connection import Connection

TIMEOUT_S = 60.0
COMMITS = 3
"""Of each partition by each group: windows that say something."""
EVALUATIONS = 5


def run_lag(backend: Backend, work: Workload, base: Path) -> Sample:
    """`work.consumers` groups, each of which commits in all `work.partitions`."""
    from shmclient.connection import Connection

    with opened(backend, work, base) as (link, _):
        connection = Connection(link.address, "bench")
        bystander = Connection(link.address, "bystander")
        try:
            _produce(link.address, work)
            commit_s = _timed(lambda: _commit_all(connection, work))
            servers = process_trees(link.server_pids)
            cpu_s = cpu_seconds(servers)
            latencies_ns: list[int] = []
            with _Asking(bystander, latencies_ns):
                evaluation_s = _timed(lambda: _evaluate_all(connection, work)) / EVALUATIONS
            cpu_s = (cpu_seconds(servers) - cpu_s) / EVALUATIONS
            main = memory(servers[:1])
        finally:
            connection.disconnect()
            bystander.disconnect()
    metrics = {
        "evaluation_ms": evaluation_s * 1e3,
        "evaluation_us_per_partition": evaluation_s * 1e6 / (work.consumers * work.partitions),
        "cpu_ms": cpu_s * 1e3,
        "bystander_p99_ms": percentile(latencies_ns, 99) / 1e6,
        "commit_us_per_offset": commit_s * 1e6 / (COMMITS * work.consumers * work.partitions),
        "rss_mb": main.rss / MIB,
    }
    return Sample(records=0, seconds=evaluation_s, metrics=metrics)


def _timed(act: Callable[[], None]) -> float:
    start = time.monotonic()
    act()
    return time.monotonic() - start


def _produce(address: str, work: Workload) -> None:
    """Records that nobody reads, in every partition."""
    from shmclient import Producer

    with Producer({"bootstrap.servers": address}) as producer:
        for number in range(work.partitions):
            for _ in range(COMMITS + 1):
                producer.produce(TOPIC, bytes(work.record_bytes), partition=number)
        if left := producer.flush(TIMEOUT_S):
            raise RunFailedError(f"{left} records were not acknowledged in {TIMEOUT_S:g} s")


def _commit_all(connection: Connection, work: Workload) -> None:
    from shmbroker.protocol.messages import CommitOffsets, OffsetToCommit, PartitionOutcomesReply

    for offset in range(COMMITS):
        offsets = [OffsetToCommit(TOPIC, number, offset) for number in range(work.partitions)]
        for group in range(work.consumers):
            request = CommitOffsets(f"group-{group}", offsets)
            reply = connection.request(request, PartitionOutcomesReply, TIMEOUT_S)
            if any(outcome.code for outcome in reply.outcomes):
                raise RunFailedError(f"a commit was refused: {reply.outcomes[0].message}")


def _evaluate_all(connection: Connection, work: Workload) -> None:
    from shmbroker.protocol.messages import DescribeLag, DescribeLagReply

    for _ in range(EVALUATIONS):
        reply = connection.request(DescribeLag(None, with_partitions=False), DescribeLagReply, TIMEOUT_S)
        found = [lag.partition_count for lag in reply.groups]
        if found != [work.partitions] * work.consumers:
            raise RunFailedError(f"{len(found)} groups with {sum(found)} partitions were judged")


class _Asking:
    """Asks the daemon who it is, over and over, on a thread of its own, and notes how long each answer took."""

    def __init__(self, connection: Connection, latencies_ns: list[int]) -> None:
        self._connection = connection
        self._latencies_ns = latencies_ns
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _ask(self) -> None:
        from shmbroker.protocol.messages import DescribeCluster, DescribeClusterReply

        while not self._is_over.wait(0.001):
            start = time.monotonic_ns()
            self._connection.request(DescribeCluster(), DescribeClusterReply, TIMEOUT_S)
            self._latencies_ns.append(time.monotonic_ns() - start)
