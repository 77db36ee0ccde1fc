"""What becomes part of a transaction: partitions, before anything is written to them, and offsets of groups."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol.messages import (
    AddPartitionsToTransaction,
    CommitTransactionOffsets,
    PartitionOutcome,
    PartitionOutcomesReply,
    PartitionRef,
    TransactionState,
)
from shmbrokerd.groups import offsets
from shmbrokerd.metadata import pending_offsets
from shmbrokerd.metadata.records import Put, Record, TransactionRow
from shmbrokerd.metadata.settings import Settings
from shmbrokerd.metadata.state import State
from shmbrokerd.transactions.act import Act, Process
from shmbrokerd.transactions.fencing import Identity, owned_row
from shmbrokerd.transactions.states import IS_ENDING, Event, after


def add_partitions(
    settings: Settings, request: AddPartitionsToTransaction, owner: Process, now_ms: int
) -> Act:
    """All of them, or none if one of them does not exist.

    Raises:
        BrokerError: as AddPartitionsToTransaction says; POLICY_VIOLATION over ``transaction.partitions.max``.
    """
    row = _row(settings.state, request)
    missing = {
        (ref.topic, ref.partition)
        for ref in request.partitions
        if settings.state.partition(ref.topic, ref.partition) is None
    }
    if missing:
        return Act([], _refusal(request.partitions, missing))
    added = msgspec.structs.replace(
        begun(row, owner, now_ms), partitions=_with(row.partitions, request.partitions)
    )
    _check_size(settings, row, sum(map(len, added.partitions.values())))
    reply = PartitionOutcomesReply([PartitionOutcome(ref.topic, ref.partition) for ref in request.partitions])
    if row.state is TransactionState.ONGOING and added.partitions == row.partitions:
        return Act([], reply)
    return Act([Put(added)], reply)


def commit_offsets(settings: Settings, request: CommitTransactionOffsets, owner: Process, now_ms: int) -> Act:
    """Each partition by itself, as outside of a transaction; in force with its commit.

    Raises:
        BrokerError: as CommitTransactionOffsets says; POLICY_VIOLATION over ``transaction.partitions.max``.
    """
    row = _row(settings.state, request)
    accepted, reply = offsets.accept_pending(settings, request)
    if not accepted:
        return Act([], reply)
    pending_row = pending_offsets.with_offsets(
        settings.state, request.transactional_id, request.group, accepted
    )
    _check_size(settings, row, len(pending_row.offsets))
    records: list[Record] = [Put(pending_row)]
    if row.state is not TransactionState.ONGOING:
        records.append(Put(begun(row, owner, now_ms)))
    return Act(records, reply)


def begun(row: TransactionRow, owner: Process, now_ms: int) -> TransactionRow:
    """The row of a transaction that is open: this one, or a new one of ``owner``."""
    if row.state is TransactionState.ONGOING:
        return msgspec.structs.replace(row, updated_at_ms=now_ms)
    return msgspec.structs.replace(
        row,
        state=after(row, Event.ADDED),
        started_at_ms=now_ms,
        updated_at_ms=now_ms,
        partitions={},
        owner_pid=owner.pid,
        owner_birth=owner.birth,
    )


def _row(state: State, request: AddPartitionsToTransaction | CommitTransactionOffsets) -> TransactionRow:
    row = owned_row(state, request.transactional_id, Identity(request.producer_id, request.producer_epoch))
    if row.state in IS_ENDING:
        raise BrokerError(
            ErrorCode.CONCURRENT_TRANSACTIONS,
            f"transactional.id '{request.transactional_id}': its last transaction is in {row.state}; try again",
        )
    return row


def _refusal(refs: Iterable[PartitionRef], missing: set[tuple[str, int]]) -> PartitionOutcomesReply:
    outcomes = []
    for ref in refs:
        if (ref.topic, ref.partition) in missing:
            code, reason = (
                ErrorCode.UNKNOWN_TOPIC_OR_PART,
                f"topic '{ref.topic}' has no partition {ref.partition}",
            )
        else:
            code, reason = ErrorCode.OPERATION_NOT_ATTEMPTED, "other partitions of the request do not exist"
        outcomes.append(PartitionOutcome(ref.topic, ref.partition, code=code, message=reason))
    return PartitionOutcomesReply(outcomes)


def _with(partitions: dict[str, tuple[int, ...]], refs: Iterable[PartitionRef]) -> dict[str, tuple[int, ...]]:
    numbers = {topic: set(known) for topic, known in partitions.items()}
    for ref in refs:
        numbers.setdefault(ref.topic, set()).add(ref.partition)
    return {topic: tuple(sorted(known)) for topic, known in numbers.items()}


def _check_size(settings: Settings, row: TransactionRow, total: int) -> None:
    limit = settings.broker_number("transaction.partitions.max")
    if total > limit:
        raise BrokerError(
            ErrorCode.POLICY_VIOLATION,
            f"transactional.id '{row.transactional_id}': {total} partitions in a transaction are over {limit}"
            " (transaction.partitions.max)",
        )
