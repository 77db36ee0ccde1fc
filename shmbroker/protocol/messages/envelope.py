"""What travels between a client and the daemon: every request and every response."""

from __future__ import annotations

import msgspec

from shmbroker.protocol.messages.attaching import (
    AttachConsumer,
    AttachProducer,
    AttachReply,
    Hello,
    HelloReply,
)
from shmbroker.protocol.messages.base import Failure, OutcomesReply, PartitionOutcomesReply
from shmbroker.protocol.messages.configs import (
    AlterConfigs,
    DescribeConfigs,
    DescribeConfigsReply,
)
from shmbroker.protocol.messages.daemon import (
    DescribeCluster,
    DescribeClusterReply,
    DescribeDaemon,
    DescribeDaemonReply,
    LogLevelReply,
    SetLogLevel,
)
from shmbroker.protocol.messages.groups import (
    DeleteGroupOffsets,
    DeleteGroups,
    DescribeGroups,
    DescribeGroupsReply,
    GroupAssignment,
    GroupFenced,
    JoinGroup,
    LeaveGroup,
    ListGroups,
    ListGroupsReply,
    MembershipReply,
    ReleasePartitions,
    RemoveMembers,
    RemoveMembersReply,
)
from shmbroker.protocol.messages.lag import (
    DescribeLag,
    DescribeLagReply,
    ForgetLag,
    ForgetLagReply,
)
from shmbroker.protocol.messages.offsets import (
    CommitOffsets,
    FetchOffsets,
    FetchOffsetsReply,
)
from shmbroker.protocol.messages.topics import (
    CreatePartitions,
    CreateTopics,
    DeleteRecords,
    DeleteTopics,
    DescribeTopics,
    DescribeTopicsReply,
)
from shmbroker.protocol.messages.transactions import (
    AbortTransaction,
    AddPartitionsToTransaction,
    CommitTransactionOffsets,
    DescribeProducers,
    DescribeProducersReply,
    DescribeTransactions,
    DescribeTransactionsReply,
    EndTransaction,
    EndTransactionReply,
    InitProducerId,
    InitProducerIdReply,
    ListTransactions,
    ListTransactionsReply,
)

RequestBody = (
    Hello
    | AttachProducer
    | AttachConsumer
    | InitProducerId
    | AddPartitionsToTransaction
    | CommitTransactionOffsets
    | EndTransaction
    | ListTransactions
    | DescribeTransactions
    | DescribeProducers
    | AbortTransaction
    | DescribeTopics
    | CreateTopics
    | DeleteTopics
    | CreatePartitions
    | DeleteRecords
    | DescribeConfigs
    | AlterConfigs
    | CommitOffsets
    | FetchOffsets
    | JoinGroup
    | ReleasePartitions
    | LeaveGroup
    | ListGroups
    | DescribeGroups
    | DeleteGroups
    | DeleteGroupOffsets
    | RemoveMembers
    | DescribeLag
    | ForgetLag
    | DescribeCluster
    | DescribeDaemon
    | SetLogLevel
)

ResponseBody = (
    Failure
    | HelloReply
    | AttachReply
    | InitProducerIdReply
    | EndTransactionReply
    | ListTransactionsReply
    | DescribeTransactionsReply
    | DescribeProducersReply
    | DescribeTopicsReply
    | OutcomesReply
    | PartitionOutcomesReply
    | DescribeConfigsReply
    | FetchOffsetsReply
    | MembershipReply
    | GroupAssignment
    | GroupFenced
    | ListGroupsReply
    | DescribeGroupsReply
    | RemoveMembersReply
    | DescribeLagReply
    | ForgetLagReply
    | DescribeClusterReply
    | DescribeDaemonReply
    | LogLevelReply
)


class Request(msgspec.Struct, array_like=True, frozen=True):
    correlation_id: int
    body: RequestBody


class Response(msgspec.Struct, array_like=True, frozen=True):
    correlation_id: int
    body: ResponseBody
