"""Whose log a folder of the log dir holds: its name, and what ``partition.metadata`` in it says. Pure.

As in Kafka (KIP-516, KIP-858): a folder is called ``<topic>-<partition>``, its ``partition.metadata`` has the topic's id, and a
log that no topic of the metadata store owns is set aside under a name that ends in ``-stray``.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection
from typing import Final, NamedTuple

METADATA_NAME: Final = "partition.metadata"
STRAY_SUFFIX: Final = "-stray"
TRASH_PREFIX: Final = ".deleted."
"""Folders of deleted partitions: the daemon gives them such a name once the store knows, and removes them after that."""
TOPIC_ID_BYTES: Final = 16
_VERSION: Final = 0
_MAX_NAME: Final = 255
"""Of a file, on every file system that we know."""
_PARTITION_NAME = re.compile(r"([a-zA-Z0-9._-]+)-([0-9]{1,9})", re.ASCII)


class LogOwner(NamedTuple):
    """A partition of one incarnation of a topic: one that is made again under its old name has another id."""

    topic_id: bytes
    partition: int


class Label(NamedTuple):
    """What ``partition.metadata`` says. Topic and number are for people: Kafka's file has the id alone."""

    topic_id: bytes
    topic: str
    partition: int

    @property
    def owner(self) -> LogOwner:
        return LogOwner(self.topic_id, self.partition)

    def text(self) -> str:
        return (
            f"version: {_VERSION}\ntopic_id: {topic_id_text(self.topic_id)}\n"
            f"topic: {self.topic}\npartition: {self.partition}\n"
        )


def parse_label(text: str) -> Label | None:
    """None for what is no such file, or was not written to its end."""
    pairs = (line.partition(":") for line in text.splitlines())
    fields = {name.strip(): value.strip() for name, _, value in pairs}
    number = fields.get("partition", "")
    if fields.get("version") != str(_VERSION) or not number.isdecimal() or not text.endswith("\n"):
        return None
    topic_id = _parse_topic_id(fields.get("topic_id", ""))
    return None if topic_id is None else Label(topic_id, fields.get("topic", ""), int(number))


def topic_id_text(topic_id: bytes) -> str:
    """22 characters of URL-safe base64, as Kafka prints its uuids."""
    return base64.urlsafe_b64encode(topic_id).rstrip(b"=").decode()


def _parse_topic_id(text: str) -> bytes | None:
    try:
        topic_id = base64.urlsafe_b64decode(f"{text}==")
    except (binascii.Error, ValueError):
        return None
    return topic_id if len(topic_id) == TOPIC_ID_BYTES else None


def partition_folder(topic: str, partition: int) -> str:
    return f"{topic}-{partition}"


def is_partition_name(name: str) -> bool:
    """Whether a folder of this name can be the log of a partition."""
    return _PARTITION_NAME.fullmatch(name) is not None


def is_stray_name(name: str) -> bool:
    return name.endswith(STRAY_SUFFIX)


def stray_name(name: str, topic_id: bytes | None, taken: Collection[str]) -> str:
    """What the folder ``name`` is to be called when it is set aside: ``<name>.<topic id>-stray``, cut where that would be too
    long, and numbered where that is ``taken``."""
    mark = "unknown" if topic_id is None else topic_id_text(topic_id)
    number = 1
    while True:
        suffix = f".{mark}{'' if number == 1 else f'.{number}'}{STRAY_SUFFIX}"
        candidate = name[: _MAX_NAME - len(suffix)] + suffix
        if candidate not in taken:
            return candidate
        number += 1
