"""The states of a group, and what leads from one to another.

Theory of operation (KIP-848). A group has an *epoch* that grows with every change of its members, their subscriptions, or the
topics of these. For each epoch a *target* is computed, which says what every member is to own; the group is ASSIGNING until
that is done. Then each member moves to its target by itself, and the group is RECONCILING while any is on its way: what a
member has and is not to have is *revoked*, which it acknowledges by releasing it; what it is to have is *assigned* to it as
soon as nobody owns it. There is no barrier: a member whose target did not change notices nothing.

A partition is owned by the member it is assigned to, or revoked from. So it has one owner or none, whatever happens, and goes
from one to the next in one of these ways only:

- its owner releases it;
- its owner leaves, dies or is fenced, and can commit nothing from then on;
- its owner, a static member, is replaced by another with the same ``group.instance.id``.

What is stored are the group's epochs and each member's target and ownership, so the state follows from the rows, also those
of a daemon that died. Whether a member is connected is not stored: after a restart all are expected back within their session
time-out.
"""

from __future__ import annotations

import enum

from shmbroker.protocol.messages import GroupState
from shmbrokerd.metadata.state import State


class Event(enum.Enum):
    JOINED = enum.auto()
    """Somebody became a member, came back, or changed what it subscribes to."""
    LEFT = enum.auto()
    """Somebody is a member no longer."""
    TOPICS_CHANGED = enum.auto()
    """Topics or partitions that members subscribe to came or went."""
    ASSIGNED = enum.auto()
    """The target of the newest epoch was computed."""
    RELEASED = enum.auto()
    COMMITTED = enum.auto()
    DELETED = enum.auto()
    """An operator deleted the group."""
    EXPIRED = enum.auto()
    """Offsets of the group went with time."""


_DEAD, _EMPTY = GroupState.DEAD, GroupState.EMPTY
_ASSIGNING, _RECONCILING, _STABLE = GroupState.ASSIGNING, GroupState.RECONCILING, GroupState.STABLE

TRANSITIONS: dict[GroupState, dict[Event, frozenset[GroupState]]] = {
    _DEAD: {
        Event.JOINED: frozenset({_ASSIGNING}),
        Event.COMMITTED: frozenset({_EMPTY}),
    },
    _EMPTY: {
        Event.JOINED: frozenset({_ASSIGNING}),
        Event.COMMITTED: frozenset({_EMPTY}),
        Event.DELETED: frozenset({_DEAD}),
        Event.EXPIRED: frozenset({_EMPTY, _DEAD}),
    },
    _ASSIGNING: {
        Event.JOINED: frozenset({_ASSIGNING}),
        Event.LEFT: frozenset({_ASSIGNING, _EMPTY}),
        Event.ASSIGNED: frozenset({_RECONCILING, _STABLE}),
        Event.RELEASED: frozenset({_ASSIGNING}),
        Event.COMMITTED: frozenset({_ASSIGNING}),
        Event.EXPIRED: frozenset({_ASSIGNING}),
    },
    _RECONCILING: {
        Event.JOINED: frozenset({_ASSIGNING, _RECONCILING}),
        Event.LEFT: frozenset({_ASSIGNING, _EMPTY}),
        Event.TOPICS_CHANGED: frozenset({_ASSIGNING}),
        Event.RELEASED: frozenset({_RECONCILING, _STABLE}),
        Event.COMMITTED: frozenset({_RECONCILING}),
        Event.EXPIRED: frozenset({_RECONCILING}),
    },
    _STABLE: {
        Event.JOINED: frozenset({_ASSIGNING, _STABLE}),
        Event.LEFT: frozenset({_ASSIGNING, _EMPTY}),
        Event.TOPICS_CHANGED: frozenset({_ASSIGNING}),
        Event.RELEASED: frozenset({_STABLE}),
        Event.COMMITTED: frozenset({_STABLE}),
        Event.EXPIRED: frozenset({_STABLE}),
    },
}
"""State -> event -> the states it may lead to. An event that is not there does not happen in that state: it is refused, or
there is nothing that could cause it."""


def state_of(state: State, group_id: str) -> GroupState:
    """What state a group is in."""
    group = state.groups.get(group_id)
    if group is None:
        is_known = group_id in state.offsets or group_id in state.transactions.pending
        return _EMPTY if is_known else _DEAD
    if not group.members:
        return _EMPTY
    if group.row.assignment_epoch < group.row.epoch:
        return _ASSIGNING
    return _RECONCILING if group.unsettled else _STABLE
