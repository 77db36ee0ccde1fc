"""Transactions in logs that their coordinator does not know of, and that would hold readers up for ever.

A producer that keeps to the protocol causes none: it adds a partition before it writes there. That is verified after the fact:
the log says that a transaction began, and what was not added is aborted in that log.
"""

from __future__ import annotations

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol.messages import AbortTransaction, TransactionState
from shmbrokerd.metadata.records import PartitionRow, TransactionRow
from shmbrokerd.metadata.state import State
from shmbrokerd.transactions.ends import Markers
from shmbrokerd.transactions.fencing import Identity
from shmbrokerd.transactions.states import IS_ENDING


def markers_if_hanging(state: State, partition: PartitionRow, producer: Identity) -> Markers | None:
    """The abort marker for what ``producer`` began in ``partition``; None when its transaction covers that and will end it.

    The marker has the epoch of the batches, and not the next one as other markers have: it may come late, and must not end what
    the producer began with its next epoch.
    """
    transactional_id = state.transactions.by_producer.get(producer.producer_id)
    row = state.transactions.rows[transactional_id] if transactional_id is not None else None
    if row is not None and _covers(row, partition, producer.producer_epoch):
        return None
    return Markers(*producer, False, [(partition.topic, partition.partition)])


def _covers(row: TransactionRow, partition: PartitionRow, producer_epoch: int) -> bool:
    if partition.partition not in row.partitions.get(partition.topic, ()):
        return False
    if row.state is TransactionState.ONGOING:
        return producer_epoch == row.producer_epoch
    return row.state in IS_ENDING and producer_epoch == row.producer_epoch - 1


def still_hanging(state: State, markers: Markers) -> Markers | None:
    """The same for markers that were to be written; None also when the partition is gone."""
    ((topic, number),) = markers.partitions
    partition = state.partition(topic, number)
    if partition is None:
        return None
    return markers_if_hanging(state, partition, Identity(markers.producer_id, markers.producer_epoch))


def markers_to_abort(state: State, request: AbortTransaction) -> Markers:
    """The marker that an operator asks for.

    Raises:
        BrokerError: UNKNOWN_TOPIC_OR_PART, INVALID_TXN_STATE.
    """
    partition = state.partition(request.topic, request.partition)
    if partition is None:
        raise BrokerError(
            ErrorCode.UNKNOWN_TOPIC_OR_PART, f"topic '{request.topic}' has no partition {request.partition}"
        )
    markers = markers_if_hanging(state, partition, Identity(request.producer_id, request.producer_epoch))
    if markers is None:
        transactional_id = state.transactions.by_producer[request.producer_id]
        raise BrokerError(
            ErrorCode.INVALID_TXN_STATE,
            f"the transaction of producer id {request.producer_id} does not hang: transactional.id"
            f" '{transactional_id}' has it open, and it ends by itself (transaction.timeout.ms)",
        )
    return markers
