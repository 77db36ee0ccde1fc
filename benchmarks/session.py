"""All runs of a session, interleaved: every backend of a group once, then all of them again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from benchmarks.commits import run_commits
from benchmarks.compaction import run_compaction
from benchmarks.disk_space import run_disk_space
from benchmarks.isolation import run_isolation
from benchmarks.lag import run_lag
from benchmarks.plan import Case, Effort, Kind
from benchmarks.rebalance import run_rebalance
from benchmarks.recovery import run_recovery
from benchmarks.runner import RunFailedError, Sample, run_latency, run_rest, run_throughput
from benchmarks.start_time import run_start_time
from benchmarks.stats import Summary
from benchmarks.transactions import run_transactions
from benchmarks.workload import Workload

PROBE_SECONDS = 0.2
MAX_BYTES = 512 << 20
"""No run sends more: page cache, disk and time are finite, and the fastest rows need no more to be steady."""

RUNNERS: dict[Kind, Callable[..., Sample]] = {
    Kind.THROUGHPUT: run_throughput,
    Kind.LATENCY: run_latency,
    Kind.REST: run_rest,
    Kind.LAG: run_lag,
    Kind.REBALANCE: run_rebalance,
    Kind.COMMITS: run_commits,
    Kind.ISOLATION: run_isolation,
    Kind.COMPACTION: run_compaction,
    Kind.TRANSACTIONS: run_transactions,
    Kind.DISK_SPACE: run_disk_space,
    Kind.START_TIME: run_start_time,
    Kind.RECOVERY: run_recovery,
}


@dataclass
class CaseResult:
    """The samples of a case, or why there are none."""

    case: Case
    samples: list[Sample] = field(default_factory=list)
    failure: str | None = None

    def summary(self, metric: str) -> Summary | None:
        """The median and spread of a metric; None when it was not measured."""
        values = [sample.metrics[metric] for sample in self.samples if metric in sample.metrics]
        return Summary.of(values) if values else None


def run_session(
    cases: Sequence[Case], effort: Effort, base: Path, progress: Callable[[str], None]
) -> Iterator[list[CaseResult]]:
    """Run all cases and yield the results group by group.

    A case that fails once is left out from then on: its numbers would not mean what the others mean.
    """
    for _, group in groupby(cases, key=lambda case: case.group):
        results = [CaseResult(case) for case in group]
        work = {id(result): _sized(result, effort, base, progress) for result in results}
        for repetition in range(effort.repetitions):
            for result in results:
                most = min(effort.repetitions, result.case.most_repetitions)
                if result.failure is None and repetition < most:
                    progress(f"{result.case.key}, run {repetition + 1} of {most}")
                    _add_sample(result, work[id(result)], base)
        yield results


def _sized(result: CaseResult, effort: Effort, base: Path, progress: Callable[[str], None]) -> Workload:
    """The case's work with as many records as this machine handles in the wanted time, or as the case wants at least.

    The short run that finds out is not counted: it also loads programs and libraries into memory for the
    others.
    """
    case = result.case
    if case.kind is not Kind.THROUGHPUT:
        return case.work
    guess = case.backend.rate_hint * 100 / case.work.record_bytes
    if not effort.sized:
        return case.work.with_records(_capped(int(guess * effort.seconds), case.work))
    progress(f"{case.key}, sizing")
    probe = CaseResult(case)
    _add_sample(probe, case.work.with_records(_capped(int(guess * PROBE_SECONDS), case.work)), base)
    if probe.failure is not None:
        result.failure = probe.failure
        return case.work
    rate = probe.samples[0].metrics["records_per_s"]
    wanted = max(int(rate * effort.seconds), case.least_records)
    return case.work.with_records(_capped(wanted, case.work))


def _capped(records: int, work: Workload) -> int:
    return min(records, MAX_BYTES // work.record_bytes)


def _add_sample(result: CaseResult, work: Workload, base: Path) -> None:
    try:
        result.samples.append(RUNNERS[result.case.kind](result.case.backend, work, base))
    except RunFailedError as error:
        result.failure = str(error)
        result.samples.clear()
