from __future__ import annotations

import pytest

from shmbroker.errors import ErrorCode
from shmbroker.protocol.messages import (
    AddPartitionsToTransaction,
    CommitTransactionOffsets,
    EndTransaction,
    InitProducerId,
)
from shmclient.producer.transactions.outcomes import Request, Verdict, application_code, judge

INIT = InitProducerId("id")
ADD = AddPartitionsToTransaction("id", 1, 0, [])
OFFSETS = CommitTransactionOffsets("id", 1, 0, "g", [])
END = EndTransaction("id", 1, 0, committed=True)
ALL = [INIT, ADD, OFFSETS, END]


@pytest.mark.parametrize("request_", ALL, ids=lambda request: type(request).__name__)
def test_there_is_a_verdict_for_every_code(request_: Request) -> None:
    assert {judge(request_, code) for code in ErrorCode} <= set(Verdict)


@pytest.mark.parametrize("request_", ALL, ids=lambda request: type(request).__name__)
def test_some_codes_mean_the_same_everywhere(request_: Request) -> None:
    assert judge(request_, ErrorCode._TRANSPORT) is Verdict.RETRY
    assert judge(request_, ErrorCode.CONCURRENT_TRANSACTIONS) is Verdict.RETRY
    assert judge(request_, ErrorCode.PRODUCER_FENCED) is Verdict.FATAL
    assert judge(request_, ErrorCode.INVALID_TXN_STATE) is Verdict.FATAL


@pytest.mark.parametrize(
    ("request_", "code", "verdict"),
    [
        (INIT, ErrorCode.INVALID_REQUEST, Verdict.FATAL),
        (ADD, ErrorCode.UNKNOWN_TOPIC_OR_PART, Verdict.RETRY),
        (OFFSETS, ErrorCode.UNKNOWN_TOPIC_OR_PART, Verdict.RETRY),
        (END, ErrorCode.UNKNOWN_TOPIC_OR_PART, Verdict.ABORTABLE),
        (ADD, ErrorCode.INVALID_PRODUCER_ID_MAPPING, Verdict.NEW_IDENTITY),
        (OFFSETS, ErrorCode.INVALID_PRODUCER_ID_MAPPING, Verdict.FATAL),
        (END, ErrorCode.INVALID_PRODUCER_ID_MAPPING, Verdict.NEW_IDENTITY),
        (OFFSETS, ErrorCode.ILLEGAL_GENERATION, Verdict.ABORTABLE),
        (OFFSETS, ErrorCode.STALE_MEMBER_EPOCH, Verdict.ABORTABLE),
    ],
)
def test_other_codes_depend_on_what_was_asked(request_: Request, code: ErrorCode, verdict: Verdict) -> None:
    assert judge(request_, code) is verdict


def test_the_application_hears_one_code_for_being_fenced() -> None:
    assert application_code(ErrorCode.PRODUCER_FENCED) == ErrorCode._FENCED
    assert application_code(ErrorCode.INVALID_PRODUCER_EPOCH) == ErrorCode._FENCED
    assert application_code(ErrorCode.INVALID_RECORD) == ErrorCode.INVALID_RECORD
