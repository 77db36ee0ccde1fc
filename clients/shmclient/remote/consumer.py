"""`RemoteConsumer`: a consumer of a Kafka cluster."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from shmclient.consumer import Consumer
from shmclient.consumer.batches import ConsumedBatch
from shmclient.deadline import Deadline
from shmclient.errors import KafkaError, KafkaException
from shmclient.message import Message
from shmclient.metadata import ClusterMetadata
from shmclient.remote import forks
from shmclient.remote.batches import batch_of, take_run
from shmclient.remote.configuration import Settings, remote_configuration
from shmclient.remote.unread import Unread
from shmclient.remote.values import ask, call, confluent, message_from, to_local, to_remote
from shmclient.topic_partition import TopicPartition

SWEEP_RECORDS = 10_000
"""Records taken from librdkafka at a time for batches: long columns, and a bearable number of records read ahead."""

log = logging.getLogger(__name__)


class RemoteConsumer(Consumer):
    """As `Consumer`, on confluent_kafka's. `Consumer` turns into it where ``bootstrap.servers`` names a cluster.

    Membership of groups is librdkafka's: :meth:`subscribe` and what belongs to it work as in confluent_kafka.
    """

    def _attach(self, given: Mapping[str, Any], address: str) -> None:
        if given.get("group.id") == "":
            raise ValueError(
                "Failed to create consumer: group.id must be set"
            )  # librdkafka would end the process
        self._is_closed = False
        self._settings = Settings(given)
        self._kafka = call(confluent.Consumer, remote_configuration(given, address))
        self._unread = Unread()
        forks.watch(self)

    # --- membership ----------------------------------------------------------------------------------------

    def subscribe(
        self,
        topics: list[str],
        on_assign: Callable[..., Any] | None = None,
        on_revoke: Callable[..., Any] | None = None,
        on_lost: Callable[..., Any] | None = None,
    ) -> None:
        """Join the group and read what it assigns of ``topics``; a name that starts with ``^`` is a pattern.

        Each callback is called as ``callback(consumer, partitions)`` from :meth:`poll` and its like.
        """
        given = {"on_assign": on_assign, "on_revoke": on_revoke, "on_lost": on_lost}
        listeners = {
            name: self._rebalance_listener(callback) if callable(callback) else callback
            for name, callback in given.items()
            if callback is not None
        }
        call(self._kafka.subscribe, topics, **listeners)

    def _rebalance_listener(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        return lambda _kafka, partitions: callback(self, to_local(partitions))

    def unsubscribe(self) -> None:
        """Leave the group."""
        self._unread.clear()
        call(self._kafka.unsubscribe)

    def memberid(self) -> str | None:
        """This member's id in the group; None before it joined."""
        member_id: str | None = call(self._kafka.memberid)
        return member_id

    def consumer_group_metadata(self) -> Any:
        """What `Producer.send_offsets_to_transaction` wants to know about the group: opaque."""
        return call(self._kafka.consumer_group_metadata)

    # --- assignment ----------------------------------------------------------------------------------------

    def assign(self, partitions: list[TopicPartition]) -> None:
        ask(self._kafka.assign, partitions)
        self._unread.clear()

    def unassign(self) -> None:
        call(self._kafka.unassign)
        self._unread.clear()

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        ask(self._kafka.incremental_assign, partitions)

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        ask(self._kafka.incremental_unassign, partitions)
        self._unread.forget(partitions)

    def assignment(self) -> list[TopicPartition]:
        partitions: list[TopicPartition] = ask(self._kafka.assignment)
        return partitions

    # --- reading -------------------------------------------------------------------------------------------

    def poll(self, timeout: float = -1) -> Message | None:
        if self._unread:
            return self._unread.popleft()
        message = call(self._kafka.poll, timeout)
        return None if message is None else message_from(message)

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        if self._unread:
            count = min(num_messages, len(self._unread))
            return [self._unread.popleft() for _ in range(count)]
        return [message_from(message) for message in call(self._kafka.consume, num_messages, timeout)]

    def consume_batches(self, timeout: float = -1) -> Iterator[ConsumedBatch]:
        """As `Consumer.consume_batches`, but the columns are copies, made of the messages that librdkafka has ready.

        While ``enable.auto.offset.store`` is on, automatic commits count what was read ahead for later batches as
        processed; only :meth:`commit` and :meth:`close` take that back.
        """
        deadline = Deadline(timeout)
        while True:
            if not self._unread:
                self._read_ahead(timeout if timeout < 0 else deadline.remaining_s())
            if not self._unread:
                return
            run = take_run(self._unread)
            error = run[0].error()
            if error is None:
                yield batch_of(run)
                deadline = Deadline(timeout)
            elif error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)

    def _read_ahead(self, timeout_s: float) -> None:
        """Wait for one message, then take along all that are ready."""
        message = call(self._kafka.poll, timeout_s)
        if message is not None:
            self._unread.append(message_from(message))
            self._unread.extend(map(message_from, call(self._kafka.consume, SWEEP_RECORDS - 1, 0)))

    # --- where it stands -----------------------------------------------------------------------------------

    def position(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        positions: list[TopicPartition] = ask(self._kafka.position, partitions)
        unread = self._unread.first_offsets()
        for tp in positions:
            tp.offset = unread.get((tp.topic, tp.partition), tp.offset)
        return positions

    def seek(self, partition: TopicPartition) -> None:
        ask(self._kafka.seek, partition)
        self._unread.forget([partition])

    def pause(self, partitions: list[TopicPartition]) -> None:
        for again in self._unread.forget(self._checked(partitions)) if self._unread else ():
            ask(self._kafka.seek, again)
        ask(self._kafka.pause, partitions)

    def resume(self, partitions: list[TopicPartition]) -> None:
        ask(self._kafka.resume, partitions)

    # --- commits -------------------------------------------------------------------------------------------

    def commit(
        self,
        message: Message | None = None,
        offsets: list[TopicPartition] | None = None,
        asynchronous: bool = True,
    ) -> list[TopicPartition] | None:
        wanted = self._offsets_given(message, offsets, "commit offsets for")
        if wanted is None and self._unread and self._settings.flag("enable.auto.offset.store"):
            wanted = [tp for tp in self.position(self.assignment()) if tp.offset >= 0]
        given = {} if wanted is None else {"offsets": to_remote(wanted)}
        committed: list[TopicPartition] | None = ask(self._kafka.commit, asynchronous=asynchronous, **given)
        return committed

    def store_offsets(
        self, message: Message | None = None, offsets: list[TopicPartition] | None = None
    ) -> None:
        wanted = self._offsets_given(message, offsets, "store offsets for")
        call(self._kafka.store_offsets, **({} if wanted is None else {"offsets": to_remote(wanted)}))

    def committed(self, partitions: list[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
        committed: list[TopicPartition] = ask(self._kafka.committed, partitions, timeout)
        return committed

    # --- the log -------------------------------------------------------------------------------------------

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = -1, cached: bool = False
    ) -> tuple[int, int]:
        offsets: tuple[int, int] = ask(self._kafka.get_watermark_offsets, partition, timeout, cached)
        return offsets

    def offsets_for_times(
        self, partitions: list[TopicPartition], timeout: float = -1
    ) -> list[TopicPartition]:
        found: list[TopicPartition] = ask(self._kafka.offsets_for_times, partitions, timeout)
        return found

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> ClusterMetadata:
        metadata: ClusterMetadata = ask(self._kafka.list_topics, topic, timeout)
        return metadata

    def cluster_id(self, timeout: float = -1) -> str:
        cluster_id: str = call(self._kafka.cluster_id, timeout)
        return cluster_id

    def set_sasl_credentials(self, username: str, password: str) -> None:
        """Replace the credentials that new connections to brokers use."""
        call(self._kafka.set_sasl_credentials, username, password)

    # --- the end -------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Leave the group and commit what was delivered (with ``enable.auto.commit``). Closing twice is fine."""
        if not self._is_closed:
            self._take_back_unread()
            call(self._kafka.close)
            self._is_closed = True

    def _take_back_unread(self) -> None:
        """Commit over what librdkafka stored for records that nobody has seen; it forgets that with the assignment."""
        unread = self._unread.first_positions()
        self._unread.clear()
        if not unread or not all(
            map(self._settings.flag, ("enable.auto.commit", "enable.auto.offset.store"))
        ):
            return
        try:
            call(self._kafka.unassign)
            ask(self._kafka.commit, offsets=unread, asynchronous=False)
        except KafkaException as error:
            log.warning("offsets were not committed at close: %s", error.args[0].str())
