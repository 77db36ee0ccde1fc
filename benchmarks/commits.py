"""Commits per second: members of a group that wait for each commit, and members that do not."""

from __future__ import annotations

from pathlib import Path

from benchmarks.backend import Backend
from benchmarks.child import Job, Report
from benchmarks.runner import Sample, opened, run_jobs
from benchmarks.scoreboard import Scoreboard
from benchmarks.stats import percentile
from benchmarks.workload import Workload


def run_commits(backend: Backend, work: Workload, base: Path) -> Sample:
    """`work.consumers` members, each of which owns a partition and makes an equal share of `work.records` commits."""
    metrics: dict[str, float] = {}
    seconds = 0.0
    cpu_s: dict[str, float] = {}
    with opened(backend, work, base) as (link, scoreboard):
        for how in ("sync", "async"):
            role = f"commit_{how}"
            board = scoreboard.with_name(how)
            Scoreboard.create(board)
            jobs = [Job(role, backend, link, work, number, board) for number in range(work.consumers)]
            reports, server = run_jobs(link, jobs)
            took_s = _seconds(reports)
            metrics[f"{how}_per_s"] = work.records / took_s
            metrics[f"{how}_daemon_cpu_us"] = server.cpu_s * 1e6 / work.records
            latencies_ns = [ns for report in reports for ns in report.latencies_ns]
            metrics[f"{how}_p50_us"] = percentile(latencies_ns, 50) / 1e3
            metrics[f"{how}_p99_us"] = percentile(latencies_ns, 99) / 1e3
            cpu_s[how] = sum(report.cpu_s for report in reports)
            seconds += took_s
    return Sample(work.records, seconds, metrics, cpu_s)


def _seconds(reports: list[Report]) -> float:
    return (max(report.end_ns for report in reports) - min(report.start_ns for report in reports)) / 1e9
