"""What subscribe() is given: topics, patterns, callbacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from shmbroker.errors import BrokerError
from shmclient.consumer.arguments import failed
from shmclient.consumer.membership.steps import Topics
from shmclient.errors import KafkaError
from shmclient.types import TopicPartition

RebalanceCallback = Callable[[Any, list[TopicPartition]], Any]
"""``callback(consumer, partitions)``."""


class Callbacks(NamedTuple):
    on_assign: RebalanceCallback | None = None
    on_revoke: RebalanceCallback | None = None
    on_lost: RebalanceCallback | None = None


def subscription(topics: Any, callbacks: Callbacks) -> Topics:
    """Topics by name, and one pattern out of those that start with ``^``.

    Raises:
        TypeError: for topics that are no list of text, or a callback that cannot be called.
        UnicodeEncodeError: for a name that is no text that could be sent.
        KafkaException: _INVALID_ARG for no topic at all, an empty name, a name given twice, or an invalid pattern.
    """
    if not isinstance(topics, list):
        raise TypeError("expected list of topic unicode strings")
    names = [name if isinstance(name, str) else str(name) for name in topics]  # as confluent_kafka does
    for name in names:
        name.encode()
    for name, callback in callbacks._asdict().items():
        if callback is not None and not callable(callback):
            raise TypeError(f"{name} expects a callable")
    patterns = [name for name in names if name.startswith("^")]
    if problem := _problem(names, patterns):
        raise failed("Failed to set subscription", KafkaError._INVALID_ARG, problem)
    together = patterns[0] if len(patterns) == 1 else "|".join(f"(?:{pattern})" for pattern in patterns)
    return Topics(tuple(name for name in names if not name.startswith("^")), together or None)


def _problem(names: list[str], patterns: list[str]) -> str:
    """What makes no sense about a subscription; empty when it does."""
    if not names:
        return "no topic is named; unsubscribe() ends a subscription"
    if not all(names):
        return "the name of a topic is empty"
    if len(set(names)) < len(names):
        (twice, _), *_ = Counter(names).most_common(1)
        return f"'{twice[:250]}' is named twice"
    return next(filter(None, map(_pattern_problem, patterns)), "")


def _pattern_problem(pattern: str) -> str:
    from shmbroker.patterns import compile_pattern

    try:
        compile_pattern(pattern)
    except BrokerError as error:
        return error.message
    return ""
