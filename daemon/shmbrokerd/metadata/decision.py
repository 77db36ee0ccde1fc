"""What a handler returns: records to store, the reply, and what is to be done once the records are stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from shmbroker.protocol.messages import GroupAssignment, GroupFenced, ResponseBody
from shmbrokerd.metadata.records import PartitionRow, Record


class OpenLog(NamedTuple):
    """The partition is new: give it its slot and let the broker open its log."""

    partition: PartitionRow


class CloseLog(NamedTuple):
    """The partition is deleted: take its slot back, let the broker close its log, and remove that."""

    partition: PartitionRow
    topic_id: bytes


class Reconfigure(NamedTuple):
    """The settings of the partition's log may have changed."""

    partition: PartitionRow


Effect = OpenLog | CloseLog | Reconfigure


class Push(NamedTuple):
    """To be told to a member of a group that did not ask, if it is connected."""

    group: str
    member_id: str
    body: GroupAssignment | GroupFenced


class Change(NamedTuple):
    """What is decided though nobody asked: time has passed, a client has gone."""

    records: list[Record]
    pushes: Sequence[Push] = ()


class Decision(NamedTuple):
    """What becomes of a request."""

    records: list[Record]
    reply: ResponseBody
    effects: list[Effect]
    pushes: Sequence[Push] = ()
