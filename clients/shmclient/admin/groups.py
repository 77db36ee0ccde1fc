"""Consumer groups as the AdminClient lists and describes them."""

from __future__ import annotations

from collections.abc import Sequence

from shmclient.admin.resources import AclOperation, acl_operations
from shmclient.errors import KafkaException
from shmclient.types import ConsumerGroupState, ConsumerGroupType, Node, TopicPartition


class ConsumerGroupListing:
    """One group of `list_consumer_groups`. A simple group commits offsets but has no members."""

    def __init__(
        self,
        group_id: str,
        is_simple_consumer_group: bool,
        state: ConsumerGroupState | str | int | None = None,
        type: ConsumerGroupType | str | int | None = None,
    ) -> None:
        self.group_id = group_id
        self.is_simple_consumer_group = is_simple_consumer_group
        self.state = None if state is None else ConsumerGroupState.of(state)
        self.type = None if type is None else ConsumerGroupType.of(type)


class ListConsumerGroupsResult:
    """The groups that were found, and an exception for each broker that could not be asked."""

    def __init__(
        self,
        valid: list[ConsumerGroupListing] | None = None,
        errors: list[KafkaException] | None = None,
    ) -> None:
        self.valid = valid
        self.errors = errors


class MemberAssignment:
    """The partitions a member has, or shall have."""

    def __init__(self, topic_partitions: list[TopicPartition] | None = None) -> None:
        self.topic_partitions = topic_partitions or []


class MemberDescription:
    """A member of a group. `target_assignment` is what the coordinator moves it toward (KIP-848)."""

    def __init__(
        self,
        member_id: str,
        client_id: str,
        host: str,
        assignment: MemberAssignment,
        group_instance_id: str | None = None,
        target_assignment: MemberAssignment | None = None,
    ) -> None:
        self.member_id = member_id
        self.client_id = client_id
        self.host = host
        self.assignment = assignment
        self.target_assignment = target_assignment
        self.group_instance_id = group_instance_id


class MemberToRemove:
    """A static member by its `group_instance_id`, or any one by its `member_id`.

    Raises ValueError for none of them, or both.
    """

    def __init__(self, group_instance_id: str | None = None, *, member_id: str | None = None) -> None:
        if bool(group_instance_id) == bool(member_id):
            raise ValueError("expected either group_instance_id or member_id")
        self.group_instance_id = group_instance_id
        self.member_id = member_id


class ConsumerGroupDescription:
    """What `AdminClient.describe_consumer_groups` tells about one group."""

    def __init__(
        self,
        group_id: str,
        is_simple_consumer_group: bool,
        members: list[MemberDescription],
        partition_assignor: str,
        state: ConsumerGroupState | str | int | None,
        coordinator: Node | None,
        authorized_operations: Sequence[AclOperation | str | int] | None = None,
        type: ConsumerGroupType | str | int = ConsumerGroupType.UNKNOWN,
    ) -> None:
        self.group_id = group_id
        self.is_simple_consumer_group = is_simple_consumer_group
        self.members = members
        self.partition_assignor = partition_assignor
        self.state = None if state is None else ConsumerGroupState.of(state)
        self.type = ConsumerGroupType.of(type)
        self.coordinator = coordinator
        self.authorized_operations = acl_operations(authorized_operations)
