"""Error codes that the daemon, the shared floor and the clients speak.

Codes from -1 upward are Kafka's wire codes (org.apache.kafka.common.protocol.Errors); those from -199 to -137
are librdkafka's local ones, raised by a client about itself and never sent. Names are librdkafka's
without the prefix `RD_KAFKA_RESP_ERR_`, which makes them those of the constants on `KafkaError`: a local code
keeps its leading underscore.
"""

import enum


class ErrorCode(enum.IntEnum):
    """What went wrong, as one integer. `describe` gives the text, `BrokerError` the exception."""

    # Local: raised inside a client, never on the wire.
    _BAD_MSG = -199
    _BAD_COMPRESSION = -198
    _DESTROY = -197
    _FAIL = -196
    _TRANSPORT = -195
    _CRIT_SYS_RESOURCE = -194
    _RESOLVE = -193
    _MSG_TIMED_OUT = -192
    _PARTITION_EOF = -191
    _UNKNOWN_PARTITION = -190
    _FS = -189
    _UNKNOWN_TOPIC = -188
    _ALL_BROKERS_DOWN = -187
    _INVALID_ARG = -186
    _TIMED_OUT = -185
    _QUEUE_FULL = -184
    _ISR_INSUFF = -183
    _NODE_UPDATE = -182
    _SSL = -181
    _WAIT_COORD = -180
    _UNKNOWN_GROUP = -179
    _IN_PROGRESS = -178
    _PREV_IN_PROGRESS = -177
    _EXISTING_SUBSCRIPTION = -176
    _ASSIGN_PARTITIONS = -175
    _REVOKE_PARTITIONS = -174
    _CONFLICT = -173
    _STATE = -172
    _UNKNOWN_PROTOCOL = -171
    _NOT_IMPLEMENTED = -170
    _AUTHENTICATION = -169
    _NO_OFFSET = -168
    _OUTDATED = -167
    _TIMED_OUT_QUEUE = -166
    _UNSUPPORTED_FEATURE = -165
    _WAIT_CACHE = -164
    _INTR = -163
    _KEY_SERIALIZATION = -162
    _VALUE_SERIALIZATION = -161
    _KEY_DESERIALIZATION = -160
    _VALUE_DESERIALIZATION = -159
    _PARTIAL = -158
    _READ_ONLY = -157
    _NOENT = -156
    _UNDERFLOW = -155
    _INVALID_TYPE = -154
    _RETRY = -153
    _PURGE_QUEUE = -152
    _PURGE_INFLIGHT = -151
    _FATAL = -150
    _INCONSISTENT = -149
    _GAPLESS_GUARANTEE = -148
    _MAX_POLL_EXCEEDED = -147
    _UNKNOWN_BROKER = -146
    _NOT_CONFIGURED = -145
    _FENCED = -144
    _APPLICATION = -143
    _ASSIGNMENT_LOST = -142
    _NOOP = -141
    _AUTO_OFFSET_RESET = -140
    _LOG_TRUNCATION = -139
    _INVALID_DIFFERENT_RECORD = -138
    _DESTROY_BROKER = -137

    # Wire: what a daemon answers.
    UNKNOWN = -1
    NO_ERROR = 0
    OFFSET_OUT_OF_RANGE = 1
    INVALID_MSG = 2
    UNKNOWN_TOPIC_OR_PART = 3
    INVALID_MSG_SIZE = 4
    LEADER_NOT_AVAILABLE = 5
    NOT_LEADER_FOR_PARTITION = 6
    REQUEST_TIMED_OUT = 7
    BROKER_NOT_AVAILABLE = 8
    REPLICA_NOT_AVAILABLE = 9
    MSG_SIZE_TOO_LARGE = 10
    STALE_CTRL_EPOCH = 11
    OFFSET_METADATA_TOO_LARGE = 12
    NETWORK_EXCEPTION = 13
    COORDINATOR_LOAD_IN_PROGRESS = 14
    COORDINATOR_NOT_AVAILABLE = 15
    NOT_COORDINATOR = 16
    TOPIC_EXCEPTION = 17
    RECORD_LIST_TOO_LARGE = 18
    NOT_ENOUGH_REPLICAS = 19
    NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20
    INVALID_REQUIRED_ACKS = 21
    ILLEGAL_GENERATION = 22
    INCONSISTENT_GROUP_PROTOCOL = 23
    INVALID_GROUP_ID = 24
    UNKNOWN_MEMBER_ID = 25
    INVALID_SESSION_TIMEOUT = 26
    REBALANCE_IN_PROGRESS = 27
    INVALID_COMMIT_OFFSET_SIZE = 28
    TOPIC_AUTHORIZATION_FAILED = 29
    GROUP_AUTHORIZATION_FAILED = 30
    CLUSTER_AUTHORIZATION_FAILED = 31
    INVALID_TIMESTAMP = 32
    UNSUPPORTED_SASL_MECHANISM = 33
    ILLEGAL_SASL_STATE = 34
    UNSUPPORTED_VERSION = 35
    TOPIC_ALREADY_EXISTS = 36
    INVALID_PARTITIONS = 37
    INVALID_REPLICATION_FACTOR = 38
    INVALID_REPLICA_ASSIGNMENT = 39
    INVALID_CONFIG = 40
    NOT_CONTROLLER = 41
    INVALID_REQUEST = 42
    UNSUPPORTED_FOR_MESSAGE_FORMAT = 43
    POLICY_VIOLATION = 44
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45
    DUPLICATE_SEQUENCE_NUMBER = 46
    INVALID_PRODUCER_EPOCH = 47
    INVALID_TXN_STATE = 48
    INVALID_PRODUCER_ID_MAPPING = 49
    INVALID_TRANSACTION_TIMEOUT = 50
    CONCURRENT_TRANSACTIONS = 51
    TRANSACTION_COORDINATOR_FENCED = 52
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53
    SECURITY_DISABLED = 54
    OPERATION_NOT_ATTEMPTED = 55
    KAFKA_STORAGE_ERROR = 56
    LOG_DIR_NOT_FOUND = 57
    SASL_AUTHENTICATION_FAILED = 58
    UNKNOWN_PRODUCER_ID = 59
    REASSIGNMENT_IN_PROGRESS = 60
    DELEGATION_TOKEN_AUTH_DISABLED = 61
    DELEGATION_TOKEN_NOT_FOUND = 62
    DELEGATION_TOKEN_OWNER_MISMATCH = 63
    DELEGATION_TOKEN_REQUEST_NOT_ALLOWED = 64
    DELEGATION_TOKEN_AUTHORIZATION_FAILED = 65
    DELEGATION_TOKEN_EXPIRED = 66
    INVALID_PRINCIPAL_TYPE = 67
    NON_EMPTY_GROUP = 68
    GROUP_ID_NOT_FOUND = 69
    FETCH_SESSION_ID_NOT_FOUND = 70
    INVALID_FETCH_SESSION_EPOCH = 71
    LISTENER_NOT_FOUND = 72
    TOPIC_DELETION_DISABLED = 73
    FENCED_LEADER_EPOCH = 74
    UNKNOWN_LEADER_EPOCH = 75
    UNSUPPORTED_COMPRESSION_TYPE = 76
    STALE_BROKER_EPOCH = 77
    OFFSET_NOT_AVAILABLE = 78
    MEMBER_ID_REQUIRED = 79
    PREFERRED_LEADER_NOT_AVAILABLE = 80
    GROUP_MAX_SIZE_REACHED = 81
    FENCED_INSTANCE_ID = 82
    ELIGIBLE_LEADERS_NOT_AVAILABLE = 83
    ELECTION_NOT_NEEDED = 84
    NO_REASSIGNMENT_IN_PROGRESS = 85
    GROUP_SUBSCRIBED_TO_TOPIC = 86
    INVALID_RECORD = 87
    UNSTABLE_OFFSET_COMMIT = 88
    THROTTLING_QUOTA_EXCEEDED = 89
    PRODUCER_FENCED = 90
    RESOURCE_NOT_FOUND = 91
    DUPLICATE_RESOURCE = 92
    UNACCEPTABLE_CREDENTIAL = 93
    INCONSISTENT_VOTER_SET = 94
    INVALID_UPDATE_VERSION = 95
    FEATURE_UPDATE_FAILED = 96
    PRINCIPAL_DESERIALIZATION_FAILURE = 97
    UNKNOWN_TOPIC_ID = 100
    INCONSISTENT_TOPIC_ID = 103
    TRANSACTIONAL_ID_NOT_FOUND = 105
    INELIGIBLE_REPLICA = 107
    NEW_LEADER_ELECTED = 108
    FENCED_MEMBER_EPOCH = 110
    UNRELEASED_INSTANCE_ID = 111
    UNSUPPORTED_ASSIGNOR = 112
    STALE_MEMBER_EPOCH = 113
    MISMATCHED_ENDPOINT_TYPE = 114
    UNSUPPORTED_ENDPOINT_TYPE = 115
    UNKNOWN_CONTROLLER_ID = 116
    UNKNOWN_SUBSCRIPTION_ID = 117
    TELEMETRY_TOO_LARGE = 118
    INVALID_REGISTRATION = 119
    TRANSACTION_ABORTABLE = 120
    INVALID_RECORD_STATE = 121
    SHARE_SESSION_NOT_FOUND = 122
    INVALID_SHARE_SESSION_EPOCH = 123
    FENCED_STATE_EPOCH = 124
    INVALID_VOTER_KEY = 125
    DUPLICATE_VOTER = 126
    VOTER_NOT_FOUND = 127
    INVALID_REGULAR_EXPRESSION = 128
    REBOOTSTRAP_REQUIRED = 129
    STREAMS_INVALID_TOPOLOGY = 130
    STREAMS_INVALID_TOPOLOGY_EPOCH = 131
    STREAMS_TOPOLOGY_FENCED = 132
    SHARE_SESSION_LIMIT_REACHED = 133


_E = ErrorCode

_LOCAL_TEXTS: dict[int, str] = {
    _E._BAD_MSG: "Malformed record or batch",
    _E._BAD_COMPRESSION: "Compressed data cannot be decompressed",
    _E._DESTROY: "The client is being closed",
    _E._FAIL: "Communication with the broker failed",
    _E._TRANSPORT: "No connection to the broker",
    _E._CRIT_SYS_RESOURCE: "The operating system refused a vital resource",
    _E._RESOLVE: "The broker's address cannot be resolved",
    _E._MSG_TIMED_OUT: "Message timed out",
    _E._PARTITION_EOF: "End of partition reached",
    _E._UNKNOWN_PARTITION: "Unknown partition",
    _E._FS: "File system error",
    _E._UNKNOWN_TOPIC: "Unknown topic",
    _E._ALL_BROKERS_DOWN: "No broker can be reached",
    _E._INVALID_ARG: "Invalid argument or configuration",
    _E._TIMED_OUT: "Timed out",
    _E._QUEUE_FULL: "Queue full",
    _E._ISR_INSUFF: "Too few in-sync replicas",
    _E._NODE_UPDATE: "Broker address changed",
    _E._SSL: "TLS failure",
    _E._WAIT_COORD: "Waiting for the coordinator",
    _E._UNKNOWN_GROUP: "Unknown group",
    _E._IN_PROGRESS: "Operation under way",
    _E._PREV_IN_PROGRESS: "An earlier operation is still under way",
    _E._EXISTING_SUBSCRIPTION: "Conflicts with the present subscription",
    _E._ASSIGN_PARTITIONS: "Partitions are to be assigned",
    _E._REVOKE_PARTITIONS: "Partitions are to be revoked",
    _E._CONFLICT: "Conflicting use",
    _E._STATE: "Not allowed in the present state",
    _E._UNKNOWN_PROTOCOL: "Unknown protocol",
    _E._NOT_IMPLEMENTED: "Not implemented",
    _E._AUTHENTICATION: "Authentication failed",
    _E._NO_OFFSET: "No offset is stored",
    _E._OUTDATED: "Superseded by something newer",
    _E._TIMED_OUT_QUEUE: "Timed out while queued",
    _E._UNSUPPORTED_FEATURE: "The broker does not support this feature",
    _E._WAIT_CACHE: "Waiting for a cache to be refreshed",
    _E._INTR: "Interrupted",
    _E._KEY_SERIALIZATION: "The key could not be serialized",
    _E._VALUE_SERIALIZATION: "The value could not be serialized",
    _E._KEY_DESERIALIZATION: "The key could not be deserialized",
    _E._VALUE_DESERIALIZATION: "The value could not be deserialized",
    _E._PARTIAL: "Incomplete response",
    _E._READ_ONLY: "Object is read-only",
    _E._NOENT: "No such entry",
    _E._UNDERFLOW: "Data ended too early",
    _E._INVALID_TYPE: "Wrong type",
    _E._RETRY: "Retry the operation",
    _E._PURGE_QUEUE: "Purged while queued",
    _E._PURGE_INFLIGHT: "Purged while in flight",
    _E._FATAL: "Fatal error: this client cannot go on",
    _E._INCONSISTENT: "Inconsistent state",
    _E._GAPLESS_GUARANTEE: "Going on would leave a gap in the order of records",
    _E._MAX_POLL_EXCEEDED: "The application polled too seldom (max.poll.interval.ms)",
    _E._UNKNOWN_BROKER: "Unknown broker",
    _E._NOT_CONFIGURED: "Not configured for this function",
    _E._FENCED: "Fenced by a newer instance",
    _E._APPLICATION: "Error raised by the application",
    _E._ASSIGNMENT_LOST: "Partition assignment lost",
    _E._NOOP: "Nothing was done",
    _E._AUTO_OFFSET_RESET: "No valid offset, and auto.offset.reset is error",
    _E._LOG_TRUNCATION: "The partition log was truncated",
    _E._INVALID_DIFFERENT_RECORD: "Another record of the same batch was invalid",
    _E._DESTROY_BROKER: "The broker handle was closed while the client lives on",
}

_WIRE_TEXTS: dict[int, str] = {
    _E.UNKNOWN: "Unexpected error in the broker",
    _E.NO_ERROR: "Success",
    _E.OFFSET_OUT_OF_RANGE: "Offset out of range",
    _E.INVALID_MSG: "Corrupt record or batch",
    _E.UNKNOWN_TOPIC_OR_PART: "Unknown topic or partition",
    _E.INVALID_MSG_SIZE: "Invalid message size",
    _E.LEADER_NOT_AVAILABLE: "The partition has no leader at present",
    _E.NOT_LEADER_FOR_PARTITION: "This broker does not lead the partition",
    _E.REQUEST_TIMED_OUT: "Request timed out",
    _E.BROKER_NOT_AVAILABLE: "Broker not available",
    _E.REPLICA_NOT_AVAILABLE: "Replica not available",
    _E.MSG_SIZE_TOO_LARGE: "Message too large",
    _E.STALE_CTRL_EPOCH: "The controller has moved on to a newer epoch",
    _E.OFFSET_METADATA_TOO_LARGE: "Offset metadata too large",
    _E.NETWORK_EXCEPTION: "Disconnected before the response came",
    _E.COORDINATOR_LOAD_IN_PROGRESS: "The coordinator is still loading its state",
    _E.COORDINATOR_NOT_AVAILABLE: "Coordinator not available",
    _E.NOT_COORDINATOR: "This broker is not the coordinator",
    _E.TOPIC_EXCEPTION: "Invalid topic",
    _E.RECORD_LIST_TOO_LARGE: "Batch larger than a log segment",
    _E.NOT_ENOUGH_REPLICAS: "Too few in-sync replicas",
    _E.NOT_ENOUGH_REPLICAS_AFTER_APPEND: "Appended, but to too few in-sync replicas",
    _E.INVALID_REQUIRED_ACKS: "Invalid value of acks",
    _E.ILLEGAL_GENERATION: "The group has another generation",
    _E.INCONSISTENT_GROUP_PROTOCOL: "The members of the group share no protocol",
    _E.INVALID_GROUP_ID: "Invalid group.id",
    _E.UNKNOWN_MEMBER_ID: "Unknown group member",
    _E.INVALID_SESSION_TIMEOUT: "Session timeout outside the broker's limits",
    _E.REBALANCE_IN_PROGRESS: "The group is rebalancing",
    _E.INVALID_COMMIT_OFFSET_SIZE: "Committed offset data too large",
    _E.TOPIC_AUTHORIZATION_FAILED: "Not allowed on this topic",
    _E.GROUP_AUTHORIZATION_FAILED: "Not allowed on this group",
    _E.CLUSTER_AUTHORIZATION_FAILED: "Not allowed on this cluster",
    _E.INVALID_TIMESTAMP: "Timestamp outside the allowed range",
    _E.UNSUPPORTED_SASL_MECHANISM: "SASL mechanism not supported",
    _E.ILLEGAL_SASL_STATE: "Request out of place in the SASL exchange",
    _E.UNSUPPORTED_VERSION: "Protocol version not supported",
    _E.TOPIC_ALREADY_EXISTS: "Topic already exists",
    _E.INVALID_PARTITIONS: "Invalid number of partitions",
    _E.INVALID_REPLICATION_FACTOR: "Invalid replication factor",
    _E.INVALID_REPLICA_ASSIGNMENT: "Invalid replica assignment",
    _E.INVALID_CONFIG: "Invalid configuration",
    _E.NOT_CONTROLLER: "This broker is not the controller",
    _E.INVALID_REQUEST: "Invalid request",
    _E.UNSUPPORTED_FOR_MESSAGE_FORMAT: "The record format does not support this request",
    _E.POLICY_VIOLATION: "Refused by policy",
    _E.OUT_OF_ORDER_SEQUENCE_NUMBER: "Producer sequence number out of order",
    _E.DUPLICATE_SEQUENCE_NUMBER: "Producer sequence number seen before",
    _E.INVALID_PRODUCER_EPOCH: "Producer epoch too old",
    _E.INVALID_TXN_STATE: "Not allowed in the transaction's present state",
    _E.INVALID_PRODUCER_ID_MAPPING: "The producer id does not belong to this transactional id",
    _E.INVALID_TRANSACTION_TIMEOUT: "Transaction timeout above the broker's maximum",
    _E.CONCURRENT_TRANSACTIONS: "Another operation on this transaction is under way",
    _E.TRANSACTION_COORDINATOR_FENCED: "Fenced by a newer transaction coordinator",
    _E.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "Not allowed on this transactional id",
    _E.SECURITY_DISABLED: "Security is switched off",
    _E.OPERATION_NOT_ATTEMPTED: "Not attempted, because another part of the request failed",
    _E.KAFKA_STORAGE_ERROR: "Storage error",
    _E.LOG_DIR_NOT_FOUND: "The broker has no such log directory",
    _E.SASL_AUTHENTICATION_FAILED: "SASL authentication failed",
    _E.UNKNOWN_PRODUCER_ID: "Unknown producer id",
    _E.REASSIGNMENT_IN_PROGRESS: "The partition is being reassigned",
    _E.DELEGATION_TOKEN_AUTH_DISABLED: "Delegation tokens are switched off",
    _E.DELEGATION_TOKEN_NOT_FOUND: "Unknown delegation token",
    _E.DELEGATION_TOKEN_OWNER_MISMATCH: "The principal neither owns nor may renew this token",
    _E.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED: "Delegation tokens are not served on this connection",
    _E.DELEGATION_TOKEN_AUTHORIZATION_FAILED: "Not allowed on this delegation token",
    _E.DELEGATION_TOKEN_EXPIRED: "Delegation token expired",
    _E.INVALID_PRINCIPAL_TYPE: "Principal type not supported",
    _E.NON_EMPTY_GROUP: "The group still has members",
    _E.GROUP_ID_NOT_FOUND: "No such group",
    _E.FETCH_SESSION_ID_NOT_FOUND: "Unknown fetch session",
    _E.INVALID_FETCH_SESSION_EPOCH: "Invalid fetch session epoch",
    _E.LISTENER_NOT_FOUND: "The leader has no matching listener",
    _E.TOPIC_DELETION_DISABLED: "Deleting topics is switched off",
    _E.FENCED_LEADER_EPOCH: "Leader epoch older than the broker's",
    _E.UNKNOWN_LEADER_EPOCH: "Leader epoch newer than the broker's",
    _E.UNSUPPORTED_COMPRESSION_TYPE: "Compression type not supported",
    _E.STALE_BROKER_EPOCH: "Broker epoch out of date",
    _E.OFFSET_NOT_AVAILABLE: "The leader's high watermark has not caught up yet",
    _E.MEMBER_ID_REQUIRED: "Join again with the member id that was given",
    _E.PREFERRED_LEADER_NOT_AVAILABLE: "Preferred leader not available",
    _E.GROUP_MAX_SIZE_REACHED: "The group is full",
    _E.FENCED_INSTANCE_ID: "Another member uses the same group.instance.id",
    _E.ELIGIBLE_LEADERS_NOT_AVAILABLE: "No eligible leader available",
    _E.ELECTION_NOT_NEEDED: "No leader election needed",
    _E.NO_REASSIGNMENT_IN_PROGRESS: "No reassignment is under way",
    _E.GROUP_SUBSCRIBED_TO_TOPIC: "The group is subscribed to this topic",
    _E.INVALID_RECORD: "The broker rejected a record",
    _E.UNSTABLE_OFFSET_COMMIT: "Offsets of an unfinished transaction are pending",
    _E.THROTTLING_QUOTA_EXCEEDED: "Quota exceeded",
    _E.PRODUCER_FENCED: "Fenced by a newer producer with the same transactional.id",
    _E.RESOURCE_NOT_FOUND: "No such resource",
    _E.DUPLICATE_RESOURCE: "The request names a resource twice",
    _E.UNACCEPTABLE_CREDENTIAL: "Credential not acceptable",
    _E.INCONSISTENT_VOTER_SET: "Sender or receiver is not an expected voter",
    _E.INVALID_UPDATE_VERSION: "Invalid update version",
    _E.FEATURE_UPDATE_FAILED: "Features could not be updated",
    _E.PRINCIPAL_DESERIALIZATION_FAILURE: "The forwarded principal could not be read",
    _E.UNKNOWN_TOPIC_ID: "Unknown topic id",
    _E.INCONSISTENT_TOPIC_ID: "The topic id is not the one in the log",
    _E.TRANSACTIONAL_ID_NOT_FOUND: "No such transactional id",
    _E.INELIGIBLE_REPLICA: "The replica may not join the in-sync replicas",
    _E.NEW_LEADER_ELECTED: "The change made another replica the leader",
    _E.FENCED_MEMBER_EPOCH: "Member epoch fenced by the coordinator",
    _E.UNRELEASED_INSTANCE_ID: "group.instance.id is still held by another member",
    _E.UNSUPPORTED_ASSIGNOR: "Assignor not supported by the group",
    _E.STALE_MEMBER_EPOCH: "Member epoch out of date",
    _E.MISMATCHED_ENDPOINT_TYPE: "Request sent to the wrong kind of endpoint",
    _E.UNSUPPORTED_ENDPOINT_TYPE: "Kind of endpoint not supported",
    _E.UNKNOWN_CONTROLLER_ID: "Unknown controller id",
    _E.UNKNOWN_SUBSCRIPTION_ID: "Unknown telemetry subscription",
    _E.TELEMETRY_TOO_LARGE: "Telemetry larger than the broker accepts",
    _E.INVALID_REGISTRATION: "Broker registration invalid",
    _E.TRANSACTION_ABORTABLE: "The transaction must be aborted",
    _E.INVALID_RECORD_STATE: "Invalid record state",
    _E.SHARE_SESSION_NOT_FOUND: "Unknown share session",
    _E.INVALID_SHARE_SESSION_EPOCH: "Invalid share session epoch",
    _E.FENCED_STATE_EPOCH: "Share group state epoch does not match",
    _E.INVALID_VOTER_KEY: "The voter key is not this replica's",
    _E.DUPLICATE_VOTER: "Already a voter",
    _E.VOTER_NOT_FOUND: "Not a voter",
    _E.INVALID_REGULAR_EXPRESSION: "Invalid regular expression",
    _E.REBOOTSTRAP_REQUIRED: "The client must bootstrap again",
    _E.STREAMS_INVALID_TOPOLOGY: "Invalid streams topology",
    _E.STREAMS_INVALID_TOPOLOGY_EPOCH: "Invalid streams topology epoch",
    _E.STREAMS_TOPOLOGY_FENCED: "Streams topology epoch out of date",
    _E.SHARE_SESSION_LIMIT_REACHED: "Too many share sessions",
}

_TEXTS: dict[int, str] = {**_LOCAL_TEXTS, **_WIRE_TEXTS}


def describe(code: int) -> str:
    """One short line for people about `code`; an unknown number is named as such, never an error."""
    return _TEXTS.get(code) or f"Unknown error code {int(code)}"


class BrokerError(Exception):
    """A refusal or failure that a client is told about with Kafka's code for it.

    `code` is for programs, `message` for people: it names what was wrong, where, and what to do.
    """

    def __init__(self, code: ErrorCode, message: str | None = None) -> None:
        self.code = code
        self.message = describe(code) if message is None else message
        super().__init__(code, self.message)

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"
