"""Checks of what is given to a consumer's methods, with confluent_kafka's errors."""

from __future__ import annotations

from typing import Any

from shmclient.errors import KafkaError, KafkaException
from shmclient.message import Message
from shmclient.topic_partition import OFFSET_INVALID, OFFSET_STORED, TopicPartition
from shmclient.types import OFFSET_BEGINNING, OFFSET_END

_LOGICAL = frozenset({OFFSET_BEGINNING, OFFSET_END, OFFSET_STORED, OFFSET_INVALID})


def topic_partition(given: Any) -> TopicPartition:
    """
    Raises:
        UnicodeEncodeError: for a topic, or metadata, that cannot be sent; sooner than in some later poll().
    """
    if not isinstance(given, TopicPartition):
        raise TypeError(f"expected shmclient.TopicPartition, not {type(given).__name__}")
    given.topic.encode()
    if given.metadata:
        given.metadata.encode()
    return given


def topic_partitions(given: Any) -> list[TopicPartition]:
    if not isinstance(given, list):
        raise TypeError("requires list of TopicPartition")
    for item in given:
        topic_partition(item)
    return given


def partitions_to_assign(given: Any) -> list[TopicPartition]:
    """Partitions each named once, with offsets that mean something.

    Raises:
        KafkaException: _INVALID_ARG.
    """
    wanted = topic_partitions(given)
    keys = {(tp.topic, tp.partition) for tp in wanted}
    if len(keys) != len(wanted) or any(tp.offset < 0 and tp.offset not in _LOGICAL for tp in wanted):
        raise failed("Failed to set assignment", KafkaError._INVALID_ARG)
    return wanted


def offsets_given(message: Any, offsets: Any, purpose: str) -> list[TopicPartition] | None:
    """The offsets that commit() or store_offsets() was asked for; None when neither a message nor offsets were given.

    Raises:
        KafkaException: _INVALID_ARG for a message that is an event.
        ValueError: for both a message and offsets.
    """
    if message is not None and offsets is not None:
        raise ValueError("message and offsets are mutually exclusive")
    if offsets is not None:
        return topic_partitions(offsets)
    if message is None:
        return None
    if not isinstance(message, Message):
        raise TypeError(f"expected shmclient.Message, not {type(message).__name__}")
    error = message.error()
    if error is not None:
        text = f"Cannot {purpose} message with error: '{error.str()}'"
        raise KafkaException(KafkaError(KafkaError._INVALID_ARG, text))
    return [
        TopicPartition(
            message.topic() or "",
            message.partition() or 0,
            (message.offset() or 0) + 1,
            leader_epoch=-1 if message.leader_epoch() is None else message.leader_epoch(),
        )
    ]


def failed(what: str, code: int, problem: str = "") -> KafkaException:
    """``what`` failed, with the code's own text for the reason; ``problem`` says more than that."""
    more = f": {problem}" if problem else ""
    return KafkaException(KafkaError(code, f"{what}: {KafkaError(code).str()}{more}"))
