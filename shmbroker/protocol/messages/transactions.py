"""Transactions of producers (KIP-98, KIP-447, KIP-890): producer ids, and what a transactional id has under way.

One transaction, over the connection of a producer::

    producer                                                daemon
      | -- InitProducerId(transactional_id) -----------------> |   fences who had the id, ends what it left open
      | <--------------------- (producer_id, epoch) ---------- |
      | -- AddPartitionsToTransaction {t: [0, 1]} -----------> |   before the first batch to each partition
      |    ... transactional batches through the ring ...      |
      | -- CommitTransactionOffsets (group, offsets) --------> |   pending until the end
      | -- EndTransaction(committed) ------------------------> |   decision stored, markers written, offsets applied
      | <--------------------- (producer_id, epoch + 1) ------ |   the epoch of the next transaction

``EndTransaction`` is answered once the markers are in every partition and the offsets are in force: who reads afterwards
sees all of it. Each transaction has an epoch of its own, so a batch of an old one that comes late is refused by the log. The
epoch's sequences start at 0. A request that is sent again after the connection was lost is answered as the first time.
"""

from __future__ import annotations

import enum

import msgspec

from shmbroker.errors import ErrorCode
from shmbroker.protocol.messages.base import Message
from shmbroker.protocol.messages.offsets import OffsetToCommit, PartitionRef


class TransactionState(enum.StrEnum):
    """As in Kafka."""

    EMPTY = "Empty"
    """The id has a producer and never had a transaction."""
    ONGOING = "Ongoing"
    PREPARE_COMMIT = "PrepareCommit"
    """Decided; markers are on their way."""
    PREPARE_ABORT = "PrepareAbort"
    COMPLETE_COMMIT = "CompleteCommit"
    COMPLETE_ABORT = "CompleteAbort"
    DEAD = "Dead"
    """The id expired."""


# --- of a producer -----------------------------------------------------------------------------------------


class InitProducerId(Message):
    """A producer id: a fresh one without ``transactional_id``, else the one that belongs to it, with an epoch that fences every
    producer before.

    An open transaction of the id is aborted before the answer. ``producer_id`` and ``producer_epoch`` are those that the
    caller has, -1 for none: it goes on with the next epoch if nobody else had the id since (KIP-360), else PRODUCER_FENCED.
    Failures: INVALID_TRANSACTION_TIMEOUT over ``transaction.max.timeout.ms``, PRODUCER_FENCED, CONCURRENT_TRANSACTIONS
    (retriable) while the markers of a transaction cannot be written, INVALID_REQUEST for an empty id.
    """

    transactional_id: str | None = None
    transaction_timeout_ms: int = -1
    producer_id: int = -1
    producer_epoch: int = -1


class InitProducerIdReply(Message):
    producer_id: int
    producer_epoch: int


class AddPartitionsToTransaction(Message):
    """Before the first batch of a transaction to each partition; begins the transaction if need be.

    Answered by PartitionOutcomesReply; all partitions are added or none: the others then say OPERATION_NOT_ATTEMPTED. Failures:
    INVALID_PRODUCER_ID_MAPPING for an id that is not known (or expired), PRODUCER_FENCED for an older epoch,
    CONCURRENT_TRANSACTIONS (retriable) while the last transaction ends, INVALID_TXN_STATE.
    """

    transactional_id: str
    producer_id: int
    producer_epoch: int
    partitions: list[PartitionRef]


class CommitTransactionOffsets(Message):
    """Offsets of a group, in force with the commit of the transaction and not before (``send_offsets_to_transaction``);
    begins the transaction if need be.

    Answered by PartitionOutcomesReply. The group's fencing is that of CommitOffsets: UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, and
    ILLEGAL_GENERATION in both protocols of groups; the producer's is that of AddPartitionsToTransaction. Offsets without a
    member (``member_id`` empty) are taken as they are.
    """

    transactional_id: str
    producer_id: int
    producer_epoch: int
    group: str
    offsets: list[OffsetToCommit]
    member_id: str = ""
    member_epoch: int = -1
    instance_id: str | None = None


class EndTransaction(Message):
    """Commit or abort. To end what never began is no error: nothing is written.

    Failures: INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED also when the transaction was ended without its producer (time-out,
    death of the process), INVALID_TXN_STATE when the producer itself has asked for the other end before,
    CONCURRENT_TRANSACTIONS (retriable): decided, and the markers cannot be written yet.
    """

    transactional_id: str
    producer_id: int
    producer_epoch: int
    committed: bool


class EndTransactionReply(Message):
    """What the next transaction goes on with; another producer id when the epochs of the last one are used up."""

    producer_id: int
    producer_epoch: int


# --- of an operator ----------------------------------------------------------------------------------------


class ListTransactions(Message):
    """Transactional ids; without filters all of them (KIP-664, KIP-994, KIP-1152)."""

    states: list[str] = msgspec.field(default_factory=list)
    producer_ids: list[int] = msgspec.field(default_factory=list)
    longer_than_ms: int = -1
    """Only transactions that are open for longer."""
    pattern: str | None = None
    """RE2 syntax, must match the whole id."""


class TransactionListing(Message):
    transactional_id: str
    producer_id: int
    state: TransactionState


class ListTransactionsReply(Message):
    transactions: list[TransactionListing]
    unknown_states: list[str]


class DescribeTransactions(Message):
    transactional_ids: list[str]


class TransactionDescription(Message):
    """TRANSACTIONAL_ID_NOT_FOUND in ``code`` for an id that is not known."""

    transactional_id: str
    state: TransactionState = TransactionState.DEAD
    producer_id: int = -1
    producer_epoch: int = -1
    timeout_ms: int = -1
    started_at_ms: int = -1
    """-1: none is open."""
    partitions: list[PartitionRef] = msgspec.field(default_factory=list)
    groups: list[str] = msgspec.field(default_factory=list)
    """With offsets that are pending."""
    pid: int = -1
    """Of the process that has the producer; -1 when it is not connected."""
    client_id: str = ""
    code: ErrorCode = ErrorCode.NO_ERROR
    message: str = ""


class DescribeTransactionsReply(Message):
    transactions: list[TransactionDescription]


class DescribeProducers(Message):
    """The producers that the logs of ``partitions`` remember (KIP-664)."""

    partitions: list[PartitionRef]


class ActiveProducer(Message):
    producer_id: int
    producer_epoch: int
    last_sequence: int
    """-1: none of this epoch."""
    last_timestamp_ms: int
    coordinator_epoch: int
    """-1: it never had a marker."""
    transaction_start_offset: int
    """First offset of its open transaction in this log; -1 for none."""


class PartitionProducers(Message):
    topic: str
    partition: int
    producers: list[ActiveProducer] = msgspec.field(default_factory=list)
    code: ErrorCode = ErrorCode.NO_ERROR
    message: str = ""


class DescribeProducersReply(Message):
    partitions: list[PartitionProducers]


class AbortTransaction(Message):
    """Write an abort marker into one partition, for a transaction that hangs there: one that its coordinator does not know
    of.

    Answered by PartitionOutcomesReply. Refused with INVALID_TXN_STATE when the coordinator has that transaction open (it ends
    by itself) or the partition has none of this producer and epoch.
    """

    topic: str
    partition: int
    producer_id: int
    producer_epoch: int
