"""Topics to create or grow, and the description of one."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence

from shmclient.admin.resources import AclOperation, acl_operations
from shmclient.types import TopicPartitionInfo, Uuid


class _TopicRequest:
    """Equal, and ordered, by topic and number of partitions."""

    __slots__ = ("_replica_assignment", "_topic")

    def __init__(self, topic: str, replica_assignment: Sequence[Sequence[int]] | None) -> None:
        self._topic = _topic_name(topic)
        self._replica_assignment = replica_assignment

    @property
    def topic(self) -> str:
        return self._topic

    @property
    def replica_assignment(self) -> Sequence[Sequence[int]] | None:
        return self._replica_assignment

    def _partition_count(self) -> int:
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return (self._topic, self._partition_count()) == (other._topic, other._partition_count())

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return (self._topic, self._partition_count()) < (other._topic, other._partition_count())

    def __hash__(self) -> int:
        return hash(self._topic)


class NewTopic(_TopicRequest):
    """A topic for `AdminClient.create_topics`.

    num_partitions, replication_factor: -1 leaves the choice to the broker's defaults
    replica_assignment:                 broker ids per partition, instead of the two numbers
    config:                             topic configuration, text to text

    Raises TypeError for wrong types. Numbers that make no sense are for the broker to refuse.
    """

    __slots__ = ("_config", "num_partitions", "replication_factor")

    def __init__(
        self,
        topic: str,
        num_partitions: int = -1,
        replication_factor: int = -1,
        replica_assignment: Sequence[Sequence[int]] | None = None,
        config: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(topic, replica_assignment)
        self.num_partitions = operator.index(num_partitions)
        self.replication_factor = operator.index(replication_factor)
        if config is not None and not isinstance(config, Mapping):
            raise TypeError(f"config must be a dict of strings, not {type(config).__name__}")
        self._config = config

    @property
    def config(self) -> Mapping[str, str] | None:
        return self._config

    def __repr__(self) -> str:
        count = "" if self.num_partitions == -1 else f",num_partitions={self.num_partitions}"
        return f"NewTopic(topic={self._topic}{count})"

    def _partition_count(self) -> int:
        return self.num_partitions


class NewPartitions(_TopicRequest):
    """A topic and how many partitions it shall have, for `AdminClient.create_partitions`.

    `replica_assignment` lists broker ids for each partition that is added. Raises TypeError for wrong types.
    """

    __slots__ = ("new_total_count",)

    def __init__(
        self,
        topic: str,
        new_total_count: int,
        replica_assignment: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__(topic, replica_assignment)
        self.new_total_count = operator.index(new_total_count)

    def __repr__(self) -> str:
        return f"NewPartitions(topic={self._topic},new_total_count={self.new_total_count})"

    def _partition_count(self) -> int:
        return self.new_total_count


class TopicDescription:
    """What `AdminClient.describe_topics` tells about one topic."""

    def __init__(
        self,
        name: str,
        topic_id: Uuid,
        is_internal: bool,
        partitions: list[TopicPartitionInfo],
        authorized_operations: Sequence[AclOperation | str | int] | None = None,
    ) -> None:
        self.name = name
        self.topic_id = topic_id
        self.is_internal = is_internal
        self.partitions = partitions
        self.authorized_operations = acl_operations(authorized_operations)


def _topic_name(topic: str) -> str:
    if not isinstance(topic, str):
        raise TypeError(f"topic must be str, not {type(topic).__name__}")
    return topic
