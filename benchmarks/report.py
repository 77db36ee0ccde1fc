"""The tables a person reads."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from benchmarks.backend import Durability
from benchmarks.plan import Kind
from benchmarks.runner import Sample
from benchmarks.session import CaseResult
from benchmarks.stats import Summary
from benchmarks.targets import Verdict

REFERENCE = {Durability.CRASH: "redis-everysec", Durability.POWER: "redis-always"}
"""What a row is compared with: Redis when an acknowledged record survives the same."""

NOTHING = "-"


def table_of(results: Sequence[CaseResult]) -> Table:
    """The table of one group of cases."""
    kind = results[0].case.kind
    if kind is Kind.LATENCY:
        return _latency_table(results)
    if kind is Kind.REST:
        return _rest_table(results)
    if kind is Kind.LAG:
        return _lag_table(results)
    if kind is Kind.REBALANCE:
        return _rebalance_table(results)
    if kind is Kind.COMMITS:
        return _commits_table(results)
    if kind is Kind.ISOLATION:
        return _isolation_table(results)
    if kind is Kind.COMPACTION:
        return _compaction_table(results)
    if kind is Kind.TRANSACTIONS:
        return _transactions_table(results)
    if kind is Kind.DISK_SPACE:
        return _disk_space_table(results)
    if kind is Kind.START_TIME:
        return _start_time_table(results)
    if kind is Kind.RECOVERY:
        return _recovery_table(results)
    return _throughput_table(results)


def targets_table(verdicts: Sequence[Verdict]) -> Table:
    table = _table("targets", ("target", "left"), ("wanted", "right"), ("measured", "right"), ("", "left"))
    words = {True: "[green]reached[/]", False: "[red]missed[/]", None: "[dim]not measured[/]"}
    for verdict in verdicts:
        target = verdict.target
        limit = f">= {target.at_least:g}" if target.at_least is not None else f"<= {target.at_most:g}"
        unit = "x" if target.against else ""
        measured = NOTHING if verdict.measured is None else f"{verdict.measured:.2f}{unit}"
        table.add_row(target.title, limit + unit, measured, words[verdict.reached])
    return table


def ratio(result: CaseResult, results: Sequence[CaseResult], metric: str) -> float | None:
    """How a row compares with Redis of the same durability in the same group; None without a counterpart."""
    reference = REFERENCE.get(result.case.backend.durability)
    ours = result.summary(metric)
    for other in results:
        theirs = other.summary(metric)
        if other.case.label == reference and ours is not None and theirs is not None:
            return ours.median / theirs.median
    return None


def _throughput_table(results: Sequence[CaseResult]) -> Table:
    table = _table(
        results[0].case.group,
        ("", "left"),
        ("survives", "left"),
        ("records/s", "right"),
        ("min - max", "right"),
        ("MB/s", "right"),
        ("x Redis", "right"),
        ("CPU s / M records", "right"),
        ("peak MB: producer, consumer, server", "left"),
    )
    for result in results:
        rate, volume, cpu = (
            result.summary(name) for name in ("records_per_s", "mb_per_s", "cpu_s_per_million")
        )
        if rate is None or volume is None or cpu is None:
            table.add_row(result.case.label, result.case.backend.durability, "[red]failed[/]")
            continue
        table.add_row(
            result.case.label,
            result.case.backend.durability,
            f"{rate.median:,.0f}",
            f"{rate.low:,.0f} - {rate.high:,.0f}",
            f"{volume.median:,.1f}",
            _times(ratio(result, results, "records_per_s")),
            _cpu(result, cpu),
            _peaks(result),
        )
    return table


def _latency_table(results: Sequence[CaseResult]) -> Table:
    table = _table(
        "one record at a low rate",
        ("", "left"),
        ("survives", "left"),
        ("p50 us", "right"),
        ("min - max", "right"),
        ("p99 us", "right"),
        ("p50 x Redis", "right"),
    )
    for result in results:
        p50, p99 = result.summary("p50_us"), result.summary("p99_us")
        if p50 is None or p99 is None:
            table.add_row(result.case.label, result.case.backend.durability, "[red]failed[/]")
            continue
        table.add_row(
            result.case.label,
            result.case.backend.durability,
            f"{p50.median:,.0f}",
            f"{p50.low:,.0f} - {p50.high:,.0f}",
            f"{p99.median:,.0f}",
            _times(ratio(result, results, "p50_us")),
        )
    return table


def _rest_table(results: Sequence[CaseResult]) -> Table:
    columns = {
        "processes": "processes",
        "RSS MB": "rss_mb",
        "PSS MB": "pss_mb",
        "first ack ms": "first_ack_ms",
    }
    table = _table("server at rest", ("", "left"), *((title, "right") for title in columns))
    for result in results:
        figures = [result.summary(metric) for metric in columns.values()]
        if None in figures:
            table.add_row(result.case.label, "[red]failed[/]")
            continue
        table.add_row(result.case.label, *(f"{figure.median:,.4g}" for figure in figures if figure))
    return table


def _lag_table(results: Sequence[CaseResult]) -> Table:
    table = _table(
        "judging groups by their commits",
        ("", "left"),
        ("all groups ms", "right"),
        ("min - max", "right"),
        ("us / partition", "right"),
        ("daemon CPU ms", "right"),
        ("others' p99 ms", "right"),
        ("commit us / offset", "right"),
        ("main process RSS MB", "right"),
    )
    names = ("evaluation_us_per_partition", "cpu_ms", "bystander_p99_ms", "commit_us_per_offset", "rss_mb")
    for result in results:
        whole = result.summary("evaluation_ms")
        if whole is None:
            table.add_row(result.case.label, "[red]failed[/]")
            continue
        others = [result.summary(name) for name in names]
        table.add_row(
            result.case.label,
            f"{whole.median:,.1f}",
            f"{whole.low:,.1f} - {whole.high:,.1f}",
            *(NOTHING if summary is None else f"{summary.median:,.2f}" for summary in others),
        )
    return table


def _compaction_table(results: Sequence[CaseResult]) -> Table:
    columns = {
        "plain_records_per_s": "not compacted records/s",
        "compacting_records_per_s": "compacted meanwhile records/s",
        "drop_percent": "slower by %",
        "cleaner_peak_rss_mb": "cleaner peak RSS MB",
        "written_mb": "written MB",
        "left_mb": "left MB",
        "passes": "passes",
    }
    table = _table(
        "producing to a compacted topic", ("", "left"), *((name, "right") for name in columns.values())
    )
    for result in results:
        figures = [result.summary(name) for name in columns]
        cells = [NOTHING if figure is None else f"{figure.median:,.4g}" for figure in figures]
        table.add_row(result.case.label, *(["[red]failed[/]"] if result.failure else cells))
    return table


def _rebalance_table(results: Sequence[CaseResult]) -> Table:
    columns = {
        "all join ms": "first_ms",
        "one joins p50 ms": "rebalance_p50_ms",
        "p99 ms": "rebalance_p99_ms",
        "killed, read by another p50 ms": "handover_p50_ms",
        "p99 ms ": "handover_p99_ms",
    }
    return _figures("rebalancing a group", columns, results)


def _commits_table(results: Sequence[CaseResult]) -> Table:
    columns = {
        "sync commits/s": "sync_per_s",
        "p50 us": "sync_p50_us",
        "p99 us": "sync_p99_us",
        "daemon CPU us": "sync_daemon_cpu_us",
        "async commits/s": "async_per_s",
        "answered p50 us": "async_p50_us",
        "p99 us ": "async_p99_us",
        "daemon CPU us ": "async_daemon_cpu_us",
    }
    return _figures("commits of one group, all members together", columns, results)


def _transactions_table(results: Sequence[CaseResult]) -> Table:
    columns = {
        "transactions/s": "transactions_per_s",
        "records/s": "transaction_records_per_s",
        "p50 ms": "transaction_p50_ms",
        "p99 ms": "transaction_p99_ms",
        "daemon CPU us": "transaction_daemon_cpu_us",
    }
    return _figures("transactions of one producer, one after the other", columns, results)


def _disk_space_table(results: Sequence[CaseResult]) -> Table:
    columns = {
        "disk / payload": "disk_per_payload",
        "file sizes / payload": "files_per_payload",
        "disk bytes / record": "bytes_per_record",
        "segments": "segments",
    }
    return _figures("bytes on the disk against bytes of records", columns, results, digits=2)


def _start_time_table(results: Sequence[CaseResult]) -> Table:
    columns = {
        "ready ms": "start_ms",
        "first ack ms": "first_ack_ms",
        "ready after kill ms": "start_after_kill_ms",
        "create ms": "create_ms",
        "PSS MB": "pss_mb",
        "descriptors": "descriptors",
    }
    return _figures("starting a daemon with a record in each partition", columns, results)


def _recovery_table(results: Sequence[CaseResult]) -> Table:
    columns = {
        "checked ms": "checked_ms",
        "rebuilt ms": "rebuilt_ms",
        "same boot ms": "same_boot_ms",
        "MB / segment": "segment_mb",
        "checked MB/s": "checked_mb_per_s",
    }
    return _figures("starting a daemon after a power loss", columns, results)


def _figures(title: str, columns: dict[str, str], results: Sequence[CaseResult], *, digits: int = 1) -> Table:
    """The medians of the metrics that the columns name; the first of them is always there when a case did not fail."""
    table = _table(title, ("", "left"), *((name, "right") for name in columns))
    for result in results:
        figures = [result.summary(metric) for metric in columns.values()]
        if figures[0] is None:
            table.add_row(result.case.label, "[red]failed[/]")
            continue
        table.add_row(
            result.case.label,
            *(NOTHING if each is None else f"{each.median:,.{digits}f}" for each in figures),
        )
    return table


def _isolation_table(results: Sequence[CaseResult]) -> Table:
    columns = {
        "read_uncommitted records/s": "read_uncommitted_records_per_s",
        "read_committed records/s": "read_committed_records_per_s",
    }
    table = _table(
        "a log with 10 % aborted transactions",
        ("", "left"),
        *((title, "right") for title in columns),
        ("time of read_committed", "right"),
        ("min - max", "right"),
    )
    for result in results:
        ratio_of_times = result.summary("committed_time_ratio")
        rates = [result.summary(metric) for metric in columns.values()]
        if ratio_of_times is None or None in rates:
            table.add_row(result.case.label, "[red]failed[/]")
            continue
        table.add_row(
            result.case.label,
            *(f"{rate.median:,.0f}" for rate in rates if rate),
            f"{ratio_of_times.median:.2f}x",
            f"{ratio_of_times.low:.2f} - {ratio_of_times.high:.2f}",
        )
    return table


def _table(title: str, *columns: tuple[str, str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for name, side in columns:
        table.add_column(name, justify="right" if side == "right" else "left", overflow="fold")
    return table


def _times(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}x"


def _cpu(result: CaseResult, total: Summary) -> str:
    """The total, and in parentheses what each role used."""
    sample = _median_sample(result)
    parts = [
        f"{seconds * 1e6 / sample.records:.2f}"
        for _, seconds in sorted(sample.cpu_s.items(), key=_role_order)
    ]
    return f"{total.median:.2f} ({' + '.join(parts)})" if len(parts) > 1 else f"{total.median:.2f}"


def _peaks(result: CaseResult) -> str:
    """The largest process of each role, times their number."""
    sample = _median_sample(result)
    peaks = [values for _, values in sorted(sample.peak_rss_mb.items(), key=_role_order)]
    return ", ".join(
        f"{max(values):.0f}" + (f" (of {len(values)})" if len(values) > 1 else "") for values in peaks
    )


def _median_sample(result: CaseResult) -> Sample:
    return sorted(result.samples, key=lambda sample: sample.seconds / max(1, sample.records))[
        len(result.samples) // 2
    ]


def _role_order(item: tuple[str, object]) -> int:
    return ("producer", "both", "consumer", "server").index(item[0])
