"""Every message of the control socket, as msgspec structs.

A client sends a :class:`Request` and gets one :class:`Response` with the same correlation id. The body is a
tagged union; a failed request is answered with :class:`Failure` and changes nothing. Offsets, timestamps (ms since the
epoch) and sizes (bytes) are ints; a missing figure is -1, as in Kafka's own protocol.

One module a subject; the unions of all bodies are in ``envelope``, what the main process and a broker process say to each other
in ``orders``. Import from here.
"""

from __future__ import annotations

from shmbroker.protocol.messages.attaching import (
    AttachConsumer,
    AttachProducer,
    AttachReply,
    Hello,
    HelloReply,
    InitProducerId,
    InitProducerIdReply,
)
from shmbroker.protocol.messages.base import (
    PROTOCOL_VERSION,
    Failure,
    Message,
    Outcome,
    OutcomesReply,
    PartitionOutcome,
    PartitionOutcomesReply,
)
from shmbroker.protocol.messages.configs import (
    AlterConfigs,
    ConfigAlteration,
    ConfigChange,
    ConfigDescription,
    ConfigEntryInfo,
    ConfigResourceSpec,
    DescribeConfigs,
    DescribeConfigsReply,
)
from shmbroker.protocol.messages.daemon import (
    BrokerInfo,
    DescribeCluster,
    DescribeClusterReply,
    DescribeDaemon,
    DescribeDaemonReply,
    SessionInfo,
)
from shmbroker.protocol.messages.envelope import (
    Request,
    RequestBody,
    Response,
    ResponseBody,
)
from shmbroker.protocol.messages.offsets import (
    CommitOffsets,
    CommittedOffset,
    FetchOffsets,
    FetchOffsetsReply,
    OffsetToCommit,
    PartitionRef,
)
from shmbroker.protocol.messages.orders import (
    AdvanceLogStart,
    AttachSession,
    BrokerCommand,
    BrokerCommandBody,
    BrokerEvent,
    BrokerEventBody,
    BrokerReply,
    ClosePartition,
    DetachSession,
    LogConfig,
    OpenPartition,
    PartitionFaulted,
    ReconfigurePartition,
    SessionFaulted,
    StopBroker,
)
from shmbroker.protocol.messages.topics import (
    CreatePartitions,
    CreateTopics,
    DeleteRecords,
    DeleteTopics,
    DescribeTopics,
    DescribeTopicsReply,
    NewPartitionsSpec,
    NewTopicSpec,
    PartitionInfo,
    PartitionOffset,
    TopicInfo,
)

__all__ = [
    "PROTOCOL_VERSION",
    "AdvanceLogStart",
    "AlterConfigs",
    "AttachConsumer",
    "AttachProducer",
    "AttachReply",
    "AttachSession",
    "BrokerCommand",
    "BrokerCommandBody",
    "BrokerEvent",
    "BrokerEventBody",
    "BrokerInfo",
    "BrokerReply",
    "ClosePartition",
    "CommitOffsets",
    "CommittedOffset",
    "ConfigAlteration",
    "ConfigChange",
    "ConfigDescription",
    "ConfigEntryInfo",
    "ConfigResourceSpec",
    "CreatePartitions",
    "CreateTopics",
    "DeleteRecords",
    "DeleteTopics",
    "DescribeCluster",
    "DescribeClusterReply",
    "DescribeConfigs",
    "DescribeConfigsReply",
    "DescribeDaemon",
    "DescribeDaemonReply",
    "DescribeTopics",
    "DescribeTopicsReply",
    "DetachSession",
    "Failure",
    "FetchOffsets",
    "FetchOffsetsReply",
    "Hello",
    "HelloReply",
    "InitProducerId",
    "InitProducerIdReply",
    "LogConfig",
    "Message",
    "NewPartitionsSpec",
    "NewTopicSpec",
    "OffsetToCommit",
    "OpenPartition",
    "Outcome",
    "OutcomesReply",
    "PartitionFaulted",
    "PartitionInfo",
    "PartitionOffset",
    "PartitionOutcome",
    "PartitionOutcomesReply",
    "PartitionRef",
    "ReconfigurePartition",
    "Request",
    "RequestBody",
    "Response",
    "ResponseBody",
    "SessionFaulted",
    "SessionInfo",
    "StopBroker",
    "TopicInfo",
]
