"""Members of groups, and producers with transactions, over the raw protocol."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shmbroker.errors import ErrorCode
from shmbroker.log.reader import LogReader
from shmbroker.protocol import messages as m
from shmbroker.records.builder import Columns, ProducerStamp, build_batch
from shmbroker.records.layout import Flag
from shmbroker.shm.completions import CompletionReader
from shmbroker.shm.region import map_session_fd
from shmbroker.shm.ring import RingWriter, topic_tag
from shmbroker.shm.session import HEARTBEAT_WORD, LAST_POLL_WORD, WAITING_WORD, read_header
from shmbroker.shm.table import PartitionTable
from shmbroker.shm.wakeup import Sleeper, ring


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


class TransactionalProducer:
    """A producer that asks when it is told to, and writes through a ring."""

    def __init__(self, daemon: Any, transactional_id: str = "x", **fields: Any) -> None:
        self.daemon = daemon
        self.transactional_id = transactional_id
        self.identity = m.InitProducerIdReply(-1, -1)
        self.sequences: dict[tuple[str, int], int] = {}
        self._request_ids = itertools.count(1)
        self.attach()
        self.init(**fields)

    def attach(self) -> None:
        """Over a new connection."""
        self.table = PartitionTable.open(self.daemon.runtime_dir / "partitions")
        self.client = self.daemon.attach("raw")
        assert isinstance(self.client.request(m.AttachProducer(1 << 16)), m.AttachReply)
        region_fd, sleep_fd, doorbell_fd = self.client.take_fds(3)
        self._region = map_session_fd(region_fd)
        layout = read_header(self._region)
        view = memoryview(self._region)
        self._ring = RingWriter(view, layout)
        self._completions = CompletionReader(view, layout)
        self._sleeper = Sleeper(view.cast("q"), WAITING_WORD, sleep_fd)
        self._doorbell = doorbell_fd

    def init(self, **fields: Any) -> None:
        self.identity = self.client.request(m.InitProducerId(self.transactional_id, **fields))
        assert isinstance(self.identity, m.InitProducerIdReply), self.identity
        self.sequences.clear()

    @property
    def _who(self) -> tuple[str, int, int]:
        return self.transactional_id, self.identity.producer_id, self.identity.producer_epoch

    def add(self, topic: str, *partitions: int) -> ErrorCode:
        refs = [m.PartitionRef(topic, number) for number in partitions]
        return _code(self.client.request(m.AddPartitionsToTransaction(*self._who, refs)))

    def commit_offset(self, group: str, topic: str, partition: int, offset: int, **fields: Any) -> ErrorCode:
        item = m.OffsetToCommit(topic, partition, offset)
        return _code(self.client.request(m.CommitTransactionOffsets(*self._who, group, [item], **fields)))

    def send(self, topic: str, partition: int, *values: bytes) -> int:
        """Write one batch; the code it is answered with."""
        row = next(
            info
            for found in self.client.request(m.DescribeTopics([topic])).topics
            for info in found.partitions
            if info.partition == partition
        )
        sequence = self.sequences.get((topic, partition), 0)
        stamp = ProducerStamp(self.identity.producer_id, self.identity.producer_epoch, sequence)
        header, body = build_batch(Columns(list(values)), 1000, stamp, flags=int(Flag.TRANSACTIONAL))
        tag = topic_tag(self.table.topic_id(row.slot))
        assert self._ring.try_write(next(self._request_ids), row.slot, 1, header + body, topic_tag=tag)
        ring(self._doorbell)
        deadline = time.monotonic() + 30.0
        while not self._completions.has_entries():
            assert time.monotonic() < deadline, "no answer"
            self._sleeper.sleep_unless(self._completions.has_entries, 1.0)
        (answer,) = self._completions.take_all()
        if not answer.error:
            self.sequences[topic, partition] = sequence + len(values)
        return answer.error

    def ask_end(self, committed: bool) -> Any:
        return self.client.request(m.EndTransaction(*self._who, committed), timeout_s=30.0)

    def end(self, committed: bool) -> None:
        reply = self.ask_end(committed)
        assert isinstance(reply, m.EndTransactionReply), reply
        self.identity = m.InitProducerIdReply(reply.producer_id, reply.producer_epoch)
        self.sequences.clear()

    def committed(self, topic: str, partition: int) -> list[bytes | None]:
        """What a read_committed reader finds."""
        (found,) = self.client.request(m.DescribeTopics([topic])).topics
        (info,) = (info for info in found.partitions if info.partition == partition)
        figures = self.table.figures(info.slot)
        reader = LogReader(Path(info.directory))
        values: list[bytes | None] = []
        offset, end = figures.log_start, figures.last_stable
        while offset < end:
            batches = reader.read(offset, end, 1 << 20, check_crcs=True, active_base=figures.active_base)
            for batch in reader.committed(batches, end):
                values += batch.value_list()
            offset = batches[-1].last_offset + 1
        reader.close()
        return values


def _code(reply: Any) -> ErrorCode:
    return reply.code if isinstance(reply, m.Failure) else reply.outcomes[0].code


@pytest.fixture
def producer_of() -> Callable[..., TransactionalProducer]:
    """``producer_of(daemon, transactional_id="x", **fields of InitProducerId)``: attached and initialised."""
    return TransactionalProducer
