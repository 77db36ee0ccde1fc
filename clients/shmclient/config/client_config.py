"""A client's configuration, checked and typed: what the rest of the client reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from shmclient.config.key import ClientKind

if TYPE_CHECKING:
    from shmclient.errors import KafkaError
    from shmclient.message import Message
    from shmclient.topic_partition import TopicPartition

Partitioner: TypeAlias = Callable[["bytes | None", int], int]
ErrorCallback: TypeAlias = "Callable[[KafkaError], Any]"
StatsCallback: TypeAlias = Callable[[str], Any]
DeliveryCallback: TypeAlias = "Callable[[KafkaError | None, Message], Any]"
CommitCallback: TypeAlias = "Callable[[KafkaError | None, list[TopicPartition]], Any]"


class ClientConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Every key that has an effect, under its name with dots as underscores; units are in the names.

    What a key means is told by the table (`shmclient.config.table`, docs/configuration/client.md). Made by
    `parse_config`, which has filled in all defaults and checked how the values go together.

    explicit: names of the keys that were given, as the table has them
    ignored:  those among them that have no effect on one host
    warnings: lines to log when the client starts
    """

    kind: ClientKind
    explicit: frozenset[str]
    ignored: tuple[str, ...]
    warnings: tuple[str, ...]

    # every client
    bootstrap_servers: str | None
    client_id: str
    message_max_bytes: int
    socket_timeout_ms: int
    retry_backoff_ms: int
    retry_backoff_max_ms: int
    metadata_max_age_ms: int
    allow_auto_create_topics: bool
    enable_random_seed: bool
    statistics_interval_ms: int
    error_cb: ErrorCallback | None
    stats_cb: StatsCallback | None
    logger: Any

    # producer
    acks: int
    linger_ms: float
    batch_size: int
    batch_num_messages: int
    queue_buffering_max_messages: int
    queue_buffering_max_kbytes: int
    compression_type: str
    compression_level: int
    delivery_timeout_ms: int
    retries: int
    partitioner: str | Partitioner
    sticky_partitioning_linger_ms: int
    enable_idempotence: bool
    transactional_id: str | None
    transaction_timeout_ms: int
    delivery_report_only_error: bool
    on_delivery: DeliveryCallback | None

    # consumer
    group_id: str | None
    group_instance_id: str | None
    auto_offset_reset: str
    enable_auto_commit: bool
    auto_commit_interval_ms: int
    enable_auto_offset_store: bool
    enable_partition_eof: bool
    check_crcs: bool
    fetch_max_bytes: int
    max_partition_fetch_bytes: int
    isolation_level: str
    max_poll_interval_ms: int
    session_timeout_ms: int
    heartbeat_interval_ms: int
    partition_assignment_strategy: tuple[str, ...]
    group_protocol: str
    group_remote_assignor: str | None
    on_commit: CommitCallback | None
