"""Column batches of what a Kafka cluster delivered: librdkafka hands out single messages only."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from shmbroker.records.batch import RecordBatch
from shmbroker.records.builder import Columns, build_batch
from shmbroker.records.layout import stamp
from shmclient.consumer.batches import ConsumedBatch
from shmclient.message import Message
from shmclient.types import TIMESTAMP_LOG_APPEND_TIME

RUN_BYTES_MAX = 64 * 1024 * 1024
"""Values and keys of one batch: far below what its int32 offsets can address, and a bearable peak of memory."""
OFFSET_DELTA_MAX = 2**31 - 1


def take_run(messages: deque[Message]) -> list[Message]:
    """Take the longest start of ``messages`` that can be one batch, at least one message.

    Only records with ascending offsets in one partition, of one leader and with one kind of timestamp can; a broker's
    timestamp is the same for a whole batch. An event is a run of its own.
    """
    run = [messages.popleft()]
    if run[0].error() is not None:
        return run
    shared = _shared_by_batch(run[0])
    size = _size(run[0])
    while messages:
        message = messages[0]
        size += _size(message)
        if size > RUN_BYTES_MAX or _shared_by_batch(message) != shared or not _follows(message, run):
            break
        run.append(messages.popleft())
    return run


def _shared_by_batch(message: Message) -> tuple[Any, ...]:
    kind, at_ms = message.timestamp()
    append_time = at_ms if kind == TIMESTAMP_LOG_APPEND_TIME else None
    return message.topic(), message.partition(), message.leader_epoch(), kind, append_time, message.error()


def _follows(message: Message, run: Sequence[Message]) -> bool:
    return _offset(run[-1]) < _offset(message) <= _offset(run[0]) + OFFSET_DELTA_MAX


def _offset(message: Message) -> int:
    # Only errors of a whole topic have none.
    offset = message.offset()
    return -1 if offset is None else offset


def _size(message: Message) -> int:
    key = message.key()
    return len(message) + (0 if key is None else len(key))


def batch_of(messages: Sequence[Message]) -> ConsumedBatch:
    """The batch of a run of records."""
    first = messages[0]
    kind, base_timestamp = first.timestamp()
    header, body = build_batch(_columns(messages, base_timestamp), base_timestamp)
    data = bytearray(header + body)
    epoch = first.leader_epoch()
    append_time = base_timestamp if kind == TIMESTAMP_LOG_APPEND_TIME else -1
    stamp(data, _offset(first), append_time, -1 if epoch is None else epoch)
    batch = RecordBatch(memoryview(data).toreadonly())
    return ConsumedBatch(first.topic() or "", first.partition() or 0, batch, 0)


def _columns(messages: Sequence[Message], base_timestamp: int) -> Columns:
    keys = [message.key() for message in messages]
    headers = [message.headers() for message in messages]
    timestamps = [message.timestamp()[1] for message in messages]
    base = _offset(messages[0])
    deltas = [_offset(message) - base for message in messages]
    return Columns(
        values=[message.value() for message in messages],
        keys=keys if any(key is not None for key in keys) else None,
        timestamps=timestamps if any(at_ms != base_timestamp for at_ms in timestamps) else None,
        headers=headers if any(headers) else None,
        offset_deltas=None if deltas[-1] == len(deltas) - 1 else deltas,
    )
