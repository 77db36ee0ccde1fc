"""Whatever comes in whatever order, a transactional producer is never confused: seeded runs against a coordinator that loses
answers, refuses and repeats."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
)
from shmclient.errors import KafkaError, KafkaException
from shmclient.producer.transactions.machine import GroupOffsets, Identity, Transactions
from shmclient.producer.transactions.outcomes import Request
from shmclient.producer.transactions.states import Phase

OFFSETS = GroupOffsets("g", [OffsetToCommit("t", 0, 1)])
PARTITIONS = [("t", number) for number in range(3)]


class Coordinator:
    """Knows one id. Carries out each request at most once, however often it is made."""

    def __init__(self) -> None:
        self.identity = Identity(7, -1)
        self.open: set[tuple[str, int]] = set()
        self.has_offsets = False
        self.ended: list[tuple[Identity, bool]] = []
        """Each transaction that was ended, and whether it was committed."""

    def carry_out(self, request: Request) -> object:
        if isinstance(request, InitProducerId):
            self._next()
            return InitProducerIdReply(*self.identity)
        asked = Identity(request.producer_id, request.producer_epoch)
        if isinstance(request, EndTransaction):
            return self._end(request, asked)
        if asked != self.identity:
            return KafkaError(KafkaError.PRODUCER_FENCED)
        if isinstance(request, AddPartitionsToTransaction):
            keys = [(ref.topic, ref.partition) for ref in request.partitions]
            self.open.update(keys)
            return PartitionOutcomesReply([PartitionOutcome(*key) for key in keys])
        assert isinstance(request, CommitTransactionOffsets)
        self.has_offsets = True
        return PartitionOutcomesReply([PartitionOutcome("t", 0)])

    def _end(self, request: EndTransaction, asked: Identity) -> object:
        if asked == self.identity:
            self.ended.append((asked, request.committed))
            self._next()
        elif not self.ended or self.ended[-1] != (asked, request.committed):
            return KafkaError(KafkaError.PRODUCER_FENCED)
        return EndTransactionReply(*self.identity)

    def _next(self) -> None:
        self.identity = Identity(self.identity.producer_id, self.identity.epoch + 1)
        self.open.clear()
        self.has_offsets = False


class World:
    """A producer whose application makes calls at random, and the wire between it and the coordinator."""

    def __init__(self, dice: random.Random, refusals: list[ErrorCode]) -> None:
        self.dice = dice
        self.refusals = refusals
        self.machine = Transactions("id", 60_000)
        self.coordinator = Coordinator()
        self.now = 0.0
        self.wire: Request | None = None
        self.written: set[tuple[str, int]] = set()
        """Partitions that batches of this transaction went to."""
        self.committed: list[Identity] = []
        """Of transactions with records that the application was told are committed."""
        self.begun: list[Identity] = []

    def step(self) -> None:
        self.now += self.dice.choice((0.001, 0.05, 1.0))
        self.dice.choice(
            (self.call, self.call, self.send, self.send, self.deliver, self.deliver, self.lose)
        )()
        for key in self.machine.added:
            assert key in self.coordinator.open or self.machine.identity != self.coordinator.identity
        self.written.update(self.machine.added)
        self.machine.added.clear()

    def send(self) -> None:
        waiting = [key for key in PARTITIONS if key not in self.written and self.dice.random() < 0.5]
        request = self.machine.next_request(self.now, waiting if self.machine.is_writing else [])
        if request is not None:
            assert self.wire is None
            self.machine.note_sent(request)
            self.wire = request

    def deliver(self) -> None:
        if self.wire is None:
            return
        request, self.wire = self.wire, None
        if self.refusals and self.dice.random() < 0.2:
            reply: object = KafkaError(self.dice.choice(self.refusals))
        else:
            reply = self.coordinator.carry_out(request)
        self.machine.answer(reply, self.now)

    def lose(self) -> None:
        """The connection breaks, before or after the request was carried out."""
        if self.wire is None:
            return
        if self.dice.random() < 0.5:
            self.coordinator.carry_out(self.wire)
        self.wire = None
        self.machine.answer(KafkaError(KafkaError._TRANSPORT), self.now)

    def call(self) -> None:
        machine = self.machine
        if machine.is_ended:
            if machine.phase is Phase.COMMITTING and self.written:
                self.committed.append(self.begun[-1])
            machine.acknowledge()
            return
        phase = machine.phase
        try:
            if phase is Phase.UNINITIALIZED:
                machine.initialize()
            elif phase is Phase.READY:
                machine.begin()
                self.begun.append(machine.identity)
                self.written = set()
            elif phase is Phase.IN_TRANSACTION:
                self._go_on()
            elif phase is Phase.COMMITTING:
                machine.flushed()
            elif phase in (Phase.ABORTABLE_ERROR, Phase.ABORTING):
                machine.abort()
                machine.flushed()
        except KafkaException as error:
            assert error.args[0].txn_requires_abort() or error.args[0].fatal()

    def _go_on(self) -> None:
        machine = self.machine
        if machine.has_offsets():
            if self.dice.random() < 0.2:
                machine.give_up_offsets()
            return
        action = self.dice.randrange(6)
        if action == 0:
            machine.send_offsets(OFFSETS)
        elif action == 1:
            machine.note_failed_records(1)
        elif action == 2:
            machine.abort()
            machine.flushed()
        else:
            machine.commit()

    def settle(self) -> None:
        """Nothing is lost any longer: what was begun comes to its end."""
        self.refusals = []
        for _ in range(50):
            if self.machine.phase in (Phase.READY, Phase.FATAL_ERROR):
                return
            self.now += 10
            if self.machine.phase is Phase.IN_TRANSACTION:
                self.machine.abort()
                self.machine.flushed()
            else:
                self.call()
            self.send()
            self.deliver()
        raise AssertionError(f"it stays in {self.machine.phase}")


def run(seed: int, refusals: list[ErrorCode], steps: int = 300) -> World:
    world = World(random.Random(seed), refusals)
    for _ in range(steps):
        world.step()
    world.settle()
    return world


PASSING = [ErrorCode.CONCURRENT_TRANSACTIONS, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS]


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_lost_answers_and_refusals_that_pass_harm_nobody(seed: int) -> None:
    world = run(seed, PASSING)
    assert world.machine.phase is Phase.READY, world.machine.fault
    ends = dict(world.coordinator.ended)
    assert all(ends[identity] for identity in world.committed)
    epochs = [identity.epoch for identity, _ in world.coordinator.ended]
    assert epochs == sorted(set(epochs))


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), codes=st.lists(st.sampled_from(list(ErrorCode)), min_size=1, max_size=5))
def test_any_refusal_leads_to_a_phase_with_a_way_out(seed: int, codes: list[ErrorCode]) -> None:
    refusals = [code for code in codes if code]
    world = run(seed, refusals)
    if world.machine.phase is Phase.FATAL_ERROR:
        assert world.machine.fault is not None and world.machine.fault.fatal()


@pytest.mark.parametrize("seed", range(20))
def test_transactions_are_committed_and_aborted(seed: int) -> None:
    """The runs above are worth something: both happens in them, often."""
    world = run(seed, PASSING, steps=2000)
    outcomes = [is_committed for _, is_committed in world.coordinator.ended]
    assert min(outcomes.count(True), outcomes.count(False)) > 5
