import threading
from typing import Any

import pytest

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log.reader import LogReader
from shmbroker.protocol.messages import (
    ActiveProducer,
    BrokerAnswer,
    ClosePartition,
    DescribeLogProducers,
    LogProducersReply,
    MarkerOutcome,
    MarkersReply,
    WriteMarkers,
)
from shmbroker.records.builder import ProducerStamp
from shmbroker.records.layout import Flag

DEADLINE_S = 30.0


def send(client: Any, value: bytes, producer_id: int, epoch: int, sequence: int, slot: int = 0) -> int:
    stamp = ProducerStamp(producer_id, epoch, sequence)
    request_id: int = client.send([value], slot=slot, stamp=stamp, flags=int(Flag.TRANSACTIONAL))
    return request_id


def order(*slots: int, epoch: int = 1, committed: bool = True, coordinator_epoch: int = 0) -> WriteMarkers:
    return WriteMarkers(7, epoch, committed, coordinator_epoch, list(slots))


def committed_values(bench: Any, slot: int = 0) -> list[bytes | None]:
    figures = bench.table.figures(slot)
    reader = LogReader(bench.folder / f"topic-{slot}")
    found = reader.read(0, figures.last_stable, 1 << 20, check_crcs=True, active_base=figures.active_base)
    values = [v for batch in reader.committed(found, figures.last_stable) for v in batch.value_list()]
    reader.close()
    return values


def test_a_transaction_over_two_logs_is_seen_with_its_markers_and_not_before(bench: Any) -> None:
    bench.open(1)
    client, reader = bench.producer(), bench.consumer(0, 1)
    send(client, b"a", 7, 0, 0, slot=0)
    send(client, b"b", 7, 0, 0, slot=1)
    bench.work()
    assert [bench.table.figures(slot)[2:4] for slot in (0, 1)] == [(1, 0), (1, 0)]
    assert sorted(bench.opened) == [(0, 7, 0, 0), (1, 7, 0, 0)]
    reader.sleep()
    reader.was_rung()
    assert bench.run(order(0, 1)) == MarkersReply([MarkerOutcome(0), MarkerOutcome(1)])
    assert reader.was_rung(), "readers hear when the last stable offset moves"
    assert [bench.table.figures(slot)[2:4] for slot in (0, 1)] == [(2, 2), (2, 2)]
    assert committed_values(bench, 0) == [b"a"]
    assert committed_values(bench, 1) == [b"b"]


def test_the_order_is_answered_after_the_flush(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    may_flush = threading.Event()
    partition = bench.loop.partitions[0]
    flush = partition.log.flush

    def slow_flush() -> None:
        assert may_flush.wait(DEADLINE_S)
        flush()

    monkeypatch.setattr(partition.log, "flush", slow_flush)
    client = bench.producer()
    answers: list[BrokerAnswer] = []
    bench.commands.run(order(0), lambda _: [], answers.append)
    client.send([b"meanwhile"])
    bench.loop.do_work()
    assert [answer.base_offset for answer in client.answers()] == [1], "the loop goes on"
    assert answers == []
    may_flush.set()
    bench.work()
    assert answers == [MarkersReply([MarkerOutcome(0)])]


def test_a_topic_that_is_not_flushed_is_not_flushed_for_a_marker(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.open(1, flush_on_ack=False)
    monkeypatch.setattr(bench.loop.partitions[1].log, "flush", lambda: pytest.fail("flushed"))
    answers: list[BrokerAnswer] = []
    bench.commands.run(order(1), lambda _: [], answers.append)
    assert answers == [MarkersReply([MarkerOutcome(1)])]


def test_a_flush_that_fails_is_told_and_the_marker_is_there_when_asked_again(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise BrokerError(ErrorCode.KAFKA_STORAGE_ERROR, "the disk is gone")

    monkeypatch.setattr(bench.loop.partitions[0].log, "flush", broken)
    (outcome,) = bench.run(order(0)).outcomes
    assert (outcome.code, outcome.message) == (ErrorCode.KAFKA_STORAGE_ERROR, "the disk is gone")
    (outcome,) = bench.run(order(0)).outcomes
    assert outcome.message == "topic [0] is offline"
    bench.open(0)
    assert bench.run(order(0)) == MarkersReply([MarkerOutcome(0)])
    assert bench.table.figures(0).log_end == 1


def test_a_log_that_cannot_take_the_marker_does_not_keep_the_others_from_it(bench: Any) -> None:
    bench.open(1)
    bench.run(order(1, epoch=3, coordinator_epoch=9))
    outcomes = bench.run(order(5, 1, 0, epoch=4, coordinator_epoch=8)).outcomes
    assert [(outcome.slot, outcome.code) for outcome in outcomes] == [
        (5, ErrorCode.UNKNOWN_TOPIC_OR_PART),
        (1, ErrorCode.TRANSACTION_COORDINATOR_FENCED),
        (0, ErrorCode.NO_ERROR),
    ]


@pytest.mark.parametrize(
    "nonsense",
    [
        order(),
        WriteMarkers(-1, 1, True, 0, [0]),
        WriteMarkers(7, -1, True, 0, [0]),
        WriteMarkers(7, 1 << 15, True, 0, [0]),
        WriteMarkers(7, 1, True, 1 << 31, [0]),
    ],
    ids=["no slots", "no producer", "no epoch", "epoch too large", "coordinator epoch too large"],
)
def test_an_order_that_makes_no_sense_is_refused(nonsense: WriteMarkers, bench: Any) -> None:
    assert bench.run(nonsense).code == ErrorCode.INVALID_REQUEST
    assert bench.table.figures(0).log_end == 0


def test_a_client_cannot_write_a_marker(bench: Any) -> None:
    client = bench.producer()
    flags = int(Flag.CONTROL | Flag.TRANSACTIONAL)
    client.send([b"marker"], stamp=ProducerStamp(7, 1, 0), flags=flags)
    client.send([b"of nobody"], flags=int(Flag.TRANSACTIONAL))
    bench.work()
    assert [answer.error for answer in client.answers()] == [int(ErrorCode.INVALID_RECORD)] * 2


def test_late_and_foreign_batches_are_refused_with_kafkas_codes(bench: Any) -> None:
    client = bench.producer()
    send(client, b"a", 7, 0, 0)
    client.send([b"outside"], stamp=ProducerStamp(7, 0, 1))
    bench.work()
    bench.run(order(0))
    send(client, b"late", 7, 0, 1)
    send(client, b"gap", 7, 1, 4)
    send(client, b"next", 7, 1, 0)
    bench.work()
    assert [answer.error for answer in sorted(client.answers())] == [
        0,
        int(ErrorCode.INVALID_TXN_STATE),
        int(ErrorCode.INVALID_PRODUCER_EPOCH),
        int(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER),
        0,
    ]
    assert bench.opened == [(0, 7, 0, 0), (0, 7, 1, 2)]


def test_transactions_that_are_open_are_told_again_when_a_log_is_opened(bench: Any) -> None:
    client = bench.producer()
    send(client, b"a", 7, 0, 0)
    send(client, b"b", 8, 4, 0)
    bench.work()
    bench.run(ClosePartition(0))
    bench.opened.clear()
    bench.open(0)
    assert bench.opened == [(0, 7, 0, 0), (0, 8, 4, 1)]
    assert bench.table.figures(0).last_stable == 0


def test_producers_are_described(bench: Any) -> None:
    client = bench.producer()
    send(client, b"a", 7, 0, 0)
    bench.work()
    bench.run(WriteMarkers(9, 3, False, 6, [0]))
    reply = bench.run(DescribeLogProducers(0))
    assert isinstance(reply, LogProducersReply)
    seven, nine = reply.producers
    assert seven == ActiveProducer(7, 0, 0, seven.last_timestamp_ms, -1, 0)
    assert nine == ActiveProducer(9, 3, -1, nine.last_timestamp_ms, 6, -1)
    assert 0 < seven.last_timestamp_ms <= nine.last_timestamp_ms
    assert bench.run(DescribeLogProducers(5)).code == ErrorCode.UNKNOWN_TOPIC_OR_PART


def test_producers_expire_every_so_often(bench: Any) -> None:
    client = bench.producer()
    client.send([b"x"], stamp=ProducerStamp(3, 0, 0))
    bench.work()
    producers = bench.loop.partitions[0].log.producers
    bench.loop.expire_producers(now=1000.0)
    bench.loop.partitions[0].log.producer_expiration_ms = -1_000_000  # all that wrote before 1,000 s from now
    bench.loop.expire_producers(now=1599.0)
    assert len(producers) == 1
    bench.loop.expire_producers(now=1601.0)
    assert len(producers) == 0
