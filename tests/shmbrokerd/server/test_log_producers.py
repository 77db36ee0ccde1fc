"""What the broker is asked about producers, and what is made of its answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol import messages as m
from shmbrokerd.broker_link import BrokerGoneError
from shmbrokerd.metadata.records import PartitionRow, Put, TopicRow
from shmbrokerd.metadata.state import State
from shmbrokerd.server.log_producers import LogProducers

OPEN = m.ActiveProducer(7, 3, 5, 1000, 0, 42)
ENDED = m.ActiveProducer(8, 3, 5, 1000, 0, -1)


class Broker:
    """Partition 0 is in slot 40; ``answer`` is given, or raised, for it."""

    def __init__(self, answer: list[m.ActiveProducer] | Exception) -> None:
        self.answer = answer

    async def ask(self, order: m.DescribeLogProducers, answer_type: Any) -> m.LogProducersReply:
        assert (order.slot, answer_type) == (40, m.LogProducersReply)
        if isinstance(self.answer, Exception):
            raise self.answer
        return m.LogProducersReply(self.answer)


def producers_of(answer: list[m.ActiveProducer] | Exception) -> LogProducers:
    state = State()
    state.replay([Put(TopicRow("t", bytes(16), 0)), Put(PartitionRow("t", 0, 40, 0, 0, (0,), (0,)))])
    return LogProducers(lambda: state, Broker(answer))  # type: ignore[arg-type]


def describe(answer: list[m.ActiveProducer] | Exception, *partitions: int) -> list[m.PartitionProducers]:
    body = m.DescribeProducers([m.PartitionRef("t", number) for number in partitions])
    return asyncio.run(producers_of(answer).describe(body)).partitions


def test_each_partition_is_described_by_itself() -> None:
    found, missing = describe([OPEN, ENDED], 0, 9)
    assert found == m.PartitionProducers("t", 0, [OPEN, ENDED])
    assert (missing.partition, missing.code) == (9, ErrorCode.UNKNOWN_TOPIC_OR_PART)


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (BrokerGoneError(), ErrorCode.BROKER_NOT_AVAILABLE),
        (BrokerError(ErrorCode.KAFKA_STORAGE_ERROR, "it is offline"), ErrorCode.KAFKA_STORAGE_ERROR),
    ],
)
def test_a_broker_that_does_not_know_says_why(trouble: Exception, code: ErrorCode) -> None:
    (found,) = describe(trouble, 0)
    assert (found.producers, found.code) == ([], code)
    assert found.message


def test_only_what_is_open_may_be_aborted() -> None:
    producers = producers_of([OPEN, ENDED])
    assert asyncio.run(producers.open_transaction(m.AbortTransaction("t", 0, 7, 3))) == OPEN
    for producer_id, epoch in [(7, 2), (8, 3), (9, 0)]:
        with pytest.raises(BrokerError) as raised:
            asyncio.run(producers.open_transaction(m.AbortTransaction("t", 0, producer_id, epoch)))
        assert raised.value.code == ErrorCode.INVALID_TXN_STATE
        assert str(producer_id) in raised.value.message
