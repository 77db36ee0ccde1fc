"""An enumeration whose members sort by value, as the enumerations of Kafka's admin API do."""

from __future__ import annotations

import enum
from typing import Self


class OrderedEnum(enum.Enum):
    """Members of one class are ordered by value; ordering them with anything else is a TypeError."""

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return bool(self.value < other.value)

    def __gt__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return bool(self.value > other.value)

    def __le__(self, other: object) -> bool:
        return self is other or self.__lt__(other)

    def __ge__(self, other: object) -> bool:
        return self is other or self.__gt__(other)

    @classmethod
    def of(cls, value: Self | str | int) -> Self:
        """The member meant by a member, its name in any case, or its number.

        Raises ValueError for an unknown name or number, TypeError for anything else.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, str):
            try:
                return cls[value.upper()]
            except KeyError:
                raise ValueError(f'Unknown value "{value}": should be a {cls.__name__}') from None
        if isinstance(value, int):
            return cls(value)
        raise TypeError(f'Unknown value "{value}": should be a {cls.__name__}')
