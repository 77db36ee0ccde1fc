"""What subscribe() is given: topics, patterns, callbacks."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

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
        KafkaException: _INVALID_ARG for no topic at all, an empty name, a name given twice, or an invalid pattern.
    """
    if not isinstance(topics, list):
        raise TypeError("expected list of topic unicode strings")
    names = [name if isinstance(name, str) else str(name) for name in topics]  # as confluent_kafka does
    for name, callback in callbacks._asdict().items():
        if callback is not None and not callable(callback):
            raise TypeError(f"{name} expects a callable")
    patterns = [name for name in names if name.startswith("^")]
    is_sane = names and all(names) and len(set(names)) == len(names)
    if not is_sane or not all(map(_is_pattern, patterns)):
        raise failed("Failed to set subscription", KafkaError._INVALID_ARG)
    together = patterns[0] if len(patterns) == 1 else "|".join(f"(?:{pattern})" for pattern in patterns)
    return Topics(tuple(name for name in names if not name.startswith("^")), together or None)


def _is_pattern(text: str) -> bool:
    """Whether it makes sense as a regular expression. The daemon, whose syntax counts, has the last word when it is joined."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of [[:alpha:]], which is another thing to Python
            re.compile(text)
    except (re.error, RecursionError, OverflowError):
        return False
    return True
