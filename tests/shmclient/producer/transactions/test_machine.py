"""What a transactional producer asks its coordinator, and what the answers make of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shmbroker.errors import ErrorCode
from shmbroker.protocol.messages import (
    AddPartitionsToTransaction,
    CommitTransactionOffsets,
    EndTransaction,
    EndTransactionReply,
    InitProducerId,
    InitProducerIdReply,
    OffsetToCommit,
    PartitionOutcome,
    PartitionOutcomesReply,
    PartitionRef,
)
from shmclient.errors import KafkaError, KafkaException
from shmclient.producer.transactions.machine import (
    MAX_RETRY_S,
    RETRY_S,
    GroupOffsets,
    Identity,
    Transactions,
)
from shmclient.producer.transactions.outcomes import Request
from shmclient.producer.transactions.states import Phase

NOW = 100.0
T0 = ("t", 0)
OFFSETS = GroupOffsets("g", [OffsetToCommit("t", 0, 5)], "m", 3)


class Producer(Transactions):
    """A machine, and the daemon's part of its conversation."""

    def ask(self, *waiting: tuple[str, int], now: float = NOW) -> Request:
        request = self.next_request(now, waiting)
        assert request is not None
        self.note_sent(request)
        return request

    def hear(self, reply: object, now: float = NOW) -> None:
        self.answer(reply, now)

    def refuse(self, code: int, now: float = NOW) -> None:
        self.hear(KafkaError(code, "because"), now)


def fresh() -> Producer:
    return Producer("id", 60_000)


def ready(epoch: int = 0) -> Producer:
    machine = fresh()
    machine.initialize()
    machine.ask()
    machine.hear(InitProducerIdReply(7, epoch))
    machine.acknowledge()
    return machine


def begun() -> Producer:
    machine = ready()
    machine.begin()
    return machine


def writing() -> Producer:
    machine = begun()
    machine.ask(T0)
    machine.hear(outcomes(T0))
    return machine


def committing() -> Producer:
    machine = writing()
    machine.commit()
    machine.flushed()
    return machine


def aborting() -> Producer:
    machine = writing()
    machine.abort()
    machine.flushed()
    return machine


def outcomes(*keys: tuple[str, int], code: ErrorCode = ErrorCode.NO_ERROR) -> PartitionOutcomesReply:
    return PartitionOutcomesReply([PartitionOutcome(*key, code=code) for key in keys])


def error_of(call: Callable[[], object]) -> KafkaError:
    with pytest.raises(KafkaException) as info:
        call()
    error = info.value.args[0]
    assert isinstance(error, KafkaError)
    return error


# --- the ordinary way --------------------------------------------------------------------------------------


def test_a_producer_gets_its_identity_first() -> None:
    machine = fresh()
    assert not machine.has_request()
    machine.initialize()
    assert machine.has_request()
    assert machine.ask() == InitProducerId("id", 60_000)
    assert not machine.has_request()
    machine.hear(InitProducerIdReply(7, 2))
    assert machine.identity == Identity(7, 2)
    assert machine.is_ended and machine.phase is Phase.INITIALIZING
    machine.acknowledge()
    assert machine.phase is Phase.READY


def test_partitions_are_added_before_they_are_written_to() -> None:
    machine = begun()
    assert machine.accepts_records and machine.is_writing
    expected = AddPartitionsToTransaction("id", 7, 0, [PartitionRef("t", 0), PartitionRef("t", 1)])
    assert machine.ask(T0, ("t", 1)) == expected
    assert machine.next_request(NOW, [("t", 2)]) is None  # one at a time
    machine.hear(outcomes(T0, ("t", 1)))
    assert machine.added == [T0, ("t", 1)]
    assert machine.next_request(NOW, []) is None


def test_a_commit_ends_after_its_records() -> None:
    machine = writing()
    machine.commit()
    assert not machine.accepts_records and machine.is_writing
    assert machine.next_request(NOW, []) is None
    assert isinstance(machine.ask(("t", 1)), AddPartitionsToTransaction)  # what is queued goes out still
    machine.hear(outcomes(("t", 1)))
    machine.flushed()
    assert machine.ask() == EndTransaction("id", 7, 0, committed=True)
    machine.hear(EndTransactionReply(7, 1))
    machine.acknowledge()
    assert (machine.phase, machine.identity) == (Phase.READY, Identity(7, 1))


def test_an_abort_says_so() -> None:
    machine = aborting()
    assert machine.ask() == EndTransaction("id", 7, 0, committed=False)
    machine.hear(EndTransactionReply(8, 0))
    machine.acknowledge()
    assert machine.identity == Identity(8, 0)


@pytest.mark.parametrize("end", [Transactions.commit, Transactions.abort])
def test_a_transaction_nobody_knows_of_ends_without_a_word(end: Callable[[Transactions], None]) -> None:
    machine = begun()
    end(machine)
    machine.flushed()
    assert machine.is_ended and not machine.has_request()
    machine.acknowledge()
    assert machine.identity == Identity(7, 0)


def test_each_transaction_has_a_number() -> None:
    machine = begun()
    first = machine.number
    machine.commit()
    machine.flushed()
    machine.acknowledge()
    machine.begin()
    assert machine.number == first + 1


def test_offsets_go_with_who_read_them() -> None:
    machine = begun()
    machine.send_offsets(OFFSETS)
    assert machine.ask() == CommitTransactionOffsets("id", 7, 0, "g", OFFSETS.offsets, "m", 3, None)
    assert machine.has_offsets()
    machine.hear(outcomes(T0))
    assert not machine.has_offsets()
    machine.commit()
    machine.flushed()
    assert isinstance(machine.ask(), EndTransaction)


# --- calls out of order ------------------------------------------------------------------------------------

_CALLS: dict[str, Callable[[Transactions], object]] = {
    "init": Transactions.initialize,
    "begin": Transactions.begin,
    "offsets": lambda machine: machine.send_offsets(OFFSETS),
    "commit": Transactions.commit,
    "abort": Transactions.abort,
}


@pytest.mark.parametrize(
    ("make", "allowed"),
    [
        (fresh, {"init"}),
        (ready, {"begin"}),
        (writing, {"offsets", "commit", "abort"}),
        (committing, {"commit"}),
        (aborting, {"abort"}),
    ],
)
@pytest.mark.parametrize("call", _CALLS)
def test_calls_out_of_order_are_refused(make: Callable[[], Producer], allowed: set[str], call: str) -> None:
    machine = make()
    phase = machine.phase
    if call in allowed:
        _CALLS[call](machine)
        return
    error = error_of(lambda: _CALLS[call](machine))
    assert error.code() == KafkaError._STATE
    assert not (error.fatal() or error.retriable() or error.txn_requires_abort())
    assert machine.phase is phase


def test_a_call_made_again_goes_on() -> None:
    machine = committing()
    machine.ask()
    machine.commit()
    machine.flushed()
    assert machine.next_request(NOW, []) is None  # it waits for the answer to the first
    machine.hear(EndTransactionReply(7, 1))
    machine.commit()
    machine.flushed()
    assert machine.is_ended
    machine.acknowledge()


# --- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code", [ErrorCode._TRANSPORT, ErrorCode.CONCURRENT_TRANSACTIONS, ErrorCode.KAFKA_STORAGE_ERROR]
)
@pytest.mark.parametrize("make", [committing, aborting])
def test_what_may_pass_is_asked_again_after_a_pause(make: Callable[[], Producer], code: ErrorCode) -> None:
    machine = make()
    first = machine.ask()
    machine.refuse(code)
    assert machine.next_request(NOW, []) is None
    assert machine.wake_at() == NOW + RETRY_S
    assert machine.refusal is not None and machine.refusal.code() == code
    assert machine.ask(now=NOW + RETRY_S) == first
    machine.hear(EndTransactionReply(7, 1))
    assert machine.is_ended and machine.refusal is None and machine.wake_at() == float("inf")


def test_pauses_grow_to_a_limit() -> None:
    machine, now, pauses = committing(), NOW, []
    for _ in range(8):
        machine.ask(now=now)
        machine.refuse(ErrorCode.CONCURRENT_TRANSACTIONS, now)
        pauses.append(machine.wake_at() - now)
        now = machine.wake_at()
    assert pauses == sorted(pauses)
    assert pauses[0] == pytest.approx(RETRY_S)
    assert pauses[-1] == pytest.approx(MAX_RETRY_S)


@pytest.mark.parametrize("code", [ErrorCode.PRODUCER_FENCED, ErrorCode.INVALID_PRODUCER_EPOCH])
def test_who_is_fenced_can_do_nothing_more(code: ErrorCode) -> None:
    machine = committing()
    machine.ask()
    machine.refuse(code)
    assert machine.phase is Phase.FATAL_ERROR
    for call in _CALLS.values():
        error = error_of(lambda call=call: call(machine))  # type: ignore[misc]
        assert error.fatal() and error.code() == KafkaError._FENCED
    assert not machine.has_request()


def test_a_refused_initialization_is_final() -> None:
    machine = fresh()
    machine.initialize()
    machine.ask()
    machine.refuse(ErrorCode.INVALID_TRANSACTION_TIMEOUT)
    error = error_of(machine.raise_fault)
    assert error.fatal() and error.code() == KafkaError.INVALID_TRANSACTION_TIMEOUT


def test_a_partition_that_is_not_to_be_had_makes_it_abortable() -> None:
    machine = begun()
    machine.ask(T0, ("t", 1))
    reply = PartitionOutcomesReply(
        [
            PartitionOutcome("t", 0, code=ErrorCode.OPERATION_NOT_ATTEMPTED),
            PartitionOutcome("t", 1, code=ErrorCode.TOPIC_AUTHORIZATION_FAILED, message="not yours"),
        ]
    )
    machine.hear(reply)
    assert machine.added == []
    error = error_of(machine.raise_fault)
    assert error.txn_requires_abort() and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
    assert "t [1]" in error.str() and "not yours" in error.str()
    assert error_of(machine.begin).txn_requires_abort()
    machine.abort()
    machine.flushed()
    assert isinstance(machine.ask(), EndTransaction)  # the coordinator may have heard of it


def test_a_partition_that_is_not_there_yet_is_asked_for_again() -> None:
    machine = begun()
    machine.ask(T0)
    machine.hear(outcomes(T0, code=ErrorCode.UNKNOWN_TOPIC_OR_PART))
    assert machine.phase is Phase.IN_TRANSACTION
    assert isinstance(machine.ask(T0, now=machine.wake_at()), AddPartitionsToTransaction)


@pytest.mark.parametrize(
    "code", [ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.ILLEGAL_GENERATION, ErrorCode.FENCED_INSTANCE_ID]
)
def test_offsets_of_a_stranger_make_it_abortable(code: ErrorCode) -> None:
    machine = begun()
    machine.send_offsets(OFFSETS)
    machine.ask()
    machine.refuse(code)
    assert not machine.has_offsets()
    error = error_of(machine.raise_fault)
    assert error.txn_requires_abort() and error.code() == code


def test_offsets_without_an_answer_make_it_abortable() -> None:
    machine = begun()
    machine.send_offsets(OFFSETS)
    machine.ask()
    machine.give_up_offsets()
    assert error_of(machine.raise_fault).code() == KafkaError._TIMED_OUT
    machine.hear(outcomes(T0))  # late
    machine.abort()
    machine.flushed()
    assert isinstance(machine.ask(), EndTransaction)


def test_an_abort_without_a_known_producer_gets_another_epoch() -> None:
    machine = begun()
    machine.ask(T0)
    machine.refuse(ErrorCode.INVALID_PRODUCER_ID_MAPPING)
    assert error_of(machine.raise_fault).txn_requires_abort()
    machine.abort()
    machine.flushed()
    assert machine.ask() == InitProducerId("id", 60_000, 7, 0)
    machine.hear(InitProducerIdReply(9, 0))
    machine.acknowledge()
    assert machine.identity == Identity(9, 0)


def test_an_abort_that_finds_the_producer_forgotten_gets_another_epoch() -> None:
    machine = aborting()
    machine.ask()
    machine.refuse(ErrorCode.UNKNOWN_PRODUCER_ID)
    assert isinstance(machine.ask(), InitProducerId)
    machine.hear(InitProducerIdReply(7, 5))
    machine.acknowledge()


def test_a_commit_that_is_refused_can_be_aborted() -> None:
    machine = committing()
    machine.ask()
    machine.refuse(ErrorCode.UNKNOWN)
    assert error_of(machine.raise_fault).txn_requires_abort()
    machine.abort()
    machine.flushed()
    assert machine.ask() == EndTransaction("id", 7, 0, committed=False)


def test_an_abort_that_is_refused_can_be_tried_again() -> None:
    machine = aborting()
    machine.ask()
    machine.refuse(ErrorCode.UNKNOWN)
    assert error_of(machine.raise_fault).txn_requires_abort()
    machine.abort()


def test_an_answer_nobody_understands_is_a_refusal() -> None:
    machine = committing()
    machine.ask()
    machine.hear(object())
    assert error_of(machine.raise_fault).code() == KafkaError._BAD_MSG


def test_the_answer_to_what_was_given_up_changes_nothing() -> None:
    machine = begun()
    machine.ask(T0)
    machine.abort()
    machine.flushed()
    assert machine.next_request(NOW, []) is None  # the daemon answers in order: it is waited for
    machine.hear(outcomes(T0))
    assert machine.added == []
    assert machine.ask() == EndTransaction("id", 7, 0, committed=False)


# --- records -----------------------------------------------------------------------------------------------


def test_records_that_were_lost_forbid_the_commit() -> None:
    machine = writing()
    machine.note_failed_records(2)
    machine.commit()
    error = error_of(machine.flushed)
    assert error.txn_requires_abort() and error.code() == KafkaError._INCONSISTENT
    assert "2 message(s)" in error.str()
    machine.abort()
    machine.flushed()
    machine.ask()
    machine.hear(EndTransactionReply(7, 1))
    machine.acknowledge()
    machine.begin()
    machine.commit()
    machine.flushed()  # what was lost was another transaction's


def test_records_given_up_by_an_abort_are_not_lost() -> None:
    machine = writing()
    machine.abort()
    machine.note_failed_records(2)
    machine.flushed()


def test_a_refused_batch_makes_it_abortable() -> None:
    machine = writing()
    machine.refuse_batch(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
    machine.refuse_batch(KafkaError(KafkaError.INVALID_RECORD))
    error = error_of(machine.raise_fault)
    assert error.txn_requires_abort() and error.code() == KafkaError.MSG_SIZE_TOO_LARGE
    assert not machine.accepts_records and not machine.is_writing


def test_a_batch_of_an_old_epoch_is_the_end() -> None:
    machine = writing()
    machine.refuse_batch(KafkaError(KafkaError.INVALID_PRODUCER_EPOCH))
    error = error_of(machine.raise_fault)
    assert error.fatal() and error.code() == KafkaError._FENCED


def test_it_is_known_whether_the_coordinator_may_know_of_a_transaction() -> None:
    assert not begun().is_open
    assert writing().is_open
    assert aborting().is_open
    assert not committing().is_open  # whoever decided that has to hear how it ends
