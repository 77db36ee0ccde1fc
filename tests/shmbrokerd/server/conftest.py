"""Members of groups over the raw protocol."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from shmbroker.errors import ErrorCode
from shmbroker.protocol import messages as m
from shmbroker.shm.region import map_session_fd
from shmbroker.shm.session import HEARTBEAT_WORD, LAST_POLL_WORD


class Member:
    """A member that does as it is told, when it is told to look."""

    def __init__(self, daemon: Any, *topics: str, group: str = "g", **fields: Any) -> None:
        self.client = daemon.attach(f"client-of-{group}")
        assert isinstance(self.client.request(m.AttachConsumer()), m.AttachReply)
        self.region_fd, _ = self.client.take_fds(2)
        self.group = group
        self.topics = list(topics)
        self.fields = fields
        self.member_id = str(uuid.uuid4())
        self.epoch = 0
        self.owned: m.Partitions = {}
        self.fenced: m.GroupFenced | None = None

    def ask_to_join(self, **fields: Any) -> Any:
        owned = self.owned if self.epoch else {}
        known = {"member_epoch": self.epoch, "owned": owned}
        return self.client.request(
            m.JoinGroup(self.group, self.member_id, topics=self.topics, **{**known, **self.fields, **fields})
        )

    def join(self, **fields: Any) -> Member:
        view = self.ask_to_join(**fields)
        assert isinstance(view, m.MembershipReply), view
        self._follow(view)
        return self

    def release(self, partitions: m.Partitions) -> Any:
        return self.client.request(m.ReleasePartitions(self.group, self.member_id, self.epoch, partitions))

    def look(self, timeout_s: float = 10.0) -> None:
        """Wait for a push and do what it says."""
        push = self.client.next_push(timeout_s)
        if isinstance(push, m.GroupFenced):
            self.fenced, self.owned, self.epoch = push, {}, 0
        else:
            assert isinstance(push, m.GroupAssignment), push
            self._follow(push)

    def wait_for(self, **owned: list[int]) -> None:
        """Do as told until this is what it owns."""
        while self.owned != owned:
            self.look()

    def wait_fenced(self) -> m.GroupFenced:
        while self.fenced is None:
            self.look()
        return self.fenced

    def _follow(self, view: Any) -> None:
        while True:
            self.epoch, self.owned = view.member_epoch, view.assigned
            if not view.revoking:
                return
            view = self.release(view.revoking)
            assert isinstance(view, m.MembershipReply), view

    def commit(self, topic: str, partition: int, offset: int = 7, epoch: int | None = None) -> ErrorCode:
        item = m.OffsetToCommit(topic, partition, offset)
        epoch = self.epoch if epoch is None else epoch
        reply = self.client.request(m.CommitOffsets(self.group, [item], self.member_id, epoch))
        return reply.code if isinstance(reply, m.Failure) else reply.outcomes[0].code

    def leave(self, operation: m.LeaveOperation = m.LeaveOperation.DEFAULT) -> Any:
        return self.client.request(m.LeaveGroup(self.group, self.member_id, operation))

    def stamp(self, heartbeat_ms: int, last_poll_ms: int) -> None:
        with map_session_fd(self.region_fd) as region, memoryview(region) as view, view.cast("q") as words:
            words[HEARTBEAT_WORD], words[LAST_POLL_WORD] = heartbeat_ms, last_poll_ms

    def die(self) -> None:
        """As the kernel makes it: the connection is closed without a word."""
        self.client.close()


NewMember = Callable[..., Member]


@pytest.fixture
def member_of() -> NewMember:
    """``member_of(daemon, *topics, group="g", **fields of JoinGroup)``: attached, not joined."""
    return Member


@pytest.fixture
def new_member(daemon: Any) -> NewMember:
    """As ``member_of``, with the default daemon."""
    return lambda *topics, **fields: Member(daemon, *topics, **fields)
