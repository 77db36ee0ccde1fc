from __future__ import annotations

from collections import deque
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shmclient import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, KafkaError, Message
from shmclient.remote import batches
from shmclient.remote.batches import batch_of, take_run

DATA = st.none() | st.binary(max_size=6)
HEADERS = st.none() | st.lists(st.tuples(st.text(max_size=3), DATA), min_size=1, max_size=2)


def record(offset: int, **fields: Any) -> Message:
    defaults = {
        "topic": "t",
        "partition": 0,
        "value": b"v",
        "timestamp": (TIMESTAMP_CREATE_TIME, 5),
        "leader_epoch": 2,
    }
    return Message(offset=offset, **(defaults | fields))


@st.composite
def runs(draw: st.DrawFn) -> list[Message]:
    gaps = draw(st.lists(st.integers(1, 1000), min_size=1, max_size=20))
    base = draw(st.integers(0, 2**40))
    offsets = [base + sum(gaps[:index]) for index in range(len(gaps))]
    times = st.integers(0, 2**42)
    return [
        record(
            offset,
            key=draw(DATA),
            value=draw(DATA),
            headers=draw(HEADERS),
            timestamp=(TIMESTAMP_CREATE_TIME, draw(times)),
        )
        for offset in offsets
    ]


def described(message: Message) -> tuple[Any, ...]:
    names = ["topic", "partition", "offset", "key", "value", "timestamp", "leader_epoch"]
    return *(getattr(message, name)() for name in names), message.headers() or None


@given(runs())
def test_a_batch_holds_exactly_the_messages_it_was_made_of(messages: list[Message]) -> None:
    batch = batch_of(messages)
    assert list(map(described, batch.messages())) == list(map(described, messages))
    assert batch.count == len(batch) == len(messages)
    assert (batch.base_offset, batch.last_offset) == (messages[0].offset(), messages[-1].offset())
    assert batch.value_list() == [message.value() for message in messages]
    assert batch.key_list() == [message.key() for message in messages]
    assert batch.offset_list() == [message.offset() for message in messages]
    assert batch.timestamp_list() == [message.timestamp()[1] for message in messages]


def test_timestamps_of_the_broker_are_those_of_the_batch() -> None:
    messages = [record(offset, timestamp=(TIMESTAMP_LOG_APPEND_TIME, 77)) for offset in range(3)]
    batch = batch_of(messages)
    assert batch.timestamp_type == TIMESTAMP_LOG_APPEND_TIME
    assert batch.timestamps is None
    assert batch.timestamp_list() == [77, 77, 77]


def test_the_columns_are_read_only_like_those_of_the_log() -> None:
    batch = batch_of([record(0)])
    assert batch.values.readonly
    assert batch.value_offsets.readonly


def run_lengths(messages: list[Message]) -> list[int]:
    queue = deque(messages)
    lengths = []
    while queue:
        lengths.append(len(take_run(queue)))
    return lengths


def test_a_run_ends_where_one_batch_could_not_go_on() -> None:
    later = (TIMESTAMP_LOG_APPEND_TIME, 6)
    assert run_lengths([record(0), record(1), record(5)]) == [3]
    assert run_lengths([record(0), record(1, topic="u")]) == [1, 1]
    assert run_lengths([record(0), record(1, partition=1), record(1)]) == [1, 1, 1]
    assert run_lengths([record(0), record(1, leader_epoch=3)]) == [1, 1]
    assert run_lengths([record(5), record(2)]) == [1, 1]
    assert run_lengths([record(0), record(2**31)]) == [1, 1]
    assert run_lengths([record(0), record(1, timestamp=(TIMESTAMP_CREATE_TIME, 9))]) == [2]
    assert run_lengths([record(0, timestamp=later), record(1, timestamp=later)]) == [2]
    assert run_lengths([record(0, timestamp=later), record(1, timestamp=(later[0], 7))]) == [1, 1]


def test_an_event_is_a_run_of_its_own() -> None:
    end = KafkaError(KafkaError._PARTITION_EOF)
    assert run_lengths([record(0), record(1, error=end), record(2, error=end), record(3)]) == [1, 1, 1, 1]


def test_a_run_has_a_limit_in_bytes(monkeypatch: Any) -> None:
    monkeypatch.setattr(batches, "RUN_BYTES_MAX", 100)
    messages = [record(offset, value=b"x" * 30, key=b"y" * 10) for offset in range(6)]
    assert run_lengths(messages) == [2, 2, 2]
    assert run_lengths([record(0, value=b"x" * 500), record(1)]) == [1, 1]


def test_messages_of_unknown_leaders_make_a_batch_too() -> None:
    assert batch_of([record(0, leader_epoch=None)]).value_list() == [b"v"]
