"""What the child processes do: connect, report ready, wait for the start, work, report what it cost."""

from __future__ import annotations

import struct
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.backend import Backend, Link
from benchmarks.committer import Committer
from benchmarks.lifeline import die_with_parent
from benchmarks.scoreboard import Scoreboard
from benchmarks.tally import BrokenDeliveryError, Tally
from benchmarks.usage import peak_rss
from benchmarks.workload import RecordSource, Workload

STAMP = struct.Struct("<Q")
LATENCY_INTERVAL_S = 0.002
"""Pause between two records of a latency run: long enough for both sides to fall asleep."""
LATENCY_TIMEOUT_S = 10.0

READY = "ready"
GO = "go"


@dataclass(frozen=True)
class Job:
    """One child's part in a run."""

    role: str  # a key of ROLES
    backend: Backend
    link: Link
    work: Workload
    number: int
    scoreboard: Path


@dataclass(frozen=True)
class Report:
    """What one child measured. Times are CLOCK_MONOTONIC, the same clock in every process."""

    role: str
    start_ns: int
    end_ns: int
    received: int = 0
    cpu_s: float = 0.0
    peak_rss_bytes: int = 0
    latencies_ns: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Failure:
    """Why a child could not do its part."""

    role: str
    reason: str


def run_child(pipe: Connection, job: Job) -> None:
    """Entry point of a child process."""
    die_with_parent()
    try:
        report = ROLES[job.role](job, lambda: _wait_for_go(pipe))
    except BrokenDeliveryError as error:
        pipe.send(Failure(job.role, str(error)))
    except Exception:
        pipe.send(Failure(job.role, traceback.format_exc()))
    else:
        pipe.send(report)


def _wait_for_go(pipe: Connection) -> None:
    pipe.send(READY)
    if pipe.recv() != GO:
        raise RuntimeError("the runner gave up before the start")


def produce(job: Job, ready: Callable[[], None]) -> Report:
    source = RecordSource(job.work, job.number)
    side = job.backend.producer(job.link, job.work, job.number, low_latency=False)
    ready()
    cpu_s, start_ns = time.process_time(), time.monotonic_ns()
    side.produce(source)
    end_ns, cpu_s = time.monotonic_ns(), time.process_time() - cpu_s
    side.close()
    return Report("producer", start_ns, end_ns, 0, cpu_s, peak_rss())


def consume(job: Job, ready: Callable[[], None]) -> Report:
    tally = Tally(job.work, Scoreboard(job.scoreboard), job.number)
    side = job.backend.consumer(job.link, job.work, job.number, low_latency=False)
    ready()
    cpu_s, start_ns = time.process_time(), time.monotonic_ns()
    side.consume(tally)
    cpu_s = time.process_time() - cpu_s
    side.close()
    tally.verify()
    return Report("consumer", start_ns, tally.last_ns, tally.received, cpu_s, peak_rss())


def produce_and_consume(job: Job, ready: Callable[[], None]) -> Report:
    tally = Tally(job.work, Scoreboard(job.scoreboard), job.number)
    source = RecordSource(job.work, job.number)
    ready()
    cpu_s, start_ns = time.process_time(), time.monotonic_ns()
    job.backend.produce_and_consume(job.link, source, tally)
    cpu_s = time.process_time() - cpu_s
    tally.verify()
    return Report("both", start_ns, tally.last_ns, tally.received, cpu_s, peak_rss())


def send_stamps(job: Job, ready: Callable[[], None]) -> Report:
    """Send the time, wait until the other process has it, pause, send the next."""
    scoreboard = Scoreboard(job.scoreboard)
    side = job.backend.producer(job.link, job.work, job.number, low_latency=True)
    padding = bytes(job.work.record_bytes - STAMP.size)
    ready()
    cpu_s, start_ns = time.process_time(), time.monotonic_ns()
    for sent in range(job.work.records):
        if not scoreboard.wait_for(sent, LATENCY_TIMEOUT_S):
            raise BrokenDeliveryError(f"record {sent} did not arrive within {LATENCY_TIMEOUT_S:g} s")
        time.sleep(LATENCY_INTERVAL_S)
        side.send_one(STAMP.pack(time.monotonic_ns()) + padding)
    end_ns, cpu_s = time.monotonic_ns(), time.process_time() - cpu_s
    scoreboard.wait_for(job.work.records, LATENCY_TIMEOUT_S)
    side.close()
    return Report("producer", start_ns, end_ns, 0, cpu_s, peak_rss())


def receive_stamps(job: Job, ready: Callable[[], None]) -> Report:
    """Receive times and compare them with now."""
    scoreboard = Scoreboard(job.scoreboard)
    side = job.backend.consumer(job.link, job.work, job.number, low_latency=True)
    latencies_ns: list[int] = []
    ready()
    cpu_s, start_ns = time.process_time(), time.monotonic_ns()
    give_up_ns = start_ns + int(LATENCY_TIMEOUT_S * 1e9)
    while len(latencies_ns) < job.work.records:
        values = side.receive()
        now_ns = time.monotonic_ns()
        if values:
            give_up_ns = now_ns + int(LATENCY_TIMEOUT_S * 1e9)
        elif now_ns > give_up_ns:
            raise BrokenDeliveryError(
                f"nothing arrived for {LATENCY_TIMEOUT_S:g} s after {len(latencies_ns)} records"
            )
        latencies_ns += [now_ns - STAMP.unpack_from(value)[0] for value in values]
        side.acknowledge()
        scoreboard.publish(job.number, len(latencies_ns))
    end_ns, cpu_s = time.monotonic_ns(), time.process_time() - cpu_s
    side.close()
    return Report("consumer", start_ns, end_ns, len(latencies_ns), cpu_s, peak_rss(), latencies_ns)


def commit_sync(job: Job, ready: Callable[[], None]) -> Report:
    return _commit(job, ready, "sync", Committer.commit_sync)


def commit_async(job: Job, ready: Callable[[], None]) -> Report:
    return _commit(job, ready, "async", Committer.commit_async)


def _commit(
    job: Job, ready: Callable[[], None], group: str, commit: Callable[[Committer, int], None]
) -> Report:
    """This member's share of the commits. It is ready when the partitions are shared."""
    committer = Committer(job.link.address, group)
    committer.join(Scoreboard(job.scoreboard), job.number, job.work.consumers)
    ready()
    cpu_s, start_ns = time.process_time(), time.monotonic_ns()
    commit(committer, job.work.records // job.work.consumers)
    end_ns, cpu_s = time.monotonic_ns(), time.process_time() - cpu_s
    committer.close()
    return Report("committer", start_ns, end_ns, 0, cpu_s, peak_rss(), committer.latencies_ns)


ROLES: dict[str, Callable[[Job, Callable[[], None]], Report]] = {
    "produce": produce,
    "consume": consume,
    "both": produce_and_consume,
    "send_stamps": send_stamps,
    "receive_stamps": receive_stamps,
    "commit_sync": commit_sync,
    "commit_async": commit_async,
}
