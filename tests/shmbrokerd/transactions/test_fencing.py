from __future__ import annotations

import pytest

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol.messages import TransactionState
from shmbrokerd.metadata.records import Put, TransactionRow
from shmbrokerd.metadata.state import State
from shmbrokerd.transactions.fencing import (
    MAX_TRANSACTIONAL_ID_BYTES,
    Identity,
    check_transactional_id,
    known_row,
    next_identity,
    owned_row,
)
from shmbrokerd.transactions.states import LAST_PRODUCER_EPOCH

CURRENT, LAST = Identity(9, 4), Identity(8, LAST_PRODUCER_EPOCH)


def row(*identity: int) -> TransactionRow:
    return TransactionRow("x", *(identity or CURRENT), *LAST, TransactionState.COMPLETE_COMMIT, 1000, 0)


@pytest.fixture
def state() -> State:
    state = State()
    state.apply(Put(row()))
    return state


@pytest.mark.parametrize("transactional_id", ["x", "ä" * 124, "x" * MAX_TRANSACTIONAL_ID_BYTES, "a b/c"])
def test_an_id_that_fits_a_key_of_the_store_is_taken(transactional_id: str) -> None:
    check_transactional_id(transactional_id)


@pytest.mark.parametrize("transactional_id", ["", "ä" * 125, "x" * (MAX_TRANSACTIONAL_ID_BYTES + 1), "a\0b"])
def test_others_are_refused(transactional_id: str) -> None:
    with pytest.raises(BrokerError) as raised:
        check_transactional_id(transactional_id)
    assert raised.value.code == ErrorCode.INVALID_REQUEST


def test_the_producer_of_an_id_and_the_one_before_are_known(state: State) -> None:
    assert known_row(state, "x", CURRENT) == known_row(state, "x", LAST) == row()
    assert owned_row(state, "x", CURRENT) == row()


@pytest.mark.parametrize(
    ("transactional_id", "caller", "code"),
    [
        ("x", LAST, ErrorCode.PRODUCER_FENCED),
        ("x", Identity(9, 3), ErrorCode.PRODUCER_FENCED),
        ("x", Identity(9, 5), ErrorCode.PRODUCER_FENCED),
        ("x", Identity(7, 4), ErrorCode.INVALID_PRODUCER_ID_MAPPING),
        ("x", Identity(-1, -1), ErrorCode.INVALID_PRODUCER_ID_MAPPING),
        ("y", CURRENT, ErrorCode.INVALID_PRODUCER_ID_MAPPING),
        ("", CURRENT, ErrorCode.INVALID_REQUEST),
    ],
)
def test_whoever_else_asks_is_refused(
    state: State, transactional_id: str, caller: Identity, code: ErrorCode
) -> None:
    with pytest.raises(BrokerError) as raised:
        owned_row(state, transactional_id, caller)
    assert raised.value.code == code


def test_an_id_goes_on_with_the_next_epoch_until_they_are_used_up() -> None:
    def new_id() -> int:
        return 77

    assert next_identity(row(9, 4), new_id) == (9, 5)
    assert next_identity(row(9, LAST_PRODUCER_EPOCH - 1), new_id) == (9, LAST_PRODUCER_EPOCH)
    assert next_identity(row(9, LAST_PRODUCER_EPOCH), new_id) == (77, 0)
