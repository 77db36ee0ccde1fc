"""What the sender of a transactional producer does beside the others: it lets batches go to partitions that the coordinator
has agreed to, and hears when a transaction is lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from shmclient.connection.connection import Connection
from shmclient.errors import KafkaError
from shmclient.producer.queues import PartitionQueue, TopicQueue
from shmclient.producer.transactions.calls import CurrentCall
from shmclient.producer.transactions.exchange import Exchange
from shmclient.producer.transactions.machine import Transactions
from shmclient.producer.transactions.states import Phase


class TransactionalSending:
    """Used with the sender's lock held."""

    def __init__(self, transactional_id: str, timeout_ms: int, connection: Connection) -> None:
        self.machine = Transactions(transactional_id, timeout_ms)
        self.call = CurrentCall()
        self._exchange = Exchange(self.machine, connection)
        self._connection = connection
        self._is_fatal_told = False

    def has_outstanding(self) -> bool:
        """Whether the daemon has to be asked for something, or has to answer."""
        return self.machine.is_asking or self.machine.has_request()

    @property
    def is_asking(self) -> bool:
        return self.machine.is_asking

    def wake_at(self) -> float:
        """When something is to be asked again."""
        return min(self.machine.wake_at(), self._exchange.free_at)

    def admits(self, partition: PartitionQueue) -> bool:
        """Whether batches may go to ``partition`` now."""
        return partition.transaction == self.machine.number and self.machine.is_writing

    def pause_s(self, now: float) -> float:
        """How long to wait at most before a request is to be made again."""
        return max(0.0, self.wake_at() - now)

    def take_answers(self, topics: Mapping[str, TopicQueue]) -> bool:
        """Note what the daemon has answered, if anything; partitions it agreed to begin the epoch of this transaction."""
        machine = self.machine
        if not self._exchange.take_answers():
            return False
        added, machine.added = machine.added, []
        for name, number in added:
            topic = topics.get(name)
            if topic is None or number >= len(topic.partitions):
                continue  # deleted meanwhile: what was to go there has failed
            partition = topic.partitions[number]
            partition.transaction = machine.number
            partition.epoch = machine.identity.epoch
            partition.next_sequence = 0
            partition.is_other_log = False
        return True

    def ask(self, active: Iterable[PartitionQueue]) -> None:
        """Ask the daemon what is to be asked; ``active``: partitions with anything to send."""
        machine = self.machine
        if machine.is_asking:
            return
        waiting = [
            (partition.topic.name, partition.number)
            for partition in active
            if partition.transaction != machine.number and not partition.topic.is_stale
        ]
        self._exchange.send(waiting)

    def drop_overdue_connection(self, now: float) -> bool:
        """Give up a connection over which the daemon owes an answer for too long."""
        if not self._exchange.is_overdue(now):
            return False
        with self._connection.unless_busy() as is_free:
            if is_free:  # else another thread waits there too, and gives it up
                self._connection.disconnect()
        return is_free

    def refuse(self, error: KafkaError) -> None:
        """A batch failed for good: the transaction is to be aborted, or the producer was fenced."""
        self.machine.refuse_batch(error)

    def take_fatal_error(self) -> KafkaError | None:
        """The error that ended this producer, once: poll() and flush() raise it, as confluent_kafka's do."""
        if self._is_fatal_told or self.machine.phase is not Phase.FATAL_ERROR:
            return None
        self._is_fatal_told = True
        return self.machine.fault

    def has_failed(self) -> bool:
        """Whether nothing that is queued can be committed any more."""
        return self.machine.fault is not None and not self.machine.is_writing
