from collections.abc import Callable
from typing import Any

import pytest

from shmbroker.records.batch import RecordBatch
from shmbroker.records.builder import Columns, build_batch
from shmbroker.records.layout import stamp
from shmclient.consumer.records import messages_of
from shmclient.message import Message


def stored(columns: Columns, append_time: int = -1) -> RecordBatch:
    data = bytearray(b"".join(build_batch(columns, 77)))
    stamp(data, 40, append_time, 3)
    return RecordBatch(bytes(data))


def fields(message: Message) -> tuple[Any, ...]:
    getters: list[Callable[[], Any]] = [
        message.topic, message.partition, message.offset, message.key, message.value, message.headers,
        message.timestamp, message.leader_epoch, message.error,
    ]  # fmt: skip
    return tuple(getter() for getter in getters)


@pytest.mark.parametrize("append_time", [-1, 99])
@pytest.mark.parametrize("key", [None, b"", b"key"])
@pytest.mark.parametrize("value", [None, b"", b"value"])
def test_a_lone_record_is_the_message_that_it_would_be_among_others(
    value: bytes | None, key: bytes | None, append_time: int
) -> None:
    [lone] = messages_of("topic", 2, stored(Columns([value], [key]), append_time), 0, 1)
    [first, _] = messages_of("topic", 2, stored(Columns([value, b""], [key, b"x"]), append_time), 0, 2)
    assert fields(lone) == fields(first)


def test_a_batch_of_which_nothing_is_left_to_deliver_gives_nothing() -> None:
    assert messages_of("topic", 0, stored(Columns([b"value"])), 1, 1) == []
