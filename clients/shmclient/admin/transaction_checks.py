"""Checks of the arguments of admin calls about transactions."""

from __future__ import annotations

from typing import Any

from shmclient.admin.transactions import AbortTransactionSpec, TransactionState
from shmclient.topic_partition import TopicPartition

_MAX_INT64 = 2**63 - 1
_MAX_EPOCH = 2**15 - 1


def transactional_ids(given: Any) -> list[str]:
    """Each of them once."""
    if not isinstance(given, list):
        raise TypeError("Expected list of transactional ids")
    if not all(isinstance(each, str) for each in given):
        raise TypeError("Expected list of transactional ids, each a str")
    return list(dict.fromkeys(given))


def partitions(given: Any) -> list[TopicPartition]:
    """Each of them once."""
    if not isinstance(given, list) or not all(isinstance(tp, TopicPartition) for tp in given):
        raise TypeError("Expected list of TopicPartition")
    return list(dict.fromkeys(given))


def states(given: Any) -> list[str]:
    if isinstance(given, str):
        raise TypeError("states must be a collection of TransactionState, not a str")
    return [TransactionState(state).value for state in given or ()]


def producer_ids(given: Any) -> list[int]:
    return [_integer("producer_ids", each, 0, _MAX_INT64) for each in given or ()]


def duration_ms(given: Any) -> int:
    return _integer("duration_ms", given, -1, _MAX_INT64)


def pattern(given: Any) -> str | None:
    """None for one that says nothing."""
    if given is not None and not isinstance(given, str):
        raise TypeError(f"transactional_id_pattern must be a str, not {type(given).__name__}")
    return given or None


def abort_spec(given: Any) -> AbortTransactionSpec:
    if not isinstance(given, AbortTransactionSpec):
        raise TypeError(f"spec must be an AbortTransactionSpec, not {type(given).__name__}")
    if not isinstance(given.topic_partition, TopicPartition):
        raise TypeError(
            f"topic_partition must be a TopicPartition, not {type(given.topic_partition).__name__}"
        )
    _integer("producer_id", given.producer_id, 0, _MAX_INT64)
    _integer("producer_epoch", given.producer_epoch, 0, _MAX_EPOCH)
    return given


def _integer(name: str, value: Any, lowest: int, highest: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be int, not {type(value).__name__}")
    if not lowest <= value <= highest:
        raise ValueError(f"{name} must be in {lowest}..{highest}, not {value}")
    return value
