from __future__ import annotations

import pytest
from transactionkit.desk import Desk

from shmbroker.errors import ErrorCode
from shmbroker.protocol import messages as m
from shmbrokerd.transactions.fencing import MAX_TRANSACTIONAL_ID_BYTES
from shmbrokerd.transactions.states import LAST_PRODUCER_EPOCH, MAX_EPOCH

S = m.TransactionState
FENCED = ErrorCode.PRODUCER_FENCED


@pytest.fixture
def desk() -> Desk:
    return Desk()


def identity(producer: m.InitProducerIdReply) -> dict[str, int]:
    return {"producer_id": producer.producer_id, "producer_epoch": producer.producer_epoch}


def test_producers_without_a_transactional_id_get_fresh_ids(desk: Desk) -> None:
    replies = [desk.ask(m.InitProducerId()) for _ in range(3)]
    assert [reply.producer_epoch for reply in replies] == [0, 0, 0]
    assert len({reply.producer_id for reply in replies} | {desk.init().producer_id}) == 4


def test_the_next_producer_gets_the_same_id_and_the_next_epoch(desk: Desk) -> None:
    first, second = desk.init(), desk.init()
    assert second == m.InitProducerIdReply(first.producer_id, first.producer_epoch + 1)
    assert desk.add(first, "t-0") == FENCED
    assert desk.ask_end(first, True) == FENCED
    assert desk.commit_offset(first, "in-0", 1) == FENCED


def test_the_next_producer_ends_what_the_last_one_left_open(desk: Desk) -> None:
    first = desk.init()
    desk.add(first, "t-0")
    assert desk.ask(m.InitProducerId("x")) is None, "it waits for the markers"
    assert desk.state_of() is S.PREPARE_ABORT
    assert desk.ask_end(first, True) == FENCED
    assert desk.ask(m.InitProducerId("x")) is None
    desk.finish()
    second = desk.ask(m.InitProducerId("x"))
    assert second.producer_epoch > first.producer_epoch + 1, "the markers have the one between"
    assert desk.ask_end(first, False) == FENCED


def test_of_two_that_wait_the_second_has_the_id(desk: Desk) -> None:
    first = desk.init()
    desk.add(first, "t-0")
    desk.ask(m.InitProducerId("x"))
    desk.finish()
    second, third = desk.ask(m.InitProducerId("x")), desk.ask(m.InitProducerId("x"))
    assert desk.add(second, "t-0") == FENCED
    assert desk.add(third, "t-0") == ErrorCode.NO_ERROR


def test_a_producer_goes_on_after_an_error_with_the_next_epoch(desk: Desk) -> None:
    first = desk.init()
    second = desk.init(**identity(first))
    assert second.producer_epoch == first.producer_epoch + 1
    assert desk.add(first, "t-0") == FENCED


def test_going_on_is_answered_the_same_when_it_is_asked_again(desk: Desk) -> None:
    first = desk.init()
    assert desk.init(**identity(first)) == desk.init(**identity(first))


def test_going_on_in_the_middle_of_a_transaction_aborts_it(desk: Desk) -> None:
    first = desk.init()
    desk.add(first, "t-0")
    assert desk.ask(m.InitProducerId("x", **identity(first))) is None
    assert not desk.markers().committed
    desk.finish()
    second = desk.ask(m.InitProducerId("x", **identity(first)))
    assert second.producer_epoch == first.producer_epoch + 1
    assert desk.add(second, "t-0") == ErrorCode.NO_ERROR


def test_nobody_goes_on_who_lost_the_id(desk: Desk) -> None:
    first = desk.init()
    desk.init()
    assert desk.ask(m.InitProducerId("x", **identity(first))) == FENCED
    desk.restart()
    assert desk.ask(m.InitProducerId("x", **identity(first))) == FENCED


def test_one_who_lost_the_id_does_not_abort_the_transaction_of_the_other(desk: Desk) -> None:
    first = desk.init()
    second = desk.init()
    desk.add(second, "t-0")
    assert desk.ask(m.InitProducerId("x", **identity(first))) == FENCED
    assert desk.state_of() is S.ONGOING


def test_one_whose_transaction_timed_out_does_not_go_on(desk: Desk) -> None:
    first = desk.init(transaction_timeout_ms=10)
    desk.add(first, "t-0")
    desk.pass_ms(10)
    assert desk.ask(m.InitProducerId("x", **identity(first))) == FENCED


@pytest.mark.parametrize("transactional_id", ["", "x" * 250, "ä" * 125, "a\0b"])
def test_ids_that_cannot_be_stored_are_refused(desk: Desk, transactional_id: str) -> None:
    assert desk.ask(m.InitProducerId(transactional_id)) == ErrorCode.INVALID_REQUEST


def test_a_key_of_the_store_takes_the_longest_ids(desk: Desk) -> None:
    from shmbrokerd.metadata.records import PendingOffsetsRow
    from shmbrokerd.store import encode_key

    longest = "x" * MAX_TRANSACTIONAL_ID_BYTES
    assert desk.init(longest).producer_epoch == 0
    assert len(encode_key(PendingOffsetsRow(longest, "g" * 249, ()).key)) <= 511


@pytest.mark.parametrize("timeout_ms", [0, -2, 900_001])
def test_a_time_out_is_in_its_limits(desk: Desk, timeout_ms: int) -> None:
    request = m.InitProducerId("x", timeout_ms)
    assert desk.ask(request) == ErrorCode.INVALID_TRANSACTION_TIMEOUT
    assert desk.state_of() is S.DEAD


def test_who_says_no_time_out_keeps_that_of_the_id(desk: Desk) -> None:
    def timeout_ms() -> int:
        row = desk.row()
        assert row is not None
        return row.timeout_ms

    desk.init()
    assert timeout_ms() == 60_000
    desk.init(transaction_timeout_ms=5)
    desk.init()
    assert timeout_ms() == 5


def test_there_is_a_largest_number_of_ids() -> None:
    desk = Desk("transactional.ids.max=2")
    desk.init("a")
    desk.init("b")
    assert desk.ask(m.InitProducerId("c")) == ErrorCode.POLICY_VIOLATION
    assert desk.init("a").producer_epoch == 1


# --- epochs that are used up -------------------------------------------------------------------------------


def test_after_the_last_epoch_comes_another_producer_id(desk: Desk) -> None:
    first = desk.init()
    last = desk.set_epoch(LAST_PRODUCER_EPOCH)
    desk.add(last, "t-0")
    desk.ask_end(last, True)
    assert desk.markers().producer_epoch == MAX_EPOCH
    desk.finish()
    following = desk.ask_end(last, True)
    assert following.producer_epoch == 0
    assert following.producer_id != first.producer_id
    assert desk.ask_end(last, True) == following, "asked again"
    assert desk.ask_end(last, False) == ErrorCode.INVALID_TXN_STATE
    assert desk.add(last, "t-0") == FENCED
    assert desk.add(following, "t-0") == ErrorCode.NO_ERROR
    assert desk.add(last, "t-0") == FENCED


def test_who_takes_over_at_the_last_epoch_gets_another_producer_id(desk: Desk) -> None:
    first = desk.init()
    last = desk.set_epoch(LAST_PRODUCER_EPOCH)
    following = desk.init()
    assert following.producer_epoch == 0
    assert following.producer_id != first.producer_id
    assert desk.add(last, "t-0") == ErrorCode.INVALID_PRODUCER_ID_MAPPING


def test_who_goes_on_at_the_last_epoch_is_answered_the_same_when_asking_again(desk: Desk) -> None:
    desk.init()
    last = desk.set_epoch(LAST_PRODUCER_EPOCH)
    assert desk.init(**identity(last)) == desk.init(**identity(last))


def test_the_last_epoch_is_aborted_without_its_producer(desk: Desk) -> None:
    desk.init()
    last = desk.set_epoch(LAST_PRODUCER_EPOCH)
    desk.add(last, "t-0")
    desk.pass_ms(60_000)
    assert desk.markers().producer_epoch == MAX_EPOCH
    desk.finish()
    assert desk.ask_end(last, True) == ErrorCode.INVALID_PRODUCER_ID_MAPPING
    assert desk.init().producer_epoch == 1


def test_aborting_nothing_at_the_last_epoch_gives_another_producer_id(desk: Desk) -> None:
    desk.init()
    last = desk.set_epoch(LAST_PRODUCER_EPOCH)
    following = desk.end(last, False)
    assert following.producer_epoch == 0
    assert following.producer_id != last.producer_id
    assert desk.end(last, False) == following


def test_ids_that_a_failed_write_took_back_are_reserved_again() -> None:
    desk = Desk()
    act = desk.coordinator.handle(
        m.InitProducerId(), "c", _caller(), desk.now_ms
    )  # never stored: the state is as before
    assert act.records
    assert desk.ask(m.InitProducerId()).producer_id == 0
    restarted = Desk()
    restarted.state.replay(desk.records)
    assert restarted.ask(m.InitProducerId()).producer_id != 0


def _caller() -> object:
    from shmbrokerd.transactions.act import Caller, Process

    return Caller(Process())
