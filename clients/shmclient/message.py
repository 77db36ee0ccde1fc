"""`Message`: a consumed record, an event of a partition, or a delivery report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from shmclient.types import TIMESTAMP_NOT_AVAILABLE

if TYPE_CHECKING:
    from shmclient.errors import KafkaError

Headers: TypeAlias = "list[tuple[str, bytes | None]]"
Timestamp: TypeAlias = tuple[int, int]
NO_TIMESTAMP: Timestamp = (TIMESTAMP_NOT_AVAILABLE, 0)
"""Of a message that an application made."""
EVENT_TIMESTAMP: Timestamp = (TIMESTAMP_NOT_AVAILABLE, -1)
"""Of an event and of a record that was not delivered."""


class _Fields(msgspec.Struct, gc=False, eq=False):
    """The data of a message. `Message` gives each field's name to the method that confluent_kafka has under it.

    Not tracked by the garbage collector: a consumer makes a million of these a second, and they refer to no containers
    that could refer back.
    """

    topic: Any = None
    partition: Any = None
    offset: Any = None
    key: Any = None
    value: Any = None
    headers: Any = None
    timestamp: Any = NO_TIMESTAMP
    leader_epoch: Any = None
    latency: Any = None
    error: Any = None


_slots = _Fields.__dict__


class Message(_Fields, gc=False, eq=False):
    """One record with where it is, as confluent_kafka's `Message`.

    The keyword arguments (`topic`, `partition`, `offset`, `key`, `value`, `headers`, `timestamp` as (type, ms),
    `leader_epoch`, `latency` in s, `error`) are all optional; tests of applications make messages with them.
    `len()` is the length of the value in bytes, so a message with an empty or null value is false.
    """

    # The storage of each field, under the names that the methods use.
    _topic = _slots["topic"]
    _partition = _slots["partition"]
    _offset = _slots["offset"]
    _key = _slots["key"]
    _value = _slots["value"]
    _headers = _slots["headers"]
    _timestamp = _slots["timestamp"]
    _leader_epoch = _slots["leader_epoch"]
    _latency = _slots["latency"]
    _error = _slots["error"]

    if not TYPE_CHECKING:  # to a type checker these would be attributes and methods of one name

        def topic(self):
            return self._topic

        def partition(self):
            return self._partition

        def offset(self):
            return self._offset

        def key(self):
            return self._key

        def value(self):
            return self._value

        def headers(self):
            return self._headers

        def timestamp(self):
            return self._timestamp

        def leader_epoch(self):
            return self._leader_epoch

        def latency(self):
            return self._latency

        def error(self):
            return self._error

    def deserialized_key(self) -> Any:
        return self._key

    def deserialized_value(self) -> Any:
        return self._value

    def delivery_count(self) -> int | None:
        return None

    def set_topic(self, topic: str) -> None:
        self._topic = topic

    def set_key(self, key: Any) -> None:
        """Replace the key, as a deserializer does."""
        self._key = key

    def set_value(self, value: Any) -> None:
        """Replace the value, as a deserializer does."""
        self._value = value

    def set_headers(self, headers: Headers | None) -> None:
        self._headers = headers

    def set_error(self, error: KafkaError | None) -> None:
        self._error = error

    def __len__(self) -> int:
        value = self._value
        return len(value) if value is not None else 0

    __repr__ = object.__repr__
    __str__ = object.__repr__


if TYPE_CHECKING:

    class Message:  # type: ignore[no-redef]  # the same class as a type checker should see it
        def __init__(
            self,
            topic: str | None = None,
            partition: int | None = None,
            offset: int | None = None,
            key: Any = None,
            value: Any = None,
            headers: Headers | None = None,
            timestamp: Timestamp = NO_TIMESTAMP,
            leader_epoch: int | None = None,
            latency: float | None = None,
            error: KafkaError | None = None,
        ) -> None: ...
        def topic(self) -> str | None:
            """Name of the topic."""

        def partition(self) -> int | None:
            """Number of the partition; None in a report of a record that never got one."""

        def offset(self) -> int | None:
            """Offset in the partition; None where there is none (acks=0, errors)."""

        def key(self) -> Any:
            """bytes or None; what a deserializer made of it with DeserializingConsumer."""

        def value(self) -> Any:
            """bytes or None, as `key`. Of an event (see `error`) its text."""

        def headers(self) -> Headers | None:
            """(name, bytes or None) in order; None when there are none, and in delivery reports."""

        def timestamp(self) -> Timestamp:
            """(TIMESTAMP_NOT_AVAILABLE, _CREATE_TIME or _LOG_APPEND_TIME; ms since the epoch)."""

        def leader_epoch(self) -> int | None:
            """Epoch of the leader that appended it."""

        def latency(self) -> float | None:
            """Seconds from produce() to the acknowledgement; in delivery reports only."""

        def error(self) -> KafkaError | None:
            """None for a record; the event (such as _PARTITION_EOF) or failure otherwise."""

        def deserialized_key(self) -> Any:
            """The same as `key`."""

        def deserialized_value(self) -> Any:
            """The same as `value`."""

        def delivery_count(self) -> int | None:
            """How often a share group was given the record: None, for there is no share consumer."""

        def set_topic(self, topic: str) -> None: ...
        def set_key(self, key: Any) -> None: ...
        def set_value(self, value: Any) -> None: ...
        def set_headers(self, headers: Headers | None) -> None: ...
        def set_error(self, error: KafkaError | None) -> None: ...
        def __len__(self) -> int: ...
