"""From the daemon's replies about groups to the values that admin futures deliver."""

from __future__ import annotations

import struct

from shmbroker.errors import ErrorCode
from shmbroker.protocol import messages as m
from shmclient.admin.groups import (
    ConsumerGroupDescription,
    ConsumerGroupListing,
    ListConsumerGroupsResult,
    MemberAssignment,
    MemberDescription,
)
from shmclient.admin.replies import nodes, raise_on_error
from shmclient.admin.resources import AclOperation
from shmclient.errors import KafkaError
from shmclient.metadata import BrokerMetadata, GroupMember, GroupMetadata
from shmclient.topic_partition import OFFSET_INVALID, TopicPartition, partition_result
from shmclient.types import ConsumerGroupState, ConsumerGroupTopicPartitions, ConsumerGroupType, Node

# confluent_kafka has only the states of the classic protocol.
_STATES = {
    m.GroupState.EMPTY: ConsumerGroupState.EMPTY,
    m.GroupState.ASSIGNING: ConsumerGroupState.PREPARING_REBALANCING,
    m.GroupState.RECONCILING: ConsumerGroupState.COMPLETING_REBALANCING,
    m.GroupState.STABLE: ConsumerGroupState.STABLE,
    m.GroupState.DEAD: ConsumerGroupState.DEAD,
}
_OLD_STATES = {
    m.GroupState.ASSIGNING: "PreparingRebalance",
    m.GroupState.RECONCILING: "CompletingRebalance",
}
_TYPES = {
    m.GroupType.CLASSIC: ConsumerGroupType.CLASSIC,
    m.GroupType.CONSUMER: ConsumerGroupType.CONSUMER,
}
# Without an authorizer a broker grants every operation that there is on a resource.
_GROUP_OPERATIONS = [
    AclOperation.READ,
    AclOperation.DELETE,
    AclOperation.DESCRIBE,
    AclOperation.DESCRIBE_CONFIGS,
    AclOperation.ALTER_CONFIGS,
]


def listing(
    reply: m.ListGroupsReply, states: set[ConsumerGroupState], types: set[ConsumerGroupType]
) -> ListConsumerGroupsResult:
    """The groups in one of ``states`` and of one of ``types``; empty sets do not filter."""
    listings = [
        ConsumerGroupListing(item.group, not item.protocol_type, _STATES[item.state], _TYPES[item.group_type])
        for item in reply.groups
    ]
    valid = [
        item
        for item in listings
        if (not states or item.state in states) and (not types or item.type in types)
    ]
    return ListConsumerGroupsResult(valid, [])


def coordinator(cluster: m.DescribeClusterReply) -> Node | None:
    return nodes(cluster).get(cluster.controller_id)


def description(
    item: m.GroupDescription, coordinator: Node | None, with_operations: bool
) -> ConsumerGroupDescription:
    if item.code != ErrorCode.GROUP_ID_NOT_FOUND:  # that one is dead, as its state says
        raise_on_error(item.code, item.message)
    return ConsumerGroupDescription(
        item.group,
        not item.protocol_type,
        [_member(member, item.group_type) for member in item.members],
        item.assignor if item.members else "",
        _STATES[item.state],
        coordinator,
        _GROUP_OPERATIONS if with_operations else None,
        _TYPES[item.group_type],
    )


def _member(member: m.GroupMember, group_type: m.GroupType) -> MemberDescription:
    has_target = group_type is m.GroupType.CONSUMER
    return MemberDescription(
        member.member_id,
        member.client_id,
        member.host,
        _assignment(member.assignment),
        member.instance_id,
        _assignment(member.target_assignment) if has_target else None,
    )


def _assignment(partitions: m.Partitions) -> MemberAssignment:
    return MemberAssignment(
        [TopicPartition(topic, number) for topic, numbers in partitions.items() for number in numbers]
    )


# --- offsets -----------------------------------------------------------------------------------------------


def offsets(asked: ConsumerGroupTopicPartitions, reply: m.FetchOffsetsReply) -> ConsumerGroupTopicPartitions:
    """What was found, in the order in which it was asked for, else in that of topics and partitions."""
    found = {(item.topic, item.partition): item for item in reply.offsets}
    named = asked.topic_partitions
    if named is None:
        keys = sorted(key for key, item in found.items() if not item.code)
    else:
        keys = [(tp.topic, tp.partition) for tp in named]
    return ConsumerGroupTopicPartitions(asked.group_id, [_offset(*key, found.get(key)) for key in keys])


def _offset(topic: str, partition: int, found: m.CommittedOffset | None) -> TopicPartition:
    if found is not None and found.code == ErrorCode.UNSTABLE_OFFSET_COMMIT:
        return partition_result(topic, partition, OFFSET_INVALID, None, -1, KafkaError(found.code))
    if found is None or found.code or found.offset < 0:
        return TopicPartition(topic, partition, OFFSET_INVALID)
    return TopicPartition(topic, partition, found.offset, found.metadata or None, found.leader_epoch)


def offsets_to_commit(partitions: list[TopicPartition]) -> list[m.OffsetToCommit]:
    return [
        m.OffsetToCommit(
            tp.topic,
            tp.partition,
            tp.offset,
            -1 if tp.leader_epoch is None else tp.leader_epoch,
            tp.metadata,
        )
        for tp in partitions
    ]


def outcomes(
    group: str, partitions: list[TopicPartition], reply: m.PartitionOutcomesReply
) -> ConsumerGroupTopicPartitions:
    found = {(item.topic, item.partition): item for item in reply.outcomes if item.code}
    results = []
    for tp in partitions:
        outcome = found.get((tp.topic, tp.partition))
        error = None if outcome is None else KafkaError(outcome.code, outcome.message or None)
        results.append(_result(tp, error))
    return ConsumerGroupTopicPartitions(group, results)


def all_refused(
    group: str, partitions: list[TopicPartition], error: KafkaError
) -> ConsumerGroupTopicPartitions:
    return ConsumerGroupTopicPartitions(group, [_result(tp, error) for tp in partitions])


def _result(tp: TopicPartition, error: KafkaError | None) -> TopicPartition:
    epoch = -1 if tp.leader_epoch is None else tp.leader_epoch
    return partition_result(tp.topic, tp.partition, tp.offset, tp.metadata, epoch, error)


# --- members -----------------------------------------------------------------------------------------------


def removals(reply: m.RemoveMembersReply) -> dict[str, KafkaError | None]:
    return {
        item.name: KafkaError(item.code, item.message or None) if item.code else None
        for item in reply.outcomes
    }


def old_metadata(item: m.GroupDescription, cluster: m.DescribeClusterReply) -> GroupMetadata:
    """As list_groups() has it. A group of the new protocol is dead to that old call, in Kafka too."""
    broker = next((BrokerMetadata(b.broker_id, b.host, b.port) for b in cluster.brokers), BrokerMetadata())
    if item.group_type is m.GroupType.CONSUMER:
        return GroupMetadata(item.group, broker, None, "Dead", "", "", [])
    state = _OLD_STATES.get(item.state, item.state.value)
    members = [_old_member(member) for member in item.members]
    protocol = item.assignor if members else ""
    return GroupMetadata(item.group, broker, None, state, item.protocol_type, protocol, members)


def _old_member(member: m.GroupMember) -> GroupMember:
    """With subscription and assignment in the bytes of Kafka's consumer protocol, version 0."""
    topics = _array([_text(topic) for topic in member.topics])
    assignment = _array(
        [
            _text(topic) + _array([struct.pack(">i", number) for number in numbers])
            for topic, numbers in member.assignment.items()
        ]
    )
    version, no_user_data = struct.pack(">h", 0), struct.pack(">i", -1)
    return GroupMember(
        member.member_id,
        member.client_id,
        member.host,
        version + topics + no_user_data,
        version + assignment + no_user_data,
    )


def _array(items: list[bytes]) -> bytes:
    return struct.pack(">i", len(items)) + b"".join(items)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">h", len(encoded)) + encoded
