"""What all messages have in common, and what becomes of a request."""

from __future__ import annotations

import msgspec

from shmbroker.errors import ErrorCode

PROTOCOL_VERSION = 3

PUSH = 0
"""Correlation id of a response that the daemon sends without being asked."""
NO_REQUEST = -1
"""Correlation id of a Failure that refuses the connection as a whole."""


class Message(msgspec.Struct, tag=True, array_like=True):
    """Base of all bodies: the class name is the tag, fields are positional on the wire."""


class Failure(Message):
    """The request as a whole was refused."""

    code: ErrorCode
    message: str


class Outcome(Message):
    """What became of one resource of a request that names many."""

    name: str
    code: ErrorCode = ErrorCode.NO_ERROR
    message: str = ""


class OutcomesReply(Message):
    """One :class:`Outcome` for each resource, in the request's order."""

    outcomes: list[Outcome]


class PartitionOutcome(Message):
    topic: str
    partition: int
    offset: int = -1
    code: ErrorCode = ErrorCode.NO_ERROR
    message: str = ""


class PartitionOutcomesReply(Message):
    outcomes: list[PartitionOutcome]
