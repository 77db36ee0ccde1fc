"""What a refusal of the coordinator comes to, request by request: the tables of librdkafka's rdkafka_txnmgr.c."""

from __future__ import annotations

import enum

from shmbroker.errors import ErrorCode
from shmbroker.protocol.messages import (
    AddPartitionsToTransaction,
    CommitTransactionOffsets,
    EndTransaction,
    InitProducerId,
)

Request = InitProducerId | AddPartitionsToTransaction | CommitTransactionOffsets | EndTransaction


class Verdict(enum.Enum):
    RETRY = "retry"
    """It may pass: ask again."""
    ABORTABLE = "abortable"
    """The transaction can only be aborted."""
    NEW_IDENTITY = "new identity"
    """As ABORTABLE, and the coordinator knows the producer no longer: to abort is to ask for another epoch (KIP-360)."""
    FATAL = "fatal"


_PASSING = frozenset(
    {
        ErrorCode._TRANSPORT,
        ErrorCode._TIMED_OUT,
        ErrorCode.REQUEST_TIMED_OUT,
        ErrorCode.CONCURRENT_TRANSACTIONS,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.NOT_COORDINATOR,
        ErrorCode.KAFKA_STORAGE_ERROR,
    }
)
_FENCED = frozenset({ErrorCode.INVALID_PRODUCER_EPOCH, ErrorCode.PRODUCER_FENCED})
_FATAL = _FENCED | {
    ErrorCode.INVALID_TXN_STATE,
    ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    ErrorCode.CLUSTER_AUTHORIZATION_FAILED,
}
_FORGOTTEN = frozenset({ErrorCode.UNKNOWN_PRODUCER_ID, ErrorCode.INVALID_PRODUCER_ID_MAPPING})


def judge(request: Request, code: int) -> Verdict:
    """What ``code`` in the answer to ``request`` means."""
    if code in _PASSING:
        return Verdict.RETRY
    if isinstance(request, InitProducerId) or code in _FATAL:
        return Verdict.FATAL
    if isinstance(request, CommitTransactionOffsets):
        if code in _FORGOTTEN:
            return Verdict.FATAL
        return Verdict.RETRY if code == ErrorCode.UNKNOWN_TOPIC_OR_PART else Verdict.ABORTABLE
    if code in _FORGOTTEN:
        return Verdict.NEW_IDENTITY
    if isinstance(request, AddPartitionsToTransaction) and code == ErrorCode.UNKNOWN_TOPIC_OR_PART:
        return Verdict.RETRY  # the topic may be new; one that is gone fails its records
    return Verdict.ABORTABLE


def application_code(code: int) -> int:
    """The code that the application is told: librdkafka has one for both ways to hear of a newer producer."""
    return ErrorCode._FENCED if code in _FENCED else code
