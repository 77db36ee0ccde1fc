"""What a handler returns: records to store, the reply, and what is to be done once the records are stored."""

from __future__ import annotations

from typing import NamedTuple

from shmbroker.protocol.messages import ResponseBody
from shmbrokerd.metadata.records import PartitionRow, Record


class OpenLog(NamedTuple):
    """The partition is new: give it its slot and let the broker open its log."""

    partition: PartitionRow


class CloseLog(NamedTuple):
    """The partition is deleted: take its slot back, let the broker close and remove its log."""

    partition: PartitionRow


class Reconfigure(NamedTuple):
    """The settings of the partition's log may have changed."""

    partition: PartitionRow


Effect = OpenLog | CloseLog | Reconfigure


class Decision(NamedTuple):
    records: list[Record]
    reply: ResponseBody
    effects: list[Effect]
