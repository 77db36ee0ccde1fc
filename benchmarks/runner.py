"""One run: start the server and the processes, wait until all are ready, let them go, collect the cost."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from benchmarks.backend import Backend, Link
from benchmarks.child import GO, READY, Failure, Job, Report, run_child
from benchmarks.scoreboard import Scoreboard
from benchmarks.stats import percentile
from benchmarks.usage import MIB, cpu_seconds, memory, peak_rss, process_trees
from benchmarks.workload import Workload

START_TIMEOUT_S = 60.0
RUN_TIMEOUT_S = 60.0
LATENCY_WARM_UP_RECORDS = 20
REST_SETTLE_S = 0.5

SPAWN = multiprocessing.get_context("spawn")


class RunFailedError(Exception):
    """A run that gave no number: a child failed, died or took too long."""


@dataclass(frozen=True)
class Sample:
    """What one run gave. `metrics` are named with their unit; CPU and memory are per role."""

    records: int
    seconds: float
    metrics: dict[str, float] = field(default_factory=dict)
    cpu_s: dict[str, float] = field(default_factory=dict)
    peak_rss_mb: dict[str, list[float]] = field(default_factory=dict)


def run_throughput(backend: Backend, work: Workload, base: Path) -> Sample:
    """Send `work` from one side to the other, as fast as it goes."""
    with opened(backend, work, base) as (link, scoreboard):
        if backend.one_process:
            jobs = [Job("both", backend, link, work, 0, scoreboard)]
        else:
            jobs = [Job("consume", backend, link, work, n, scoreboard) for n in range(work.consumers)]
            jobs += [Job("produce", backend, link, work, n, scoreboard) for n in range(work.producers)]
        warm = scoreboard.with_name("warm")
        _use_pages(warm, work.total_bytes)
        reports, server = run_jobs(link, jobs, when_ready=warm.unlink)
    received = sum(report.received for report in reports)
    if received != work.records:
        raise RunFailedError(f"{work.records} records were sent, {received} received")
    start_ns = min(report.start_ns for report in reports if report.role != "consumer")
    seconds = (max(report.end_ns for report in reports if report.role != "producer") - start_ns) / 1e9
    sample = _sample(work, seconds, reports, server)
    sample.metrics["records_per_s"] = work.records / seconds
    sample.metrics["mb_per_s"] = work.total_bytes / seconds / 1e6
    sample.metrics["cpu_s_per_million"] = sum(sample.cpu_s.values()) * 1e6 / work.records
    return sample


def run_latency(backend: Backend, work: Workload, base: Path) -> Sample:
    """Send single records at a low rate and time each until the other process has it."""
    with opened(backend, work, base) as (link, scoreboard):
        jobs = [
            Job("receive_stamps", backend, link, work, 0, scoreboard),
            Job("send_stamps", backend, link, work, 0, scoreboard),
        ]
        reports, server = run_jobs(link, jobs)
    latencies_ns = [ns for report in reports for ns in report.latencies_ns][LATENCY_WARM_UP_RECORDS:]
    seconds = (max(report.end_ns for report in reports) - min(report.start_ns for report in reports)) / 1e9
    sample = _sample(work, seconds, reports, server)
    sample.metrics["p50_us"] = percentile(latencies_ns, 50) / 1e3
    sample.metrics["p99_us"] = percentile(latencies_ns, 99) / 1e3
    return sample


def run_rest(backend: Backend, work: Workload, base: Path) -> Sample:
    """Start the server and time its first acknowledgement; start it again, leave it alone, and look at its memory."""
    first_ack_s = _time_first_ack(backend, work, base)
    with opened(backend, work, base) as (link, _):
        time.sleep(REST_SETTLE_S)
        processes = process_trees(link.server_pids)
        rest = memory(processes)
        metrics = {"rss_mb": rest.rss / MIB, "pss_mb": rest.pss / MIB, "processes": float(len(processes))}
    metrics["first_ack_ms"] = first_ack_s * 1e3
    return Sample(records=0, seconds=REST_SETTLE_S, metrics=metrics)


def _time_first_ack(backend: Backend, work: Workload, base: Path) -> float:
    """Seconds from nothing at all to the first acknowledged record, in this process, which has the client loaded."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=base) as name:
        began = time.monotonic()
        with backend.open(work, Path(name)) as link:
            side = backend.producer(link, work, 0, low_latency=True)
            side.send_one(bytes(work.record_bytes))
            side.close()
            return time.monotonic() - began


@contextmanager
def opened(backend: Backend, work: Workload, base: Path) -> Iterator[tuple[Link, Path]]:
    with tempfile.TemporaryDirectory(prefix="bench-", dir=base) as name:
        directory = Path(name)
        data = directory / "data"
        data.mkdir()
        scoreboard = directory / "scoreboard"
        Scoreboard.create(scoreboard)
        with backend.open(work, data) as link:
            # What earlier runs left to be written back must not slow this one down.
            os.sync()
            yield link, scoreboard


def _use_pages(path: Path, size: int) -> None:
    """Write `size` bytes, which are to be deleted when the run begins.

    In a virtual machine the first use of a page of free memory costs many times what it costs afterwards,
    and the host takes free pages back within two seconds: without this a run pays for it or not, by chance, and
    the longer its processes take to start.
    """
    with path.open("wb", buffering=0) as file:
        for _ in range(0, size, MIB):
            file.write(bytes(MIB))


@dataclass
class _Child:
    role: str
    process: BaseProcess
    pipe: Connection


@dataclass(frozen=True)
class ServerUse:
    """What a run cost the processes of the server."""

    cpu_s: float
    peak_rss_mb: list[float]


def run_jobs(
    link: Link, jobs: list[Job], when_ready: Callable[[], None] = lambda: None
) -> tuple[list[Report], ServerUse]:
    """Start a process for each job, let them go at once when all are ready, and wait for their reports.

    Raises RunFailedError when one fails, dies or takes too long.
    """
    children: list[_Child] = []
    try:
        children += [_spawn(job) for job in jobs]
        for message in _collect(children, START_TIMEOUT_S):
            if message != READY:
                raise RunFailedError(f"not ready: {message}")
        when_ready()
        servers = process_trees(link.server_pids)
        cpu_s = cpu_seconds(servers)
        for child in children:  # consumers stand first in the list: they wait when the first record comes
            child.pipe.send(GO)
        reports = _collect(children, RUN_TIMEOUT_S)
        # The CPU time of the close is in here too: it is part of what the records cost.
        cpu_s = cpu_seconds(servers) - cpu_s
        peaks = [peak_rss(process.pid) / MIB for process in servers]
        for child in children:
            child.process.join(START_TIMEOUT_S)
    finally:
        _end(children)
    return [report for report in reports if isinstance(report, Report)], ServerUse(cpu_s, peaks)


def _spawn(job: Job) -> _Child:
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=run_child, args=(theirs, job), daemon=True)
    process.start()
    theirs.close()
    return _Child(job.role, process, ours)


def _collect(children: list[_Child], timeout_s: float) -> list[object]:
    """One message from every child, in the order of `children`.

    Raises:
        RunFailedError: a child failed, died, or did not answer in time.
    """
    deadline = time.monotonic() + timeout_s
    messages: dict[Connection, object] = {}
    while len(messages) < len(children):
        waiting = [child.pipe for child in children if child.pipe not in messages]
        ready = wait(waiting, max(0.0, deadline - time.monotonic()))
        if not ready:
            raise RunFailedError(
                f"{len(waiting)} of {len(children)} processes did not answer in {timeout_s:g} s"
            )
        for pipe in ready:
            assert isinstance(pipe, Connection)
            messages[pipe] = _receive(next(child for child in children if child.pipe is pipe))
    return [messages[child.pipe] for child in children]


def _receive(child: _Child) -> object:
    try:
        message = child.pipe.recv()
    except EOFError:
        child.process.join(START_TIMEOUT_S)
        raise RunFailedError(f"{child.role}: died with exit code {child.process.exitcode}") from None
    if isinstance(message, Failure):
        raise RunFailedError(f"{message.role}: {message.reason.strip()}")
    return message


def _end(children: list[_Child]) -> None:
    for child in children:
        child.pipe.close()
        if child.process.is_alive():
            child.process.kill()
        child.process.join()
        child.process.close()


def _sample(work: Workload, seconds: float, reports: list[Report], server: ServerUse) -> Sample:
    sample = Sample(work.records, seconds)
    for report in reports:
        sample.cpu_s[report.role] = sample.cpu_s.get(report.role, 0.0) + report.cpu_s
        sample.peak_rss_mb.setdefault(report.role, []).append(report.peak_rss_bytes / MIB)
    if server.peak_rss_mb:
        sample.cpu_s["server"] = server.cpu_s
        sample.peak_rss_mb["server"] = server.peak_rss_mb
    return sample
