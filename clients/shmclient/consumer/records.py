"""From a stored batch to messages: whole columns at a time, one constructor call a record."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat
from typing import Any

from shmbroker.records.batch import RecordBatch
from shmclient.message import Message


def messages_of(topic: str, partition: int, batch: RecordBatch, start: int, stop: int) -> list[Message]:
    """The records ``start`` to ``stop`` of ``batch`` as messages.

    Raises:
        BrokerError: INVALID_MSG when the columns are damaged.
    """
    timestamp_type = batch.timestamp_type
    only = batch.only_record() if start == 0 and stop == 1 else None
    if only is not None:
        key, value = only
        header = batch.header
        timestamp = timestamp_type, batch.base_timestamp
        return [
            Message(topic, partition, header.base_offset, key, value, None, timestamp, header.leader_epoch)
        ]
    timestamps: Iterable[Any]
    if batch.timestamps is None:
        timestamps = repeat((timestamp_type, batch.base_timestamp))
    else:
        timestamps = zip(repeat(timestamp_type), batch.timestamp_list(start, stop), strict=False)
    values = batch.value_list(start, stop)
    return list(
        map(
            Message,
            repeat(topic),
            repeat(partition),
            batch.offset_list(start, stop),
            batch.key_list(start, stop) or repeat(None),
            values,
            batch.headers_list(start, stop) or repeat(None),
            timestamps,
            repeat(batch.header.leader_epoch),
        )
    )
