"""What `list_topics` and `list_groups` return: brokers, topics, partitions and groups as they are now.

Every class can be made empty, as in confluent_kafka; here the fields can also be given at once.
"""

from __future__ import annotations

from shmclient.errors import KafkaError


class BrokerMetadata:
    """A broker: `id`, `host`, `port`."""

    def __init__(self, id: int = -1, host: str | None = None, port: int = -1) -> None:
        self.id = id
        self.host = host
        self.port = port

    def __repr__(self) -> str:
        return f"BrokerMetadata({self.id}, {self.host}:{self.port})"

    def __str__(self) -> str:
        return f"{self.host}:{self.port}/{self.id}"


class PartitionMetadata:
    """A partition: its `leader` (a broker id, -1 if none), `replicas` and `isrs` (broker ids), its `error`.

    A broker id named here need not be in `ClusterMetadata.brokers`: that broker may just have gone.
    """

    def __init__(
        self,
        id: int = -1,
        leader: int = -1,
        replicas: list[int] | None = None,
        isrs: list[int] | None = None,
        error: KafkaError | None = None,
    ) -> None:
        self.id = id
        self.leader = leader
        self.replicas = [] if replicas is None else replicas
        self.isrs = [] if isrs is None else isrs
        self.error = error

    def __repr__(self) -> str:
        return f"PartitionMetadata({self.id}{_suffix(self.error)})"

    def __str__(self) -> str:
        return str(self.id)


class TopicMetadata:
    """A topic: its name, its partitions by number, and its `error`, such as UNKNOWN_TOPIC_OR_PART."""

    def __init__(
        self,
        topic: str | None = None,
        partitions: dict[int, PartitionMetadata] | None = None,
        error: KafkaError | None = None,
    ) -> None:
        self.topic = topic
        self.partitions = {} if partitions is None else partitions
        self.error = error

    def __repr__(self) -> str:
        return f"TopicMetadata({self.topic}, {len(self.partitions)} partitions{_suffix(self.error)})"

    def __str__(self) -> str:
        return str(self.topic)


class ClusterMetadata:
    """The cluster: its id, the controller's id (-1 if none), brokers by id, topics by name.

    `orig_broker_id` and `orig_broker_name` name the broker that answered.
    """

    def __init__(
        self,
        cluster_id: str | None = None,
        controller_id: int = -1,
        brokers: dict[int, BrokerMetadata] | None = None,
        topics: dict[str, TopicMetadata] | None = None,
        orig_broker_id: int = -1,
        orig_broker_name: str | None = None,
    ) -> None:
        self.cluster_id = cluster_id
        self.controller_id = controller_id
        self.brokers = {} if brokers is None else brokers
        self.topics = {} if topics is None else topics
        self.orig_broker_id = orig_broker_id
        self.orig_broker_name = orig_broker_name

    def __repr__(self) -> str:
        return f"ClusterMetadata({self.cluster_id})"

    def __str__(self) -> str:
        return str(self.cluster_id)


class GroupMember:
    """A member of a group; `metadata` and `assignment` are the bytes its protocol exchanges."""

    def __init__(
        self,
        id: str | None = None,
        client_id: str | None = None,
        client_host: str | None = None,
        metadata: bytes | None = None,
        assignment: bytes | None = None,
    ) -> None:
        self.id = id
        self.client_id = client_id
        self.client_host = client_host
        self.metadata = metadata
        self.assignment = assignment


class GroupMetadata:
    """A group: the broker that coordinates it, its state, protocol and members."""

    def __init__(
        self,
        id: str | None = None,
        broker: BrokerMetadata | None = None,
        error: KafkaError | None = None,
        state: str | None = None,
        protocol_type: str | None = None,
        protocol: str | None = None,
        members: list[GroupMember] | None = None,
    ) -> None:
        self.id = id
        self.broker = broker
        self.error = error
        self.state = state
        self.protocol_type = protocol_type
        self.protocol = protocol
        self.members = [] if members is None else members

    def __repr__(self) -> str:
        return f"GroupMetadata({self.id}{_suffix(self.error)})"

    def __str__(self) -> str:
        return str(self.id)


def _suffix(error: KafkaError | None) -> str:
    return "" if error is None else f", {error}"
