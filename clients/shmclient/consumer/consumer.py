"""`Consumer`: confluent_kafka's, reading the log in place."""

from __future__ import annotations

import logging
import os
import weakref
from typing import Any

from shmclient.config import ClientConfig, merge_arguments, parse_config
from shmclient.connection.selection import hand_over
from shmclient.consumer import arguments
from shmclient.consumer.reading import Reader
from shmclient.consumer.subscription import Callbacks, RebalanceCallback
from shmclient.consumer.watermarks import Watermarks
from shmclient.deadline import Deadline
from shmclient.errors import KafkaError, KafkaException
from shmclient.group_metadata import GroupIdentity, write_group_metadata
from shmclient.message import Message
from shmclient.metadata import ClusterMetadata
from shmclient.metadata.fetch import fetch_cluster_id, fetch_cluster_metadata
from shmclient.topic_partition import OFFSET_INVALID, OFFSET_STORED, TopicPartition

CLOSE_TIMEOUT_S = 2.0


class Consumer(Reader):
    """Reads records of the partitions assigned to it, by the application or by its group.

    Takes a configuration dict, keyword arguments, or both; the keys are librdkafka's (docs/configuration/client.md).
    Constructing one needs no daemon, and reading goes on while the daemon is down. Use from one thread at a time. A forked
    child must make its own consumer.

    Raises:
        ValueError: without ``group.id``.
        KafkaException: _INVALID_ARG for a configuration that is unknown, ill-typed or contradictory.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        given = merge_arguments(args, kwargs)
        if hand_over(self, "consumer", given):
            return
        config: ClientConfig = parse_config(given, "consumer")
        self._open(config)
        for warning in config.warnings:
            self._log(logging.WARNING, "%s", warning)
        self._watermarks = Watermarks(self._connection, config)
        _consumers.add(self)

    def _disown(self) -> None:
        """In a forked child: every call says that it must not be used, and nothing of the parent's session is held open."""
        self._current = self._last = None
        self._link.close()

    # --- membership ----------------------------------------------------------------------------------------

    def subscribe(
        self,
        topics: list[str],
        on_assign: RebalanceCallback | None = None,
        on_revoke: RebalanceCallback | None = None,
        on_lost: RebalanceCallback | None = None,
    ) -> None:
        """Become a member of the group, and read what it assigns of ``topics``; a name that starts with ``^`` is a pattern.

        Replaces an earlier subscription and its callbacks. These are called as ``callback(consumer, partitions)`` from poll()
        and its like, which is when partitions come and go: ``on_assign`` with those to read, ``on_revoke`` before they are
        given to others, ``on_lost`` (else ``on_revoke``) when that may have happened already. They may assign and unassign
        partitions themselves, with other offsets for instance; what they leave undone is done after them.

        Raises:
            KafkaException: _INVALID_ARG for no topics, empty or repeated names, an invalid pattern; _FATAL after a fatal error.
            TypeError: for topics that are no list, or a callback that cannot be called.
        """
        self._check_usable()
        self._group.subscribe(topics, Callbacks(on_assign, on_revoke, on_lost))
        self._due_at = 0.0

    def unsubscribe(self) -> None:
        """Leave the group with the next poll()."""
        self._check_usable()
        self._group.unsubscribe()
        self._due_at = 0.0

    def memberid(self) -> str | None:
        """This member's id in its group; None before it is one (with ``group.protocol=classic``)."""
        self._check_usable()
        return self._group.member_id()

    def consumer_group_metadata(self) -> bytes:
        """What `Producer.send_offsets_to_transaction` wants to know about the group: opaque."""
        self._check_usable()
        member_id, epoch, instance_id = self._group.identity()
        identity = GroupIdentity(self._config.group_id or "", epoch, member_id, instance_id)
        return write_group_metadata(identity)

    # --- assignment ----------------------------------------------------------------------------------------

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Read exactly ``partitions``, each from its offset: an absolute one, OFFSET_BEGINNING, OFFSET_END, or the committed
        one (OFFSET_STORED, OFFSET_INVALID), where ``auto.offset.reset`` applies if there is none.

        Raises:
            KafkaException: _INVALID_ARG for a partition named twice or a negative offset that means nothing; _STATE for a
                member of a group that rebalances incrementally.
            TypeError: for anything but a list of TopicPartition.
        """
        self._check_usable()
        wanted = arguments.partitions_to_assign(partitions)
        self._group.note_choice("Failed to set assignment", is_whole=True)
        self._assignment.replace(wanted, commit=self._owns_assignment())

    def unassign(self) -> None:
        """Read nothing more.

        Raises:
            KafkaException: _STATE for a member of a group that rebalances incrementally.
        """
        self._check_usable()
        self._group.note_choice("Failed to remove assignment", is_whole=True)
        self._assignment.replace([], commit=self._owns_assignment())

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        """Read ``partitions`` as well.

        Raises:
            KafkaException: _CONFLICT for one that is assigned already; none is added then. _STATE for a member of a group whose
                strategy is an eager one.
        """
        self._check_usable()
        wanted = arguments.topic_partitions(partitions)
        self._group.note_choice("Failed to add partitions", is_whole=False)
        self._assignment.extend(wanted)

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        """Read ``partitions`` no more.

        Raises:
            KafkaException: _INVALID_ARG for one that is not assigned; none is taken away then. _STATE as for
                incremental_assign().
        """
        self._check_usable()
        wanted = arguments.topic_partitions(partitions)
        self._group.note_choice("Failed to remove partitions", is_whole=False)
        self._assignment.cut(wanted, commit=self._owns_assignment())

    def _owns_assignment(self) -> bool:
        return not self._group.has_lost_all()

    def assignment(self) -> list[TopicPartition]:
        """The assigned partitions, with the offsets they were assigned with."""
        self._check_usable()
        return [p.as_topic_partition(p.requested) for p in self._fetcher.partitions.values()]

    # --- where it stands -----------------------------------------------------------------------------------

    def position(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """Offset after the last record delivered of each partition; OFFSET_INVALID before the first since a seek."""
        self._check_usable()
        self._settle()
        result = []
        for tp in arguments.topic_partitions(partitions):
            partition = self._fetcher.partitions.get((tp.topic, tp.partition))
            if partition is None or partition.delivered < 0:
                result.append(TopicPartition(tp.topic, tp.partition, OFFSET_INVALID))
            else:
                result.append(
                    TopicPartition(
                        tp.topic, tp.partition, partition.delivered, leader_epoch=partition.leader_epoch
                    )
                )
        return result

    def seek(self, partition: TopicPartition) -> None:
        """Go on at ``partition.offset``: an absolute offset, OFFSET_BEGINNING or OFFSET_END.

        Raises:
            KafkaException: _STATE for a partition that is not assigned, or stopped by _AUTO_OFFSET_RESET and not assigned
                again since; _INVALID_ARG for OFFSET_STORED.
        """
        self._check_usable()
        tp = arguments.topic_partition(partition)
        assigned = self._fetcher.partitions.get((tp.topic, tp.partition))
        if assigned is None or assigned.is_stopped:
            raise arguments.failed(f"Failed to seek to offset {tp.offset}", KafkaError._STATE)
        if tp.offset == OFFSET_STORED:
            raise arguments.failed(f"Failed to seek to offset {tp.offset}", KafkaError._INVALID_ARG)
        self._leave_current()
        assigned.restart(tp.offset)
        self._fetcher.look_again()

    def pause(self, partitions: list[TopicPartition]) -> None:
        """Deliver nothing of ``partitions`` until :meth:`resume`, also when they are assigned again meanwhile."""
        self._set_paused(partitions, True)

    def resume(self, partitions: list[TopicPartition]) -> None:
        self._set_paused(partitions, False)

    def _set_paused(self, partitions: list[TopicPartition], is_paused: bool) -> None:
        self._check_usable()
        self._leave_current()
        for tp in arguments.topic_partitions(partitions):
            self._fetcher.set_paused((tp.topic, tp.partition), is_paused)

    # --- commits -------------------------------------------------------------------------------------------

    def commit(
        self,
        message: Message | None = None,
        offsets: list[TopicPartition] | None = None,
        asynchronous: bool = True,
    ) -> list[TopicPartition] | None:
        """Commit the offset after ``message``, or ``offsets``, or how far the application got.

        Returns None when ``asynchronous`` (``on_commit`` hears of it from poll()), else the committed offsets.

        Raises:
            KafkaException: _NO_OFFSET when there is nothing to commit, _ASSIGNMENT_LOST without arguments after the member was
                fenced, the daemon's refusal (all only when not asynchronous); _INVALID_ARG for a message that is an event.
            ValueError: for both a message and offsets.
        """
        self._check_usable()
        self._group.check_alive("Commit failed")
        self._settle()
        wanted = arguments.offsets_given(message, offsets, "commit offsets for")
        partitions = list(self._fetcher.partitions.values())
        if wanted is None:
            if self._group.has_heard_of_loss():
                self._offsets.refuse_lost(asynchronous=asynchronous)
                return None
            wanted = self._offsets.uncommitted(partitions)
        if asynchronous:
            self._offsets.commit_later(wanted, partitions)
            return None
        return self._offsets.commit(wanted, partitions, self._connection.request_timeout_s)

    def store_offsets(
        self, message: Message | None = None, offsets: list[TopicPartition] | None = None
    ) -> None:
        """Store the offset after ``message``, or ``offsets``, for the next commit (``enable.auto.offset.store=false``).

        Raises:
            KafkaException: _INVALID_ARG while offsets are stored automatically, _STATE for a partition that is not assigned.
            ValueError: for both a message and offsets, or neither.
        """
        self._check_usable()
        wanted = arguments.offsets_given(message, offsets, "store offsets for")
        if wanted is None:
            raise ValueError("expected either message or offsets")
        if not wanted:
            return
        if self._config.enable_auto_offset_store:
            raise arguments.failed("StoreOffsets failed", KafkaError._INVALID_ARG)
        for tp in wanted:
            if (tp.topic, tp.partition) not in self._fetcher.partitions:
                raise arguments.failed("StoreOffsets failed", KafkaError._STATE)
        for tp in wanted:
            self._fetcher.partitions[tp.topic, tp.partition].stored = tp.offset

    def committed(self, partitions: list[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
        """The group's committed offset of each partition, OFFSET_INVALID where there is none.

        Raises:
            KafkaException: _TIMED_OUT when no daemon answers within ``timeout`` seconds.
        """
        self._check_usable()
        deadline = self._connection.deadline(timeout)
        return self._offsets.committed(arguments.topic_partitions(partitions), deadline.remaining_s())

    # --- the log -------------------------------------------------------------------------------------------

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = -1, cached: bool = False
    ) -> tuple[int, int]:
        """(first offset, offset after the last) of a partition.

        ``cached``: as far as this consumer has seen it, (OFFSET_INVALID, OFFSET_INVALID) if never.

        Raises:
            KafkaException: _UNKNOWN_PARTITION; _ALL_BROKERS_DOWN when no daemon answers within ``timeout`` seconds.
        """
        self._check_usable()
        tp = arguments.topic_partition(partition)
        if cached:
            assigned = self._fetcher.partitions.get((tp.topic, tp.partition))
            if assigned is None or assigned.position < 0:
                return OFFSET_INVALID, OFFSET_INVALID
            figures = self._fetcher.figures(assigned)
            return figures.log_start, self._fetcher.end_of(figures)
        return self._watermarks.offsets(tp, self._connection.deadline(timeout))

    def offsets_for_times(
        self, partitions: list[TopicPartition], timeout: float = -1
    ) -> list[TopicPartition]:
        """For each partition, whose ``offset`` is a timestamp in ms, the first offset with that timestamp or a later one;
        OFFSET_END where there is none.

        Raises:
            KafkaException: _INVALID_ARG for an empty list, _UNKNOWN_PARTITION, _ALL_BROKERS_DOWN.
        """
        self._check_usable()
        wanted = arguments.topic_partitions(partitions)
        if not wanted:
            raise arguments.failed("Failed to get offsets", KafkaError._INVALID_ARG)
        deadline = self._connection.deadline(timeout)
        return [self._watermarks.offset_for_time(tp, deadline) for tp in wanted]

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> ClusterMetadata:
        """Metadata of one topic or all.

        Raises:
            KafkaException: _TRANSPORT when no daemon answers within ``timeout`` seconds (-1: ``socket.timeout.ms``).
        """
        self._check_handle()
        return fetch_cluster_metadata(
            self._connection, topic, timeout, allow_auto_create=self._config.allow_auto_create_topics
        )

    def cluster_id(self, timeout: float = -1) -> str:
        """The cluster's id.

        Raises:
            KafkaException: _TIMED_OUT when no daemon answers within ``timeout`` seconds (-1: ``socket.timeout.ms``).
        """
        self._check_handle()
        return fetch_cluster_id(self._connection, timeout)

    # --- the end -------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Commit what was delivered (with ``enable.auto.commit``), leave the group and let go of everything, in at most 2 s
        beside what ``on_revoke`` takes. Closing twice is fine."""
        if self._is_closed:
            return
        try:
            if self._pid == os.getpid():
                self._leave_for_good()
        finally:
            self._is_closed = True
            self._fetcher.clear()
            self._link.close()

    def _leave_for_good(self) -> None:
        deadline = Deadline(CLOSE_TIMEOUT_S if self._offsets.is_daemon_there() else 0.0)
        self._leave_current()
        try:
            self._group.let_go_of_all()
        finally:
            self._commit_at_close(deadline)
            self._group.leave(deadline)
            self._serve_events()

    def _commit_at_close(self, deadline: Deadline) -> None:
        partitions = self._fetcher.partitions.values()
        offsets = self._offsets.uncommitted(partitions) if self._config.enable_auto_commit else []
        try:
            if offsets:
                self._offsets.commit(offsets, partitions, deadline.remaining_s())
            else:
                self._offsets.settle(deadline)
        except KafkaException as error:
            self._log(logging.WARNING, "offsets were not committed at close: %s", error.args[0].str())

    def __enter__(self) -> Consumer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_handle(self) -> None:
        if self._is_closed:
            raise RuntimeError("Handle has been closed")


_consumers: weakref.WeakSet[Consumer] = weakref.WeakSet()


def _disown_in_child() -> None:
    for consumer in list(_consumers):
        if not consumer._is_closed:
            consumer._disown()


os.register_at_fork(after_in_child=_disown_in_child)
