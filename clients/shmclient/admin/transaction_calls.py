"""The part of `AdminClient` that concerns transactions."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import Future

from shmbroker.errors import ErrorCode
from shmbroker.protocol import messages as m
from shmclient.admin import transaction_checks as checks
from shmclient.admin.asking import Asking
from shmclient.admin.futures import raiser
from shmclient.admin.replies import raise_on_error
from shmclient.admin.transactions import (
    AbortTransactionSpec,
    FencedProducer,
    ProducerState,
    TransactionDescription,
    TransactionListing,
    TransactionState,
)
from shmclient.deadline import Deadline
from shmclient.errors import KafkaException
from shmclient.metadata.fetch import timed_out
from shmclient.topic_partition import TopicPartition

_WAITING = "Failed while waiting for the transaction coordinator"


class TransactionCalls(Asking):
    """As in Kafka's Java client; confluent_kafka has none of these calls. They return futures, as all of them."""

    def list_transactions(
        self,
        *,
        states: Collection[TransactionState | str] | None = None,
        producer_ids: Collection[int] | None = None,
        duration_ms: int = -1,
        transactional_id_pattern: str | None = None,
        request_timeout: float | None = None,
    ) -> Future[list[TransactionListing]]:
        """Transactional ids, all of them or those that pass every filter.

        Args:
            duration_ms: only transactions that are open for longer.
            transactional_id_pattern: RE2 syntax, must match the whole id.

        The future raises INVALID_REGULAR_EXPRESSION for a pattern that is none. ValueError for a state that is none.
        """
        request = m.ListTransactions(
            checks.states(states),
            checks.producer_ids(producer_ids),
            checks.duration_ms(duration_ms),
            checks.pattern(transactional_id_pattern),
        )

        def run(deadline: Deadline) -> dict[str, Callable[[], list[TransactionListing]]]:
            reply = self._connection.request(request, m.ListTransactionsReply, deadline.remaining_s())
            found = [
                TransactionListing(t.transactional_id, t.producer_id, t.state) for t in reply.transactions
            ]
            return {"": lambda: found}

        return self._ask([""], run, request_timeout, _WAITING)[""]

    def describe_transactions(
        self, transactional_ids: list[str], *, request_timeout: float | None = None
    ) -> dict[str, Future[TransactionDescription]]:
        """What the coordinator knows of each id; TRANSACTIONAL_ID_NOT_FOUND for one that it does not know."""
        ids = checks.transactional_ids(transactional_ids)

        def run(deadline: Deadline) -> dict[str, Callable[[], TransactionDescription]]:
            cluster = self._connection.request(
                m.DescribeCluster(), m.DescribeClusterReply, deadline.remaining_s()
            )
            request = m.DescribeTransactions(ids)
            reply = self._connection.request(request, m.DescribeTransactionsReply, deadline.remaining_s())
            return {
                item.transactional_id: lambda item=item: _description(item, cluster.controller_id)  # type: ignore[misc]
                for item in reply.transactions
            }

        return self._ask(ids, run, request_timeout, _WAITING)

    def describe_producers(
        self, partitions: list[TopicPartition], *, request_timeout: float | None = None
    ) -> dict[TopicPartition, Future[list[ProducerState]]]:
        """The producers that the log of each partition remembers; UNKNOWN_TOPIC_OR_PART for one that does not exist."""
        wanted = checks.partitions(partitions)
        request = m.DescribeProducers([m.PartitionRef(tp.topic, tp.partition) for tp in wanted])

        def run(deadline: Deadline) -> dict[TopicPartition, Callable[[], list[ProducerState]]]:
            reply = self._connection.request(request, m.DescribeProducersReply, deadline.remaining_s())
            found = {(item.topic, item.partition): item for item in reply.partitions}
            return {tp: lambda tp=tp: _producers(found[tp.topic, tp.partition]) for tp in wanted}  # type: ignore[misc]

        return self._ask(wanted, run, request_timeout, _WAITING)

    def fence_producers(
        self, transactional_ids: list[str], *, request_timeout: float | None = None
    ) -> dict[str, Future[FencedProducer]]:
        """Fence whoever has each id now, and abort a transaction that is open."""
        ids = checks.transactional_ids(transactional_ids)

        def run(deadline: Deadline) -> dict[str, Callable[[], FencedProducer]]:
            return {each: self._fence(each, deadline) for each in ids}

        return self._ask(ids, run, request_timeout, _WAITING)

    def _fence(self, transactional_id: str, deadline: Deadline) -> Callable[[], FencedProducer]:
        request = m.InitProducerId(transactional_id)
        while True:
            try:
                reply = self._connection.request(request, m.InitProducerIdReply, deadline.remaining_s())
            except KafkaException as error:
                is_waiting = error.args[0].code() == ErrorCode.CONCURRENT_TRANSACTIONS
                if is_waiting and deadline.remaining_s():
                    continue  # for markers, for seconds until it said so
                return raiser(timed_out(error, _WAITING))
            return lambda: FencedProducer(reply.producer_id, reply.producer_epoch)

    def abort_transaction(
        self, spec: AbortTransactionSpec, *, request_timeout: float | None = None
    ) -> Future[None]:
        """Abort a transaction that hangs in one partition, because its coordinator does not know of it: readers with
        ``isolation.level=read_committed`` get past it. One that the coordinator has open is refused with INVALID_TXN_STATE:
        it ends by itself, or with :meth:`fence_producers`."""
        tp = checks.abort_spec(spec).topic_partition
        request = m.AbortTransaction(tp.topic, tp.partition, spec.producer_id, spec.producer_epoch)

        def run(deadline: Deadline) -> dict[str, Callable[[], None]]:
            reply = self._connection.request(request, m.PartitionOutcomesReply, deadline.remaining_s())
            (outcome,) = reply.outcomes
            return {"": lambda: raise_on_error(outcome.code, outcome.message)}

        return self._ask([""], run, request_timeout, _WAITING)[""]


def _description(item: m.TransactionDescription, coordinator_id: int) -> TransactionDescription:
    raise_on_error(item.code, item.message)
    return TransactionDescription(
        item.transactional_id,
        coordinator_id,
        item.state,
        item.producer_id,
        item.producer_epoch,
        item.timeout_ms,
        _known(item.started_at_ms),
        [TopicPartition(ref.topic, ref.partition) for ref in item.partitions],
        list(item.groups),
        _known(item.pid),
        item.client_id,
    )


def _producers(item: m.PartitionProducers) -> list[ProducerState]:
    raise_on_error(item.code, item.message)
    return [
        ProducerState(
            each.producer_id,
            each.producer_epoch,
            each.last_sequence,
            each.last_timestamp_ms,
            _known(each.coordinator_epoch),
            _known(each.transaction_start_offset),
        )
        for each in item.producers
    ]


def _known(number: int) -> int | None:
    return None if number < 0 else number
