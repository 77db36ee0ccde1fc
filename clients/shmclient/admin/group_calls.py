"""The calls of `AdminClient` about consumer groups and their offsets."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import Future

from shmbroker.protocol import messages as m
from shmclient.admin import checks, group_checks, group_replies
from shmclient.admin.asking import Asking
from shmclient.admin.futures import refused_futures
from shmclient.admin.groups import ConsumerGroupDescription, ListConsumerGroupsResult, MemberToRemove
from shmclient.deadline import Deadline
from shmclient.errors import KafkaError, KafkaException
from shmclient.metadata import GroupMetadata
from shmclient.topic_partition import TopicPartition
from shmclient.types import ConsumerGroupState, ConsumerGroupTopicPartitions, ConsumerGroupType

_WAITING = "Failed while waiting for response from broker"


class GroupCalls(Asking):
    """As all calls of `AdminClient`: futures, one for each group that is named."""

    def list_consumer_groups(
        self,
        *,
        states: set[ConsumerGroupState] | None = None,
        types: set[ConsumerGroupType] | None = None,
        request_timeout: float | None = None,
    ) -> Future[ListConsumerGroupsResult]:
        """All groups, or those in one of ``states`` and of one of ``types``; also those that only have offsets."""
        in_states, of_types = group_checks.group_states(states), group_checks.group_types(types)

        def run(deadline: Deadline) -> dict[str, Callable[[], ListConsumerGroupsResult]]:
            reply = self._connection.request(m.ListGroups(), m.ListGroupsReply, deadline.remaining_s())
            return {"": lambda: group_replies.listing(reply, in_states, of_types)}

        return self._ask([""], run, request_timeout, _WAITING)[""]

    def describe_consumer_groups(
        self,
        group_ids: list[str],
        *,
        include_authorized_operations: bool = False,
        request_timeout: float | None = None,
    ) -> dict[str, Future[ConsumerGroupDescription]]:
        """Members, what they have, and the state of groups. One that does not exist is described as dead."""
        groups = group_checks.group_ids(group_ids, "described")
        with_operations = bool(include_authorized_operations)
        if len(set(groups)) != len(groups):
            return refused_futures(groups, _duplicates("groups"))

        def run(deadline: Deadline) -> dict[str, Callable[[], ConsumerGroupDescription]]:
            cluster = self._connection.request(
                m.DescribeCluster(), m.DescribeClusterReply, deadline.remaining_s()
            )
            reply = self._connection.request(
                m.DescribeGroups(groups), m.DescribeGroupsReply, deadline.remaining_s()
            )
            coordinator = group_replies.coordinator(cluster)
            return {
                item.group: lambda item=item: group_replies.description(item, coordinator, with_operations)  # type: ignore[misc]
                for item in reply.groups
            }

        return self._ask(groups, run, request_timeout, _WAITING)

    def delete_consumer_groups(
        self, group_ids: list[str], *, request_timeout: float | None = None
    ) -> dict[str, Future[None]]:
        """Delete groups without members, with their offsets."""
        groups = group_checks.group_ids(group_ids, "deleted")
        if len(set(groups)) != len(groups):
            return refused_futures(groups, _duplicates("groups"))
        return self._change(groups, m.DeleteGroups(groups), None, request_timeout)

    # --- offsets -------------------------------------------------------------------------------------------

    def list_consumer_group_offsets(
        self,
        list_consumer_group_offsets_request: list[ConsumerGroupTopicPartitions],
        *,
        require_stable: bool = False,
        request_timeout: float | None = None,
    ) -> dict[str, Future[ConsumerGroupTopicPartitions]]:
        """The committed offsets of one group: of the partitions named, OFFSET_INVALID where there is none, or all there are.

        With ``require_stable``, one that an open transaction is about to change has UNSTABLE_OFFSET_COMMIT as its ``error``
        where it was named, and is left out otherwise.
        """
        wanted = group_checks.offsets_to_list(list_consumer_group_offsets_request)
        partitions = wanted.topic_partitions
        if partitions is not None and len(set(partitions)) != len(partitions):
            return refused_futures([wanted.group_id], _duplicates("partitions"))
        asked = None if partitions is None else [m.PartitionRef(tp.topic, tp.partition) for tp in partitions]

        def run(deadline: Deadline) -> dict[str, Callable[[], ConsumerGroupTopicPartitions]]:
            request = m.FetchOffsets(wanted.group_id, asked, bool(require_stable))
            reply = self._connection.request(request, m.FetchOffsetsReply, deadline.remaining_s())
            return {wanted.group_id: lambda: group_replies.offsets(wanted, reply)}

        return self._ask([wanted.group_id], run, request_timeout, _WAITING)

    def alter_consumer_group_offsets(
        self,
        alter_consumer_group_offsets_request: list[ConsumerGroupTopicPartitions],
        *,
        request_timeout: float | None = None,
    ) -> dict[str, Future[ConsumerGroupTopicPartitions]]:
        """Commit offsets for one group that has no members. Each partition has its error in the result."""
        wanted = group_checks.offsets_to_alter(alter_consumer_group_offsets_request)
        partitions = wanted.topic_partitions or []
        if len(set(partitions)) != len(partitions):
            return refused_futures([wanted.group_id], _duplicates("partitions"))
        request = m.CommitOffsets(wanted.group_id, group_replies.offsets_to_commit(partitions))
        return self._ask_of_partitions(wanted.group_id, partitions, request, request_timeout)

    def delete_consumer_group_offsets(
        self, group_id: str, topic_partitions: list[TopicPartition], *, request_timeout: float | None = None
    ) -> dict[str, Future[ConsumerGroupTopicPartitions]]:
        """Forget offsets of one group, in topics that its members are not subscribed to. Each partition has its error in the
        result. (As in Kafka's Java client; confluent_kafka has no such call.)"""
        group = group_checks.group_id(group_id)
        partitions = group_checks.partitions_of_group(topic_partitions)
        if len(set(partitions)) != len(partitions):
            return refused_futures([group], _duplicates("partitions"))
        refs = [m.PartitionRef(tp.topic, tp.partition) for tp in partitions]
        return self._ask_of_partitions(group, partitions, m.DeleteGroupOffsets(group, refs), request_timeout)

    def _ask_of_partitions(
        self,
        group: str,
        partitions: list[TopicPartition],
        request: m.CommitOffsets | m.DeleteGroupOffsets,
        request_timeout: float | None,
    ) -> dict[str, Future[ConsumerGroupTopicPartitions]]:
        """Send a request that is answered with one outcome for each partition; one of members' concern is all of theirs."""

        def run(deadline: Deadline) -> dict[str, Callable[[], ConsumerGroupTopicPartitions]]:
            try:
                reply = self._connection.request(request, m.PartitionOutcomesReply, deadline.remaining_s())
            except KafkaException as error:
                cause: KafkaError = error.args[0]
                if cause.code() != KafkaError.UNKNOWN_MEMBER_ID:
                    raise
                return {group: lambda: group_replies.all_refused(group, partitions, cause)}
            return {group: lambda: group_replies.outcomes(group, partitions, reply)}

        return self._ask([group], run, request_timeout, _WAITING)

    # --- members -------------------------------------------------------------------------------------------

    def remove_members_from_consumer_group(
        self,
        group_id: str,
        members: list[MemberToRemove] | None = None,
        *,
        reason: str = "",
        request_timeout: float | None = None,
    ) -> Future[dict[str, KafkaError | None]]:
        """Remove members, all of them when None: their partitions go to others. They are told, and may join again.

        The result has an error or None for each, under its instance id, else its member id. (As in Kafka's Java client;
        confluent_kafka has no such call.)
        """
        group = group_checks.group_id(group_id)
        chosen = [] if members is None else group_checks.members_to_remove(members)
        request = m.RemoveMembers(
            group, [m.MemberRef(one.member_id or "", one.group_instance_id) for one in chosen], reason
        )

        def run(deadline: Deadline) -> dict[str, Callable[[], dict[str, KafkaError | None]]]:
            reply = self._connection.request(request, m.RemoveMembersReply, deadline.remaining_s())
            return {"": lambda: group_replies.removals(reply)}

        return self._ask([""], run, request_timeout, _WAITING)[""]

    # --- the old call --------------------------------------------------------------------------------------

    def list_groups(self, group: str | None = None, timeout: float = -1) -> list[GroupMetadata]:
        """All groups with their members, or one.

        Raises:
            KafkaException: _TRANSPORT when no daemon answers within ``timeout`` seconds (-1: ``socket.timeout.ms``).
            TypeError: for a group that is no text.
        """
        warnings.warn(
            "list_groups() is deprecated, use list_consumer_groups() instead.",
            category=DeprecationWarning,
            stacklevel=2,
        )
        if group is not None and not isinstance(group, str):
            raise TypeError(f"argument 1 must be str or None, not {type(group).__name__}")
        timeout_s = checks.timeout_s("timeout", timeout, -1, lowest_ms=-1000)
        if self._is_closed:
            raise RuntimeError("Handle has been closed")
        deadline = self._connection.deadline(timeout_s)
        ask, remaining_s = self._connection.request, deadline.remaining_s
        cluster = ask(m.DescribeCluster(), m.DescribeClusterReply, remaining_s())
        listed = ask(m.ListGroups(), m.ListGroupsReply, remaining_s()).groups
        names = [item.group for item in listed if item.protocol_type and group in (None, item.group)]
        described = ask(m.DescribeGroups(names), m.DescribeGroupsReply, remaining_s()).groups
        return [group_replies.old_metadata(item, cluster) for item in described]


def _duplicates(what: str) -> KafkaException:
    return KafkaException(KafkaError(KafkaError._INVALID_ARG, f"Duplicate {what} not allowed"))
