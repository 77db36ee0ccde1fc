"""`AdminClient`: topics, configurations, offsets, groups, transactions and the cluster, with confluent_kafka's calls."""

from __future__ import annotations

import queue
import time
import warnings
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, TypeVar

from shmbroker.errors import ErrorCode
from shmbroker.protocol import messages as m
from shmclient.admin import checks, replies, requests
from shmclient.admin.asking import WAITING_FOR_CONTROLLER
from shmclient.admin.cluster import DescribeClusterResult
from shmclient.admin.futures import refused_futures
from shmclient.admin.group_calls import GroupCalls
from shmclient.admin.offsets import DeletedRecords, ListOffsetsResultInfo, OffsetSpec
from shmclient.admin.resources import ConfigEntry, ConfigResource
from shmclient.admin.topics import NewPartitions, NewTopic, TopicDescription
from shmclient.admin.transaction_calls import TransactionCalls
from shmclient.config import merge_arguments, parse_config
from shmclient.connection.selection import hand_over
from shmclient.deadline import Deadline
from shmclient.errors import KafkaError, KafkaException
from shmclient.metadata import ClusterMetadata
from shmclient.metadata.fetch import fetch_cluster_id, fetch_cluster_metadata
from shmclient.metadata.offset_lookup import NO_LEADER_TEXT, describe_partitions, look_up_offset
from shmclient.topic_partition import TopicPartition
from shmclient.types import IsolationLevel, TopicCollection

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_WAITING_FOR_LEADERS = "Failed to query partition leaders"


class AdminClient(GroupCalls, TransactionCalls):
    """Administers a daemon. Constructing one needs no daemon; a request waits for one until it times out.

    Calls return at once: a dict of futures, one for each topic, resource or partition named, whose
    ``result()`` gives the value or raises `KafkaException`. Every call takes ``request_timeout`` in seconds
    (default ``socket.timeout.ms``); ``operation_timeout`` is accepted, operations are complete when they are
    answered. Arguments of a wrong shape raise TypeError or ValueError at the call, as in confluent_kafka.
    Thread-safe.

    Args:
        conf: as for producers and consumers, whose keys are all accepted.
    """

    def __init__(self, conf: dict[str, Any], **kwargs: Any) -> None:
        given = merge_arguments((conf,), kwargs)
        if hand_over(self, "admin", given):
            return
        self._open(parse_config(given, "admin"))

    # --- life ----------------------------------------------------------------------------------------------

    def __enter__(self) -> AdminClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the client; requests under way are still answered."""
        if not self._is_closed:
            self._is_closed = True
            self._worker.submit(self._connection.disconnect)
            self._worker.stop()

    def __len__(self) -> int:
        """Requests that wait for their answer."""
        return self._unanswered

    def __bool__(self) -> bool:
        return True

    def poll(self, timeout: float) -> int:
        """Serve callbacks (``error_cb``, ``stats_cb``), the first of them after up to ``timeout`` seconds; how many were
        called."""
        deadline = Deadline(max(0.0, checks.timeout_s("timeout", timeout, 0.0, lowest_ms=-1)))
        self._check_open()
        if self._config.error_cb is not None:
            self._notice_connection()
        elif self._statistics.due_at == float("inf"):
            return 0
        served = 0
        while True:
            self._tell_statistics()
            remaining_s = 0.0 if served else deadline.remaining_s()
            until_due_s = max(0.0, self._statistics.due_at - time.monotonic())
            try:
                callback, argument = self._events.get(timeout=min(remaining_s, until_due_s))
            except queue.Empty:
                if remaining_s <= until_due_s:
                    return served
            else:
                callback(argument)
                served += 1

    def set_sasl_credentials(self, username: str, password: str) -> None:
        """Accepted for programs that call it: a local socket knows its peer from the kernel."""

    # --- topics --------------------------------------------------------------------------------------------

    def create_topics(
        self,
        new_topics: list[NewTopic],
        *,
        operation_timeout: float | None = None,
        request_timeout: float | None = None,
        validate_only: bool = False,
    ) -> dict[str, Future[None]]:
        """Create topics; ``validate_only`` checks and creates nothing."""
        specs = [requests.topic_spec(topic) for topic in checks.new_topics(new_topics)]
        request = m.CreateTopics(specs, checks.flag("validate_only", validate_only))
        names = [spec.name for spec in specs]
        return self._change(names, request, operation_timeout, request_timeout)

    def delete_topics(
        self,
        topics: list[str],
        *,
        operation_timeout: float | None = None,
        request_timeout: float | None = None,
    ) -> dict[str, Future[None]]:
        """Delete topics with all their records and the offsets that groups have committed in them."""
        names = checks.topic_names(topics)
        return self._change(names, m.DeleteTopics(names), operation_timeout, request_timeout)

    def create_partitions(
        self,
        new_partitions: list[NewPartitions],
        *,
        operation_timeout: float | None = None,
        request_timeout: float | None = None,
        validate_only: bool = False,
    ) -> dict[str, Future[None]]:
        """Add partitions; keys then map to other partitions than before."""
        specs = [requests.partitions_spec(item) for item in checks.new_partitions(new_partitions)]
        request = m.CreatePartitions(specs, checks.flag("validate_only", validate_only))
        names = [spec.topic for spec in specs]
        return self._change(names, request, operation_timeout, request_timeout)

    def describe_topics(
        self,
        topics: TopicCollection,
        *,
        include_authorized_operations: bool = False,
        request_timeout: float | None = None,
    ) -> dict[str, Future[TopicDescription]]:
        """Describe topics by name."""
        names = checks.topic_collection(topics)
        with_operations = bool(include_authorized_operations)

        def run(deadline: Deadline) -> dict[str, Callable[[], TopicDescription]]:
            cluster = self._connection.request(
                m.DescribeCluster(), m.DescribeClusterReply, deadline.remaining_s()
            )
            reply = self._connection.request(
                m.DescribeTopics(names), m.DescribeTopicsReply, deadline.remaining_s()
            )
            known = replies.nodes(cluster)
            return {
                info.name: lambda info=info: replies.topic_description(info, known, with_operations)  # type: ignore[misc]
                for info in reply.topics
            }

        return self._ask(names, run, request_timeout, WAITING_FOR_CONTROLLER)

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> ClusterMetadata:
        """The cluster and one topic, or all of them. Asking for an unknown topic creates it where the daemon
        allows (auto.create.topics.enable).

        Raises:
            KafkaException: _TRANSPORT when no daemon answers in time.
        """
        timeout_s = checks.timeout_s("timeout", timeout, -1, lowest_ms=-1000)
        if self._is_closed:
            raise RuntimeError("Handle has been closed")
        return fetch_cluster_metadata(
            self._connection, topic, timeout_s, allow_auto_create=self._config.allow_auto_create_topics
        )

    # --- configurations ------------------------------------------------------------------------------------

    def describe_configs(
        self, resources: list[ConfigResource], *, request_timeout: float | None = None
    ) -> dict[ConfigResource, Future[dict[str, ConfigEntry]]]:
        """Every key of topics and brokers, with its value in force and where that comes from."""
        wanted = checks.resources(resources)
        request = m.DescribeConfigs([requests.resource_spec(resource) for resource in wanted])

        def entries(description: m.ConfigDescription) -> dict[str, ConfigEntry]:
            replies.raise_on_error(description.code, description.message)
            return {info.name: replies.config_entry(info) for info in description.entries}

        def run(deadline: Deadline) -> dict[ConfigResource, Callable[[], dict[str, ConfigEntry]]]:
            reply = self._connection.request(request, m.DescribeConfigsReply, deadline.remaining_s())
            return {
                resource: lambda description=description: entries(description)  # type: ignore[misc]
                for resource, description in zip(wanted, reply.descriptions, strict=True)
            }

        return self._ask(wanted, run, request_timeout, WAITING_FOR_CONTROLLER)

    def alter_configs(
        self,
        resources: list[ConfigResource],
        *,
        request_timeout: float | None = None,
        validate_only: bool = False,
    ) -> dict[ConfigResource, Future[None]]:
        """Replace all settings of resources by their ``set_config``: what is left out returns to its
        default."""
        warnings.warn(
            "alter_configs has been deprecated. Use incremental_alter_configs instead.",
            category=DeprecationWarning,
            stacklevel=2,
        )
        wanted = checks.resources(resources)
        alterations = [requests.replacing_alteration(resource) for resource in wanted]
        request = m.AlterConfigs(alterations, True, checks.flag("validate_only", validate_only))
        return self._change(wanted, request, None, request_timeout)

    def incremental_alter_configs(
        self,
        resources: list[ConfigResource],
        *,
        request_timeout: float | None = None,
        validate_only: bool = False,
        broker: int | None = None,
    ) -> dict[ConfigResource, Future[None]]:
        """Set, delete, append to or subtract from single keys (KIP-339)."""
        wanted = checks.resources(resources)
        alterations = [
            requests.incremental_alteration(resource, checks.incremental_entries(resource))
            for resource in wanted
        ]
        request = m.AlterConfigs(alterations, False, checks.flag("validate_only", validate_only))
        for alteration in alterations:
            keys = [change.name for change in alteration.changes]
            if len(set(keys)) != len(keys):
                refusal = KafkaException(KafkaError(KafkaError._INVALID_ARG, "Duplicate ConfigEntry found"))
                return refused_futures(wanted, refusal)
        return self._change(wanted, request, None, request_timeout)

    # --- records and offsets -------------------------------------------------------------------------------

    def delete_records(
        self,
        topic_partition_offsets: list[TopicPartition],
        *,
        request_timeout: float | None = None,
        operation_timeout: float | None = None,
    ) -> dict[TopicPartition, Future[DeletedRecords]]:
        """Delete the records below each partition's ``offset``; OFFSET_END (-1) is all there are."""
        wanted = checks.record_positions(topic_partition_offsets)
        checks.timeout_s("operation_timeout", operation_timeout, 0.0, lowest_ms=-1)
        if len(set(wanted)) != len(wanted):
            refusal = KafkaException(KafkaError(KafkaError._INVALID_ARG, "Duplicate partitions not allowed"))
            return refused_futures(wanted, refusal)
        request = m.DeleteRecords([m.PartitionOffset(tp.topic, tp.partition, tp.offset) for tp in wanted])

        def run(deadline: Deadline) -> dict[TopicPartition, Callable[[], DeletedRecords]]:
            reply = self._connection.request(request, m.PartitionOutcomesReply, deadline.remaining_s())
            return {
                partition: lambda outcome=outcome: _deleted(outcome)  # type: ignore[misc]
                for partition, outcome in zip(wanted, reply.outcomes, strict=True)
            }

        return self._ask(wanted, run, request_timeout, _WAITING_FOR_LEADERS)

    def list_offsets(
        self,
        topic_partition_offsets: dict[TopicPartition, OffsetSpec],
        *,
        isolation_level: IsolationLevel = IsolationLevel.READ_UNCOMMITTED,
        request_timeout: float | None = None,
    ) -> dict[TopicPartition, Future[ListOffsetsResultInfo]]:
        """Earliest or latest offset, the one of a time, or that of the largest timestamp."""
        specs = checks.offset_specs(topic_partition_offsets)
        if not isinstance(isolation_level, IsolationLevel):
            raise TypeError("isolation_level argument should be an IsolationLevel")
        committed_only = isolation_level is IsolationLevel.READ_COMMITTED

        def run(deadline: Deadline) -> dict[TopicPartition, Callable[[], ListOffsetsResultInfo]]:
            infos = describe_partitions(self._connection, list(specs), deadline)
            table = self._connection.table(deadline.remaining_s())
            return {
                partition: lambda partition=partition, spec=spec: ListOffsetsResultInfo(  # type: ignore[misc]
                    *look_up_offset(
                        table,
                        infos.get((partition.topic, partition.partition)),
                        partition,
                        spec.value,
                        committed_only,
                    )
                )
                for partition, spec in specs.items()
            }

        return self._ask(list(specs), run, request_timeout, _WAITING_FOR_LEADERS)

    # --- the cluster ---------------------------------------------------------------------------------------

    def describe_cluster(
        self, *, include_authorized_operations: bool = False, request_timeout: float | None = None
    ) -> Future[DescribeClusterResult]:
        with_operations = bool(include_authorized_operations)

        def run(deadline: Deadline) -> dict[str, Callable[[], DescribeClusterResult]]:
            reply = self._connection.request(
                m.DescribeCluster(), m.DescribeClusterReply, deadline.remaining_s()
            )
            return {"": lambda: replies.cluster_description(reply, with_operations)}

        return self._ask([""], run, request_timeout, WAITING_FOR_CONTROLLER)[""]

    def cluster_id(self, timeout: float = -1) -> str:
        """The cluster's id.

        Raises:
            KafkaException: _TIMED_OUT when no daemon answers in time.
        """
        if self._is_closed:
            raise RuntimeError("Handle has been closed")
        timeout_s = checks.timeout_s("timeout", timeout, -1, lowest_ms=-1000)
        return fetch_cluster_id(self._connection, timeout_s)


def _deleted(outcome: m.PartitionOutcome) -> DeletedRecords:
    if outcome.code == ErrorCode.UNKNOWN_TOPIC_OR_PART:
        raise KafkaException(KafkaError(KafkaError._NOENT, NO_LEADER_TEXT))
    replies.raise_on_error(outcome.code, outcome.message)
    return DeletedRecords(outcome.offset)
