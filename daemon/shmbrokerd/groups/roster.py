"""Which members are connected, over what, and since when. Not stored: after a restart all are expected back."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import NamedTuple

from shmbrokerd.metadata.group import Group
from shmbrokerd.metadata.state import State

Connection = Hashable
"""Whatever the server knows a client by."""


class Key(NamedTuple):
    group: str
    member: str


class Seat:
    """One member's place."""

    __slots__ = ("connection", "revoking_since_ms", "since_ms")

    def __init__(self, connection: Connection | None, since_ms: int) -> None:
        self.connection = connection
        """None while the member is expected back."""
        self.since_ms = since_ms
        """When it sat down, or went."""
        self.revoking_since_ms: int | None = None
        """Since when there is something that it is to release."""


class Roster:
    def __init__(self) -> None:
        self.seats: dict[Key, Seat] = {}
        self._keys: dict[Connection, dict[Key, None]] = {}

    def keys_of(self, connection: Connection) -> list[Key]:
        return list(self._keys.get(connection, ()))

    def connection_of(self, key: Key) -> Connection | None:
        seat = self.seats.get(key)
        return None if seat is None else seat.connection

    def attached(self, group: Group, but: Connection | None = None) -> set[str]:
        """The members of ``group`` that are connected, over another connection than ``but``."""
        return {
            member_id
            for member_id in group.members
            if self.connection_of(Key(group.row.group, member_id)) not in (None, but)
        }

    def seat(self, key: Key, connection: Connection | None, now_ms: int) -> None:
        """The member sits down, or, without a connection, is expected back. What it was asked to release it owes since then,
        however often it comes back."""
        last = self.seats.get(key)
        self.forget(key)
        seat = self.seats[key] = Seat(connection, now_ms)
        if last is not None:
            seat.revoking_since_ms = last.revoking_since_ms
        if connection is not None:
            self._keys.setdefault(connection, {})[key] = None

    def forget(self, key: Key) -> None:
        seat = self.seats.pop(key, None)
        if seat is not None and seat.connection is not None:
            keys = self._keys[seat.connection]
            del keys[key]
            if not keys:
                del self._keys[seat.connection]

    def agree_with(self, state: State, now_ms: int) -> None:
        """A write that failed took members back, or brought some back: those have no seat, and these no rows."""
        members = {key for group in state.groups.values() for key in keys_in(group)}
        for key in self.seats.keys() - members:
            self.forget(key)
        for key in members - self.seats.keys():
            self.seat(key, None, now_ms)


def keys_in(group: Group) -> Iterator[Key]:
    return (Key(group.row.group, member_id) for member_id in group.members)
