"""Where batches go: the ring of the daemon there is, and the partitions of topics as it describes them.

Every method is called with the sender's lock held, and none of them waits.
"""

from __future__ import annotations

from shmbroker.errors import ErrorCode
from shmbroker.protocol.messages import TopicInfo
from shmclient.connection.attachment import ProducerAttachment
from shmclient.errors import KafkaError, error_text
from shmclient.producer.batches import ProducerBatch
from shmclient.producer.failures import explain_unknown
from shmclient.producer.guard import GuardedCondition
from shmclient.producer.outcomes import Outcomes
from shmclient.producer.queues import TopicQueue


class Destinations(Outcomes):
    """The ring that is written to, and the topics."""

    _request_id = 0
    """Of the batch that was written last."""
    _sent_rows = 1
    """In that batch."""

    # --- the ring ------------------------------------------------------------------------------------------

    def attach(self, attachment: ProducerAttachment) -> None:
        """Begin to use a new ring; batches without an answer are sent again over it."""
        self.detach()
        self._attachment = attachment
        self.lock.notify_all()

    def detach(self) -> None:
        """The ring is gone with its daemon: whatever it had not answered goes back to the retries, in order."""
        if self._attachment is None:
            return
        self._take_completions()
        self._attachment.close()
        self._attachment = None
        for batch in sorted(self._in_flight.values(), key=lambda batch: batch.request_id):
            batch.partition.in_flight -= 1
            if self._may_retry(batch):
                self._retry_later(batch, 0.0)
            else:
                self._fail(batch, KafkaError(KafkaError._TRANSPORT))
        self._in_flight.clear()

    def abandon(self) -> None:
        """In a forked child: forget all, and the ring, which is the parent's."""
        self.lock = GuardedCondition()  # the other may be held by a thread that is not here
        self.reports.abandon(self.lock)
        attachment, self._attachment = self._attachment, None
        if attachment is not None:
            attachment.close()
        self._in_flight, self._active = {}, {}
        self.backlog.clear()

    def _write(self, attachment: ProducerAttachment, batch: ProducerBatch) -> bool:
        if len(self._in_flight) >= attachment.layout.completion_entries:
            return False
        self._request_id += 1
        partition = batch.partition
        if not attachment.ring.try_write(
            self._request_id,
            partition.slot,
            self._acks,
            batch.header,
            *batch.body,
            topic_tag=partition.topic.tag,
        ):
            return False
        batch.request_id = self._request_id
        self._sent_rows = batch.count
        self._in_flight[self._request_id] = batch
        partition.in_flight += 1
        partition.sent_batches += 1
        partition.sent_rows += batch.count
        partition.sent_bytes += batch.size
        if self._acks == 0:
            self._report(batch, None, -1, None)
        return True

    # --- topics --------------------------------------------------------------------------------------------

    def topics_to_describe(self, now: float) -> list[str]:
        """Topics with records whose partitions are not known, or are not where they were."""
        return [
            topic.name
            for topic in self.backlog.topics.values()
            if now >= topic.refused_at and self._wants_description(topic)
        ]

    @staticmethod
    def _wants_description(topic: TopicQueue) -> bool:
        return topic.is_stale or bool(topic.rows and not topic.partitions)

    def use_identity(self, producer_id: int) -> None:
        """Write as ``producer_id`` from now on; batches not answered yet start over under it."""
        self.producer_id = producer_id
        for topic in self.backlog.topics.values():
            for partition in topic.partitions:
                partition.epoch = -1
                partition.next_sequence = 0
                self._restart_epoch(partition)

    def update_topic(self, info: TopicInfo, now: float) -> None:
        """Take over what the daemon says of a topic."""
        topic = self.backlog.topics.get(info.name)
        if topic is None:
            return
        if info.code:
            self._note_refusal(topic, KafkaError(info.code, info.message or error_text(info.code)), now)
            return
        self.backlog.open(topic)
        count = len(info.partitions)
        if count < len(topic.partitions):
            self._drop_partitions(topic, count, explain_unknown(topic, count))
        topic.take_over(info)

    def _note_refusal(self, topic: TopicQueue, error: KafkaError, now: float) -> None:
        topic.refused = error
        topic.refused_at = now + self._config.retry_backoff_ms / 1000
        if error.code() == ErrorCode.UNKNOWN_TOPIC_OR_PART:
            self._drop_partitions(topic, 0, error)
        if not topic.partitions:
            topic.is_stale = False
            self.backlog.open_topics.pop(topic.name, None)
