"""Commits: what is stored, what is committed, and how both reach the daemon."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from shmbroker.errors import ErrorCode
from shmbroker.protocol.messages import (
    CommitOffsets,
    CommittedOffset,
    FetchOffsets,
    FetchOffsetsReply,
    OffsetToCommit,
    PartitionOutcomesReply,
    PartitionRef,
)
from shmclient.config import ClientConfig
from shmclient.consumer.link import Link
from shmclient.consumer.partitions import AssignedPartition
from shmclient.deadline import Deadline
from shmclient.errors import KafkaError, KafkaException
from shmclient.topic_partition import OFFSET_INVALID, TopicPartition, partition_result

UNSTABLE_RETRY_S = 0.05
"""Pause before an offset is asked for again that an open transaction is about to change."""
MAX_PENDING_COMMITS = 1000
"""Asynchronous commits kept while the daemon is away; later ones supersede the oldest, which are dropped."""
MAX_POSTED_COMMITS = 32
"""Commits under way at a time: they fit the socket's buffer while the daemon is busy."""


class Identity(NamedTuple):
    """Which member of the group commits, as of which view."""

    member_id: str = ""
    epoch: int = -1
    instance_id: str | None = None


NOBODY = Identity()
"""Commits for no member: taken while the group has none."""


class PendingCommit:
    """A commit nobody waits for."""

    __slots__ = ("identity", "is_posted", "offsets", "partitions")

    def __init__(
        self, offsets: list[TopicPartition], partitions: list[AssignedPartition], identity: Identity
    ) -> None:
        self.offsets = offsets
        self.identity = identity
        """Of when it was made: a partition may be lost and regained before it is sent."""
        self.partitions = partitions
        """Those that count as committed; no more if it fails."""
        self.is_posted = False


class Offsets:
    """The committed offsets of one group, as one consumer uses them. ``link`` has what poll() may wait for."""

    def __init__(self, config: ClientConfig, link: Link) -> None:
        self._config = config
        self._group = config.group_id or ""
        self._link = link
        self._connection = link.connection
        self._pending: deque[PendingCommit] = deque()
        """In the order in which they were made, and in which they reach the daemon: those that were posted come first."""
        self._posted = 0
        self.identify: Callable[[], Identity] = lambda: NOBODY
        """Who commits now."""
        self.events: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        """Calls of ``on_commit`` to be made by poll()."""
        self._interval_s = config.auto_commit_interval_ms / 1000
        self._require_stable = config.isolation_level == "read_committed"
        self.auto_commit_at = (
            time.monotonic() + self._interval_s if config.enable_auto_commit else float("inf")
        )

    # --- what to commit ------------------------------------------------------------------------------------

    def uncommitted(self, partitions: Iterable[AssignedPartition]) -> list[TopicPartition]:
        """Stored offsets that were not committed yet: where the application stands, or what it stored itself. One below what
        this consumer committed, after a seek say, is no news, as in librdkafka: who wants to go back commits ``offsets``."""
        result = []
        for partition in partitions:
            offset = self.stored_offset(partition)
            if offset >= 0 and offset > partition.committed:
                result.append(TopicPartition(partition.topic, partition.number, offset))
        return result

    def stored_offset(self, partition: AssignedPartition) -> int:
        return partition.delivered if self._config.enable_auto_offset_store else partition.stored

    # --- committing, and waiting for it --------------------------------------------------------------------

    def commit(
        self, offsets: list[TopicPartition], partitions: Iterable[AssignedPartition], timeout_s: float
    ) -> list[TopicPartition]:
        """Commit and return one result for each partition. Commits that were made earlier come first.

        Raises:
            KafkaException: _NO_OFFSET when none of the offsets is a real one; the first partition's error; _TRANSPORT or
                _TIMED_OUT without a daemon.
        """
        real = [tp for tp in offsets if tp.offset >= 0]
        if not real:
            raise _commit_failed(KafkaError(KafkaError._NO_OFFSET))
        deadline = Deadline(timeout_s)
        self.settle(deadline)
        try:
            reply = self._connection.request(
                self._request(real, self.identify()), PartitionOutcomesReply, deadline.remaining_s()
            )
        except KafkaException as error:
            raise _commit_failed(error.args[0]) from None
        results = _results(real, reply)
        if (refused := _first_error(results)) is not None:
            raise _commit_failed(refused)
        _note_committed(partitions, real)
        return results

    def refuse_lost(self, *, asynchronous: bool) -> None:
        """What is assigned may be others' by now, so how far the application got in it is nothing to commit.

        Raises:
            KafkaException: _ASSIGNMENT_LOST, or ``on_commit`` hears of it.
        """
        error = KafkaError(KafkaError._ASSIGNMENT_LOST)
        if not asynchronous:
            raise _commit_failed(error)
        if self._config.on_commit is not None:
            self.events.append((self._config.on_commit, (error, [])))

    def settle(self, deadline: Deadline) -> None:
        """Let commits that were made earlier reach the daemon, or give them up: they must not undo one made later."""
        while self._pending:
            self.run_pending()
            remaining_s = deadline.remaining_s()
            if self._pending and not self._connection.wait(remaining_s) and not remaining_s:
                break
        while self._pending:
            self._finish(self._pending[0], KafkaError(KafkaError._TIMED_OUT))

    def has_sent_all(self) -> bool:
        """Whether all commits were made known to the daemon, which carries out what it is sent in that order."""
        self.run_pending()
        return self._posted == len(self._pending)

    def _request(self, offsets: list[TopicPartition], identity: Identity) -> CommitOffsets:
        return CommitOffsets(
            self._group,
            [
                OffsetToCommit(
                    tp.topic,
                    tp.partition,
                    tp.offset,
                    -1 if tp.leader_epoch is None else tp.leader_epoch,
                    tp.metadata,
                )
                for tp in offsets
            ],
            identity.member_id,
            identity.epoch,
            identity.instance_id,
        )

    # --- committing without waiting ------------------------------------------------------------------------

    def commit_later(self, offsets: list[TopicPartition], partitions: Iterable[AssignedPartition]) -> None:
        """Commit, also if the daemon is away now; ``on_commit`` hears of it from poll()."""
        real = [tp for tp in offsets if tp.offset >= 0]
        if not real:
            return
        if len(self._pending) == MAX_PENDING_COMMITS and not self._pending[0].is_posted:
            self._pending.popleft()
        self._pending.append(PendingCommit(real, _note_committed(partitions, real), self.identify()))
        self.run_pending()

    def has_pending(self) -> bool:
        """Whether commits were made that nobody has heard the outcome of."""
        return bool(self._pending)

    def run_pending(self) -> None:
        """Take answers that are there, and send the commits that wait; while there is no daemon they go on waiting."""
        if self._posted:
            self._connection.check()
        if self._posted < min(len(self._pending), MAX_POSTED_COMMITS):
            self._post()

    def _post(self) -> None:
        if not self._connection.is_open and not self._link.refresh():
            return
        for commit in list(self._pending)[self._posted : MAX_POSTED_COMMITS]:
            try:
                request = self._request(commit.offsets, commit.identity)
                self._connection.post(request, partial(self._note_answer, commit))
            except KafkaException as error:
                cause = error.args[0]
                if cause.code() == KafkaError._TRANSPORT:
                    return
                self._finish(commit, cause)  # too large: it never leaves, and must not hold up the others
                continue
            commit.is_posted = True
            self._posted += 1

    def _note_answer(self, commit: PendingCommit, answer: object) -> None:
        if not commit.is_posted:
            return  # it was given up
        if isinstance(answer, KafkaError) and answer.code() == KafkaError._TRANSPORT:
            commit.is_posted = False
            self._posted -= 1  # it goes to the next daemon
            return
        self._finish(commit, answer)

    def _finish(self, commit: PendingCommit, answer: object) -> None:
        self._pending.remove(commit)
        self._posted -= commit.is_posted
        commit.is_posted = False
        if isinstance(answer, PartitionOutcomesReply):
            results = _results(commit.offsets, answer)
            error = _first_error(results)
        else:
            error = answer if isinstance(answer, KafkaError) else KafkaError(KafkaError._BAD_MSG)
            results = [_result(tp, error) for tp in commit.offsets]
        if error is not None:
            for partition in commit.partitions:
                partition.committed = OFFSET_INVALID
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
        self.commit_later(self.uncommitted(partitions), partitions)

    # --- asking --------------------------------------------------------------------------------------------

    def committed(self, partitions: list[TopicPartition], timeout_s: float) -> list[TopicPartition]:
        """The group's committed offset of each partition, OFFSET_INVALID where there is none. Waits for open transactions that
        are about to change one (``isolation.level=read_committed``).

        Raises:
            KafkaException: _TIMED_OUT without a daemon, or when a transaction is still open; else the daemon's refusal.
        """
        if not partitions:
            return []
        deadline = Deadline(timeout_s)
        while True:
            found, unstable = self._fetch(
                partitions,
                lambda body: self._connection.request(body, FetchOffsetsReply, deadline.remaining_s()),
            )
            if not unstable:
                break
            remaining_s = deadline.remaining_s()
            if not remaining_s:
                text = (
                    f"an open transaction is about to change that of {', '.join(map(str, sorted(unstable)))}"
                )
                raise _fetch_failed(KafkaError(KafkaError._TIMED_OUT, text))
            time.sleep(min(UNSTABLE_RETRY_S, remaining_s))
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

    def _fetch(
        self, partitions: list[TopicPartition], ask: Callable[[FetchOffsets], FetchOffsetsReply]
    ) -> tuple[dict[tuple[str, int], CommittedOffset], set[tuple[str, int]]]:
        """(what is committed, partitions whose offset an open transaction is about to change)."""
        refs = [PartitionRef(tp.topic, tp.partition) for tp in partitions]
        request = FetchOffsets(self._group, refs, self._require_stable)
        try:
            reply = ask(request)
        except KafkaException as error:
            raise _fetch_failed(error.args[0]) from None
        found = {(o.topic, o.partition): o for o in reply.offsets if not o.code and o.offset >= 0}
        unstable = {
            (o.topic, o.partition) for o in reply.offsets if o.code == ErrorCode.UNSTABLE_OFFSET_COMMIT
        }
        return found, unstable

    def committed_offsets(self, partitions: list[AssignedPartition]) -> list[int | None]:
        """The committed offset of each of ``partitions``, which are being started: OFFSET_INVALID where there is none, None
        where it is to be asked for again, since an open transaction is about to change it (KIP-447)."""
        if not partitions:
            return []
        keys = [TopicPartition(partition.topic, partition.number) for partition in partitions]
        found, unstable = self._fetch(keys, lambda request: self._link.ask(request, FetchOffsetsReply))
        result: list[int | None] = []
        for partition in partitions:
            key = partition.topic, partition.number
            partition.committed = found[key].offset if key in found else OFFSET_INVALID
            result.append(None if key in unstable else partition.committed)
        return result


def _note_committed(
    partitions: Iterable[AssignedPartition], offsets: list[TopicPartition]
) -> list[AssignedPartition]:
    """Remember in ``partitions`` what is being committed; returns those that are."""
    by_key = {(tp.topic, tp.partition): tp.offset for tp in offsets}
    noted = [partition for partition in partitions if (partition.topic, partition.number) in by_key]
    for partition in noted:
        partition.committed = by_key[partition.topic, partition.number]
    return noted


def _results(asked: list[TopicPartition], reply: PartitionOutcomesReply) -> list[TopicPartition]:
    errors = {(o.topic, o.partition): o for o in reply.outcomes if o.code}
    return [_result(tp, _error_of(errors.get((tp.topic, tp.partition)))) for tp in asked]


def _first_error(results: list[TopicPartition]) -> KafkaError | None:
    return next((result.error for result in results if result.error is not None), None)


def _result(asked: TopicPartition, error: KafkaError | None) -> TopicPartition:
    """What became of a commit: as it was asked for, with its error."""
    epoch = -1 if asked.leader_epoch is None else asked.leader_epoch
    return partition_result(asked.topic, asked.partition, asked.offset, asked.metadata, epoch, error)


def _error_of(outcome: Any) -> KafkaError | None:
    return None if outcome is None else KafkaError(ErrorCode(outcome.code), outcome.message or None)


def _fetch_failed(cause: KafkaError) -> KafkaException:
    code = KafkaError._TIMED_OUT if cause.code() == KafkaError._TRANSPORT else cause.code()
    return KafkaException(KafkaError(code, f"Failed to get committed offsets: {cause.str()}"))


def _commit_failed(error: KafkaError) -> KafkaException:
    return KafkaException(KafkaError(error.code(), f"Commit failed: {error.str()}"))
