"""A coordinator without a daemon: requests are decided and applied at once, messages collected."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from shmbroker.config.static import StaticConfig
from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol import messages as m
from shmbrokerd.controller import topics
from shmbrokerd.groups.coordinator import Act, Coordinator, Message, Moment, Stamps
from shmbrokerd.groups.membership import Caller
from shmbrokerd.groups.states import state_of
from shmbrokerd.metadata.records import Record
from shmbrokerd.metadata.settings import Settings
from shmbrokerd.metadata.state import State

START_MS = 1_000_000


class Desk:
    """Time stands still unless it is told to pass. A connection is any text; by default a member's is named after it."""

    def __init__(self, *settings: str, topics: dict[str, int] | None = None) -> None:
        self.static = StaticConfig()
        for setting in settings:
            name, _, value = setting.partition("=")
            self.static.assign(name, value)
        self.state = State()
        self.now_ms = START_MS
        self.stamps: dict[str, Stamps] = {}
        self.records: list[Record] = []
        """All that was ever applied."""
        self.inbox: list[Message] = []
        self._topics_made = 0
        self.coordinator = Coordinator(self.settings, self.now)
        for name, partitions in (topics or {}).items():
            self.create(name, partitions)

    def settings(self) -> Settings:
        return Settings(self.static, self.state)

    @property
    def now(self) -> Moment:
        return Moment(self.now_ms + 500_000_000, self.now_ms)

    def apply(self, act: Act) -> Any:
        self.state.replay(act.records)
        self.records += act.records
        self.coordinator.applied(act.records, self.now)
        self.inbox += act.messages
        return act.reply

    # --- requests ------------------------------------------------------------------------------------------

    def ask(self, body: m.RequestBody, connection: str = "c") -> Any:
        """The reply, or the error's code."""
        try:
            act = self.coordinator.handle(body, connection, Caller("client", 4711), self.now)
        except BrokerError as error:
            return error.code
        return self.apply(act)

    def join(self, member: str, *names: str, group: str = "g", over: str = "", **fields: Any) -> Any:
        fields.setdefault("member_epoch", 0)
        body = m.JoinGroup(group=group, member_id=member, topics=list(names), **fields)
        return self.ask(body, over or f"{member}'s")

    def release(self, member: str, partitions: m.Partitions | None = None, group: str = "g") -> Any:
        """``partitions``: by default all that the member was asked for."""
        if partitions is None:
            revoking = self.state.groups[group].assignments[member].revoking
            partitions = {topic: list(numbers) for topic, numbers in revoking.items()}
        epoch = self.state.groups[group].assignments[member].epoch if self.is_member(member, group) else 0
        return self.ask(m.ReleasePartitions(group, member, epoch, partitions), f"{member}'s")

    def is_member(self, member: str, group: str = "g") -> bool:
        return group in self.state.groups and member in self.state.groups[group].members

    def leave(self, member: str, group: str = "g", **fields: Any) -> Any:
        return self.ask(m.LeaveGroup(group, member, **fields), f"{member}'s")

    def commit(
        self, member: str, epoch: int, topic: str, partition: int, offset: int = 7, group: str = "g"
    ) -> ErrorCode:
        item = m.OffsetToCommit(topic, partition, offset)
        reply = self.ask(m.CommitOffsets(group, [item], member, epoch), f"{member}'s")
        return reply if isinstance(reply, ErrorCode) else reply.outcomes[0].code

    # --- what happens by itself ----------------------------------------------------------------------------

    def assign(self) -> None:
        """Compute the targets that are due."""
        for group in self.coordinator.unassigned(self.now):
            self.apply(self.coordinator.assign(group))

    def settle(self) -> None:
        """Compute targets, and let all members release what they are asked for, until nothing changes."""
        while True:
            self.assign()
            waiting = [
                (group_id, member_id)
                for group_id, group in self.state.groups.items()
                for member_id, row in group.assignments.items()
                if row.revoking and self.coordinator.is_attached(group_id, member_id)
            ]
            if not waiting and not self.coordinator.unassigned(self.now):
                return
            for group_id, member_id in waiting:
                self.release(member_id, group=group_id)

    def disconnect(self, connection: str) -> None:
        self.apply(self.coordinator.disconnected(connection, self.now))

    def pass_ms(self, ms: int) -> None:
        self.now_ms += ms
        self.apply(self.coordinator.tick(self.stamps_of, self.now))

    def stamps_of(self, connection: Any) -> Stamps:
        return self.stamps.get(connection, Stamps(0, 0))

    def alive(self, *members: str) -> None:
        """The members beat and poll at this moment."""
        for member in members:
            self.stamps[f"{member}'s"] = Stamps(self.now_ms, self.now_ms)

    def restart(self) -> None:
        """The daemon is killed and started again."""
        self.state = State()
        self.state.replay(self.records)
        self.inbox.clear()
        self.coordinator = Coordinator(self.settings, self.now)

    # --- topics --------------------------------------------------------------------------------------------

    def create(self, name: str, partitions: int = 1) -> None:
        self._change_topics(name, topics.create_topics, m.CreateTopics([m.NewTopicSpec(name, partitions)]))

    def grow(self, name: str, partitions: int) -> None:
        request = m.CreatePartitions([m.NewPartitionsSpec(name, partitions)])
        self._change_topics(name, topics.create_partitions, request)

    def delete(self, name: str) -> None:
        decision = topics.delete_topics(self.settings(), m.DeleteTopics([name]))
        self.apply(Act(decision.records))
        self.apply(self.coordinator.topics_changed([name]))

    def _change_topics(self, name: str, decide: Any, request: Any) -> None:
        circumstances = topics.Circumstances(self.now_ms, self._new_topic_id)
        decision = decide(self.settings(), request, circumstances)
        assert decision.reply.outcomes[0].code == ErrorCode.NO_ERROR, decision.reply
        self.apply(Act(decision.records))
        self.apply(self.coordinator.topics_changed([name]))

    def _new_topic_id(self) -> bytes:
        self._topics_made += 1
        return self._topics_made.to_bytes(16, "big")

    # --- looking -------------------------------------------------------------------------------------------

    def state_of(self, group: str = "g") -> str:
        return str(state_of(self.state, group))

    def owned(self, group: str = "g") -> dict[str, str]:
        """Member -> its partitions, those being revoked in parentheses; such as ``{"a": "t-0 t-1 (t-2)"}``."""
        rows = self.state.groups[group].assignments if group in self.state.groups else {}
        return {member: owned_text(row.assigned, row.revoking) for member, row in sorted(rows.items())}

    def take_inbox(self) -> list[Message]:
        inbox, self.inbox = self.inbox, []
        return inbox

    def fenced(self) -> dict[str, m.GroupFenced]:
        """Connection -> what it was told, of those that were fenced since the inbox was emptied."""
        return {
            str(message.connection): message.body
            for message in self.inbox
            if isinstance(message.body, m.GroupFenced)
        }


def owned_text(assigned: Any, revoking: Any) -> str:
    texts = [partitions_text(assigned)] if assigned else []
    return " ".join(texts + ([f"({partitions_text(revoking)})"] if revoking else []))


def partitions_text(partitions: Any) -> str:
    return " ".join(_names(partitions))


def _names(partitions: Any) -> Iterable[str]:
    return (f"{topic}-{number}" for topic in sorted(partitions) for number in sorted(partitions[topic]))
