"""Creating, growing, deleting and describing topics."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

from shmbroker.config.key import find_key
from shmbroker.config.topic_keys import TOPIC_KEYS
from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log.folder_names import topic_id_text
from shmbroker.protocol.messages import (
    CreatePartitions,
    CreateTopics,
    DeleteTopics,
    DescribeTopics,
    DescribeTopicsReply,
    NewPartitionsSpec,
    NewTopicSpec,
    Outcome,
    OutcomesReply,
    PartitionInfo,
    TopicInfo,
)
from shmbrokerd.controller.config_checks import check_topic_settings
from shmbrokerd.controller.configs import config_records
from shmbrokerd.metadata import pending_offsets
from shmbrokerd.metadata.decision import CloseLog, Decision, Effect, OpenLog
from shmbrokerd.metadata.records import ConfigRow, DeletedLogRow, Drop, PartitionRow, Put, Record, TopicRow
from shmbrokerd.metadata.settings import TOPIC, Settings
from shmbrokerd.metadata.state import State, Topic
from shmbrokerd.metadata.topic_names import INTERNAL_TOPICS, check_topic_name, colliding_topic

NO_TOPIC_ID = bytes(16)


class Circumstances(NamedTuple):
    """What a decision depends on besides state and request."""

    now_ms: int
    new_topic_id: Callable[[], bytes]
    """Returns 16 fresh random bytes."""
    closing_slots: Collection[int] = ()
    """Slots of deleted partitions whose logs are still being closed: not to be given out yet."""


# --- create ------------------------------------------------------------------------------------------------


class _Slots:
    """Hands out free slots of the partition table for the length of one decision."""

    def __init__(self, settings: Settings, closing: Collection[int]) -> None:
        self.limit = settings.static.number("max.partitions")
        in_use = settings.state.slots
        self._free: Iterator[int] = (
            slot for slot in range(self.limit) if slot not in in_use and slot not in closing
        )
        self.free_count = self.limit - len(in_use) - len(set(closing) - set(in_use))

    def take(self, count: int, topic: str) -> list[int]:
        if count > self.free_count:
            raise BrokerError(
                ErrorCode.POLICY_VIOLATION,
                f"topic '{topic}': {count} more partitions, but only {max(self.free_count, 0)} of the"
                f" {self.limit} of this daemon are free (max.partitions)",
            )
        self.free_count -= count
        return [next(self._free) for _ in range(count)]


def create_topics(settings: Settings, request: CreateTopics, circumstances: Circumstances) -> Decision:
    """Each topic by itself; a name given twice fails both times (as in Kafka)."""
    slots = _Slots(settings, circumstances.closing_slots)
    names = [spec.name for spec in request.topics]
    created: set[str] = set()
    records: list[Record] = []
    effects: list[Effect] = []
    outcomes = []
    for spec in request.topics:
        try:
            if names.count(spec.name) > 1:
                raise BrokerError(
                    ErrorCode.INVALID_REQUEST, f"topic '{spec.name}' is named more than once in the request"
                )
            rows = _new_topic(settings, spec, circumstances, slots, created)
        except BrokerError as error:
            outcomes.append(Outcome(spec.name, error.code, error.message))
            continue
        created.add(spec.name)
        outcomes.append(Outcome(spec.name))
        records += rows
        effects += [OpenLog(record.row) for record in rows if isinstance(record.row, PartitionRow)]
    if request.validate_only:
        return Decision([], OutcomesReply(outcomes), [])
    return Decision(records, OutcomesReply(outcomes), effects)


def _new_topic(
    settings: Settings, spec: NewTopicSpec, circumstances: Circumstances, slots: _Slots, created: set[str]
) -> list[Record]:
    _check_new_name(settings.state, spec.name, created)
    configs = _checked_configs(spec)
    check_topic_settings(settings, spec.name, configs, list(configs))
    count = _partition_count(settings, spec)
    taken = slots.take(count, spec.name)
    rows: list[Record] = [Put(TopicRow(spec.name, circumstances.new_topic_id(), circumstances.now_ms))]
    rows += [Put(_partition_row(settings, spec.name, number, slot)) for number, slot in enumerate(taken)]
    return rows + config_records(TOPIC, spec.name, {}, configs)


def _check_new_name(state: State, name: str, created: Collection[str]) -> None:
    check_topic_name(name)
    if name in state.topics:
        raise BrokerError(ErrorCode.TOPIC_ALREADY_EXISTS, f"Topic '{name}' already exists.")
    other = colliding_topic(name, [*state.topics, *created])
    if other is not None:
        raise BrokerError(
            ErrorCode.TOPIC_EXCEPTION,
            f"Topic '{name}' collides with existing topic: {other} (they differ only in '.' and '_')",
        )


def _checked_configs(spec: NewTopicSpec) -> dict[str, str]:
    configs = {}
    for name, raw in spec.configs.items():
        key = find_key(TOPIC_KEYS, "topic", name)
        if raw is None:
            raise BrokerError(
                ErrorCode.INVALID_CONFIG, f"topic '{spec.name}': config {name} needs a value, not null"
            )
        configs[name] = key.format(key.parse(raw))
    return configs


def _partition_count(settings: Settings, spec: NewTopicSpec) -> int:
    """How many partitions the request asks for, after checking its replicas."""
    if spec.replica_assignment:
        if spec.num_partitions != -1 or spec.replication_factor != -1:
            raise BrokerError(
                ErrorCode.INVALID_REQUEST,
                f"topic '{spec.name}': with a replica assignment, num_partitions and replication_factor"
                " must be -1",
            )
        _check_assignment(settings, spec.name, spec.replica_assignment)
        return len(spec.replica_assignment)
    if spec.num_partitions == 0 or spec.num_partitions < -1:
        raise BrokerError(
            ErrorCode.INVALID_PARTITIONS,
            f"topic '{spec.name}': the number of partitions must be positive, or -1 for the default"
            f" (num.partitions), not {spec.num_partitions}",
        )
    _check_replication_factor(spec)
    return settings.broker_number("num.partitions") if spec.num_partitions == -1 else spec.num_partitions


def _check_replication_factor(spec: NewTopicSpec) -> None:
    factor = spec.replication_factor
    if factor == 0 or factor < -1:
        raise BrokerError(
            ErrorCode.INVALID_REPLICATION_FACTOR,
            f"topic '{spec.name}': the replication factor must be positive, or -1 for the default"
            f" (default.replication.factor), not {factor}",
        )
    if factor > 1:
        raise BrokerError(
            ErrorCode.INVALID_REPLICATION_FACTOR,
            f"topic '{spec.name}': unable to replicate the partition {factor} time(s): only 1 broker(s) are"
            " registered",
        )


def _check_assignment(settings: Settings, topic: str, assignment: list[list[int]]) -> None:
    for partition, replicas in enumerate(assignment):
        if replicas != [settings.node_id]:
            raise BrokerError(
                ErrorCode.INVALID_REPLICA_ASSIGNMENT,
                f"topic '{topic}': partition {partition} is assigned to replicas {replicas}; the only broker"
                f" is {settings.node_id}, so it must be [{settings.node_id}]",
            )


def _partition_row(settings: Settings, topic: str, number: int, slot: int) -> PartitionRow:
    node_id = settings.node_id
    return PartitionRow(topic, number, slot, node_id, 0, (node_id,), (node_id,))


# --- grow --------------------------------------------------------------------------------------------------


def create_partitions(
    settings: Settings, request: CreatePartitions, circumstances: Circumstances
) -> Decision:
    slots = _Slots(settings, circumstances.closing_slots)
    names = [spec.topic for spec in request.topics]
    rows: list[PartitionRow] = []
    outcomes = []
    for spec in request.topics:
        try:
            if names.count(spec.topic) > 1:
                raise BrokerError(
                    ErrorCode.INVALID_REQUEST, f"topic '{spec.topic}' is named more than once in the request"
                )
            rows += _more_partitions(settings, spec, slots)
            outcomes.append(Outcome(spec.topic))
        except BrokerError as error:
            outcomes.append(Outcome(spec.topic, error.code, error.message))
    if request.validate_only:
        return Decision([], OutcomesReply(outcomes), [])
    return Decision([Put(row) for row in rows], OutcomesReply(outcomes), [OpenLog(row) for row in rows])


def _more_partitions(settings: Settings, spec: NewPartitionsSpec, slots: _Slots) -> list[PartitionRow]:
    topic = existing_topic(settings.state, spec.topic)
    old, new = len(topic.partitions), spec.total_count
    if new <= old:
        problem = "it already has that many" if new == old else "a topic cannot lose partitions"
        raise BrokerError(
            ErrorCode.INVALID_PARTITIONS,
            f"topic '{spec.topic}' has {old} partition(s) and cannot be given {new}: {problem}",
        )
    if spec.replica_assignment:
        if len(spec.replica_assignment) != new - old:
            raise BrokerError(
                ErrorCode.INVALID_REPLICA_ASSIGNMENT,
                f"topic '{spec.topic}': {new - old} partition(s) to add, but {len(spec.replica_assignment)}"
                " replica assignment(s)",
            )
        _check_assignment(settings, spec.topic, spec.replica_assignment)
    taken = slots.take(new - old, spec.topic)
    return [_partition_row(settings, spec.topic, old + index, slot) for index, slot in enumerate(taken)]


# --- delete ------------------------------------------------------------------------------------------------


def delete_topics(settings: Settings, request: DeleteTopics) -> Decision:
    """A deleted topic takes its configs and the groups' offsets in it along."""
    records: list[Record] = []
    effects: list[Effect] = []
    outcomes = []
    names: set[str] = set()
    for name in request.topics:
        try:
            if request.topics.count(name) > 1:
                raise BrokerError(
                    ErrorCode.INVALID_REQUEST, f"topic '{name}' is named more than once in the request"
                )
            if not settings.broker_value("delete.topic.enable"):
                raise BrokerError(
                    ErrorCode.TOPIC_DELETION_DISABLED,
                    f"topic '{name}' is kept: deleting topics is switched off (delete.topic.enable=false)",
                )
            topic = existing_topic(settings.state, name)
        except BrokerError as error:
            outcomes.append(Outcome(name, error.code, error.message))
            continue
        outcomes.append(Outcome(name))
        names.add(name)
        records += removal_records(settings.state, topic)
        records += [
            Put(DeletedLogRow(topic.row.topic_id, number, name)) for number in sorted(topic.partitions)
        ]
        effects += [CloseLog(partition, topic.row.topic_id) for partition in topic.partitions.values()]
    records += _pending_removal(settings.state, names)
    return Decision(records, OutcomesReply(outcomes), effects)


def _pending_removal(state: State, names: Collection[str]) -> list[Record]:
    """Offsets in these topics that wait for the end of a transaction go, too."""
    return pending_offsets.removed(state, lambda _, partition: partition[0] in names)


def removal_records(state: State, topic: Topic) -> list[Record]:
    """Everything that goes when a topic goes, dependents first."""
    name = topic.row.name
    records: list[Record] = [
        Drop(row) for offsets in state.offsets.values() for row in offsets.values() if row.topic == name
    ]
    records += [
        Drop(ConfigRow(TOPIC, name, key, value))
        for key, value in state.configs.get((TOPIC, name), {}).items()
    ]
    records += [Drop(partition) for partition in topic.partitions.values()]
    records.append(Drop(topic.row))
    return records


def undo_creation(state: State, records: Sequence[Record], names: Collection[str]) -> Decision:
    """Take back the new partitions, and topics, of ``names`` that ``records`` made. That their logs may go is not written down,
    for this is done when the disk is full: of a log with nothing in it that is known anyhow."""
    new_topics = {record.row.name for record in records if isinstance(record.row, TopicRow)}
    undo: list[Record] = []
    effects: list[Effect] = []
    for name in names:
        topic = state.topics.get(name)
        if topic is None:
            continue
        made = [
            record.row
            for record in records
            if isinstance(record.row, PartitionRow)
            and topic.partitions.get(record.row.partition) == record.row
        ]
        made = [row for row in made if row.topic == name]
        undo += removal_records(state, topic) if name in new_topics else [Drop(row) for row in made]
        effects += [CloseLog(row, topic.row.topic_id) for row in made]
    undo += _pending_removal(state, new_topics & set(names))
    return Decision(undo, OutcomesReply([]), effects)


def existing_topic(state: State, name: str) -> Topic:
    """Look a topic up.

    Raises:
        BrokerError: UNKNOWN_TOPIC_OR_PART.
    """
    topic = state.topics.get(name)
    if topic is None:
        raise BrokerError(ErrorCode.UNKNOWN_TOPIC_OR_PART, f"topic '{name}' does not exist")
    return topic


# --- describe ----------------------------------------------------------------------------------------------


def missing_topics(settings: Settings, request: DescribeTopics) -> CreateTopics | None:
    """The topics to create before ``request`` is answered, if both sides allow it."""
    if not request.allow_auto_create or not request.topics:
        return None
    names = [name for name in dict.fromkeys(request.topics) if name not in settings.state.topics]
    if not names or not settings.broker_value("auto.create.topics.enable"):
        return None
    return CreateTopics([NewTopicSpec(name) for name in names])


def describe_topics(
    settings: Settings, request: DescribeTopics, directory_of: Callable[[str, int], str]
) -> DescribeTopicsReply:
    """``directory_of(topic, partition)`` is the folder of a partition's log."""
    names = list(settings.state.topics) if request.topics is None else list(dict.fromkeys(request.topics))
    return DescribeTopicsReply([_topic_info(settings, name, directory_of) for name in names])


def _topic_info(settings: Settings, name: str, directory_of: Callable[[str, int], str]) -> TopicInfo:
    try:
        check_topic_name(name)
        topic = existing_topic(settings.state, name)
    except BrokerError as error:
        return TopicInfo(name, topic_id_text(NO_TOPIC_ID), error.code, error.message, False, [])
    partitions = [
        PartitionInfo(
            row.partition,
            row.slot,
            directory_of(name, row.partition),
            row.leader,
            row.leader_epoch,
            list(row.replicas),
            list(row.isr),
        )
        for row in topic.partitions.values()
    ]
    return TopicInfo(
        name=name,
        topic_id=topic_id_text(topic.row.topic_id),
        code=ErrorCode.NO_ERROR,
        message="",
        internal=name in INTERNAL_TOPICS,
        partitions=partitions,
        max_message_bytes=int(settings.topic_value(name, "max.message.bytes")),
        timestamp_type=2 if settings.topic_value(name, "message.timestamp.type") == "LogAppendTime" else 1,
    )
