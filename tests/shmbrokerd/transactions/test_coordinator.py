from __future__ import annotations

import pytest
from transactionkit.desk import OWNER, START_MS, Desk

from shmbroker.errors import ErrorCode
from shmbroker.protocol import messages as m
from shmbrokerd.transactions.act import Process
from shmbrokerd.transactions.coordinator import COORDINATOR_EPOCH

S = m.TransactionState
OK = ErrorCode.NO_ERROR


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_transaction_goes_through_its_states(desk: Desk) -> None:
    assert desk.state_of() is S.DEAD
    producer = desk.init()
    assert desk.state_of() is S.EMPTY
    assert desk.add(producer, "t-0", "t-2") == OK
    assert desk.state_of() is S.ONGOING
    assert desk.ask_end(producer, True) is None
    assert desk.state_of() is S.PREPARE_COMMIT
    desk.finish()
    assert desk.state_of() is S.COMPLETE_COMMIT
    desk.check_replay()


def test_markers_carry_the_next_epoch_and_go_to_all_partitions(desk: Desk) -> None:
    producer = desk.init()
    desk.add(producer, "t-2")
    desk.add(producer, "t-0", "in-1")
    desk.ask_end(producer, True)
    markers = desk.markers()
    assert (markers.producer_id, markers.producer_epoch) == (
        producer.producer_id,
        producer.producer_epoch + 1,
    )
    assert markers.committed
    assert sorted(markers.partitions) == [("in", 1), ("t", 0), ("t", 2)]


def test_the_producer_goes_on_with_the_next_epoch(desk: Desk) -> None:
    producer = desk.init()
    for committed in (True, False, True):
        desk.add(producer, "t-0")
        following = desk.end(producer, committed)
        assert following.producer_id == producer.producer_id
        assert following.producer_epoch == producer.producer_epoch + 1
        producer = following


def test_nobody_is_told_twice_that_partitions_were_added(desk: Desk) -> None:
    producer = desk.init()
    desk.add(producer, "t-0")
    count = len(desk.records)
    assert desk.add(producer, "t-0") == OK
    assert len(desk.records) == count, "there is nothing to store"


def test_all_partitions_are_added_or_none(desk: Desk) -> None:
    producer = desk.init()
    refs = [m.PartitionRef("t", 0), m.PartitionRef("nope", 0)]
    reply = desk.ask(m.AddPartitionsToTransaction("x", *_identity(producer), refs))
    assert [outcome.code for outcome in reply.outcomes] == [
        ErrorCode.OPERATION_NOT_ATTEMPTED,
        ErrorCode.UNKNOWN_TOPIC_OR_PART,
    ]
    assert desk.state_of() is S.EMPTY


def test_a_transaction_has_a_largest_number_of_partitions() -> None:
    desk = Desk("transaction.partitions.max=2")
    producer = desk.init()
    assert desk.add(producer, "t-0", "t-1") == OK
    assert desk.add(producer, "t-2") == ErrorCode.POLICY_VIOLATION
    assert desk.commit_offset(producer, "in-0", 1) == OK
    assert desk.commit_offset(producer, "in-1", 1) == OK
    assert desk.commit_offset(producer, "t-0", 1) == ErrorCode.POLICY_VIOLATION


def test_partitions_that_were_deleted_need_no_marker(desk: Desk) -> None:
    producer = desk.init()
    desk.add(producer, "t-0", "in-0")
    desk.ask_end(producer, True)
    desk.delete("t")
    assert desk.markers().partitions == [("in", 0)]


def test_what_takes_over_after_a_crash_finishes_what_is_decided(desk: Desk) -> None:
    producer = desk.init()
    desk.add(producer, "t-0")
    desk.ask_end(producer, True)
    epoch = desk.coordinator.epoch
    desk.restart()
    assert desk.coordinator.ending() == ["x"]
    assert desk.coordinator.epoch == epoch + 1
    assert desk.end(producer, True).producer_epoch == producer.producer_epoch + 1


def test_coordinators_have_epochs_of_their_own(desk: Desk) -> None:
    before = desk.state.counters[COORDINATOR_EPOCH]
    desk.restart()
    desk.restart()
    assert desk.state.counters[COORDINATOR_EPOCH] == before + 2


# --- death and time ----------------------------------------------------------------------------------------


def test_the_death_of_the_process_aborts_what_it_began(desk: Desk) -> None:
    producer = desk.init()
    desk.add(producer, "t-0")
    desk.apply(desk.coordinator.process_ended(OWNER, desk.now_ms))
    assert desk.state_of() is S.PREPARE_ABORT
    assert not desk.markers().committed
    assert desk.ask_end(producer, True) == ErrorCode.PRODUCER_FENCED
    desk.finish()
    assert desk.ask_end(producer, True) == ErrorCode.PRODUCER_FENCED
    assert desk.ask_end(producer, False) == ErrorCode.PRODUCER_FENCED


@pytest.mark.parametrize("process", [Process(4712, 99), Process(4711, 100), Process()])
def test_the_death_of_another_process_does_not(desk: Desk, process: Process) -> None:
    producer = desk.init()
    desk.add(producer, "t-0")
    desk.apply(desk.coordinator.process_ended(process, desk.now_ms))
    assert desk.end(producer, True).producer_epoch == 1


def test_a_lost_connection_aborts_nothing(desk: Desk) -> None:
    producer = desk.init()
    desk.add(producer, "t-0")
    desk.coordinator.disconnected("c")
    assert desk.add(producer, "t-1", connection="another") == OK
    assert desk.end(producer, True).producer_epoch == 1


def test_what_is_decided_does_not_change_with_the_death_of_the_process(desk: Desk) -> None:
    producer = desk.init()
    desk.add(producer, "t-0")
    desk.ask_end(producer, True)
    desk.apply(desk.coordinator.process_ended(OWNER, desk.now_ms))
    assert desk.state_of() is S.PREPARE_COMMIT


def test_a_transaction_is_aborted_after_its_time_out(desk: Desk) -> None:
    producer = desk.init(transaction_timeout_ms=500)
    desk.add(producer, "t-0")
    assert desk.coordinator.next_tick_ms() == START_MS + 500
    desk.pass_ms(499)
    assert desk.state_of() is S.ONGOING
    desk.pass_ms(1)
    assert desk.state_of() is S.PREPARE_ABORT
    assert desk.add(producer, "t-1") == ErrorCode.PRODUCER_FENCED
    assert desk.coordinator.next_tick_ms() is None
    desk.finish()
    assert desk.ask_end(producer, True) == ErrorCode.PRODUCER_FENCED


def test_adding_more_does_not_buy_more_time(desk: Desk) -> None:
    producer = desk.init(transaction_timeout_ms=500)
    desk.add(producer, "t-0")
    desk.pass_ms(300)
    desk.add(producer, "t-1")
    desk.pass_ms(200)
    assert desk.state_of() is S.PREPARE_ABORT


def test_the_time_before_the_first_partition_does_not_count(desk: Desk) -> None:
    producer = desk.init(transaction_timeout_ms=500)
    desk.pass_ms(10_000)
    assert desk.add(producer, "t-0") == OK
    assert desk.end(producer, True).producer_epoch == 1
    desk.pass_ms(10_000)
    assert desk.state_of() is S.COMPLETE_COMMIT


def test_an_id_that_nobody_uses_expires() -> None:
    desk = Desk("transactional.id.expiration.ms=1000")
    idle, busy = desk.init("idle"), desk.init("busy")
    desk.add(busy, "t-0", transactional_id="busy")
    desk.pass_ms(1000)
    desk.apply(desk.coordinator.expire(desk.now_ms))
    assert desk.state_of("idle") is S.DEAD
    assert desk.state_of("busy") is S.ONGOING
    assert desk.add(idle, "t-0", transactional_id="idle") == ErrorCode.INVALID_PRODUCER_ID_MAPPING, (
        "as if it had never been"
    )
    desk.check_replay()


def _identity(producer: m.InitProducerIdReply) -> tuple[int, int]:
    return producer.producer_id, producer.producer_epoch
