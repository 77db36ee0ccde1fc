"""Retention as the broker carries it out; its rules are tested with ``retention``."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shmbroker.log import segment
from shmbroker.protocol.messages import (
    BrokerReply,
    ConfigureStorage,
    HoldRetention,
    ReconfigurePartition,
    RetentionHold,
)
from shmbroker.shm.counters import SystemCounter
from shmbrokerd.broker import retainer
from shmbrokerd.broker.upkeep import SHORT_OF_SPACE_INTERVAL_S

DEADLINE_S = 20.0
HOUR_MS = 3_600_000


@pytest.fixture
def fill(bench: Any) -> Callable[..., None]:
    """``fill(*ages_ms)``: a segment for each, of one record."""
    producer = bench.producer()

    def fill(*ages_ms: int, slot: int = 0) -> None:
        log = bench.loop.partitions[slot].log
        now_ms = time.time_ns() // 1_000_000
        for age_ms in ages_ms:
            log.segment_bytes = 400
            producer.send([b"x"], slot=slot, timestamps=[now_ms - age_ms])
            bench.work()
        log.segment_bytes = 1 << 30
        producer.answers()

    return fill


@pytest.fixture
def configure(bench: Any, tmp_path: Path) -> Callable[..., None]:
    def configure(interval_ms: int = HOUR_MS, initial_ms: int = 0, min_free_bytes: int = 0) -> None:
        command = ConfigureStorage(str(tmp_path), min_free_bytes, interval_ms, initial_ms, HOUR_MS)
        assert bench.run(command) == BrokerReply()

    return configure


def keep_up(bench: Any) -> None:
    while bench.upkeep.do_work():
        pass


def bases(bench: Any, slot: int = 0) -> list[int]:
    return segment.list_base_offsets(bench.folder / f"topic-{slot}")


def reconfigure(bench: Any, make_config: Any, slot: int = 0, **config: Any) -> None:
    bench.run(ReconfigurePartition(slot, make_config(**config)))
    keep_up(bench)


def wait_removed(bench: Any) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while any(path.name.startswith(".deleted") for path in bench.folder.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_new_settings_count_at_once(bench: Any, fill: Any, make_config: Any) -> None:
    fill(9 * HOUR_MS, 5 * HOUR_MS, HOUR_MS, 0)
    keep_up(bench)
    assert bases(bench) == [0, 1, 2, 3]
    reconfigure(bench, make_config, retention_ms=6 * HOUR_MS)
    assert bases(bench) == [1, 2, 3]
    assert bench.table.figures(0).log_start == 1
    reconfigure(bench, make_config, retention_bytes=1)
    assert bases(bench) == [3]
    assert bench.values() == [b"x"]
    assert bench.counters.read(SystemCounter.RETENTION_SEGMENTS) == 3
    wait_removed(bench)


def test_rolls_are_counted(bench: Any, fill: Any) -> None:
    fill(0, 0, 0)
    assert bench.counters.read(SystemCounter.ROLLS) == 2


def test_the_size_in_the_table_is_that_of_what_is_left(bench: Any, fill: Any, make_config: Any) -> None:
    fill(0, 0, 0)
    reconfigure(bench, make_config, retention_bytes=1)
    left = sum(path.stat().st_size for path in (bench.folder / "topic-0").glob("*.mdb"))
    assert bench.table.figures(0).log_bytes == left


def test_when_all_has_expired_an_empty_segment_is_left_and_offsets_go_on(
    bench: Any, fill: Any, make_config: Any
) -> None:
    fill(2 * HOUR_MS, 2 * HOUR_MS)
    reconfigure(bench, make_config, retention_ms=HOUR_MS)
    figures = bench.table.figures(0)
    assert bases(bench) == [2]
    assert (figures.log_start, figures.log_end, figures.active_base) == (2, 2, 2)
    keep_up(bench)
    fill(0)
    assert bench.table.figures(0).log_end == 3
    assert bench.values() == [b"x"]


def test_the_first_look_comes_after_the_initial_delay_and_later_ones_after_the_interval(
    bench: Any, fill: Any, configure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    bench.open(1, retention_ms=HOUR_MS)
    fill(2 * HOUR_MS, 0, slot=1)
    configure(interval_ms=300_000, initial_ms=30_000)
    now_s += 29.9
    keep_up(bench)
    assert bases(bench, 1) == [0, 1]
    now_s += 0.2
    keep_up(bench)
    assert bases(bench, 1) == [1]
    fill(2 * HOUR_MS, 0, slot=1)
    now_s += 299
    keep_up(bench)
    assert bases(bench, 1) == [1, 2, 3]
    now_s += 2
    keep_up(bench)
    assert bases(bench, 1) == [1, 2, 3], "the oldest is young"


def test_a_shorter_interval_counts_at_once(
    bench: Any, fill: Any, configure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    configure(interval_ms=HOUR_MS, initial_ms=HOUR_MS)
    bench.open(1, retention_ms=HOUR_MS)
    fill(2 * HOUR_MS, 0, slot=1)
    configure(interval_ms=1000, initial_ms=HOUR_MS)
    now_s += 1.1
    keep_up(bench)
    assert bases(bench, 1) == [1]


def test_all_partitions_have_their_turn(
    bench: Any, fill: Any, configure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retainer, "PARTITIONS_AT_A_TIME", 4)
    for slot in range(1, 16):
        bench.open(slot, retention_ms=HOUR_MS)
        fill(2 * HOUR_MS, 0, slot=slot)
    configure()
    keep_up(bench)
    assert all(bases(bench, slot) == [1] for slot in range(1, 16))


def test_while_room_is_short_retention_looks_at_once_and_more_often(
    bench: Any, fill: Any, configure: Any, make_config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    bench.open(1, retention_ms=HOUR_MS)
    fill(2 * HOUR_MS, 0, 0, slot=1)
    configure(interval_ms=HOUR_MS, initial_ms=HOUR_MS, min_free_bytes=1 << 60)
    keep_up(bench)
    assert bases(bench, 1) == [1, 2]
    assert bench.counters.read(SystemCounter.SPACE_REFUSALS) == 1
    bench.loop.partitions[1].config = make_config(retention_bytes=1)
    now_s += SHORT_OF_SPACE_INTERVAL_S - 1
    keep_up(bench)
    assert bases(bench, 1) == [1, 2]
    now_s += 2
    keep_up(bench)
    assert bases(bench, 1) == [2]


# --- groups ------------------------------------------------------------------------------------------------


def test_nothing_goes_before_the_groups_are_known_and_then_what_they_have_read(
    bench: Any, fill: Any, make_config: Any
) -> None:
    fill(9 * HOUR_MS, 9 * HOUR_MS, 9 * HOUR_MS, 0)
    reconfigure(bench, make_config, retention_ms=HOUR_MS, retention_groups=("g",))
    assert bases(bench) == [0, 1, 2, 3]
    bench.run(HoldRetention([RetentionHold(0, 1, "g"), RetentionHold(7, 1, "g")]))
    keep_up(bench)
    assert bases(bench) == [1, 2, 3]
    bench.run(HoldRetention([RetentionHold(0, 4, "g")]))
    keep_up(bench)
    assert bases(bench) == [3]
    assert bench.counters.read(SystemCounter.RETENTION_OVERRUNS) == 0


def test_above_the_cap_it_goes_with_an_alarm(
    bench: Any, fill: Any, make_config: Any, caplog: pytest.LogCaptureFixture
) -> None:
    fill(9 * HOUR_MS, 5 * HOUR_MS, 0)
    config = {"retention_ms": HOUR_MS, "retention_groups": ("g",), "retention_groups_max_ms": 7 * HOUR_MS}
    reconfigure(bench, make_config, **config)
    bench.run(HoldRetention([RetentionHold(0, 0, "slow-one")]))
    keep_up(bench)
    assert bases(bench) == [1, 2]
    assert bench.counters.read(SystemCounter.RETENTION_OVERRUNS) == 1
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    for word in ("topic [0]", "'slow-one'", "offset 0", "retention.groups.max.ms"):
        assert word in warning


def test_a_topic_that_stops_waiting_for_groups_is_free_at_once(
    bench: Any, fill: Any, make_config: Any
) -> None:
    fill(9 * HOUR_MS, 0)
    reconfigure(bench, make_config, retention_ms=HOUR_MS, retention_groups=("g",))
    assert bases(bench) == [0, 1]
    reconfigure(bench, make_config, retention_ms=HOUR_MS)
    assert bases(bench) == [1]


def test_other_groups_are_not_what_was_known_of_the_first(bench: Any, fill: Any, make_config: Any) -> None:
    reconfigure(bench, make_config, retention_ms=HOUR_MS, retention_groups=("g",))
    bench.run(HoldRetention([RetentionHold(0, 100, "g")]))
    reconfigure(bench, make_config, retention_ms=HOUR_MS, retention_groups=("g", "h"))
    fill(9 * HOUR_MS, 0)
    bench.upkeep.reconfigured(0)
    keep_up(bench)
    assert bases(bench) == [0, 1]


# --- trouble -----------------------------------------------------------------------------------------------


def test_a_log_that_cannot_be_read_disturbs_no_other(
    bench: Any, fill: Any, make_config: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bench.open(1, retention_ms=HOUR_MS)
    for slot in (0, 1):
        fill(9 * HOUR_MS, 0, slot=slot)
    (bench.folder / "topic-0" / segment.file_name(0)).unlink()
    reconfigure(bench, make_config, retention_ms=HOUR_MS)
    reconfigure(bench, make_config, slot=1, retention_ms=HOUR_MS)
    assert bases(bench, 1) == [1]
    assert bench.counters.read(SystemCounter.STORAGE_ERRORS) == 1
    assert "retention of topic [0]" in caplog.text


def test_a_partition_that_was_closed_meanwhile_is_passed_over(bench: Any, fill: Any) -> None:
    bench.open(1, retention_ms=HOUR_MS)
    fill(9 * HOUR_MS, 0, slot=1)
    bench.upkeep.reconfigured(1)
    bench.loop.partitions.pop(1).close()
    assert bench.upkeep.do_work() == 1
    assert bases(bench, 1) == [0, 1]
