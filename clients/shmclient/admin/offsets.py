"""Which offsets `AdminClient.list_offsets` shall find, what it found, and what `delete_records` left."""

from __future__ import annotations

from typing import ClassVar


class OffsetSpec:
    """The offset wanted of a partition: `earliest()`, `latest()`, `max_timestamp()` or `for_timestamp(ms)`.

    `OffsetSpec(n)` gives the same: -1 latest, -2 earliest, -3 the record with the largest timestamp, and from
    0 upward the earliest record at or after that time in milliseconds. Raises KeyError for any other number.
    """

    __slots__ = ("_value",)

    LATEST: ClassVar[int] = -1
    EARLIEST: ClassVar[int] = -2
    MAX_TIMESTAMP: ClassVar[int] = -3

    _value: int

    def __new__(cls, index: int) -> OffsetSpec:
        return cls.for_timestamp(index) if index >= 0 else _LOGICAL[index]

    @classmethod
    def earliest(cls) -> OffsetSpec:
        return _LOGICAL[cls.EARLIEST]

    @classmethod
    def latest(cls) -> OffsetSpec:
        return _LOGICAL[cls.LATEST]

    @classmethod
    def max_timestamp(cls) -> OffsetSpec:
        return _LOGICAL[cls.MAX_TIMESTAMP]

    @classmethod
    def for_timestamp(cls, timestamp: int) -> OffsetSpec:
        """The earliest record whose timestamp is `timestamp` (milliseconds) or later."""
        return _spec(timestamp)

    @property
    def value(self) -> int:
        """The number that stands for this spec in a ListOffsets request."""
        return self._value

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, OffsetSpec):
            return NotImplemented
        return self._value < other._value

    def __repr__(self) -> str:
        return f"OffsetSpec({self._value})"


def _spec(value: int) -> OffsetSpec:
    spec = object.__new__(OffsetSpec)
    spec._value = value
    return spec


_LOGICAL = {
    value: _spec(value) for value in (OffsetSpec.LATEST, OffsetSpec.EARLIEST, OffsetSpec.MAX_TIMESTAMP)
}


class ListOffsetsResultInfo:
    """An offset that was found.

    `timestamp` is that record's, in milliseconds, or -1 for the earliest and latest offsets.
    `leader_epoch` is None if the broker did not tell.
    """

    def __init__(self, offset: int, timestamp: int, leader_epoch: int) -> None:
        self.offset = offset
        self.timestamp = timestamp
        self.leader_epoch = leader_epoch if leader_epoch >= 0 else None


class DeletedRecords:
    """The first offset that is left after `AdminClient.delete_records`."""

    def __init__(self, low_watermark: int) -> None:
        self.low_watermark = low_watermark
