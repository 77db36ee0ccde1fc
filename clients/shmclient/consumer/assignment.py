"""What a consumer reads: replaced, extended and cut, by the application or by its group."""

from __future__ import annotations

from collections.abc import Callable, Collection

from shmclient.consumer.fetcher import Fetcher
from shmclient.consumer.membership.steps import Partition
from shmclient.consumer.offsets import Offsets
from shmclient.consumer.partitions import AssignedPartition
from shmclient.errors import KafkaError, KafkaException
from shmclient.topic_partition import OFFSET_INVALID, OFFSET_STORED, TopicPartition


class Assignment:
    """``settle()`` settles how far the application got, and takes back records that are on their way to it.

    ``commits``: whether what was delivered is committed before it is taken away (``enable.auto.commit``).
    """

    def __init__(
        self, fetcher: Fetcher, offsets: Offsets, settle: Callable[[], None], *, commits: bool
    ) -> None:
        self._fetcher = fetcher
        self._offsets = offsets
        self._commits = commits
        self.settle = settle

    def keys(self) -> frozenset[Partition]:
        return frozenset(self._fetcher.partitions)

    def replace(self, wanted: list[TopicPartition], *, commit: bool = True) -> None:
        earlier = dict(self._fetcher.partitions)
        self.drop(self.keys(), commit=commit)
        self._start(wanted)
        for key, partition in earlier.items():
            if key in self._fetcher.partitions:
                self._fetcher.partitions[key].committed = partition.committed

    def extend(self, wanted: list[TopicPartition]) -> None:
        """Raises: KafkaException _CONFLICT for a partition that is assigned already; none is added then."""
        for tp in wanted:
            if (tp.topic, tp.partition) in self._fetcher.partitions:
                text = f"{tp.topic} [{tp.partition}] is already part of the current assignment"
                raise KafkaException(KafkaError(KafkaError._CONFLICT, text))
        self._start(wanted)

    def cut(self, wanted: list[TopicPartition], *, commit: bool = True) -> None:
        """Raises: KafkaException _INVALID_ARG for a partition that is not assigned; none is taken away then."""
        for tp in wanted:
            if (tp.topic, tp.partition) not in self._fetcher.partitions:
                text = f"{tp.topic} [{tp.partition}] can't be unassigned since it is not in the current assignment"
                raise KafkaException(KafkaError(KafkaError._INVALID_ARG, text))
        self.drop([(tp.topic, tp.partition) for tp in wanted], commit=commit)

    def start(self, keys: Collection[Partition]) -> None:
        """Read ``keys`` from their committed offsets; one that is read already goes on."""
        missing = [TopicPartition(*key) for key in sorted(keys) if key not in self._fetcher.partitions]
        self._start(missing)

    def drop(self, keys: Collection[Partition], *, commit: bool) -> None:
        """Read ``keys`` no more, those of them that are read. ``commit``: what is to be committed automatically, first."""
        self.settle()
        dropped = [self._fetcher.partitions[key] for key in keys if key in self._fetcher.partitions]
        if commit and self._commits:
            self._offsets.commit_later(self._offsets.uncommitted(dropped), dropped)
        for partition in dropped:
            self._fetcher.remove((partition.topic, partition.number))

    def _start(self, wanted: list[TopicPartition]) -> None:
        for tp in wanted:
            start = OFFSET_STORED if tp.offset == OFFSET_INVALID else tp.offset
            self._fetcher.add(AssignedPartition(tp.topic, tp.partition, start))

    def know(self, keys: Collection[Partition]) -> None:
        """``keys`` can be paused from now on."""
        for key in keys:
            self._fetcher.know(key)
