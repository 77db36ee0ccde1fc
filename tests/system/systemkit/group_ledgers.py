"""The checker of the chaos of groups: what members were given against what the log holds, and against what was committed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from chaos_records import COMMITTED, EVENT, READ, STARTED

from systemkit.ledgers import Log, whole_entries


class Event(NamedTuple):
    kind: int
    partition: int
    began: int
    done: int
    offset: int
    writer: int
    lane: int
    number: int


class Stay(NamedTuple):
    """A member's time with a partition: when it got it, and the offsets it was given, in order."""

    ledger: str
    partition: int
    began: int
    offsets: list[int]


class GroupLedgers:
    """What the members of one group wrote down."""

    def __init__(self, ledgers: list[Path], log: Log) -> None:
        self._log = log
        self.stays: list[Stay] = []
        self.commits: dict[int, list[Event]] = defaultdict(list)
        for ledger in ledgers:
            self._read(ledger)
        for commits in self.commits.values():
            commits.sort(key=attrgetter("done"))

    def _read(self, ledger: Path) -> None:
        current: dict[int, Stay] = {}
        for event in _events(ledger):
            if event.kind == STARTED:
                current[event.partition] = Stay(ledger.name, event.partition, event.began, [])
                self.stays.append(current[event.partition])
            elif event.kind == READ:
                record = self._log[event.partition][event.offset]
                assert record == (event.writer, event.lane, event.number), f"{ledger.name}: {event} differs"
                assert event.partition in current, f"{ledger.name}: {event} of a partition it was not given"
                current[event.partition].offsets.append(event.offset)
            elif event.kind == COMMITTED:
                self.commits[event.partition].append(event)

    def check_nothing_is_lost(self) -> None:
        """Every record was given to somebody."""
        seen: dict[int, set[int]] = defaultdict(set)
        for stay in self.stays:
            seen[stay.partition].update(stay.offsets)
        for partition, records in self._log.items():
            lost = set(range(len(records))) - seen[partition]
            assert not lost, (
                f"[{partition}]: {len(lost)} records were given to nobody, the first is {min(lost)}"
            )

    def check_stays_are_whole(self) -> None:
        """Who has a partition gets record after record."""
        for stay in self.stays:
            if stay.offsets:
                first = stay.offsets[0]
                assert stay.offsets == list(range(first, first + len(stay.offsets))), (
                    f"{stay.ledger}: [{stay.partition}] from {first} with gaps or repetitions"
                )

    def check_repetitions_come_after_the_last_commit(self) -> int:
        """Who gets a partition begins at the last commit that was acknowledged before, or later. Returns how many records were
        given more than once."""
        for stay in self.stays:
            if not stay.offsets:
                continue
            before = [event.offset for event in self.commits[stay.partition] if event.done < stay.began]
            assert stay.offsets[0] >= max(before, default=0), (
                f"{stay.ledger}: [{stay.partition}] began at {stay.offsets[0]},"
                f" when {max(before)} had been committed"
            )
        given = sum(len(stay.offsets) for stay in self.stays)
        return given - sum(map(len, self._log.values()))

    def check_nothing_unseen_is_committed(self) -> None:
        """What is committed was given to somebody who came back for more."""
        seen_up_to: dict[int, int] = defaultdict(int)
        for stay in self.stays:
            if stay.offsets:
                seen_up_to[stay.partition] = max(seen_up_to[stay.partition], stay.offsets[-1] + 1)
        for partition, commits in self.commits.items():
            for event in commits:
                assert event.offset <= seen_up_to[partition], f"{event} of records that nobody saw"

    def check_commits_never_move_back(self) -> None:
        """No commit that began after a later one had been acknowledged was taken: that would be one of a fenced member."""
        for partition, commits in self.commits.items():
            highest, acknowledged_at = 0, 0
            for event in commits:
                is_fenced = event.offset < highest and event.began > acknowledged_at
                assert not is_fenced, f"[{partition}]: {event} was taken after {highest}"
                if event.offset > highest:
                    highest, acknowledged_at = event.offset, event.done


def _events(ledger: Path) -> Iterator[Event]:
    for entry in whole_entries(ledger, EVENT):
        yield Event(*entry)
