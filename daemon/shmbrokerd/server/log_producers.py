"""Asks the broker which producers its logs remember."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol.messages import (
    AbortTransaction,
    ActiveProducer,
    DescribeLogProducers,
    DescribeProducers,
    DescribeProducersReply,
    LogProducersReply,
    PartitionProducers,
)
from shmbrokerd.broker_link import BrokerGoneError
from shmbrokerd.metadata.state import State
from shmbrokerd.supervisor import Supervisor


class LogProducers:
    def __init__(self, state: Callable[[], State], supervisor: Supervisor) -> None:
        self._state = state
        self._supervisor = supervisor

    async def describe(self, body: DescribeProducers) -> DescribeProducersReply:
        """Each partition by itself."""
        partitions = await asyncio.gather(
            *(self._describe_one(ref.topic, ref.partition) for ref in body.partitions)
        )
        return DescribeProducersReply(list(partitions))

    async def _describe_one(self, topic: str, partition: int) -> PartitionProducers:
        try:
            return PartitionProducers(topic, partition, await self._ask(topic, partition))
        except BrokerError as error:
            return PartitionProducers(topic, partition, [], error.code, error.message)

    async def open_transaction(self, body: AbortTransaction) -> ActiveProducer:
        """What the log knows of the producer whose transaction is to be aborted.

        Raises:
            BrokerError: INVALID_TXN_STATE when the log has no open transaction of this producer and epoch.
        """
        for producer in await self._ask(body.topic, body.partition):
            if (producer.producer_id, producer.producer_epoch) == (body.producer_id, body.producer_epoch):
                if producer.transaction_start_offset >= 0:
                    return producer
                break
        raise BrokerError(
            ErrorCode.INVALID_TXN_STATE,
            f"topic '{body.topic}' partition {body.partition} has no open transaction of producer id {body.producer_id},"
            f" epoch {body.producer_epoch}",
        )

    async def _ask(self, topic: str, partition: int) -> list[ActiveProducer]:
        row = self._state().partition(topic, partition)
        if row is None:
            raise BrokerError(
                ErrorCode.UNKNOWN_TOPIC_OR_PART, f"topic '{topic}' has no partition {partition}"
            )
        try:
            reply = await self._supervisor.ask(DescribeLogProducers(row.slot), LogProducersReply)
        except BrokerGoneError:
            raise BrokerError(
                ErrorCode.BROKER_NOT_AVAILABLE, "the broker process died while it was asked; try again"
            ) from None
        return reply.producers
