"""All that a coordinator decides, in one place: rows, and who is connected at present.

Whoever runs it applies the records of an :class:`Act` to the state before anything else is asked, and then calls
:meth:`Coordinator.applied`. Messages may be sent once the records are stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol.messages import (
    CommitOffsets,
    DeleteGroupOffsets,
    DeleteGroups,
    Failure,
    FenceCause,
    GroupAssignment,
    GroupFenced,
    GroupState,
    JoinGroup,
    LeaveGroup,
    ReleasePartitions,
    RemoveMembers,
    RequestBody,
    ResponseBody,
)
from shmbrokerd.groups import assignment, expiry, liveness, membership, offsets, queries, subscriptions
from shmbrokerd.groups.join_budget import BURST, PER_SECOND, JoinBudget
from shmbrokerd.groups.membership import Caller
from shmbrokerd.groups.roster import Connection, Key, Roster, Seat
from shmbrokerd.groups.states import state_of
from shmbrokerd.metadata.decision import Change, Decision, Push
from shmbrokerd.metadata.group import Group
from shmbrokerd.metadata.records import AssignmentRow, GroupRow, MemberRow, Put, Record
from shmbrokerd.metadata.settings import Settings

MAX_MEMBERSHIPS = 16
"""Of one connection. A consumer has one; what a connection may hold has to end somewhere."""


class Moment(NamedTuple):
    wall_ms: int
    """Since the epoch: for what is stored."""
    monotonic_ms: int
    """CLOCK_MONOTONIC: for what is waited for."""


class Stamps(NamedTuple):
    """What a client wrote into its session region."""

    heartbeat_ms: int
    last_poll_ms: int


NO_STAMPS = Stamps(0, 0)


class Message(NamedTuple):
    connection: Connection
    body: GroupAssignment | GroupFenced


class Act(NamedTuple):
    """Records to store, then messages to send, then a reply if somebody asked."""

    records: list[Record]
    messages: Sequence[Message] = ()
    reply: ResponseBody | None = None


class Coordinator:
    """``settings`` are asked for anew each time: the state is another object after a failed write."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        now: Moment,
        check_room: Callable[[list[Record]], None] = lambda _records: None,
    ) -> None:
        """``check_room`` refuses, with a BrokerError, what a client wants and there is no room for: nothing is noted then."""
        self._settings = settings
        self._check_room = check_room
        self._roster = Roster()
        self._joins = JoinBudget()
        self._roster.agree_with(settings().state, now.monotonic_ms)
        self._unassigned: dict[str, int] = {}
        """Groups that wait for their target -> the moment from which on it may be computed."""
        self._resting: dict[str, int] = {}
        """Groups whose last target took long to compute -> the moment until which they have to wait."""
        for group_id in settings().state.groups:
            self._watch(group_id, now)

    # --- requests ------------------------------------------------------------------------------------------

    def handle(self, body: RequestBody, connection: Connection, caller: Caller, now: Moment) -> Act:
        """Decide about a request that changes something.

        Raises:
            BrokerError: the request as a whole is refused.
        """
        state = self._settings().state
        match body:
            case JoinGroup():
                return self._join(body, connection, caller, now)
            case ReleasePartitions():
                self._check_seat(Key(body.group, body.member_id), connection)
                return self._act(membership.release(self._settings(), body))
            case LeaveGroup():
                return self._leave(body, connection, now)
            case CommitOffsets():
                return self._act(offsets.commit_offsets(self._settings(), body, now.wall_ms))
            case DeleteGroupOffsets():
                return self._act(offsets.delete_offsets(state, body))
            case DeleteGroups():
                return self._act(queries.delete_groups(state, body))
            case RemoveMembers():
                return self._act(queries.remove_members(state, body, now.wall_ms))
            case _:
                raise AssertionError(body)

    def _join(self, body: JoinGroup, connection: Connection, caller: Caller, now: Moment) -> Act:
        settings = self._settings()
        group = settings.state.groups.get(body.group)
        was_empty = group is None or not group.members
        key = Key(body.group, body.member_id)
        if not self._joins.take(connection, now.monotonic_ms):
            return self._refuse_flood(key, connection, now)
        self._check_memberships(key, connection)
        attached = self._roster.attached(group, but=connection) if group is not None else set()
        act = self._act(membership.join(settings, body, caller, attached))
        if body.member_id in attached:
            act = act._replace(messages=[*act.messages, self._ousted(key)])
        self._roster.seat(key, connection, now.monotonic_ms)
        self._note_revoking(settings.state.groups, key, now)
        if was_empty:
            delay_ms = settings.broker_number("group.initial.rebalance.delay.ms")
            self._unassigned[body.group] = now.monotonic_ms + delay_ms
        return act

    def _leave(self, body: LeaveGroup, connection: Connection, now: Moment) -> Act:
        key = Key(body.group, body.member_id)
        self._check_seat(key, connection)
        act = self._act(membership.leave(self._settings().state, body, now.wall_ms))
        if not act.records:
            self._roster.seat(key, None, now.monotonic_ms)
        return act

    def _check_seat(self, key: Key, connection: Connection) -> None:
        if self._roster.connection_of(key) != connection:
            raise BrokerError(
                ErrorCode.UNKNOWN_MEMBER_ID,
                f"group '{key.group[:250]}' has no member {key.member[:100]} on this connection: join first",
            )

    def _check_memberships(self, key: Key, connection: Connection) -> None:
        held = self._roster.keys_of(connection)
        if key not in held and len(held) >= MAX_MEMBERSHIPS:
            raise BrokerError(
                ErrorCode.POLICY_VIOLATION,
                f"this connection holds {len(held)} memberships, as many as one may; open another",
            )

    def _refuse_flood(self, key: Key, connection: Connection, now: Moment) -> Act:
        """A member that asks to join without end is one no longer, and the others share what it had."""
        problem = (
            f"this connection asked to join more than {BURST} times at once, and more than {PER_SECOND} times a second"
            " since; wait for the answer, and a second after a refusal"
        )
        act = Act([])
        if self._roster.connection_of(key) == connection:
            reasons = {key.member: (FenceCause.JOIN_FLOOD, problem)}
            act = self._merge([membership.fence(self._settings().state, key.group, reasons, now.wall_ms)])
        return act._replace(
            reply=Failure(ErrorCode.POLICY_VIOLATION, f"group '{key.group[:250]}': {problem}")
        )

    def _ousted(self, key: Key) -> Message:
        """For the connection that the member was on until now."""
        body = GroupFenced(
            key.group,
            key.member,
            ErrorCode.UNKNOWN_MEMBER_ID,
            FenceCause.REPLACED,
            f"group '{key.group}': member {key.member} joined over another connection",
        )
        return Message(self._roster.connection_of(key), body)

    # --- what happens without a request --------------------------------------------------------------------

    def disconnected(self, connection: Connection, now: Moment) -> Act:
        """The client is gone: its dynamic members with it; its static ones are expected back."""
        groups = self._settings().state.groups
        self._joins.forget(connection)
        gone: dict[str, list[str]] = {}
        for key in self._roster.keys_of(connection):
            self._roster.seat(key, None, now.monotonic_ms)
            member = _member(groups, key)
            if member is not None and member.instance_id is None:
                gone.setdefault(key.group, []).append(key.member)
        return Act(
            [
                record
                for group_id, member_ids in gone.items()
                for record in membership.remove(groups[group_id], member_ids, now.wall_ms)
            ]
        )

    def tick(self, stamps: Callable[[Connection], Stamps], now: Moment) -> Act:
        """Fence who is overdue; and make good what writes that failed left behind."""
        state = self._settings().state
        self._roster.agree_with(state, now.monotonic_ms)
        for group_id in state.groups:
            self._watch(group_id, now)
        self._resting = {group: until for group, until in self._resting.items() if until > now.monotonic_ms}
        overdue: dict[str, dict[str, tuple[FenceCause, str]]] = {}
        for key, member, presence in self._presences(stamps):
            found = liveness.check(member, presence, now.monotonic_ms)
            if found is not None:
                overdue.setdefault(key.group, {})[key.member] = found
        changes = [membership.fence(state, group, reasons, now.wall_ms) for group, reasons in overdue.items()]
        return self._merge(changes)

    def next_tick_ms(self, stamps: Callable[[Connection], Stamps]) -> int | None:
        """The monotonic moment at which somebody can be overdue at the earliest; None when there is nobody."""
        return min(
            (liveness.next_check_ms(member, presence) for _, member, presence in self._presences(stamps)),
            default=None,
        )

    def _presences(
        self, stamps: Callable[[Connection], Stamps]
    ) -> Iterator[tuple[Key, MemberRow, liveness.Presence]]:
        groups = self._settings().state.groups
        for key, seat in self._roster.seats.items():
            member = _member(groups, key)
            if member is not None:
                yield key, member, _presence(seat, stamps)

    def topics_changed(self, names: Iterable[str] | None) -> Act:
        """Topics came, grew or went; None: look at all."""
        return self._merge([subscriptions.topics_changed(self._settings().state, names)])

    def expire(self, now: Moment) -> Act:
        return self._merge([expiry.expire(self._settings(), now.wall_ms)])

    # --- targets -------------------------------------------------------------------------------------------

    def unassigned(self, now: Moment) -> list[str]:
        """Groups whose target is to be computed now, those that wait longest first."""
        due = [(due_ms, group) for group, due_ms in self._unassigned.items() if due_ms <= now.monotonic_ms]
        return [group for _, group in sorted(due)]

    def next_assignment_ms(self) -> int | None:
        """The monotonic moment at which the next target is to be computed; None when there is none."""
        return min(self._unassigned.values(), default=None)

    def assign(self, group_id: str) -> Act:
        del self._unassigned[group_id]
        return self._merge([assignment.assign(self._settings(), group_id)])

    def rest(self, group_id: str, until_ms: int) -> None:
        """Compute no target for the group until then."""
        self._resting[group_id] = until_ms
        if group_id in self._unassigned:
            self._unassigned[group_id] = max(until_ms, self._unassigned[group_id])

    # --- what follows from records -------------------------------------------------------------------------

    def applied(self, records: Iterable[Record], now: Moment) -> None:
        """Take notice of what was changed."""
        groups = self._settings().state.groups
        for record in records:
            match record.row:
                case GroupRow(group=group_id):
                    self._watch(group_id, now)
                case MemberRow(group=group_id, member_id=member_id) if not isinstance(record, Put):
                    self._roster.forget(Key(group_id, member_id))
                case AssignmentRow(group=group_id, member_id=member_id):
                    self._note_revoking(groups, Key(group_id, member_id), now)

    def _watch(self, group_id: str, now: Moment) -> None:
        if state_of(self._settings().state, group_id) is not GroupState.ASSIGNING:
            self._unassigned.pop(group_id, None)
        elif group_id not in self._unassigned:
            self._unassigned[group_id] = max(now.monotonic_ms, self._resting.get(group_id, 0))

    def _note_revoking(self, groups: dict[str, Group], key: Key, now: Moment) -> None:
        seat = self._roster.seats.get(key)
        row = groups[key.group].assignments.get(key.member) if key.group in groups else None
        if seat is None or row is None or not row.revoking:
            if seat is not None:
                seat.revoking_since_ms = None
        elif seat.revoking_since_ms is None:
            seat.revoking_since_ms = now.monotonic_ms

    def is_attached(self, group: str, member: str) -> bool:
        return self._roster.connection_of(Key(group, member)) is not None

    def _act(self, decision: Decision) -> Act:
        """Of what a client wants."""
        self._check_room(decision.records)
        return Act(decision.records, self._addressed(decision.pushes), decision.reply)

    def _merge(self, changes: Iterable[Change]) -> Act:
        changes = list(changes)
        records = [record for change in changes for record in change.records]
        return Act(records, self._addressed([push for change in changes for push in change.pushes]))

    def _addressed(self, pushes: Sequence[Push]) -> list[Message]:
        """To the connections of this moment: whoever comes back later is told in reply."""
        found = [(self._roster.connection_of(Key(push.group, push.member_id)), push.body) for push in pushes]
        return [Message(connection, body) for connection, body in found if connection is not None]


def _member(groups: dict[str, Group], key: Key) -> MemberRow | None:
    group = groups.get(key.group)
    return group.members.get(key.member) if group is not None else None


def _presence(seat: Seat, stamps: Callable[[Connection], Stamps]) -> liveness.Presence:
    seen = stamps(seat.connection) if seat.connection is not None else NO_STAMPS
    return liveness.Presence(
        seat.connection is not None,
        seat.since_ms,
        seen.heartbeat_ms,
        seen.last_poll_ms,
        seat.revoking_since_ms,
    )
