"""Commits: what is stored, what is committed, and how both reach the daemon."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from shmbroker.errors import ErrorCode
from shmbroker.protocol.messages import (
    CommitOffsets,
    FetchOffsets,
    FetchOffsetsReply,
    OffsetToCommit,
    PartitionOutcomesReply,
    PartitionRef,
)
from shmclient.config import ClientConfig
from shmclient.connection.connection import Connection
from shmclient.consumer.partitions import AssignedPartition
from shmclient.errors import KafkaError, KafkaException
from shmclient.topic_partition import OFFSET_INVALID, TopicPartition, partition_result

REQUEST_TIMEOUT_S = 5.0
"""Longest wait inside poll(), whatever ``socket.timeout.ms`` allows."""
MAX_PENDING_COMMITS = 1000
"""Asynchronous commits kept while the daemon is away; later ones supersede the oldest, which are dropped."""


class Offsets:
    """The committed offsets of one group, as one consumer uses them."""

    def __init__(self, config: ClientConfig, connection: Connection) -> None:
        self._config = config
        self._group = config.group_id or ""
        self._connection = connection
        self._request_timeout_s = min(REQUEST_TIMEOUT_S, connection.request_timeout_s)
        self._pending: deque[list[TopicPartition]] = deque(maxlen=MAX_PENDING_COMMITS)
        self.events: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        """Calls of ``on_commit`` to be made by poll()."""
        self._interval_s = config.auto_commit_interval_ms / 1000
        self.auto_commit_at = (
            time.monotonic() + self._interval_s if config.enable_auto_commit else float("inf")
        )

    # --- what to commit ------------------------------------------------------------------------------------

    def uncommitted(self, partitions: Iterable[AssignedPartition]) -> list[TopicPartition]:
        """Stored offsets that were not committed yet: where the application stands, or what it stored itself."""
        result = []
        for partition in partitions:
            offset = self.stored_offset(partition)
            if offset >= 0 and offset != partition.committed:
                result.append(TopicPartition(partition.topic, partition.number, offset))
        return result

    def stored_offset(self, partition: AssignedPartition) -> int:
        return partition.delivered if self._config.enable_auto_offset_store else partition.stored

    # --- committing ----------------------------------------------------------------------------------------

    def commit(self, offsets: list[TopicPartition], timeout_s: float) -> list[TopicPartition]:
        """Commit and return one result for each partition.

        Raises:
            KafkaException: _NO_OFFSET when none of the offsets is a real one; the first partition's error; _TRANSPORT or
                _TIMED_OUT without a daemon.
        """
        results = self._commit(offsets, timeout_s)
        for result in results:
            if result.error is not None:
                raise _commit_failed(result.error)
        return results

    def _commit(self, offsets: list[TopicPartition], timeout_s: float) -> list[TopicPartition]:
        real = [tp for tp in offsets if tp.offset >= 0]
        if not real:
            raise _commit_failed(KafkaError(KafkaError._NO_OFFSET))
        request = CommitOffsets(
            self._group,
            [
                OffsetToCommit(
                    tp.topic,
                    tp.partition,
                    tp.offset,
                    -1 if tp.leader_epoch is None else tp.leader_epoch,
                    tp.metadata,
                )
                for tp in real
            ],
        )
        try:
            reply = self._connection.request(request, PartitionOutcomesReply, timeout_s)
        except KafkaException as error:
            raise _commit_failed(error.args[0]) from None
        errors = {(o.topic, o.partition): o for o in reply.outcomes if o.code}
        return [_result(tp, _error_of(errors.get((tp.topic, tp.partition)))) for tp in real]

    def commit_later(self, offsets: list[TopicPartition]) -> None:
        """Commit without waiting for a daemon that is away; ``on_commit`` hears of it from poll()."""
        self._pending.append(offsets)
        self.run_pending()

    def run_pending(self) -> None:
        """Send the commits that wait; while there is no daemon they go on waiting."""
        while self._pending and self.is_daemon_there():
            offsets = self._pending[0]
            try:
                results = self._commit(offsets, self._request_timeout_s)
                error = next((r.error for r in results if r.error is not None), None)
            except KafkaException as failure:
                error = failure.args[0]
                if error.code() == KafkaError._TRANSPORT:
                    return
                results = [_result(tp, error) for tp in offsets]
            self._pending.popleft()
            if self._config.on_commit is not None:
                self.events.append((self._config.on_commit, (error, results)))

    def is_daemon_there(self) -> bool:
        """True when the daemon is connected or can be at once: a request is worth its wait then."""
        if self._connection.check():
            return True
        try:
            self._connection.table(0.0)
        except KafkaException:
            return False
        return True

    def auto_commit(self, partitions: Iterable[AssignedPartition]) -> None:
        """Commit what was delivered, if the interval is over. Called when the application comes back for more, so all that was
        delivered has been processed."""
        self.auto_commit_at = time.monotonic() + self._interval_s
        partitions = list(partitions)
        offsets = self.uncommitted(partitions)
        if offsets:
            self.commit_later(offsets)
            self.note_committed(partitions, offsets)

    @staticmethod
    def note_committed(partitions: Iterable[AssignedPartition], offsets: list[TopicPartition]) -> None:
        by_key = {(tp.topic, tp.partition): tp.offset for tp in offsets}
        for partition in partitions:
            partition.committed = by_key.get((partition.topic, partition.number), partition.committed)

    # --- asking --------------------------------------------------------------------------------------------

    def committed(self, partitions: list[TopicPartition], timeout_s: float) -> list[TopicPartition]:
        """The group's committed offset of each partition, OFFSET_INVALID where there is none.

        Raises:
            KafkaException: _TIMED_OUT without a daemon, else its refusal.
        """
        if not partitions:
            return []
        request = FetchOffsets(self._group, [PartitionRef(tp.topic, tp.partition) for tp in partitions])
        try:
            reply = self._connection.request(request, FetchOffsetsReply, timeout_s)
        except KafkaException as error:
            cause = error.args[0]
            code = KafkaError._TIMED_OUT if cause.code() == KafkaError._TRANSPORT else cause.code()
            raise KafkaException(
                KafkaError(code, f"Failed to get committed offsets: {cause.str()}")
            ) from None
        found = {(o.topic, o.partition): o for o in reply.offsets if not o.code and o.offset >= 0}
        result = []
        for tp in partitions:
            entry = found.get((tp.topic, tp.partition))
            if entry is None:
                result.append(TopicPartition(tp.topic, tp.partition, OFFSET_INVALID))
            else:
                result.append(
                    TopicPartition(
                        tp.topic, tp.partition, entry.offset, entry.metadata or None, entry.leader_epoch
                    )
                )
        return result

    def committed_offset(self, partition: AssignedPartition) -> int:
        """As :meth:`committed`, for one partition that is being started."""
        key = TopicPartition(partition.topic, partition.number)
        partition.committed = self.committed([key], self._request_timeout_s)[0].offset
        return partition.committed


def _result(asked: TopicPartition, error: KafkaError | None) -> TopicPartition:
    """What became of a commit: as it was asked for, with its error."""
    epoch = -1 if asked.leader_epoch is None else asked.leader_epoch
    return partition_result(asked.topic, asked.partition, asked.offset, asked.metadata, epoch, error)


def _error_of(outcome: Any) -> KafkaError | None:
    return None if outcome is None else KafkaError(ErrorCode(outcome.code), outcome.message or None)


def _commit_failed(error: KafkaError) -> KafkaException:
    return KafkaException(KafkaError(error.code(), f"Commit failed: {error.str()}"))
