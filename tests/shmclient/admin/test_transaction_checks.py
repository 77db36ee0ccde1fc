from __future__ import annotations

from typing import Any

import pytest

from shmclient.admin import AbortTransactionSpec, TransactionState
from shmclient.admin import transaction_checks as checks
from shmclient.topic_partition import TopicPartition

TP = TopicPartition("t", 0)


def test_what_is_named_twice_is_asked_for_once() -> None:
    assert checks.transactional_ids(["b", "a", "b"]) == ["b", "a"]
    assert checks.partitions([TP, TopicPartition("t", 1), TP]) == [TP, TopicPartition("t", 1)]


def test_filters_that_say_nothing_are_none() -> None:
    assert (checks.states(None), checks.producer_ids(None), checks.duration_ms(-1)) == ([], [], -1)
    assert checks.pattern(None) is None and checks.pattern("") is None


def test_states_are_given_by_name_or_member() -> None:
    assert checks.states(["Ongoing", TransactionState.EMPTY]) == ["Ongoing", "Empty"]


@pytest.mark.parametrize(
    ("check", "given"),
    [
        (checks.transactional_ids, "abc"),
        (checks.transactional_ids, [1]),
        (checks.partitions, TP),
        (checks.partitions, ["t"]),
        (checks.states, "Ongoing"),
        (checks.producer_ids, 5),
        (checks.producer_ids, ["5"]),
        (checks.producer_ids, [True]),
        (checks.duration_ms, 5.5),
        (checks.duration_ms, None),
        (checks.pattern, 5),
        (checks.abort_spec, (TP, 1, 1)),
        (checks.abort_spec, AbortTransactionSpec("t", 1, 1)),  # type: ignore[arg-type]
        (checks.abort_spec, AbortTransactionSpec(TP, "1", 1)),  # type: ignore[arg-type]
        (checks.abort_spec, AbortTransactionSpec(TP, 1, None)),  # type: ignore[arg-type]
    ],
)
def test_what_has_the_wrong_type_is_refused(check: Any, given: Any) -> None:
    with pytest.raises(TypeError):
        check(given)


@pytest.mark.parametrize(
    ("check", "given"),
    [
        (checks.states, ["Asleep"]),
        (checks.producer_ids, [-1]),
        (checks.producer_ids, [2**63]),
        (checks.duration_ms, -2),
        (checks.abort_spec, AbortTransactionSpec(TP, -1, 1)),
        (checks.abort_spec, AbortTransactionSpec(TP, 1, 2**15)),
    ],
)
def test_what_is_out_of_range_is_refused(check: Any, given: Any) -> None:
    with pytest.raises(ValueError):
        check(given)
