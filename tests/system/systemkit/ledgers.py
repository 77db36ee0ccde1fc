"""The checker of the kill test: what was acknowledged, what was seen, what the log holds."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from chaos_records import ACK, RECORD, SEEN

from shmclient import OFFSET_BEGINNING, Consumer, TopicPartition
from systemkit.waiting import DEADLINE_S


class Entry(NamedTuple):
    writer: int
    lane: int
    number: int


Log = dict[int, list[Entry]]
"""Partition -> its records; the index is the offset."""


def read_log(address: str, topic: str, partitions: int) -> Log:
    """Everything in the topic, read by a fresh consumer; AssertionError unless offsets run from 0 without a gap."""
    log: Log = {number: [] for number in range(partitions)}
    config = {"bootstrap.servers": address, "group.id": "checker", "enable.auto.commit": False}
    with Consumer(config) as consumer:
        ends = {
            number: consumer.get_watermark_offsets(TopicPartition(topic, number), DEADLINE_S)[1]
            for number in log
        }
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in log])
        while any(len(log[number]) < ends[number] for number in log):
            messages = consumer.consume(10_000, 1) or consumer.consume(1, DEADLINE_S)
            assert messages, f"read {[len(log[n]) for n in log]} of {ends} and then nothing more"
            for message in messages:
                assert message.error() is None, message.error()
                records = log[message.partition()]
                assert message.offset() == len(records), f"offset {message.offset()} after {len(records) - 1}"
                records.append(Entry(*RECORD.unpack_from(message.value())))
    return log


def check_order(log: Log) -> None:
    """Each lane of each writer is in one partition, from 0 on, without a hole, a repetition or a swap."""
    next_number: dict[tuple[int, int], int] = defaultdict(int)
    homes: dict[tuple[int, int], int] = {}
    for partition, records in log.items():
        for offset, (writer, lane, number) in enumerate(records):
            key = writer, lane
            assert homes.setdefault(key, partition) == partition, f"lane {key} is in two partitions"
            assert number == next_number[key], (
                f"[{partition}] offset {offset}: writer {writer} lane {lane} has {number} where"
                f" {next_number[key]} is next: {'lost' if number > next_number[key] else 'repeated'}"
            )
            next_number[key] += 1


def counts(log: Log) -> dict[tuple[int, int], int]:
    """(writer, lane) -> records in the log."""
    found: dict[tuple[int, int], int] = defaultdict(int)
    for records in log.values():
        for entry in records:
            found[entry.writer, entry.lane] += 1
    return found


def check_acknowledged(log: Log, ledger: Path) -> int:
    """Every acknowledged record is at the offset its producer was told; returns how many there are."""
    told = set()
    for writer, lane, number, partition, offset in whole_entries(ledger, ACK):
        assert offset < len(log[partition]), f"acknowledged [{partition}] {offset} is not in the log"
        assert log[partition][offset] == (writer, lane, number), (
            f"[{partition}] {offset} holds another record"
        )
        assert (lane, number) not in told, f"writer {writer}: lane {lane} number {number} was reported twice"
        told.add((lane, number))
    return len(told)


def check_seen(log: Log, ledgers: list[Path]) -> int:
    """Each consumer of a group saw every position once and in order, what it saw is in the log, and no successor began
    behind a position its predecessor had not seen. Returns how many records were seen in all."""
    reached: dict[int, int] = defaultdict(int)
    total = 0
    for ledger in ledgers:
        position: dict[int, int] = {}
        for partition, offset, writer, lane, number in whole_entries(ledger, SEEN):
            expected = position.get(partition)
            if expected is None:
                assert offset <= reached[partition], f"{ledger.name}: [{partition}] began at {offset}, a gap"
            else:
                assert offset == expected, f"{ledger.name}: [{partition}] {offset} after {expected - 1}"
            assert log[partition][offset] == (writer, lane, number), f"[{partition}] {offset} differs"
            position[partition] = offset + 1
            reached[partition] = max(reached[partition], offset + 1)
            total += 1
    return total


def seen_up_to(ledger: Path) -> dict[int, int]:
    """Partition -> the offset after the last one written down."""
    return {entry[0]: entry[1] + 1 for entry in whole_entries(ledger, SEEN)}


def whole_entries(ledger: Path, layout: object) -> list[tuple[int, ...]]:
    """A kill can cut the last entry short: it was not written down."""
    data = ledger.read_bytes() if ledger.exists() else b""
    return list(layout.iter_unpack(data[: len(data) // layout.size * layout.size]))  # type: ignore[attr-defined]
