"""What is refused when the metadata store is full, and what is not."""

from __future__ import annotations

import pytest

from shmbroker.protocol.messages import GroupType
from shmbrokerd.metadata.growth import grows
from shmbrokerd.metadata.records import (
    AssignmentRow,
    ConfigRow,
    CounterRow,
    Drop,
    GroupRow,
    MemberRow,
    OffsetRow,
    PendingOffset,
    PendingOffsetsRow,
    Put,
    Record,
    TopicRow,
)
from shmbrokerd.metadata.state import State

GROUP = GroupRow("g", GroupType.CLASSIC, 1, 1, "range", -1)
MEMBER = MemberRow("g", "m", None, "client", 1, GroupType.CLASSIC, (), ("t",), None, 1, 1)
ASSIGNMENT = AssignmentRow("g", "m", 1, {}, {}, {})
OFFSET = OffsetRow("g", "t", 0, 7, -1, "text", 0)
TOPIC = TopicRow("t", b"0123456789abcdef", 1)
CONFIG = ConfigRow("topic", "t", "retention.ms", "100")
PENDING = PendingOffsetsRow("x", "g", (PendingOffset("t", 0, 7, -1, None, 0),))


@pytest.fixture
def state() -> State:
    state = State()
    rows = [GROUP, MEMBER, ASSIGNMENT, OFFSET, TOPIC, CONFIG, PENDING]
    state.replay([Put(row) for row in rows])
    return state


def other(row: object, **changes: object) -> object:
    import msgspec

    return msgspec.structs.replace(row, **changes)  # type: ignore[type-var]


@pytest.mark.parametrize(
    "records",
    [
        [Put(other(OFFSET, partition=1))],
        [Put(other(OFFSET, metadata="longer text"))],
        [Put(other(GROUP, group="h"))],
        [Put(other(MEMBER, member_id="n")), Put(other(ASSIGNMENT, member_id="n"))],
        [Put(other(MEMBER, topics=("t", "u")))],
        [Put(other(TOPIC, name="u"))],
        [Put(other(CONFIG, name="segment.bytes"))],
        [Put(other(CONFIG, value="1000"))],
        [Put(other(PENDING, group="h"))],
        [Put(other(PENDING, offsets=PENDING.offsets * 2))],
        [Drop(OFFSET), Put(other(OFFSET, partition=1)), Put(other(OFFSET, partition=2))],
    ],
    ids=lambda records: str(records[0])[:60],
)
def test_what_adds_something_grows(state: State, records: list[Record]) -> None:
    assert grows(state, records)


@pytest.mark.parametrize(
    "records",
    [
        [],
        [Put(other(OFFSET, offset=8, metadata=None))],
        [Drop(OFFSET)],
        [Drop(ASSIGNMENT), Drop(MEMBER), Put(other(GROUP, epoch=2))],
        [Drop(MEMBER), Put(other(MEMBER, member_id="n")), Put(other(ASSIGNMENT, member_id="n"))],
        [Put(other(ASSIGNMENT, target={"t": tuple(range(100))}))],
        [Put(CounterRow("producer_id", 1))],
        [Put(other(CONFIG, value="9"))],
    ],
    ids=lambda records: str(records[:1])[:60],
)
def test_what_goes_on_or_makes_room_does_not(state: State, records: list[Record]) -> None:
    assert not grows(state, records)
