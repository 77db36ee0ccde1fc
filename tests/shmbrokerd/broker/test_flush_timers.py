from __future__ import annotations

import time
from typing import Any

import pytest

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol.messages import ReconfigurePartition
from shmbroker.shm.counters import SystemCounter

ALL = -1


@pytest.fixture
def flushes(bench: Any) -> Any:
    """``flushes()``: how many there were."""
    return lambda: bench.counters.read(SystemCounter.FLUSHES)


def send(bench: Any, producer: Any, records: int = 1, acks: int = 1, slot: int = 1) -> None:
    producer.send([b"x"] * records, acks=acks, slot=slot)
    bench.work()


def test_nothing_is_flushed_by_itself_unless_asked_for(bench: Any, flushes: Any) -> None:
    bench.open(1)
    send(bench, bench.producer(), 1000)
    bench.loop.flush_timers.do_work(time.monotonic() + 1e9)
    bench.work()
    assert flushes() == 0


def test_so_many_records_are_flushed_together(bench: Any, flushes: Any) -> None:
    bench.open(1, flush_messages=10)
    producer = bench.producer()
    send(bench, producer, 6)
    send(bench, producer, 3)
    assert flushes() == 0
    send(bench, producer, 1)
    assert flushes() == 1
    send(bench, producer, 9)
    assert flushes() == 1


def test_records_are_flushed_so_long_after_the_first_of_them(bench: Any, flushes: Any) -> None:
    bench.open(1, flush_ms=10_000)
    producer = bench.producer()
    send(bench, producer)
    due_s = bench.loop.flush_timers.next_due_s
    assert 5 < due_s - time.monotonic() <= 10
    send(bench, producer)
    assert bench.loop.flush_timers.next_due_s == due_s, "the first one counts"
    bench.loop.flush_timers.do_work(due_s - 0.001)
    bench.work()
    assert flushes() == 0
    assert bench.loop.flush_timers.do_work(due_s) == 1
    bench.work()
    assert flushes() == 1
    assert bench.loop.flush_timers.next_due_s == float("inf")
    send(bench, producer)
    assert bench.loop.flush_timers.next_due_s > due_s


def test_a_flush_for_an_answer_counts(bench: Any, flushes: Any) -> None:
    bench.open(1, flush_ms=10_000, flush_messages=10)
    producer = bench.producer()
    send(bench, producer, 9)
    send(bench, producer, acks=ALL)
    assert flushes() == 1
    bench.loop.flush_timers.do_work(time.monotonic() + 11)
    send(bench, producer, 9)
    assert flushes() == 1, "nothing came since"


def test_acks_all_without_flush_on_ack_is_flushed_by_the_clock(bench: Any, flushes: Any) -> None:
    bench.open(1, flush_ms=10_000, flush_on_ack=False)
    producer = bench.producer()
    send(bench, producer, acks=ALL)
    assert len(producer.answers()) == 1
    assert flushes() == 0
    bench.loop.flush_timers.do_work(time.monotonic() + 11)
    bench.work()
    assert flushes() == 1


def test_new_settings_count_for_records_that_wait_already(bench: Any, flushes: Any, make_config: Any) -> None:
    bench.open(1)
    send(bench, bench.producer(), 5)
    bench.run(ReconfigurePartition(1, make_config(flush_messages=5)))
    bench.work()
    assert flushes() == 1
    send(bench, bench.producer(), 4)
    bench.run(ReconfigurePartition(1, make_config(flush_ms=0)))
    bench.loop.flush_timers.do_work(time.monotonic())
    bench.work()
    assert flushes() == 2


def test_a_timer_of_a_partition_that_is_gone_rings_in_vain(bench: Any, flushes: Any) -> None:
    bench.open(1, flush_ms=0)
    send(bench, bench.producer())
    bench.loop.partitions.pop(1).close()
    assert bench.loop.flush_timers.do_work(time.monotonic() + 1) == 1
    bench.work()
    assert flushes() == 0


def test_a_flush_that_fails_takes_the_partition_offline(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.open(1, flush_messages=1)

    def fail() -> None:
        raise BrokerError(ErrorCode.KAFKA_STORAGE_ERROR, "the disk is broken")

    monkeypatch.setattr(bench.loop.partitions[1].log, "flush", fail)
    send(bench, bench.producer())
    assert not bench.loop.partitions[1].is_online
    assert bench.faults == [("partition", 1, "the disk is broken")]
