from __future__ import annotations

import pytest
from transactionkit.desk import Desk

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol import messages as m
from shmbrokerd.transactions.ends import Markers


@pytest.fixture
def desk() -> Desk:
    return Desk()


def slot(desk: Desk, topic: str, partition: int) -> int:
    row = desk.state.partition(topic, partition)
    assert row is not None
    return row.slot


def opened(desk: Desk, producer_id: int, epoch: int, partition: int = 0) -> Markers | None:
    return desk.coordinator.opened(m.TransactionOpened(slot(desk, "t", partition), producer_id, epoch, 0))


def test_what_was_added_does_not_hang(desk: Desk) -> None:
    producer = desk.init()
    desk.add(producer, "t-0")
    assert opened(desk, producer.producer_id, 0) is None
    desk.ask_end(producer, True)
    assert opened(desk, producer.producer_id, 0) is None, "its marker is on its way"


@pytest.mark.parametrize(("epoch", "partition"), [(0, 1), (1, 0), (1, 1), (32767, 0)])
def test_what_was_not_added_hangs(desk: Desk, epoch: int, partition: int) -> None:
    producer = desk.init()
    desk.add(producer, "t-0")
    assert opened(desk, producer.producer_id, epoch, partition) == Markers(
        producer.producer_id, epoch, False, [("t", partition)]
    )


def test_what_is_there_after_the_end_hangs(desk: Desk) -> None:
    producer = desk.init()
    desk.add(producer, "t-0")
    desk.end(producer, True)
    assert opened(desk, producer.producer_id, 0) is not None


def test_what_nobody_knows_hangs(desk: Desk) -> None:
    assert opened(desk, 12345, 7) == Markers(12345, 7, False, [("t", 0)])


def test_it_hangs_no_more_once_it_is_added_or_the_partition_is_gone(desk: Desk) -> None:
    producer = desk.init()
    markers = opened(desk, producer.producer_id, 0)
    assert markers is not None
    assert desk.coordinator.still_hanging(markers) == markers
    desk.add(producer, "t-0")
    assert desk.coordinator.still_hanging(markers) is None
    other = opened(desk, 12345, 0)
    assert other is not None
    desk.delete("t")
    assert desk.coordinator.still_hanging(other) is None


def test_a_log_that_was_deleted_meanwhile_says_nothing(desk: Desk) -> None:
    assert desk.coordinator.opened(m.TransactionOpened(4000, 1, 0, 0)) is None


def test_an_operator_aborts_only_what_hangs(desk: Desk) -> None:
    producer = desk.init()
    desk.add(producer, "t-0")
    request = m.AbortTransaction("t", 0, producer.producer_id, producer.producer_epoch)
    with pytest.raises(BrokerError) as raised:
        desk.coordinator.markers_to_abort(request)
    assert raised.value.code == ErrorCode.INVALID_TXN_STATE
    with pytest.raises(BrokerError) as raised:
        desk.coordinator.markers_to_abort(m.AbortTransaction("t", 99, 1, 1))
    assert raised.value.code == ErrorCode.UNKNOWN_TOPIC_OR_PART
    hanging = m.AbortTransaction("t", 1, producer.producer_id, producer.producer_epoch)
    assert desk.coordinator.markers_to_abort(hanging).partitions == [("t", 1)]
