"""Transactions per second: one producer that begins, sends records to the partitions in turn, commits, and begins again."""

from __future__ import annotations

import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.backend import Backend
from benchmarks.backends.shmbroker import TOPIC
from benchmarks.runner import Sample, opened
from benchmarks.stats import percentile
from benchmarks.usage import cpu_seconds, process_trees
from benchmarks.workload import Workload

if TYPE_CHECKING:
    from shmclient import Producer

TIMEOUT_S = 60.0
TRANSACTIONS = 200
"""In a run: some seconds on a slow disk, which writes five times for each of them."""
WARM_UP = 10


def run_transactions(backend: Backend, work: Workload, base: Path) -> Sample:
    """`work.records` in each transaction, over `work.partitions`."""
    from shmclient import Producer

    with opened(backend, work, base) as (link, _):
        config = {"bootstrap.servers": link.address, "transactional.id": "bench"}
        with Producer(config) as producer:
            producer.init_transactions(TIMEOUT_S)
            _commit_each(producer, work, WARM_UP)
            servers = process_trees(link.server_pids)
            cpu_s, start = cpu_seconds(servers), time.monotonic()
            latencies_ns = _commit_each(producer, work, TRANSACTIONS)
            seconds = time.monotonic() - start
            cpu_s = cpu_seconds(servers) - cpu_s
    metrics = {
        "transactions_per_s": TRANSACTIONS / seconds,
        "transaction_records_per_s": TRANSACTIONS * work.records / seconds,
        "transaction_p50_ms": percentile(latencies_ns, 50) / 1e6,
        "transaction_p99_ms": percentile(latencies_ns, 99) / 1e6,
        "transaction_daemon_cpu_us": cpu_s * 1e6 / TRANSACTIONS,
    }
    return Sample(TRANSACTIONS * work.records, seconds, metrics)


def _commit_each(producer: Producer, work: Workload, transactions: int) -> list[int]:
    """Nanoseconds of each transaction, from its begin to the end of its commit."""
    value = bytes(work.record_bytes)
    numbers = count()
    latencies_ns = []
    for _ in range(transactions):
        start = time.monotonic_ns()
        producer.begin_transaction()
        for _ in range(work.records):
            producer.produce(TOPIC, value, partition=next(numbers) % work.partitions)
        producer.commit_transaction(TIMEOUT_S)
        latencies_ns.append(time.monotonic_ns() - start)
    return latencies_ns
