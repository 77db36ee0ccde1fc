"""The command line: `python -m benchmarks soak`, half a minute; `--rolls 20000 --seconds 36000` for hours."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from benchmarks.soak import plot, table
from benchmarks.soak.load import GROUP, PARTITIONS, TIMEOUT_S, TOPIC, Load
from benchmarks.soak.samples import Sample, grown, take
from benchmarks.usage import MIB, process_trees

RESULTS = Path(__file__).parents[1] / "results"
WORK_DIR = Path("/var/tmp")
SEGMENT_BYTES = MIB
"""The least that a topic may have."""
CONFIG: dict[str, Any] = {
    "log.segment.bytes": SEGMENT_BYTES,
    "log.retention.check.interval.ms": 500,
    "log.initial.task.delay.ms": 0,
    "log.cleaner.backoff.ms": 100,
}
TOPIC_CONFIG = {"retention.bytes": str(4 * SEGMENT_BYTES), "retention.groups": GROUP, "flush.ms": "1000"}
TABLE_CONFIG = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.2",
    "delete.retention.ms": "1000",
}


def main(arguments: Sequence[str]) -> int:
    """Run the soak; 0 when nothing was lost and nothing grew."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="soak-", dir=options.work_dir) as folder:
        samples = _soak(options, Path(folder))
    path = options.out / f"soak-{datetime.now():%Y%m%d-%H%M%S}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    complaints = grown(samples)
    result = {"segment_bytes": SEGMENT_BYTES, "complaints": complaints}
    path.write_text(json.dumps(result | {"samples": [sample._asdict() for sample in samples]}, indent=1))
    _say(f"wrote {path}")
    if importlib.util.find_spec("matplotlib") is None:
        _say("no plot: matplotlib is not installed (pip install matplotlib)")
    else:
        plot.draw(path.with_suffix(".png"), samples)
        _say(f"wrote {path.with_suffix('.png')}")
    for complaint in complaints:
        _say(f"not flat: {complaint}")
    return 1 if complaints else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks soak",
        description="Produce, consume, roll, delete and compact segments of 1 MiB, and watch what the daemon holds.",
    )
    parser.add_argument("--rolls", type=int, default=10_000, help="end after so many (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=30.0, help="or after so long (default: %(default)g)")
    parser.add_argument(
        "--at-least", type=float, default=10.0, metavar="S", help="but not before (default: %(default)g)"
    )
    parser.add_argument(
        "--rate", type=float, default=0.0, metavar="MB", help="MB/s; default: what the disk takes"
    )
    parser.add_argument(
        "--interval", type=float, default=0.5, metavar="S", help="between samples (default: %(default)g)"
    )
    parser.add_argument(
        "--out", type=Path, default=RESULTS, help="where the JSON and PNG go (default: %(default)s)"
    )
    parser.add_argument(
        "--work-dir", type=Path, default=WORK_DIR, help="where the data is (default: %(default)s)"
    )
    return parser


def _soak(options: argparse.Namespace, folder: Path) -> list[Sample]:
    from shmbroker.shm.counters import CountersFile, SystemCounter
    from shmclient.admin import AdminClient, NewTopic
    from shmclient.testing import EmbeddedBroker

    with EmbeddedBroker(config=CONFIG, data_dir=folder / "data") as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        topics = (TOPIC, PARTITIONS, TOPIC_CONFIG), (table.TOPIC, table.PARTITIONS, TABLE_CONFIG)
        created = admin.create_topics(
            [NewTopic(name, count, config=config) for name, count, config in topics]
        )
        for future in created.values():
            future.result(TIMEOUT_S)
        counters = CountersFile.open(broker.runtime_dir / "counters")
        daemons = _processes(broker.pid)
        load = Load(broker.bootstrap_servers, options.rate * 1e6)

        def counts() -> tuple[int, int, int, int]:
            wanted = SystemCounter.ROLLS, SystemCounter.RETENTION_SEGMENTS, SystemCounter.CLEANER_PASSES
            rolls, deleted, compactions = (counters.read(counter) for counter in wanted)
            return rolls, deleted, compactions, load.received

        try:
            load.start()
            samples = _watch(options, load, counts, broker.data_dir, daemons)
        finally:
            load.stop()
            counters.close()
        if samples[-1].deleted_segments == 0:
            raise RuntimeError("retention deleted nothing: the soak proved nothing")
        if samples[-1].compactions == 0:
            raise RuntimeError("nothing was compacted: the soak proved nothing")
    return samples


def _processes(pid: int) -> list[psutil.Process]:
    """The daemon's, once its cleaner has been started for the compacted topic."""
    deadline = time.monotonic() + TIMEOUT_S
    while not any("shmbrokerd.cleaner" in process.cmdline() for process in process_trees([pid])):
        if time.monotonic() > deadline:
            raise RuntimeError(f"no cleaner process was started in {TIMEOUT_S:g} s")
        time.sleep(0.01)
    return process_trees([pid])


def _watch(
    options: argparse.Namespace, load: Load, counts: Any, data_dir: Path, daemons: list[psutil.Process]
) -> list[Sample]:
    samples: list[Sample] = []
    began = last_said = time.monotonic()
    while not samples or (samples[-1].seconds < options.seconds and not _is_enough(samples[-1], options)):
        time.sleep(options.interval)
        load.check()
        now = time.monotonic()
        samples.append(take(now - began, counts(), data_dir, daemons))
        if now - last_said > 5:
            last_said = now
            _say(_line(samples[-1]))
    _say(_line(samples[-1]))
    return samples


def _is_enough(sample: Sample, options: argparse.Namespace) -> bool:
    """``at_least``: retention comes twice a second, and what is on the disk goes up and down with it."""
    is_settled = sample.seconds >= options.at_least and sample.deleted_segments > 0 and sample.compactions > 0
    return is_settled and sample.rolls >= options.rolls


def _line(sample: Sample) -> str:
    return (
        f"{sample.seconds:8.1f} s  {sample.rolls:7d} rolls  {sample.deleted_segments:7d} deleted"
        f"  {sample.compactions:6d} compactions"
        f"  {sample.disk_mb:7.1f} MB on disk  {sample.daemon_uss_mb:6.1f} MB of memory"
        f"  {sample.daemon_descriptors:4d} descriptors  {sample.reader_slots} reader slots"
    )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
