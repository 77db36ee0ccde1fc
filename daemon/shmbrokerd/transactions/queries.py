"""What operators ask for: lists and descriptions of transactions (KIP-664, KIP-994, KIP-1152)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.patterns import Pattern, compile_pattern
from shmbroker.protocol.messages import (
    DescribeTransactions,
    DescribeTransactionsReply,
    ListTransactions,
    ListTransactionsReply,
    PartitionRef,
    TransactionDescription,
    TransactionListing,
    TransactionState,
)
from shmbrokerd.metadata.group import pairs
from shmbrokerd.metadata.records import TransactionRow
from shmbrokerd.metadata.state import State
from shmbrokerd.transactions.act import Caller
from shmbrokerd.transactions.fencing import check_transactional_id

_STATES = frozenset(state.value for state in TransactionState)


class Seat(NamedTuple):
    """Who has the producer of an id, over which connection."""

    connection: object
    caller: Caller


def list_transactions(state: State, request: ListTransactions, now_ms: int) -> ListTransactionsReply:
    """In the order of their ids.

    Raises:
        BrokerError: INVALID_REGULAR_EXPRESSION.
    """
    pattern = compile_pattern(request.pattern, anywhere=False) if request.pattern is not None else None
    rows = [
        row
        for _, row in sorted(state.transactions.rows.items())
        if (not request.states or row.state in request.states)
        and (not request.producer_ids or row.producer_id in request.producer_ids)
        and _is_long_enough(row, request.longer_than_ms, now_ms)
        and _matches(row, pattern)
    ]
    listings = [TransactionListing(row.transactional_id, row.producer_id, row.state) for row in rows]
    return ListTransactionsReply(listings, [name for name in request.states if name not in _STATES])


def _is_long_enough(row: TransactionRow, longer_than_ms: int, now_ms: int) -> bool:
    if longer_than_ms < 0:
        return True
    return row.started_at_ms >= 0 and now_ms - row.started_at_ms > longer_than_ms


def _matches(row: TransactionRow, pattern: Pattern | None) -> bool:
    return pattern is None or pattern.matches(row.transactional_id)


def describe_transactions(
    state: State, request: DescribeTransactions, seat_of: Callable[[str], Seat | None]
) -> DescribeTransactionsReply:
    """``seat_of``: who is connected as the producer of an id."""
    return DescribeTransactionsReply(
        [
            _description(state, transactional_id, seat_of(transactional_id))
            for transactional_id in request.transactional_ids
        ]
    )


def _description(state: State, transactional_id: str, seat: Seat | None) -> TransactionDescription:
    row = state.transactions.rows.get(transactional_id)
    if row is None:
        return _not_found(transactional_id)
    description = TransactionDescription(
        transactional_id,
        row.state,
        row.producer_id,
        row.producer_epoch,
        row.timeout_ms,
        row.started_at_ms,
        [PartitionRef(*partition) for partition in sorted(pairs(row.partitions))],
        state.transactions.groups_of(transactional_id),
    )
    if seat is None:
        return description
    return msgspec.structs.replace(description, pid=seat.caller.process.pid, client_id=seat.caller.client_id)


def _not_found(transactional_id: str) -> TransactionDescription:
    code = ErrorCode.TRANSACTIONAL_ID_NOT_FOUND
    message = f"transactional.id '{transactional_id[:250]}' is not known"
    try:
        check_transactional_id(transactional_id)
    except BrokerError as error:
        code, message = error.code, error.message
    return TransactionDescription(transactional_id, code=code, message=message)
