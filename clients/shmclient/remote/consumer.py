"""`RemoteConsumer`: a consumer of a Kafka cluster."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from shmclient.consumer import Consumer, arguments
from shmclient.consumer.batches import ConsumedBatch
from shmclient.deadline import Deadline
from shmclient.errors import KafkaError, KafkaException
from shmclient.message import Message
from shmclient.metadata import ClusterMetadata
from shmclient.remote import forks
from shmclient.remote.batches import batch_of
from shmclient.remote.configuration import Settings, remote_configuration
from shmclient.remote.read_ahead import ReadAhead
from shmclient.remote.values import ask, call, cluster_id_of, confluent, message_from, to_local, to_remote
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
        self._ahead = ReadAhead()
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
        self._ahead.clear()
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
        self._ahead.clear()

    def unassign(self) -> None:
        call(self._kafka.unassign)
        self._ahead.clear()

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        ask(self._kafka.incremental_assign, partitions)

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        ask(self._kafka.incremental_unassign, partitions)
        self._ahead.forget(partitions)

    def assignment(self) -> list[TopicPartition]:
        partitions: list[TopicPartition] = ask(self._kafka.assignment)
        return partitions

    # --- reading -------------------------------------------------------------------------------------------

    def poll(self, timeout: float = -1) -> Message | None:
        if self._ahead:
            return self._ahead.take()
        message = call(self._kafka.poll, timeout)
        if message is None:
            return None
        translated = message_from(message)
        if self._ahead.places:
            self._ahead.pass_by([translated])
        return translated

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        if self._ahead:
            return [self._ahead.take() for _ in range(min(num_messages, len(self._ahead)))]
        messages = [message_from(message) for message in call(self._kafka.consume, num_messages, timeout)]
        if self._ahead.places:
            self._ahead.pass_by(messages)
        return messages

    def consume_batches(self, timeout: float = -1) -> Iterator[ConsumedBatch]:
        """As `Consumer.consume_batches`, but the columns are copies, made of the messages that librdkafka has ready.

        While ``enable.auto.offset.store`` is on, automatic commits count what was taken for batches as processed; only
        :meth:`commit` and :meth:`close` take that back.
        """
        deadline = Deadline(timeout)
        while True:
            if not self._ahead:
                self._read_ahead(timeout if timeout < 0 else deadline.remaining_s())
            if not self._ahead:
                return
            run = self._ahead.take_run()
            error = run[0].error()
            if error is None:
                yield batch_of(run)
                self._ahead.finish_run()
                deadline = Deadline(timeout)
            elif error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)

    def _read_ahead(self, timeout_s: float) -> None:
        """Wait for one message, then take along all that are ready."""
        assigned = call(self._kafka.assignment)
        before = {(tp.topic, tp.partition): tp.offset for tp in call(self._kafka.position, assigned)}
        message = call(self._kafka.poll, timeout_s)
        if message is not None:
            more = call(self._kafka.consume, SWEEP_RECORDS - 1, 0)
            self._ahead.add(map(message_from, [message, *more]), before)

    # --- where it stands -----------------------------------------------------------------------------------

    def position(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        positions: list[TopicPartition] = ask(self._kafka.position, partitions)
        return [self._own_position(tp) for tp in positions]

    def _own_position(self, tp: TopicPartition) -> TopicPartition:
        place = self._ahead.places.get((tp.topic, tp.partition))
        if place is None or place.position == tp.offset:
            return tp
        return TopicPartition(tp.topic, tp.partition, place.position)

    def seek(self, partition: TopicPartition) -> None:
        ask(self._kafka.seek, partition)
        self._ahead.forget([partition])

    def pause(self, partitions: list[TopicPartition]) -> None:
        if self._ahead:
            for again in self._ahead.put_back(arguments.topic_partitions(partitions)):
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
        wanted = arguments.offsets_given(message, offsets, "commit offsets for")
        if wanted is None and self._ahead.places and self._settings.flag("enable.auto.offset.store"):
            wanted = [tp for tp in self.position(self.assignment()) if tp.offset >= 0]
        given = {} if wanted is None else {"offsets": to_remote(wanted)}
        committed: list[TopicPartition] | None = ask(self._kafka.commit, asynchronous=asynchronous, **given)
        return committed

    def store_offsets(
        self, message: Message | None = None, offsets: list[TopicPartition] | None = None
    ) -> None:
        wanted = arguments.offsets_given(message, offsets, "store offsets for")
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
        cluster_id: str = cluster_id_of(self._kafka, timeout)
        return cluster_id

    def set_sasl_credentials(self, username: str, password: str) -> None:
        """Replace the credentials that new connections to brokers use."""
        call(self._kafka.set_sasl_credentials, username, password)

    # --- the end -------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Leave the group and commit what was delivered (with ``enable.auto.commit``). Closing twice is fine."""
        if not self._is_closed:
            self._take_back()
            call(self._kafka.close)
            self._is_closed = True

    def _take_back(self) -> None:
        """Commit over what librdkafka stored for records that do not count as delivered.

        It would store and commit them again, had it not forgotten them with the assignment.
        """
        places = dict(self._ahead.places)
        self._ahead.clear()
        if not places or not all(
            map(self._settings.flag, ("enable.auto.commit", "enable.auto.offset.store"))
        ):
            return
        try:
            positions = ask(self._kafka.position, self.assignment())
            behind = [
                TopicPartition(tp.topic, tp.partition, places[tp.topic, tp.partition].resume_at)
                for tp in positions
                if (tp.topic, tp.partition) in places and places[tp.topic, tp.partition].resume_at < tp.offset
            ]
            if behind:
                call(self._kafka.unassign)
                ask(self._kafka.commit, offsets=behind, asynchronous=False)
        except KafkaException as error:
            log.warning("offsets were not committed at close: %s", error.args[0].str())
