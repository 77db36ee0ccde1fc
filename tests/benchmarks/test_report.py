from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table

from benchmarks.backend import Backend
from benchmarks.backends.redis_streams import RedisBackend
from benchmarks.backends.sqlite_wal import SqliteBackend
from benchmarks.backends.zeromq import ZeroMqBackend
from benchmarks.plan import Case, Kind
from benchmarks.report import ratio, table_of, targets_table
from benchmarks.runner import Sample
from benchmarks.session import CaseResult
from benchmarks.targets import Target, Verdict
from benchmarks.workload import Workload


def result(backend: Backend, *rates: float) -> CaseResult:
    case = Case("throughput/100B", backend.name, Kind.THROUGHPUT, backend, Workload(100))
    samples = [
        Sample(
            records=1000,
            seconds=1000 / rate,
            metrics={"records_per_s": rate, "mb_per_s": rate / 1e4, "cpu_s_per_million": 3.0},
            cpu_s={"producer": 0.002, "consumer": 0.001},
            peak_rss_mb={"consumer": [20.0, 22.0], "producer": [30.0]},
        )
        for rate in rates
    ]
    return CaseResult(case, samples)


def rendered(table: Table) -> str:
    output = io.StringIO()
    Console(file=output, width=200).print(table)
    return output.getvalue()


def test_a_row_is_compared_with_redis_of_the_same_durability() -> None:
    group = [
        result(RedisBackend("everysec"), 100.0),
        result(RedisBackend("always"), 50.0),
        result(SqliteBackend("FULL"), 600.0),
        result(ZeroMqBackend(), 900.0),
    ]
    assert ratio(group[2], group, "records_per_s") == 12
    assert ratio(group[3], group, "records_per_s") is None


def test_a_row_without_its_counterpart_has_no_ratio() -> None:
    group = [result(RedisBackend("everysec"), 100.0), result(SqliteBackend("FULL"), 600.0)]
    assert ratio(group[1], group, "records_per_s") is None


def test_the_table_shows_median_spread_cost_and_memory() -> None:
    text = rendered(table_of([result(SqliteBackend("NORMAL"), 1000.0, 3000.0, 2000.0)]))
    assert "2,000" in text
    assert "1,000 - 3,000" in text
    assert "3.00 (2.00 + 1.00)" in text
    assert "30, 22 (of 2)" in text


def test_a_failed_row_stays_in_the_table() -> None:
    broken = result(ZeroMqBackend())
    broken.failure = "it broke"
    assert "failed" in rendered(table_of([broken]))


def test_the_targets_table_says_reached_missed_and_not_measured() -> None:
    ratio_target = Target("twelve times", "records_per_s", "ours", "theirs", at_least=12)
    memory_target = Target("memory", "rss_mb", "ours", at_most=80)
    text = rendered(
        targets_table(
            [Verdict(ratio_target, 12.5), Verdict(memory_target, 81.0), Verdict(memory_target, None)]
        )
    )
    reached, missed, unknown = [line for line in text.splitlines() if "twelve" in line or "memory" in line]
    assert ">= 12x" in reached and "12.50x" in reached and reached.rstrip().endswith("reached")
    assert "<= 80" in missed and missed.rstrip().endswith("missed")
    assert unknown.rstrip().endswith("not measured")
