"""Giving producers their ids and epochs (KIP-98, KIP-360)."""

from __future__ import annotations

import msgspec

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol.messages import InitProducerId, InitProducerIdReply, TransactionState
from shmbrokerd.metadata.records import Put, TransactionRow
from shmbrokerd.metadata.settings import Settings
from shmbrokerd.transactions.act import Act
from shmbrokerd.transactions.ends import prepare
from shmbrokerd.transactions.fencing import (
    NO_IDENTITY,
    Identity,
    NewId,
    check_transactional_id,
    current,
    fenced,
    last,
    next_identity,
)
from shmbrokerd.transactions.states import IS_ENDING, Event, after

DEFAULT_TIMEOUT_MS = 60_000
"""Kafka's transaction.timeout.ms."""


def init_producer_id(settings: Settings, request: InitProducerId, new_id: NewId, now_ms: int) -> Act:
    """Give the transactional id of ``request`` to the caller. A transaction of its own or of another producer that is open is
    aborted first, and one that is ending waited for: then there is no reply yet.

    Raises:
        BrokerError: as InitProducerId says; POLICY_VIOLATION over ``transactional.ids.max``.
    """
    assert request.transactional_id is not None
    check_transactional_id(request.transactional_id)
    row = settings.state.transactions.rows.get(request.transactional_id)
    timeout_ms = _timeout_ms(settings, request, row)
    caller = Identity(request.producer_id, request.producer_epoch)
    if row is None:
        _check_room(settings)
        return _give(_new_row(request.transactional_id, timeout_ms, new_id(), now_ms))
    if caller != NO_IDENTITY and caller not in (current(row), last(row)):
        raise fenced(row, caller)
    if row.state in IS_ENDING:
        return Act([])
    if row.state is TransactionState.ONGOING:
        is_owner = caller != NO_IDENTITY and caller == current(row)
        if caller != NO_IDENTITY and not is_owner:
            raise fenced(row, caller)
        return Act([Put(prepare(row, Event.ABORTED, now_ms, is_owner=is_owner))])
    if caller != NO_IDENTITY and caller == last(row):
        return Act([], InitProducerIdReply(row.producer_id, row.producer_epoch))
    return _give(_next_row(row, caller, timeout_ms, new_id, now_ms))


def _give(row: TransactionRow) -> Act:
    return Act([Put(row)], InitProducerIdReply(row.producer_id, row.producer_epoch))


def _new_row(transactional_id: str, timeout_ms: int, producer_id: int, now_ms: int) -> TransactionRow:
    return TransactionRow(
        transactional_id,
        producer_id,
        0,
        *NO_IDENTITY,
        after(None, Event.INITIALISED),
        timeout_ms,
        now_ms,
    )


def _next_row(
    row: TransactionRow, caller: Identity, timeout_ms: int, new_id: NewId, now_ms: int
) -> TransactionRow:
    """``caller`` goes on where it was, or, as nobody, takes the id over: then nobody else may ask again."""
    given = next_identity(row, new_id)
    return msgspec.structs.replace(
        row,
        producer_id=given.producer_id,
        producer_epoch=given.producer_epoch,
        last_producer_id=caller.producer_id,
        last_producer_epoch=caller.producer_epoch,
        state=after(row, Event.INITIALISED),
        timeout_ms=timeout_ms,
        updated_at_ms=now_ms,
    )


def _timeout_ms(settings: Settings, request: InitProducerId, row: TransactionRow | None) -> int:
    limit_ms = settings.broker_number("transaction.max.timeout.ms")
    asked_ms = request.transaction_timeout_ms
    if asked_ms == -1:
        return min(row.timeout_ms if row is not None else DEFAULT_TIMEOUT_MS, limit_ms)
    if not 0 < asked_ms <= limit_ms:
        raise BrokerError(
            ErrorCode.INVALID_TRANSACTION_TIMEOUT,
            f"transactional.id '{request.transactional_id}': a time-out of {asked_ms} ms; allowed are 1 to {limit_ms}"
            " (transaction.max.timeout.ms)",
        )
    return asked_ms


def _check_room(settings: Settings) -> None:
    limit = settings.broker_number("transactional.ids.max")
    if len(settings.state.transactions.rows) >= limit:
        raise BrokerError(
            ErrorCode.POLICY_VIOLATION,
            f"{limit} transactional ids are known, which is the limit (transactional.ids.max); those that are not used"
            " expire (transactional.id.expiration.ms)",
        )
