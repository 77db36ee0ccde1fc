"""Transactions and their producers as the AdminClient lists and describes them (KIP-664).

confluent_kafka has none of this; names and fields are those of Kafka's Java client.
"""

from __future__ import annotations

from typing import NamedTuple

from shmbroker.protocol.messages import TransactionState
from shmclient.topic_partition import TopicPartition

__all__ = [
    "AbortTransactionSpec",
    "FencedProducer",
    "ProducerState",
    "TransactionDescription",
    "TransactionListing",
    "TransactionState",
]


class TransactionListing(NamedTuple):
    """One transactional id of `list_transactions`."""

    transactional_id: str
    producer_id: int
    state: TransactionState


class TransactionDescription(NamedTuple):
    """What the coordinator knows of a transactional id, and of its transaction if one is open."""

    transactional_id: str
    coordinator_id: int
    state: TransactionState
    producer_id: int
    producer_epoch: int
    transaction_timeout_ms: int
    transaction_start_time_ms: int | None
    """None: no transaction is open."""
    topic_partitions: list[TopicPartition]
    groups: list[str]
    """Whose offsets are committed with it. (Our own.)"""
    pid: int | None
    """Of the process that has the producer; None when it is not connected. (Our own.)"""
    client_id: str
    """(Our own.)"""


class ProducerState(NamedTuple):
    """What the log of a partition remembers of one producer."""

    producer_id: int
    producer_epoch: int
    last_sequence: int
    """-1: nothing of this epoch."""
    last_timestamp: int
    """ms since the epoch."""
    coordinator_epoch: int | None
    """None: no transaction of it ever ended here."""
    current_transaction_start_offset: int | None
    """None: no transaction is open."""


class FencedProducer(NamedTuple):
    """What the transactional id went on to: older producers are refused."""

    producer_id: int
    epoch: int


class AbortTransactionSpec(NamedTuple):
    """An open transaction in one partition. ``coordinator_epoch`` is Kafka's; a daemon has one coordinator."""

    topic_partition: TopicPartition
    producer_id: int
    producer_epoch: int
    coordinator_epoch: int = -1
