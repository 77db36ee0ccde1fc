"""Which cases are measured: backend x work, in groups whose backends take turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from benchmarks.backend import Backend
from benchmarks.backends.shmbroker import ShmBrokerBackend
from benchmarks.workload import Workload

LATENCY_RECORDS = 320
SIZES = {"100B": 100, "1KiB": 1024}
SCALED, SCALED_BATCHES = "shmbroker-acks1", "shmbroker-batch-acks1"
"""The backends whose cost is followed: from few partitions and clients to many, and over isolation levels."""
CLIENT_RECORDS = 160_000
"""At least so many for each producer while the number of clients grows: what a process does once, such as touching its memory
for the first time and filling its queue of 100,000, would pass for what records cost. More are over what a run may send."""
SINGLE_RECORDS = 5000
SEGMENT_RECORDS = 4096
"""Of 1 KiB, in each segment that is recovered: 100 segments fit on any disk and in most page caches."""
CLIENT_PARTITIONS = 32
"""Constant while the number of clients grows, so that only the clients change."""


class Kind(StrEnum):
    THROUGHPUT = "throughput"
    LATENCY = "latency"
    REST = "rest"
    LAG = "lag"
    REBALANCE = "rebalance"
    COMMITS = "commits"
    ISOLATION = "isolation"
    COMPACTION = "compaction"
    TRANSACTIONS = "transactions"
    DISK_SPACE = "disk-space"
    START_TIME = "start-time"
    RECOVERY = "recovery"


@dataclass(frozen=True)
class Case:
    """One row of one table. `key` names it in the result file and in the targets."""

    group: str
    label: str
    kind: Kind
    backend: Backend
    work: Workload
    least_records: int = 0
    """However fast the machine is."""
    most_repetitions: int = 5
    """However long the effort: what repeats within a run needs fewer of them."""

    @property
    def key(self) -> str:
        return f"{self.group}/{self.label}"


@dataclass(frozen=True)
class Effort:
    """How long and how often."""

    repetitions: int
    seconds: float
    """What a throughput run should take."""
    sized: bool
    """Whether an uncounted run finds how many records that are, or the backend's own guess has to do."""
    partitions: Sequence[int]
    clients: Sequence[int]
    lag: Sequence[tuple[int, int]]
    """Groups and partitions."""
    rebalance: Sequence[tuple[int, int]]
    """Members and partitions."""
    committers: Sequence[int]
    commits: int
    """Of each member."""
    isolation_records: int
    compaction: int
    """Records."""
    transactions: Sequence[tuple[int, int]]
    """Records in each, and partitions."""
    payload_bytes: int
    """Of the log whose size is looked at."""
    starts: Sequence[int]
    """Partitions of a daemon whose start is timed."""
    recovery: Sequence[int]
    """Segments that are checked after a power loss."""


FULL = Effort(
    repetitions=5,
    seconds=1.0,
    sized=True,
    partitions=(1, 4, 16, 64, 256),
    clients=(1, 4, 8, 16, 32),
    lag=((10, 100), (100, 1000)),
    rebalance=((1, 1), (1, 1024), (8, 8), (8, 64), (8, 1024), (64, 64), (64, 1024)),
    committers=(1, 8),
    commits=1000,
    isolation_records=1_000_000,
    compaction=2_000_000,
    transactions=tuple((records, partitions) for records in (1, 10, 1000) for partitions in (1, 4, 16)),
    payload_bytes=64 << 20,
    starts=(1, 100, 1000),
    recovery=(1, 10, 100),
)
QUICK = Effort(
    repetitions=1,
    seconds=0.3,
    sized=False,
    partitions=(4, 256),
    clients=(4, 32),
    lag=((10, 100),),
    rebalance=((1, 1), (8, 64)),
    committers=(1, 8),
    commits=200,
    isolation_records=100_000,
    compaction=400_000,
    transactions=((10, 1), (1000, 16)),
    payload_bytes=8 << 20,
    starts=(100,),
    recovery=(1, 10),
)


def all_cases(backends: Sequence[Backend], effort: Effort) -> list[Case]:
    """Every case in the order of the tables; cases of one group stand together."""
    return [
        *_throughput(backends),
        *_latency(backends),
        *_four_to_four(backends),
        *_partitions(backends, effort.partitions),
        *_clients(backends, effort.clients),
        *_lag(backends, effort.lag),
        *_rebalance(backends, effort.rebalance),
        *_commits(backends, effort),
        *_idempotence(backends),
        *_isolation(backends, effort.isolation_records),
        *_compaction(backends, effort.compaction),
        *_transactions(backends, effort.transactions),
        *_disk_space(backends, effort.payload_bytes),
        *_start_time(backends, effort.starts),
        *_recovery(backends, effort.recovery),
        *_rest(backends),
    ]


def _throughput(backends: Sequence[Backend]) -> list[Case]:
    return [
        Case(f"throughput/{size}", backend.name, Kind.THROUGHPUT, backend, Workload(record_bytes))
        for size, record_bytes in SIZES.items()
        for backend in backends
    ]


def _latency(backends: Sequence[Backend]) -> list[Case]:
    work = Workload(record_bytes=100, records=LATENCY_RECORDS)
    return [Case("latency", each.name, Kind.LATENCY, each, work) for each in backends if each.has_latency]


def _four_to_four(backends: Sequence[Backend]) -> list[Case]:
    work = Workload(record_bytes=100, producers=4, consumers=4, partitions=4)
    return [Case("4-to-4", each.name, Kind.THROUGHPUT, each, work) for each in backends if each.fans]


def _partitions(backends: Sequence[Backend], counts: Sequence[int]) -> list[Case]:
    return [
        Case(
            f"partitions/{'keyed' if keyed else 'unkeyed'}",
            str(count),
            Kind.THROUGHPUT,
            backend,
            Workload(record_bytes=100, partitions=count, keyed=keyed),
        )
        for backend in backends
        if backend.name == SCALED
        for keyed in (False, True)
        for count in counts
    ]


def _clients(backends: Sequence[Backend], counts: Sequence[int]) -> list[Case]:
    return [
        Case(
            "clients",
            str(count),
            Kind.THROUGHPUT,
            backend,
            Workload(record_bytes=100, producers=count, consumers=count, partitions=CLIENT_PARTITIONS),
            least_records=CLIENT_RECORDS * count,
        )
        for backend in backends
        if backend.name == SCALED
        for count in counts
    ]


def _lag(backends: Sequence[Backend], counts: Sequence[tuple[int, int]]) -> list[Case]:
    """Groups that commit in every partition, and are judged."""
    return [
        Case(
            "lag",
            f"{groups} groups, {partitions} partitions",
            Kind.LAG,
            backend,
            Workload(record_bytes=100, partitions=partitions, consumers=groups),
        )
        for backend in backends
        if backend.name == SCALED
        for groups, partitions in counts
    ]


def _compaction(backends: Sequence[Backend], records: int) -> list[Case]:
    work = Workload(record_bytes=100, records=records, keyed=True)
    return [
        Case("compaction", f"{records:,} records", Kind.COMPACTION, backend, work)
        for backend in backends
        if backend.name == SCALED
    ]


def _rebalance(backends: Sequence[Backend], counts: Sequence[tuple[int, int]]) -> list[Case]:
    return [
        Case(
            "rebalance",
            f"{members} members, {partitions} partitions",
            Kind.REBALANCE,
            backend,
            Workload(record_bytes=100, partitions=partitions, consumers=members),
            most_repetitions=2,
        )
        for backend in backends
        if backend.name == SCALED
        for members, partitions in counts
    ]


def _commits(backends: Sequence[Backend], effort: Effort) -> list[Case]:
    """One group, a partition for each member."""
    return [
        Case(
            "commits",
            f"{members} members",
            Kind.COMMITS,
            backend,
            Workload(
                record_bytes=100, records=effort.commits * members, partitions=members, consumers=members
            ),
        )
        for backend in backends
        if backend.name == SCALED
        for members in effort.committers
    ]


def _idempotence(backends: Sequence[Backend]) -> list[Case]:
    """The same work with enable.idempotence and without."""
    if SCALED not in {each.name for each in backends}:
        return []
    variants = {
        "off": ShmBrokerBackend("all", idempotence=False),
        "on": ShmBrokerBackend("all", idempotence=True),
    }
    work = Workload(record_bytes=100)
    return [Case("idempotence", label, Kind.THROUGHPUT, each, work) for label, each in variants.items()]


def _isolation(backends: Sequence[Backend], records: int) -> list[Case]:
    """A log with aborted transactions at both isolation levels."""
    labels = {SCALED: "consume(1000)", SCALED_BATCHES: "consume_batches()"}
    work = Workload(record_bytes=100, records=records)
    return [
        Case("isolation", labels[each.name], Kind.ISOLATION, each, work)
        for each in backends
        if each.name in labels
    ]


def _transactions(backends: Sequence[Backend], counts: Sequence[tuple[int, int]]) -> list[Case]:
    """One producer, one transaction after the other."""
    return [
        Case(
            "transactions",
            f"{records} records, {partitions} partitions",
            Kind.TRANSACTIONS,
            backend,
            Workload(record_bytes=100, records=records, partitions=partitions),
        )
        for backend in backends
        if backend.name == SCALED
        for records, partitions in counts
    ]


def _disk_space(backends: Sequence[Backend], payload_bytes: int) -> list[Case]:
    """Records that travel together, and such that come one by one; of the latter so few that it takes a second."""
    return [
        Case(
            "disk-space",
            f"{size}{', one by one' if alone else ''}",
            Kind.DISK_SPACE,
            backend,
            Workload(
                record_bytes, records=SINGLE_RECORDS if alone else payload_bytes // record_bytes, keyed=alone
            ),
        )
        for backend in backends
        if backend.name == SCALED
        for alone in (False, True)
        for size, record_bytes in SIZES.items()
    ]


def _start_time(backends: Sequence[Backend], counts: Sequence[int]) -> list[Case]:
    return [
        Case("start-time", f"{count} partitions", Kind.START_TIME, backend, Workload(100, partitions=count))
        for backend in backends
        if backend.name == SCALED
        for count in counts
    ]


def _recovery(backends: Sequence[Backend], counts: Sequence[int]) -> list[Case]:
    """Each segment the newest of a partition: older ones are not looked at."""
    return [
        Case(
            "recovery",
            f"{count} segments",
            Kind.RECOVERY,
            backend,
            Workload(1024, records=count * SEGMENT_RECORDS, partitions=count),
        )
        for backend in backends
        if backend.name == SCALED
        for count in counts
    ]


def _rest(backends: Sequence[Backend]) -> list[Case]:
    """One row for each server, however many ways to use it were measured."""
    servers = {each.server: each for each in reversed(backends) if each.server}
    work = Workload(record_bytes=100)
    return [Case("rest", name, Kind.REST, servers[name], work) for name in reversed(servers)]
