"""A daemon, its disk, and members that join, work, stall and die, in one thread and with a clock that is turned by hand.

Whatever may happen next is a method of :class:`World`; each may be called at any time. Requests and messages wait in their
connection until somebody takes them; records wait until they are written, and what is not written is lost when the daemon is
killed. After each step :meth:`World.check` holds the world to its invariants.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from groupkit.desk import START_MS
from shmbroker.config.static import StaticConfig
from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol import messages as m
from shmbrokerd.controller import topics
from shmbrokerd.groups import offsets
from shmbrokerd.groups.coordinator import Act, Coordinator, Message, Moment, Stamps
from shmbrokerd.groups.holdings import Holding, merged
from shmbrokerd.groups.membership import Caller
from shmbrokerd.groups.roster import Key
from shmbrokerd.groups.states import TRANSITIONS, Event, state_of
from shmbrokerd.metadata.group import Group, Partition, owned_by, pairs
from shmbrokerd.metadata.records import TABLES, OffsetRow, Put, Record
from shmbrokerd.metadata.settings import Settings
from shmbrokerd.metadata.state import State

SESSION_MS = 10_000
POLL_MS = 30_000
MAX_ROUNDS = 1000


class Connection:
    """Two queues. A side that is gone leaves what it said behind."""

    def __init__(self, member: SimMember) -> None:
        self.member = member
        self.requests: deque[m.RequestBody] = deque()
        self.answers: deque[Any] = deque()
        """(request, reply) and pushes."""
        self.is_closed_by_client = False
        self.is_closed_by_daemon = False


class SimMember:
    """What a client library does, as simply as can be."""

    def __init__(
        self, name: str, group: str, group_topics: list[str], instance_id: str | None, fields: dict[str, Any]
    ) -> None:
        self.name = name
        self.group = group
        self.topics = group_topics
        self.instance_id = instance_id
        self.fields = {"session_timeout_ms": SESSION_MS, "rebalance_timeout_ms": POLL_MS, **fields}
        self.connection: Connection | None = None
        self.epoch = 0
        self.is_joining = False
        self.owned: dict[Partition, int] = {}
        """Partition -> position; -1 until the committed offset is known."""
        self.is_stalled = False
        self.is_dead = False
        self.has_left = False
        self.stamp_ms = 0
        self.clock: Callable[[], float] = lambda: 0.0
        """Seconds."""

    def send(self, body: m.RequestBody) -> None:
        assert self.connection is not None
        self.connection.requests.append(body)

    def join(self) -> None:
        owned: m.Partitions = {}
        for topic, number in sorted(self.owned):
            owned.setdefault(topic, []).append(number)
        self.is_joining = True
        self.send(
            m.JoinGroup(
                self.group,
                self.name,
                self.epoch,
                self.topics,
                instance_id=self.instance_id,
                owned=owned,
                **self.fields,
            )
        )

    def resubscribe(self, names: list[str]) -> None:
        assert self.connection is not None
        if not (self.has_left or self.connection.is_closed_by_daemon or self.is_joining) and self.epoch:
            self.topics = names
            self.join()

    def expects_loss(self) -> bool:
        """Whether it was told that it is a member no longer, and has not acted on that; or asks whether it is one."""
        return False

    def poll(self) -> bool:
        """False when there was nothing to do but to listen."""
        return False

    def lose_everything(self) -> None:
        self.owned.clear()
        self.epoch = 0

    def follow(self, view: m.MembershipReply | m.GroupAssignment) -> None:
        """Let go, commit first; take what is new."""
        self.epoch = view.member_epoch
        assigned = set(pairs({topic: tuple(numbers) for topic, numbers in view.assigned.items()}))
        for partition in [each for each in self.owned if each not in assigned]:
            self.commit(partition)
            del self.owned[partition]
        for topic, number in sorted(assigned - self.owned.keys()):
            self.owned[topic, number] = -1
            self.send(m.FetchOffsets(self.group, [m.PartitionRef(topic, number)]))
        if view.revoking:
            self.send(m.ReleasePartitions(self.group, self.name, view.member_epoch, view.revoking))

    def commit(self, partition: Partition) -> None:
        position = self.owned[partition]
        if position >= 0:
            item = m.OffsetToCommit(*partition, position)
            self.send(m.CommitOffsets(self.group, [item], self.name, self.epoch, self.instance_id))

    def hear(self, answer: Any) -> None:
        match answer:
            case m.GroupFenced():
                self.lose_everything()
                self.has_left = answer.code == ErrorCode.FENCED_INSTANCE_ID
                if not self.is_joining and not self.has_left:  # else the reply will tell
                    self.join()
            case m.GroupAssignment():
                if not self.is_joining or self.epoch:
                    self.follow(answer)
            case (m.JoinGroup(), m.MembershipReply() as view):
                self.is_joining = False
                self.follow(view)
            case (m.JoinGroup(member_epoch=epoch), m.Failure() as failure):
                self.is_joining = False
                self.lose_everything()
                if self.has_left or not epoch or failure.code == ErrorCode.FENCED_INSTANCE_ID:
                    self.has_left = True
                else:
                    self.join()
            case (m.ReleasePartitions(), m.MembershipReply() as view):
                if not self.is_joining:
                    self.follow(view)
            case (m.FetchOffsets(), m.FetchOffsetsReply() as reply):
                for found in reply.offsets:
                    if self.owned.get((found.topic, found.partition)) == -1:
                        self.owned[found.topic, found.partition] = max(0, found.offset)


class World:
    def __init__(self, *settings: str, kind: type[SimMember] = SimMember) -> None:
        self._kind = kind
        self.static = StaticConfig()
        for setting in settings:
            name, _, value = setting.partition("=")
            self.static.assign(name, value)
        self.now_ms = START_MS
        self.state = State()
        self.written: list[Record] = []
        """What is on disk."""
        self._unwritten: list[tuple[list[Record], Callable[[], None]]] = []
        self._unsent: list[Message] = []
        self.members: list[SimMember] = []
        self.connections: list[Connection] = []
        self.coordinator = Coordinator(self._settings, self.now)
        self._late: list[tuple[SimMember, Partition, int, m.CommitOffsets]] = []
        """Commits on their way over another connection: (member, partition, owned since, request)."""
        self.committed: dict[tuple[str, str, int], int] = {}
        """The highest offset on disk of each partition of a group."""
        self.seen: set[tuple[m.GroupState, Event, m.GroupState]] = set()
        self._topics_made = 0
        self._names_made = 0

    @property
    def now(self) -> Moment:
        return Moment(self.now_ms, self.now_ms)

    def _settings(self) -> Settings:
        return Settings(self.static, self.state)

    def _stamps(self, connection: Any) -> Stamps:
        return Stamps(connection.member.stamp_ms, connection.member.stamp_ms)

    # --- the daemon ----------------------------------------------------------------------------------------

    def _enter(self, act: Act, event: Event, then: Callable[[], None] = lambda: None) -> None:
        """Apply; let others know once it is written."""
        groups = {record.row.group for record in act.records if hasattr(record.row, "group")}
        before = {group: state_of(self.state, group) for group in groups}
        self.state.replay(act.records)
        self.coordinator.applied(act.records, self.now)
        for group, state in before.items():
            self._note_transition(state, event, state_of(self.state, group))
        messages = list(act.messages)
        self._unsent += messages

        def tell() -> None:
            for connection, body in messages:
                if isinstance(connection, Connection) and not connection.is_closed_by_daemon:
                    connection.answers.append(body)
            then()

        self._unwritten.append((act.records, tell))

    def _note_transition(self, before: m.GroupState, event: Event, after: m.GroupState) -> None:
        assert after in TRANSITIONS[before].get(event, ()), f"{before} --{event.name}--> {after}"
        self.seen.add((before, event, after))

    def write(self) -> None:
        """The disk has what was decided so far."""
        unwritten, self._unwritten = self._unwritten, []
        self._unsent.clear()
        for records, tell in unwritten:
            self.written += records
            for record in records:
                self._note_committed(record)
            tell()

    def _note_committed(self, record: Record) -> None:
        row = record.row
        if isinstance(row, OffsetRow):
            key = (row.group, row.topic, row.partition)
            if isinstance(record, Put):
                before = self.committed.get(key, 0)
                assert row.offset >= before, f"{key} went back from {before} to {row.offset}"
                self.committed[key] = row.offset
            else:
                self.committed.pop(key, None)

    def serve(self, connection: Connection) -> None:
        """Take one request, or notice that the client is gone."""
        if connection.is_closed_by_daemon:
            return
        if connection.requests:
            self._handle(connection, connection.requests.popleft())
        elif connection.is_closed_by_client:
            connection.is_closed_by_daemon = True
            self._enter(self.coordinator.disconnected(connection, self.now), Event.LEFT)

    def _handle(self, connection: Connection, body: m.RequestBody) -> None:
        if isinstance(body, m.FetchOffsets):
            reply = offsets.fetch_offsets(self._settings(), body)
            self._unwritten.append(([], lambda: connection.answers.append((body, reply))))
            return
        event = _EVENTS[type(body)]
        try:
            act = self.coordinator.handle(body, connection, Caller("sim", 1), self.now)
        except BrokerError as error:
            failure = m.Failure(error.code, error.message)
            self._unwritten.append(([], lambda: connection.answers.append((body, failure))))
            return
        self._enter(act, event, lambda: connection.answers.append((body, act.reply)))

    def assign(self) -> None:
        for group in self.coordinator.unassigned(self.now)[:1]:
            self._enter(self.coordinator.assign(group), Event.ASSIGNED)

    def pass_ms(self, ms: int) -> None:
        """Time passes; members that are not stalled stamp, the daemon looks."""
        self.now_ms += ms
        for member in self.members:
            if not member.is_stalled and not member.is_dead:
                member.stamp_ms = self.now_ms
        self._enter(self.coordinator.tick(self._stamps, self.now), Event.LEFT)

    def restart(self) -> None:
        """The daemon is killed and started again: all connections are gone, and what was not written."""
        for connection in self.connections:
            connection.is_closed_by_daemon = True
            connection.answers.clear()
        self.connections.clear()
        self._unwritten.clear()
        self._unsent.clear()
        self.state = State()
        self.state.replay(self.written)
        self.coordinator = Coordinator(self._settings, self.now)
        self._enter(self.coordinator.topics_changed(None), Event.TOPICS_CHANGED)

    def change_topic(self, name: str, partitions: int) -> None:
        """Make, grow or (0) delete a topic."""
        circumstances = topics.Circumstances(self.now_ms, self._new_topic_id)
        if name not in self.state.topics:
            request: Any = m.CreateTopics([m.NewTopicSpec(name, max(1, partitions))])
            decision = topics.create_topics(self._settings(), request, circumstances)
        elif partitions:
            request = m.CreatePartitions([m.NewPartitionsSpec(name, partitions)])
            decision = topics.create_partitions(self._settings(), request, circumstances)
        else:
            decision = topics.delete_topics(self._settings(), m.DeleteTopics([name]))
        self.state.replay(decision.records)
        self._unwritten.append((decision.records, lambda: None))
        self._enter(self.coordinator.topics_changed([name]), Event.TOPICS_CHANGED)

    def _new_topic_id(self) -> bytes:
        self._topics_made += 1
        return self._topics_made.to_bytes(16, "big")

    def expire(self) -> None:
        self._enter(self.coordinator.expire(self.now), Event.EXPIRED)

    def operate(self, body: m.RequestBody) -> None:
        """An operator's request, from a connection of its own."""
        with contextlib.suppress(BrokerError):
            act = self.coordinator.handle(body, "operator", Caller("operator", 1), self.now)
            self._enter(act, _EVENTS[type(body)])

    def commit_forward(self, group: str, topic: str, partition: int) -> None:
        """An operator moves an offset, forward only: that it does not move back *by itself* is what is held."""
        offset = self.committed.get((group, topic, partition), 0) + 100
        self.operate(m.CommitOffsets(group, [m.OffsetToCommit(topic, partition, offset)]))

    # --- members -------------------------------------------------------------------------------------------

    def start_member(
        self, group: str, names: list[str], instance_id: str | None = None, **fields: Any
    ) -> SimMember:
        self._names_made += 1
        member = self._kind(f"m{self._names_made:03}", group, names, instance_id, fields)
        member.clock = lambda: self.now_ms / 1000
        self.members.append(member)
        self._connect(member)
        return member

    def _connect(self, member: SimMember) -> None:
        member.connection = Connection(member)
        self.connections.append(member.connection)
        member.join()

    def act(self, member: SimMember) -> None:
        """The member hears one thing, or, if there is nothing to hear, works."""
        if not self.hear(member) and not member.is_dead and not member.is_stalled:
            for partition, position in member.owned.items():
                if position >= 0:
                    member.owned[partition] = position + 1
                    member.commit(partition)

    def hear(self, member: SimMember) -> bool:
        """The member hears one thing, or finds its connection gone and makes another; False when there is nothing to hear."""
        connection = member.connection
        if member.is_dead or member.is_stalled or connection is None:
            return False
        if connection.answers:
            member.hear(connection.answers.popleft())
            return True
        if connection.is_closed_by_daemon and not member.has_left:
            self._connect(member)
            return True
        return member.poll()

    def resubscribe(self, member: SimMember, names: list[str]) -> None:
        """The member changes its mind about what it reads."""
        if not member.is_dead and not member.is_stalled:
            member.resubscribe(names)

    def commit_late(self, member: SimMember) -> None:
        """The member commits over another connection (as a transaction does), which may take any time to arrive."""
        for partition, position in member.owned.items():
            since = self._owned_since(member, partition)
            if position >= 0 and since is not None:
                item = m.OffsetToCommit(*partition, position)
                request = m.CommitOffsets(member.group, [item], member.name, member.epoch)
                self._late.append((member, partition, since, request))

    def deliver_late(self, index: int) -> None:
        """One of them arrives. If the partition is the member's as it was then, it is only out of order, which is the
        member's own business; in all other cases it must not be accepted."""
        if self._late:
            member, partition, since, request = self._late.pop(index % len(self._late))
            if self._owned_since(member, partition) == since:
                return
            try:
                act = self.coordinator.handle(request, "elsewhere", Caller("sim", 1), self.now)
            except BrokerError:
                return
            assert isinstance(act.reply, m.PartitionOutcomesReply)
            assert act.reply.outcomes[0].code != ErrorCode.NO_ERROR, (
                f"{request} was of the time since {since}"
            )

    def _owned_since(self, member: SimMember, partition: Partition) -> int | None:
        group = self.state.groups.get(member.group)
        row = group.assignments.get(member.name) if group is not None else None
        topic, number = partition
        return None if row is None else merged(row.assigned, row.revoking).get(topic, {}).get(number)

    def drop(self, member: SimMember) -> None:
        """The member gives its connection up and makes another. What it said over the old one is read any time later, but its
        commits are lost: in which order those arrive is its own business."""
        connection = member.connection
        if not member.is_dead and not member.is_stalled and not member.has_left and connection is not None:
            connection.is_closed_by_client = True
            connection.requests = deque(
                body for body in connection.requests if not isinstance(body, m.CommitOffsets)
            )
            self._connect(member)

    def leave(self, member: SimMember) -> None:
        if member.is_dead or member.is_stalled or member.has_left:
            return
        for partition in list(member.owned):
            member.commit(partition)
        member.send(m.LeaveGroup(member.group, member.name))
        member.lose_everything()
        member.has_left = True
        self.kill(member)

    def kill(self, member: SimMember) -> None:
        member.is_dead = True
        member.owned.clear()
        if member.connection is not None:
            member.connection.is_closed_by_client = True

    # --- what has to hold ----------------------------------------------------------------------------------

    def check(self) -> None:
        """What holds at any time."""
        for group_id, group in self.state.groups.items():
            self._check_group(group)
            if state_of(self.state, group_id) is m.GroupState.STABLE:
                assert group.owners == group.targets
        self._check_what_members_hold()

    def _check_group(self, group: Group) -> None:
        assert group.members.keys() == group.assignments.keys()
        owners: dict[Partition, str] = {}
        for member_id, row in group.assignments.items():
            for partition in owned_by(row):
                assert partition not in owners, f"{owners[partition]} and {member_id} own {partition}"
                owners[partition] = member_id
            for topic, number in pairs(row.assigned):
                assert number in row.target.get(topic, ()), f"{topic}-{number} is not for {row}"
            assert _newest(row.assigned) <= row.epoch <= group.row.epoch, row
            assert _newest(row.revoking) < row.epoch, f"a release could not mean this time: {row}"
        assert owners == group.owners

    def _check_what_members_hold(self) -> None:
        for member in self.members:
            group = self.state.groups.get(member.group)
            row = group.assignments.get(member.name) if group is not None else None
            if member.is_dead or row is None or not member.owned or self._is_loss_on_its_way(member):
                continue
            extra = member.owned.keys() - set(owned_by(row))
            assert not extra, f"{member.name} holds {extra}, which are not its own: {row}"

    def _is_loss_on_its_way(self, member: SimMember) -> bool:
        connection = member.connection
        unsent = [message.body for message in self._unsent if message.connection is connection]
        said = [*unsent, *(connection.answers if connection is not None else ())]
        return member.expects_loss() or any(isinstance(body, m.GroupFenced) for body in said)

    def check_replay(self) -> None:
        """The state is what the records make of it."""
        self.write()
        state = State()
        state.replay(self.written)
        assert state == self.state
        rows: dict[tuple[type, Any], Record] = {}
        for record in self.written:
            rows[type(record.row), record.row.key] = record
        from_rows = State()
        from_rows.replay(sorted((r for r in rows.values() if isinstance(r, Put)), key=_replay_order))
        assert from_rows == self.state

    def settle(self) -> None:
        """Nobody dies, stalls or comes any more: until nothing is left to be done, and longer than any time-out."""
        for member in self.members:
            member.is_stalled = False
        for _ in range(2 * POLL_MS // 1000):
            rounds = 0
            while self._go_on():
                self.check()
                rounds += 1
                assert rounds < MAX_ROUNDS, "it never comes to rest"
            self.pass_ms(1000)

    def _go_on(self) -> bool:
        """Let everybody do what there is to do; False when there was nothing."""
        is_busy = bool(self._unwritten or self.coordinator.unassigned(self.now))
        for connection in self.connections:
            is_closing = connection.is_closed_by_client and not connection.is_closed_by_daemon
            is_busy = is_busy or is_closing or bool(connection.requests)
            while connection.requests and not connection.is_closed_by_daemon:
                self.serve(connection)
            self.serve(connection)
        self.connections = [each for each in self.connections if not each.is_closed_by_daemon]
        self.assign()
        self.write()
        for member in self.members:
            for _ in range(MAX_ROUNDS):
                if not self.hear(member):
                    break
                is_busy = True
        return is_busy

    def check_settled(self) -> None:
        """Every partition that a member subscribes to has an owner, who knows it; and every member that wants to be one is."""
        for group_id, group in self.state.groups.items():
            wanted = {
                partition
                for member in group.members.values()
                for topic in member.topics
                if topic in self.state.topics
                for partition in [(topic, number) for number in self.state.topics[topic].partitions]
            }
            assert set(group.owners) == wanted
            held = {partition: member.name for member in self._alive(group_id) for partition in member.owned}
            assert held == group.owners
            assert state_of(self.state, group_id) in (m.GroupState.STABLE, m.GroupState.EMPTY)
        limit = self._settings().broker_number("group.max.size")
        for member in self._alive():
            members = self.state.groups[member.group].members
            if member.name in members:
                assert self.coordinator.is_attached(*Key(member.group, member.name))
            else:
                assert len(members) >= limit

    def _alive(self, group: str | None = None) -> Iterator[SimMember]:
        return (
            member
            for member in self.members
            if not member.is_dead and not member.has_left and group in (None, member.group)
        )


def _newest(holding: Holding) -> int:
    """The latest epoch since which something of it is owned."""
    return max((epoch for numbers in holding.values() for epoch in numbers.values()), default=-1)


def _replay_order(record: Record) -> int:
    return list(TABLES.values()).index(type(record.row))


_EVENTS: dict[type, Event] = {
    m.JoinGroup: Event.JOINED,
    m.ReleasePartitions: Event.RELEASED,
    m.LeaveGroup: Event.LEFT,
    m.CommitOffsets: Event.COMMITTED,
    m.DeleteGroups: Event.DELETED,
    m.DeleteGroupOffsets: Event.EXPIRED,
    m.RemoveMembers: Event.LEFT,
}
