"""Ending transactions: the decision, the markers, and what is stored once these are written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol.messages import EndTransaction, EndTransactionReply, TransactionState
from shmbrokerd.metadata import pending_offsets
from shmbrokerd.metadata.group import Partition, pairs
from shmbrokerd.metadata.records import Drop, Put, Record, TransactionRow
from shmbrokerd.metadata.state import State
from shmbrokerd.transactions.act import Act, Completion
from shmbrokerd.transactions.fencing import (
    NO_IDENTITY,
    Identity,
    NewId,
    current,
    fenced,
    known_row,
    last,
    next_identity,
)
from shmbrokerd.transactions.states import IS_ENDING, MAX_EPOCH, Event, after

_COMMITS = frozenset({TransactionState.PREPARE_COMMIT, TransactionState.COMPLETE_COMMIT})
_IS_OVER = frozenset({TransactionState.COMPLETE_COMMIT, TransactionState.COMPLETE_ABORT})


class Markers(NamedTuple):
    """What has to be written to ``partitions`` before the transaction is over."""

    producer_id: int
    producer_epoch: int
    committed: bool
    partitions: list[Partition]


# --- the decision ------------------------------------------------------------------------------------------


def end_transaction(state: State, request: EndTransaction, new_id: NewId, now_ms: int) -> Act:
    """Decide as the producer asks. There is a reply when nothing is left to be done, be it that nothing was begun or that this
    is the answer to the same request once more.

    Raises:
        BrokerError: INVALID_REQUEST, INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, INVALID_TXN_STATE.
    """
    caller = Identity(request.producer_id, request.producer_epoch)
    row = known_row(state, request.transactional_id, caller)
    if caller == last(row):
        return _end_again(row, request)
    if caller != current(row) or row.state in IS_ENDING:
        raise fenced(row, caller)
    if row.state is TransactionState.ONGOING:
        event = Event.COMMITTED if request.committed else Event.ABORTED
        return Act([Put(prepare(row, event, now_ms, is_owner=True))])
    if request.committed:
        return Act([], EndTransactionReply(*current(row)))
    return _abort_of_nothing(row, new_id, now_ms)


def _end_again(row: TransactionRow, request: EndTransaction) -> Act:
    if row.state not in IS_ENDING | _IS_OVER:
        raise fenced(row, last(row))
    if request.committed != (row.state in _COMMITS):
        raise BrokerError(
            ErrorCode.INVALID_TXN_STATE,
            f"transactional.id '{row.transactional_id}' cannot {'commit' if request.committed else 'abort'}: its transaction is"
            f" in {row.state}",
        )
    return Act([]) if row.state in IS_ENDING else Act([], EndTransactionReply(*current(row)))


def _abort_of_nothing(row: TransactionRow, new_id: NewId, now_ms: int) -> Act:
    """The next epoch, nevertheless (KIP-890): what the transaction asked for and is still on its way must not become part of
    the next one."""
    following = next_identity(row, new_id)
    aborted = msgspec.structs.replace(
        row,
        producer_id=following.producer_id,
        producer_epoch=following.producer_epoch,
        last_producer_id=row.producer_id,
        last_producer_epoch=row.producer_epoch,
        state=after(row, Event.ABORTED),
        updated_at_ms=now_ms,
    )
    return Act([Put(aborted)], EndTransactionReply(*current(aborted)))


def prepare(row: TransactionRow, event: Event, now_ms: int, *, is_owner: bool) -> TransactionRow:
    """The row of an open transaction once its end is decided. ``is_owner``: by its producer, who may ask for it again;
    else the producer is fenced."""
    last_one = current(row) if is_owner else NO_IDENTITY
    return msgspec.structs.replace(
        row,
        producer_epoch=row.producer_epoch + 1,
        last_producer_id=last_one.producer_id,
        last_producer_epoch=last_one.producer_epoch,
        state=after(row, event),
        updated_at_ms=now_ms,
    )


def abort(rows: Iterable[TransactionRow], now_ms: int) -> list[Record]:
    """Abort open transactions without their producers."""
    return [Put(prepare(row, Event.ABORTED, now_ms, is_owner=False)) for row in rows]


# --- the markers -------------------------------------------------------------------------------------------


def markers(state: State, transactional_id: str) -> Markers | None:
    """What is to be written for this id now; None when nothing is. Partitions that were deleted need none."""
    row = state.transactions.rows.get(transactional_id)
    if row is None or row.state not in IS_ENDING:
        return None
    partitions = [partition for partition in pairs(row.partitions) if state.partition(*partition) is not None]
    return Markers(row.producer_id, row.producer_epoch, row.state in _COMMITS, partitions)


def complete(state: State, transactional_id: str, new_id: NewId, now_ms: int) -> Completion:
    """All markers are on the disk. To be stored in one piece, so that nobody sees records without offsets or offsets without
    records after a crash."""
    row = state.transactions.rows[transactional_id]
    is_committed = row.state in _COMMITS
    records: list[Record] = []
    for pending_row in state.transactions.pending_of(transactional_id):
        if is_committed:
            records += pending_offsets.come_into_force(state, pending_row, now_ms)
        records.append(Drop(pending_row))
    is_used_up = row.producer_epoch >= MAX_EPOCH
    completed = msgspec.structs.replace(
        row,
        producer_id=new_id() if is_used_up else row.producer_id,
        producer_epoch=0 if is_used_up else row.producer_epoch,
        state=after(row, Event.MARKED),
        updated_at_ms=now_ms,
        started_at_ms=-1,
        partitions={},
        owner_pid=-1,
        owner_birth=-1,
    )
    records.append(Put(completed))
    return Completion(records, is_used_up)
