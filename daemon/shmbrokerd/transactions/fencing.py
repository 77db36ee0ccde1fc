"""Whose a transactional id is: refuses those who are not, or no longer, its producer."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from shmbroker.errors import BrokerError, ErrorCode
from shmbrokerd.metadata.records import TransactionRow
from shmbrokerd.metadata.state import State
from shmbrokerd.transactions.states import LAST_PRODUCER_EPOCH

MAX_TRANSACTIONAL_ID_BYTES = 249
"""As a group id: both must fit one key of the store (511 bytes)."""


class Identity(NamedTuple):
    """A producer id and epoch."""

    producer_id: int
    producer_epoch: int


NO_IDENTITY = Identity(-1, -1)

NewId = Callable[[], int]
"""Takes a producer id that nobody had."""


def current(row: TransactionRow) -> Identity:
    return Identity(row.producer_id, row.producer_epoch)


def last(row: TransactionRow) -> Identity:
    return Identity(row.last_producer_id, row.last_producer_epoch)


def next_identity(row: TransactionRow, new_id: NewId) -> Identity:
    """What a producer goes on with; another producer id when the epochs of this one are used up."""
    if row.producer_epoch >= LAST_PRODUCER_EPOCH:
        return Identity(new_id(), 0)
    return Identity(row.producer_id, row.producer_epoch + 1)


def check_transactional_id(transactional_id: str) -> None:
    """Refuse an id that cannot be stored.

    Raises:
        BrokerError: INVALID_REQUEST.
    """
    size = len(transactional_id.encode())
    if not 0 < size <= MAX_TRANSACTIONAL_ID_BYTES or "\0" in transactional_id:
        raise BrokerError(
            ErrorCode.INVALID_REQUEST,
            f"transactional.id '{transactional_id[:20]}' has {size} bytes; allowed are 1 to"
            f" {MAX_TRANSACTIONAL_ID_BYTES}, none of them NUL",
        )


def known_row(state: State, transactional_id: str, caller: Identity) -> TransactionRow:
    """The row of an id that ``caller``'s producer id belongs to, now or until its last end.

    Raises:
        BrokerError: INVALID_REQUEST, INVALID_PRODUCER_ID_MAPPING.
    """
    check_transactional_id(transactional_id)
    row = state.transactions.rows.get(transactional_id)
    if row is None:
        raise BrokerError(
            ErrorCode.INVALID_PRODUCER_ID_MAPPING,
            f"transactional.id '{transactional_id}' has no producer: it expired"
            " (transactional.id.expiration.ms) or was never initialised",
        )
    if caller.producer_id < 0 or caller.producer_id not in (row.producer_id, row.last_producer_id):
        raise BrokerError(
            ErrorCode.INVALID_PRODUCER_ID_MAPPING,
            f"transactional.id '{transactional_id}' belongs to producer id {row.producer_id}, not to"
            f" {caller.producer_id}",
        )
    return row


def owned_row(state: State, transactional_id: str, caller: Identity) -> TransactionRow:
    """The row of an id that is ``caller``'s at present.

    Raises:
        BrokerError: INVALID_REQUEST, INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED.
    """
    row = known_row(state, transactional_id, caller)
    if caller != current(row):
        raise fenced(row, caller)
    return row


def fenced(row: TransactionRow, caller: Identity) -> BrokerError:
    return BrokerError(
        ErrorCode.PRODUCER_FENCED,
        f"transactional.id '{row.transactional_id}' is at epoch {row.producer_epoch} of producer id {row.producer_id}, the"
        f" caller at epoch {caller.producer_epoch} of {caller.producer_id}: another producer has the id, or its transaction"
        " was ended from outside (time-out, death of the process)",
    )
