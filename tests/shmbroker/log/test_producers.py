from collections import deque
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log.producers import (
    REMEMBERED_BATCHES,
    ProducerRow,
    ProducerStates,
    RememberedBatch,
    next_sequence,
)
from shmbroker.records.control import Marker
from shmbroker.records.layout import Flag, Header

SPACE = 1 << 31
"""Sequences count from 0 to 2**31 - 1 and begin anew."""


def header(producer_id: int, epoch: int, sequence: int, count: int = 1) -> Header:
    fields: dict[str, Any] = dict.fromkeys(Header._fields, 0)
    fields.update(producer_id=producer_id, producer_epoch=epoch, base_sequence=sequence, count=count)
    return Header(**fields)


def refusal(states: ProducerStates, batch: Header) -> ErrorCode | None:
    try:
        states.check(batch)
    except BrokerError as error:
        return error.code
    return None


@given(st.integers(0, SPACE - 1), st.integers(0, SPACE - 1))
def test_sequences_wrap_to_zero(sequence: int, count: int) -> None:
    assert next_sequence(sequence, count) == (sequence + count) % SPACE


class ProducersAgainstALog(RuleBasedStateMachine):
    """One producer's batches, held to the list of all that were ever appended."""

    def __init__(self) -> None:
        super().__init__()
        self.states = ProducerStates()
        self.epoch = 0
        self.sequence = SPACE - 40  # so that runs cross the wrap-around
        self.appended: deque[tuple[Header, int]] = deque()
        self.offset = 0

    def append(self, batch: Header) -> None:
        assert self.states.check(batch) is None
        self.states.record(batch, self.offset, append_time=self.offset + 7, now_ms=0)
        self.appended.append((batch, self.offset))
        self.offset += batch.count
        self.sequence = (batch.base_sequence + batch.count) % SPACE

    @rule(count=st.integers(1, 30))
    def append_next(self, count: int) -> None:
        self.append(header(5, self.epoch, self.sequence, count))

    @rule(count=st.integers(1, 30))
    def begin_an_epoch(self, count: int) -> None:
        self.epoch += 1
        self.append(header(5, self.epoch, 0, count))

    @rule(back=st.integers(1, 12))
    def repeat(self, back: int) -> None:
        if back > len(self.appended):
            return
        batch, offset = self.appended[-back]
        same_epoch = [b for b, _ in self.appended if b.producer_epoch == self.epoch]
        if batch.producer_epoch < self.epoch:
            assert refusal(self.states, batch) == ErrorCode.INVALID_PRODUCER_EPOCH
        elif back <= min(REMEMBERED_BATCHES, len(same_epoch)):
            last = next_sequence(batch.base_sequence, batch.count - 1)
            assert self.states.check(batch) == RememberedBatch(batch.base_sequence, last, offset, offset + 7)
        else:
            assert refusal(self.states, batch) == ErrorCode.DUPLICATE_SEQUENCE_NUMBER

    @rule(ahead=st.integers(1, 1000), count=st.integers(1, 5))
    def leave_a_gap(self, ahead: int, count: int) -> None:
        if self.appended:
            batch = header(5, self.epoch, (self.sequence + ahead) % SPACE, count)
            assert refusal(self.states, batch) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER

    @rule(sequence=st.integers(1, SPACE - 1))
    def begin_an_epoch_in_the_middle(self, sequence: int) -> None:
        if self.appended:
            batch = header(5, self.epoch + 1, sequence)
            assert refusal(self.states, batch) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER

    @rule(epochs=st.integers(1, 3), sequence=st.integers(0, SPACE - 1))
    def come_late(self, epochs: int, sequence: int) -> None:
        if self.appended and self.epoch >= epochs:
            batch = header(5, self.epoch - epochs, sequence)
            assert refusal(self.states, batch) == ErrorCode.INVALID_PRODUCER_EPOCH

    @rule()
    def restart(self) -> None:
        if self.appended:
            row = self.states.packed_row(5)
            assert row is not None
            self.states = ProducerStates([(5, row)])

    @invariant()
    def other_producers_are_other_producers(self) -> None:
        assert refusal(self.states, header(6, 0, 17)) is None
        assert refusal(self.states, header(-1, -1, -1)) is None


TestProducers = ProducersAgainstALog.TestCase
TestProducers.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_part_of_a_remembered_batch_is_no_repetition_of_it() -> None:
    states = ProducerStates()
    states.record(header(5, 0, 0, 10), 100, -1, now_ms=0)
    for part in (header(5, 0, 0, 5), header(5, 0, 5, 5), header(5, 0, 2, 3)):
        assert refusal(states, part) == ErrorCode.DUPLICATE_SEQUENCE_NUMBER


def test_batches_of_nobody_are_not_remembered() -> None:
    states = ProducerStates()
    assert not states.record(header(-1, -1, -1), 0, -1, now_ms=0)
    assert states.packed_row(-1) is None and len(states) == 0


ROWS = st.builds(
    ProducerRow,
    st.integers(0, 0x7FFF),
    st.lists(
        st.builds(
            RememberedBatch,
            st.integers(0, SPACE - 1),
            st.integers(0, SPACE - 1),
            st.integers(0, (1 << 63) - 1),
            st.integers(-1, (1 << 63) - 1),
        ),
        max_size=REMEMBERED_BATCHES,
    ),
    st.integers(-1, SPACE - 1),
    st.integers(-1, (1 << 63) - 1),
    st.integers(-1, (1 << 63) - 1),
)


@given(ROWS)
def test_a_row_is_read_as_written(row: ProducerRow) -> None:
    again = ProducerRow.unpack(row.pack())
    assert [getattr(again, name) for name in ProducerRow.__slots__] == [
        getattr(row, name) for name in ProducerRow.__slots__
    ]


def test_the_next_epoch_waits_for_the_end_of_a_transaction() -> None:
    """It was written without adding the partition, and must not become part of the next transaction."""
    states = ProducerStates()
    first = header(5, 0, 0)._replace(flags=int(Flag.TRANSACTIONAL))
    following = header(5, 1, 0)._replace(flags=int(Flag.TRANSACTIONAL))
    assert states.record(first, 0, -1, 0)
    assert refusal(states, following) == ErrorCode.CONCURRENT_TRANSACTIONS
    states.end_transaction(Marker(5, 0, False, 0), 1, 0)
    assert refusal(states, following) is None
