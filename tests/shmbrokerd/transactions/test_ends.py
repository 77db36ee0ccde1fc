from __future__ import annotations

import pytest
from transactionkit.desk import Desk

from shmbroker.errors import ErrorCode
from shmbroker.protocol import messages as m
from shmbrokerd.transactions.act import Act
from shmbrokerd.transactions.states import LAST_PRODUCER_EPOCH

S = m.TransactionState
BAD_STATE = ErrorCode.INVALID_TXN_STATE
FENCED = ErrorCode.PRODUCER_FENCED


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize("committed", [True, False])
def test_an_end_is_answered_the_same_when_it_is_asked_again(desk: Desk, committed: bool) -> None:
    producer = desk.init()
    desk.add(producer, "t-0")
    assert desk.ask_end(producer, committed) is None
    assert desk.ask_end(producer, committed) is None, "it waits with the first one"
    desk.finish()
    first = desk.ask_end(producer, committed)
    desk.restart()
    assert desk.ask_end(producer, committed) == first


@pytest.mark.parametrize("committed", [True, False])
def test_the_other_end_is_refused(desk: Desk, committed: bool) -> None:
    producer = desk.init()
    desk.add(producer, "t-0")
    desk.ask_end(producer, committed)
    assert desk.ask_end(producer, not committed) == BAD_STATE
    desk.finish()
    assert desk.ask_end(producer, not committed) == BAD_STATE


def test_committing_nothing_changes_nothing(desk: Desk) -> None:
    producer = desk.init()
    count = len(desk.records)
    assert desk.end(producer, True) == m.EndTransactionReply(producer.producer_id, producer.producer_epoch)
    assert len(desk.records) == count


def test_aborting_nothing_shuts_out_what_is_still_on_its_way(desk: Desk) -> None:
    producer = desk.init()
    following = desk.end(producer, False)
    assert following.producer_epoch == producer.producer_epoch + 1
    assert desk.coordinator.markers("x") is None
    assert desk.commit_offset(producer, "in-0", 1) == FENCED
    assert desk.end(producer, False) == following, "asked again"
    assert desk.ask_end(producer, True) == BAD_STATE


def test_the_end_of_a_transaction_before_the_last_is_refused(desk: Desk) -> None:
    first = desk.init()
    desk.add(first, "t-0")
    second = desk.end(first, True)
    desk.add(second, "t-0")
    assert desk.ask_end(first, True) == FENCED
    assert desk.state_of() is S.ONGOING
    desk.end(second, False)
    assert desk.ask_end(first, True) == FENCED


def test_an_end_is_refused_once_the_producer_went_on(desk: Desk) -> None:
    first = desk.init()
    desk.add(first, "t-0")
    desk.end(first, True)
    desk.init()
    assert desk.ask_end(first, True) == FENCED


@pytest.mark.parametrize(("producer_id", "epoch"), [(-1, -1), (0, -1), (0, 1), (0, 32767)])
def test_made_up_identities_end_nothing(desk: Desk, producer_id: int, epoch: int) -> None:
    producer = desk.init()
    desk.add(producer, "t-0")
    reply = desk.ask(m.EndTransaction("x", producer_id, epoch, True))
    assert reply in (FENCED, ErrorCode.INVALID_PRODUCER_ID_MAPPING)
    assert desk.state_of() is S.ONGOING
    desk.ask_end(producer, True)
    assert desk.ask(m.EndTransaction("x", producer_id, epoch, True)) in (
        FENCED,
        ErrorCode.INVALID_PRODUCER_ID_MAPPING,
    )


def test_what_has_no_producer_is_told_so(desk: Desk) -> None:
    nobody = m.InitProducerIdReply(7, 0)
    assert desk.ask_end(nobody, True) == ErrorCode.INVALID_PRODUCER_ID_MAPPING
    assert desk.add(nobody, "t-0") == ErrorCode.INVALID_PRODUCER_ID_MAPPING
    assert desk.add(nobody, "t-0", transactional_id="") == ErrorCode.INVALID_REQUEST


def test_nothing_is_added_while_markers_are_written(desk: Desk) -> None:
    producer = desk.init()
    desk.add(producer, "t-0")
    desk.ask_end(producer, True)
    following = m.InitProducerIdReply(producer.producer_id, producer.producer_epoch + 1)
    assert desk.add(producer, "t-1") == FENCED
    assert desk.add(following, "t-1") == ErrorCode.CONCURRENT_TRANSACTIONS
    assert desk.ask_end(following, True) == FENCED


@pytest.mark.parametrize("epoch", [0, LAST_PRODUCER_EPOCH - 1, LAST_PRODUCER_EPOCH])
def test_the_decision_says_all_that_the_producer_hears_unless_its_epochs_are_used_up(
    desk: Desk, epoch: int
) -> None:
    desk.init()
    producer = desk.set_epoch(epoch)
    desk.add(producer, "t-0")
    desk.ask_end(producer, True)
    decided = desk.row()
    completion = desk.coordinator.complete("x", desk.now_ms)
    desk.apply(Act(list(completion.records)))
    assert completion.renews_id == (epoch == LAST_PRODUCER_EPOCH)
    assert decided is not None
    reply = desk.ask_end(producer, True)
    is_foretold = (reply.producer_id, reply.producer_epoch) == (
        decided.producer_id,
        decided.producer_epoch,
    )
    assert is_foretold != completion.renews_id
