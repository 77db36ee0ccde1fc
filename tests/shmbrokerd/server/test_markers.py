"""Markers that are ordered from a broker which does as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol import messages as m
from shmbrokerd.broker_link import BrokerGoneError
from shmbrokerd.metadata.records import Drop, PartitionRow, Put, TopicRow
from shmbrokerd.metadata.state import State
from shmbrokerd.server import markers as module
from shmbrokerd.server.markers import IS_ENDED_ALREADY, MarkerWriter
from shmbrokerd.transactions.ends import Markers

OK = ErrorCode.NO_ERROR
FULL = ErrorCode.KAFKA_STORAGE_ERROR
DUE = Markers(7, 3, True, [("t", 0), ("t", 1)])


class ScriptedBroker:
    """Answers each order as the next line of the script says: a code for each slot, or what is raised."""

    def __init__(self, *script: list[ErrorCode] | Exception) -> None:
        self.script = list(script)
        self.orders: list[m.WriteMarkers] = []
        self.on_order: Callable[[], object] = lambda: None

    async def ask(self, order: m.WriteMarkers, answer_type: type[m.MarkersReply]) -> m.MarkersReply:
        assert answer_type is m.MarkersReply
        self.orders.append(order)
        self.on_order()
        answer = self.script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        outcomes = zip(order.slots, answer, strict=False)
        return m.MarkersReply([m.MarkerOutcome(slot, code, code.name) for slot, code in outcomes])

    @property
    def slots(self) -> list[list[int]]:
        return [order.slots for order in self.orders]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.0001)


@pytest.fixture
def state() -> State:
    """A topic with two partitions, in slots 40 and 41."""
    state = State()
    state.replay([Put(TopicRow("t", bytes(16), 0))])
    state.replay([Put(PartitionRow("t", number, 40 + number, 0, 0, (0,), (0,))) for number in range(2)])
    return state


def write(
    state: State,
    broker: ScriptedBroker,
    due: Markers | None = DUE,
    epoch: Callable[[], int] = lambda: 5,
    **fields: Any,
) -> None:
    async def run() -> None:
        async with asyncio.timeout(20):
            await MarkerWriter(lambda: state, broker).write(lambda: due, epoch, **fields)  # type: ignore[arg-type]

    asyncio.run(run())
    assert broker.script == []


def test_one_order_is_for_all_partitions(state: State) -> None:
    broker = ScriptedBroker([OK, OK])
    write(state, broker)
    assert broker.orders == [m.WriteMarkers(7, 3, True, 5, [40, 41])]


def test_only_those_that_have_no_marker_are_ordered_again(state: State) -> None:
    broker = ScriptedBroker([OK, FULL], [FULL], [OK])
    write(state, broker)
    assert broker.slots == [[40, 41], [41], [41]]


def test_an_epoch_that_was_raised_meanwhile_counts_for_the_next_try(state: State) -> None:
    broker = ScriptedBroker([ErrorCode.TRANSACTION_COORDINATOR_FENCED, OK], [OK])
    write(state, broker, epoch=iter([5, 9]).__next__)
    assert [order.coordinator_epoch for order in broker.orders] == [5, 9]


@pytest.mark.parametrize(
    "trouble", [BrokerGoneError(), BrokerError(FULL, "the order as a whole"), [OK]], ids=repr
)
def test_what_is_in_doubt_is_ordered_again(state: State, trouble: Any) -> None:
    broker = ScriptedBroker(trouble, [OK, OK])
    write(state, broker)
    assert broker.slots[1] == ([41] if trouble == [OK] else [40, 41])


def test_partitions_that_are_deleted_meanwhile_need_none(state: State) -> None:
    broker = ScriptedBroker([OK, FULL])
    gone = state.partition("t", 1)
    assert gone is not None
    broker.on_order = lambda: state.replay([Drop(gone)])
    write(state, broker)
    assert broker.slots == [[40, 41]]


def test_nothing_is_ordered_when_nothing_is_due(state: State) -> None:
    write(state, ScriptedBroker(), None)
    write(state, ScriptedBroker(), DUE._replace(partitions=[("gone", 0)]))


def test_a_producer_that_is_at_a_newer_epoch_hangs_no_more(state: State) -> None:
    broker = ScriptedBroker([ErrorCode.INVALID_PRODUCER_EPOCH, OK])
    write(state, broker, settled_by=IS_ENDED_ALREADY)
    assert len(broker.orders) == 1
    broker = ScriptedBroker([ErrorCode.INVALID_PRODUCER_EPOCH, OK], [OK])
    write(state, broker)
    assert broker.slots == [[40, 41], [40]]
