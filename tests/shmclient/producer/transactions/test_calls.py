from __future__ import annotations

import pytest

from shmclient.errors import KafkaError, KafkaException
from shmclient.producer.transactions import Call, CurrentCall


def test_calls_come_one_at_a_time() -> None:
    current = CurrentCall()
    current.enter(Call.COMMIT)
    for call, code in ((Call.COMMIT, KafkaError._PREV_IN_PROGRESS), (Call.ABORT, KafkaError._CONFLICT)):
        with pytest.raises(KafkaException) as info:
            current.enter(call)
        error = info.value.args[0]
        assert error.code() == code and error.retriable()
    current.leave(is_to_be_resumed=False)
    current.enter(Call.ABORT)


def test_a_call_that_timed_out_is_the_only_one_to_be_made() -> None:
    current = CurrentCall()
    current.enter(Call.COMMIT)
    current.leave(is_to_be_resumed=True)
    with pytest.raises(KafkaException) as info:
        current.enter(Call.ABORT)
    assert info.value.args[0].code() == KafkaError._CONFLICT
    current.enter(Call.COMMIT)
    current.leave(is_to_be_resumed=False)
    current.enter(Call.ABORT)
