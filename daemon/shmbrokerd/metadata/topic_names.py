"""Kafka's rules for topic names."""

from __future__ import annotations

import re
from collections.abc import Iterable

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.shm.table import MAX_TOPIC_NAME_BYTES

_LEGAL = re.compile(r"[a-zA-Z0-9._-]+", re.ASCII)
INTERNAL_TOPICS = frozenset({"__consumer_offsets", "__transaction_state", "__share_group_state"})


def check_topic_name(name: str) -> None:
    """Refuse what Kafka refuses.

    Raises:
        BrokerError: TOPIC_EXCEPTION (Kafka's INVALID_TOPIC_EXCEPTION).
    """
    if name == "":
        problem = "the empty string is not allowed"
    elif name in (".", ".."):
        problem = f"'{name}' is a directory of its own; '.' and '..' are not allowed"
    elif len(name) > MAX_TOPIC_NAME_BYTES:
        problem = f"'{name[:20]}...' has {len(name)} characters; at most {MAX_TOPIC_NAME_BYTES} are allowed"
    elif not _LEGAL.fullmatch(name):
        problem = f"'{name}' may only hold ASCII letters, digits, '.', '_' and '-'"
    else:
        return
    raise BrokerError(ErrorCode.TOPIC_EXCEPTION, f"Topic name is invalid: {problem}")


def colliding_topic(name: str, existing: Iterable[str]) -> str | None:
    """The existing topic, if any, that differs from ``name`` only in '.' and '_': metric names would
    clash."""
    folded = name.replace(".", "_")
    return next((other for other in existing if other != name and other.replace(".", "_") == folded), None)
