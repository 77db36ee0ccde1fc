"""Every value that crosses the border, both ways: `to_local` makes shmclient's types, `to_remote` confluent_kafka's.

Containers and futures are translated with what is in them. Types that shmclient does not have (access control lists,
SCRAM credentials) are handed through as they are.
"""

from __future__ import annotations

import enum
import functools
import importlib
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import shmclient
from shmclient import admin as local_admin
from shmclient import types as local_types
from shmclient.admin.futures import running_future, settle
from shmclient.errors import KafkaError, KafkaException
from shmclient.message import Message
from shmclient.topic_partition import TopicPartition, partition_result

confluent: Any = importlib.import_module("confluent_kafka")
confluent_admin: Any = importlib.import_module("confluent_kafka.admin")

# Fields of the classes that hold nothing but fields, as the constructor of ours takes them.
RETURNED_FIELDS: dict[str, tuple[str, ...]] = {
    "Node": ("id", "host", "port", "rack"),
    "ThrottleEvent": ("broker_name", "broker_id", "throttle_time"),
    "TopicPartitionInfo": ("id", "leader", "replicas", "isr"),
    "ConsumerGroupTopicPartitions": ("group_id", "topic_partitions"),
    "BrokerMetadata": ("id", "host", "port"),
    "ClusterMetadata": (
        "cluster_id",
        "controller_id",
        "brokers",
        "topics",
        "orig_broker_id",
        "orig_broker_name",
    ),
    "ConfigEntry": (
        "name",
        "value",
        "source",
        "is_read_only",
        "is_default",
        "is_sensitive",
        "is_synonym",
        "synonyms",
        "incremental_operation",
    ),
    "ConsumerGroupDescription": (
        "group_id",
        "is_simple_consumer_group",
        "members",
        "partition_assignor",
        "state",
        "coordinator",
        "authorized_operations",
        "type",
    ),
    "ConsumerGroupListing": ("group_id", "is_simple_consumer_group", "state", "type"),
    "DeletedRecords": ("low_watermark",),
    "DescribeClusterResult": ("controller", "nodes", "cluster_id", "authorized_operations"),
    "GroupMember": ("id", "client_id", "client_host", "metadata", "assignment"),
    "GroupMetadata": ("id", "broker", "error", "state", "protocol_type", "protocol", "members"),
    "ListConsumerGroupsResult": ("valid", "errors"),
    "MemberAssignment": ("topic_partitions",),
    "MemberDescription": (
        "member_id",
        "client_id",
        "host",
        "assignment",
        "group_instance_id",
        "target_assignment",
    ),
    "PartitionMetadata": ("id", "leader", "replicas", "isrs", "error"),
    "TopicDescription": ("name", "topic_id", "is_internal", "partitions", "authorized_operations"),
    "TopicMetadata": ("topic", "partitions", "error"),
}
GIVEN_FIELDS: dict[str, tuple[str, ...]] = {
    name: RETURNED_FIELDS[name] for name in ("ConfigEntry", "ConsumerGroupTopicPartitions")
} | {"TopicCollection": ("topic_names",)}


@functools.singledispatch
def to_local(value: Any) -> Any:
    """``value`` from confluent_kafka in shmclient's types."""
    return value


@functools.singledispatch
def to_remote(value: Any) -> Any:
    """``value`` from a program in confluent_kafka's types."""
    return value


def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call ``function`` of confluent_kafka; what it raises is raised as shmclient's."""
    try:
        return function(*args, **kwargs)
    except confluent.KafkaException as error:
        raise to_local(error) from None
    except confluent.KafkaError as error:  # how poll() and flush() tell of a fatal one
        raise KafkaException(to_local(error)) from None


def ask(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """As :func:`call`, with arguments and result translated."""
    translated = {name: to_remote(value) for name, value in kwargs.items()}
    return to_local(call(function, *map(to_remote, args), **translated))


def cluster_id_of(client: Any, timeout: float) -> Any:
    """``client.cluster_id()``, which older versions of confluent_kafka do not have."""
    if hasattr(client, "cluster_id"):
        return call(client.cluster_id, timeout)
    return call(client.list_topics, timeout=timeout).cluster_id


def listening(callback: Callable[..., Any]) -> Callable[..., Any]:
    """A callback for confluent_kafka that calls ``callback`` with shmclient's types."""

    def heard(*args: Any) -> Any:
        return callback(*map(to_local, args))

    return heard


# --- containers and futures ----------------------------------------------------------------------------------

for _translate in (to_local, to_remote):
    _translate.register(list, lambda items, t=_translate: [t(item) for item in items])
    _translate.register(set, lambda items, t=_translate: {t(item) for item in items})
    _translate.register(tuple, lambda items, t=_translate: tuple(t(item) for item in items))
    _translate.register(dict, lambda items, t=_translate: {t(k): t(v) for k, v in items.items()})


@to_local.register
def _(future: Future) -> Future[Any]:  # type: ignore[type-arg]  # the dispatcher needs the bare class
    translated = running_future()
    future.add_done_callback(lambda done: settle(translated, lambda: to_local(call(done.result))))
    return translated


# --- records -------------------------------------------------------------------------------------------------


def message_from(message: Any) -> Message:
    """A confluent_kafka Message as ours."""
    error = message.error()
    return Message(
        message.topic(),
        message.partition(),
        message.offset(),
        message.key(),
        message.value(),
        message.headers(),
        message.timestamp(),
        message.leader_epoch(),
        message.latency(),
        None if error is None else to_local(error),
    )


to_local.register(confluent.Message, message_from)


@to_local.register(confluent.KafkaError)
def _(error: Any) -> KafkaError:
    return KafkaError(
        error.code(),
        error.str(),
        fatal=error.fatal(),
        retriable=error.retriable(),
        txn_requires_abort=error.txn_requires_abort(),
    )


@to_local.register(confluent.KafkaException)
def _(error: Any) -> KafkaException:
    return KafkaException(*map(to_local, error.args))


@to_local.register(confluent.TopicPartition)
def _(tp: Any) -> TopicPartition:
    epoch = -1 if tp.leader_epoch is None else tp.leader_epoch
    return partition_result(tp.topic, tp.partition, tp.offset, tp.metadata, epoch, to_local(tp.error))


@to_remote.register
def _(tp: TopicPartition) -> Any:
    optional: dict[str, Any] = {} if tp.metadata is None else {"metadata": tp.metadata}
    if tp.leader_epoch is not None:
        optional["leader_epoch"] = tp.leader_epoch
    return confluent.TopicPartition(tp.topic, tp.partition, tp.offset, **optional)


# --- values of the admin API ---------------------------------------------------------------------------------


@to_local.register(confluent.Uuid)
def _(uuid: Any) -> local_types.Uuid:
    return local_types.Uuid(uuid.get_most_significant_bits(), uuid.get_least_significant_bits())


@to_local.register(confluent_admin.ConfigResource)
def _(resource: Any) -> local_admin.ConfigResource:
    return local_admin.ConfigResource(
        to_local(resource.restype),
        resource.name,
        set_config=resource.set_config_dict,
        described_configs=to_local(resource.configs),
        error=to_local(resource.error),
        incremental_configs=to_local(resource.incremental_configs),
    )


@to_remote.register
def _(resource: local_admin.ConfigResource) -> Any:
    return confluent_admin.ConfigResource(
        to_remote(resource.restype),
        resource.name,
        set_config=resource.set_config_dict,
        incremental_configs=to_remote(resource.incremental_configs),
    )


@to_remote.register
def _(topic: local_admin.NewTopic) -> Any:
    optional = {"replica_assignment": topic.replica_assignment, "config": topic.config}
    given = {name: value for name, value in optional.items() if value is not None}
    return confluent_admin.NewTopic(topic.topic, topic.num_partitions, topic.replication_factor, **given)


@to_remote.register
def _(partitions: local_admin.NewPartitions) -> Any:
    assignment = partitions.replica_assignment
    given = {} if assignment is None else {"replica_assignment": assignment}
    return confluent_admin.NewPartitions(partitions.topic, partitions.new_total_count, **given)


@to_remote.register
def _(spec: local_admin.OffsetSpec) -> Any:
    return confluent_admin.OffsetSpec(spec.value)


@to_local.register(confluent_admin.ListOffsetsResultInfo)
def _(info: Any) -> local_admin.ListOffsetsResultInfo:
    epoch = -1 if info.leader_epoch is None else info.leader_epoch
    return local_admin.ListOffsetsResultInfo(info.offset, info.timestamp, epoch)


@to_local.register
def _(member: enum.Enum) -> Any:
    """Members are found by name; that of an enumeration which shmclient does not have stays."""
    return _member(member, (shmclient, local_types, local_admin))


@to_remote.register
def _(member: enum.Enum) -> Any:
    return _member(member, (confluent, confluent_admin))


def _member(member: enum.Enum, modules: tuple[Any, ...]) -> Any:
    counterpart = _find(type(member).__name__, modules)
    return member if counterpart is None else counterpart[member.name]


def _find(name: str, modules: tuple[Any, ...]) -> Any:
    return next((getattr(module, name) for module in modules if hasattr(module, name)), None)


def _register_fields(
    translate: Any, table: dict[str, tuple[str, ...]], sources: tuple[Any, ...], targets: tuple[Any, ...]
) -> None:
    for name, fields in table.items():
        source, target = _find(name, sources), _find(name, targets)
        if source is not None:
            translate.register(source, _copier(translate, target, fields))


def _copier(translate: Any, target: Any, fields: tuple[str, ...]) -> Callable[[Any], Any]:
    return lambda value: target(**{field: translate(getattr(value, field, None)) for field in fields})


_LOCAL_MODULES = (local_types, local_admin)
_REMOTE_MODULES = (confluent, confluent_admin)
_register_fields(to_local, RETURNED_FIELDS, _REMOTE_MODULES, _LOCAL_MODULES)
_register_fields(to_remote, GIVEN_FIELDS, _LOCAL_MODULES, _REMOTE_MODULES)
