"""Transactions that hang: open in a partition, unknown to the coordinator, so that nobody will ever end them (KIP-664).

They hold back every reader with ``isolation.level=read_committed``. The daemon ends those it finds itself; what is found here
is what it could not end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from shmclient import TopicPartition
    from shmclient.admin import AdminClient, ProducerState, TransactionDescription
    from shmclient.cli.target import Target

Key = tuple[str, int]


class OpenTransaction(NamedTuple):
    """One that is open in the log of a partition."""

    topic: str
    partition: int
    producer_id: int
    producer_epoch: int
    coordinator_epoch: int | None
    start_offset: int
    last_timestamp: int
    """ms since the epoch, of its last record there."""


def open_transactions(
    producers: Mapping[Key, Iterable[ProducerState]], older_than_ms: int, now_ms: int
) -> list[OpenTransaction]:
    """Those whose last record is at least ``older_than_ms`` old, in the order of partitions."""
    return [
        OpenTransaction(
            topic,
            partition,
            each.producer_id,
            each.producer_epoch,
            each.coordinator_epoch,
            each.current_transaction_start_offset,
            each.last_timestamp,
        )
        for (topic, partition), states in sorted(producers.items())
        for each in states
        if each.current_transaction_start_offset is not None and now_ms - each.last_timestamp >= older_than_ms
    ]


def hanging(
    candidates: Sequence[OpenTransaction], known: Iterable[TransactionDescription]
) -> list[OpenTransaction]:
    """The ``candidates`` that no transaction in ``known`` is about to end."""
    ended = {(each.producer_id, tp.topic, tp.partition) for each in known for tp in each.topic_partitions}
    return [each for each in candidates if (each.producer_id, each.topic, each.partition) not in ended]


def find_hanging(
    target: Target, partitions: list[TopicPartition], older_than_ms: int, now_ms: int
) -> list[OpenTransaction]:
    """Ask for the producers of ``partitions``, and the coordinator for what it knows of theirs."""
    found = {
        (tp.topic, tp.partition): target.result(future, str((tp.topic, tp.partition)))
        for tp, future in target.admin.describe_producers(
            partitions, request_timeout=target.timeout_s
        ).items()
    }
    candidates = open_transactions(found, older_than_ms, now_ms)
    if not candidates:
        return []
    return hanging(candidates, _descriptions(target, target.admin, {each.producer_id for each in candidates}))


def _descriptions(target: Target, admin: AdminClient, producer_ids: set[int]) -> list[TransactionDescription]:
    listed = target.result(
        admin.list_transactions(producer_ids=producer_ids, request_timeout=target.timeout_s)
    )
    ids = [each.transactional_id for each in listed]
    futures = admin.describe_transactions(ids, request_timeout=target.timeout_s) if ids else {}
    descriptions = []
    for future in futures.values():
        error = future.exception(target.timeout_s + 1.0)
        if error is None:
            descriptions.append(future.result())
        elif not _is_gone(error):
            target.result(future)
    return descriptions


def _is_gone(error: BaseException) -> bool:
    """It expired between the two questions."""
    from shmclient import KafkaError, KafkaException

    return isinstance(error, KafkaException) and error.args[0].code() == KafkaError.TRANSACTIONAL_ID_NOT_FOUND
