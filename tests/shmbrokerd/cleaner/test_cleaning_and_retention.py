"""``cleanup.policy=compact,delete``: retention takes segments that a pass of the cleaner reads, rewrites or wants to swap."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from shmbroker.errors import BrokerError
from shmbroker.log.reader import LogReader
from shmbroker.log.swapping import Swap, check_swap, swap_steps
from shmbrokerd.broker import retention

BOTH = ("compact", "delete")
DAY_MS = 86_400_000


def take_oldest(log: Any, trash: Path, **limits: int) -> int:
    """What the broker's retainer does with a partition; how many segments went."""
    writer = log.writer
    bases = [*writer.sealed.bases, writer.active_base]
    segments = [
        retention.Segment(base, end, writer.sealed.bytes_of(base), writer.sealed.largest_timestamp(base))
        for base, end in pairwise(bases)
    ]
    config = log.config_with(cleanup_policy=BOTH, **limits)
    figures = retention.Log(writer.log_start, writer.log_end, writer.log_bytes)
    plan = retention.plan(figures, segments, config, None, log.now_ms)
    writer.raise_log_start(plan.new_start)
    files = writer.set_aside(trash)
    for path in files:
        path.unlink()
    return len(files)


def take_one(log: Any, trash: Path) -> int:
    """Retention by size that takes the oldest segment."""
    oldest = log.writer.sealed.bytes_of(log.writer.sealed.bases[0])
    return take_oldest(log, trash, retention_bytes=log.writer.log_bytes - oldest)


def filled(log: Any, segments: int) -> None:
    log.config = log.config_with(segment_bytes=1 << 20)
    for number in range(segments):
        log.append([b"%d" % (number % 3), b"same"], [b"%d" % number] * 2)
        log.seal()


# --- one thing at a time -------------------------------------------------------------------------------------


def test_a_pass_goes_on_with_what_retention_leaves(log: Any, tmp_path: Path) -> None:
    filled(log, 6)
    taken = []

    def pace(_: int) -> None:
        if not taken:
            taken.append(take_one(log, tmp_path / "trash"))

    work = log.compact(pace=pace)
    assert (taken, work.swaps, log.writer.log_start) == ([1], 1, 2)
    assert log.records(2) == [(6, b"0", b"3"), (8, b"1", b"4"), (10, b"2", b"5"), (11, b"same", b"5")]


def test_what_goes_before_the_swap_makes_the_pass_write_anew(log: Any, tmp_path: Path) -> None:
    filled(log, 6)

    def swap(asked: Swap) -> None:
        if asked.base < 4:
            take_one(log, tmp_path / "trash")
        log.writer.replace_segments(asked)

    work = log.compact(swap)
    assert (work.swaps, log.writer.log_start, log.bases()) == (1, 4, [4])
    assert [offset for offset, _, _ in log.records(4)] == [6, 8, 10, 11]
    assert not list(log.folder.glob("*.cleaned"))


def test_a_pass_ends_when_retention_takes_everything(log: Any, tmp_path: Path) -> None:
    filled(log, 4)

    def swap(asked: Swap) -> None:
        take_oldest(log, tmp_path / "trash", retention_bytes=0)
        log.writer.replace_segments(asked)

    assert log.compact(swap).swaps == 0
    assert (log.writer.log_start, log.bases(), log.records(8)) == (8, [], [])


def test_a_compacted_segment_goes_whole_and_the_log_starts_behind_all_it_stands_for(
    log: Any, tmp_path: Path
) -> None:
    filled(log, 4)
    log.compact()
    filled(log, 2)
    assert log.bases() == [0, 8, 10]
    assert take_one(log, tmp_path / "trash") == 1
    assert log.writer.log_start == 8
    log.reopen()
    assert log.writer.log_start == 8


def test_a_log_start_in_the_middle_outlives_swaps_rolls_and_restarts(log: Any) -> None:
    filled(log, 4)
    log.writer.advance_log_start(3)
    log.compact()
    # The segment that offset 3 was in stands for others now, some below the log start and some not.
    assert (log.bases(), log.writer.log_start) == ([2], 3)
    for _ in range(2):
        log.reopen()
        assert log.writer.log_start == 3
        filled(log, 1)
        log.compact()
    assert log.writer.log_start == 3
    assert all(offset >= 3 for offset, _, _ in log.records(3))


def test_a_segment_that_compaction_emptied_is_as_old_as_what_was_in_it(log: Any, tmp_path: Path) -> None:
    log.append([b"a"], [b"1"])
    log.seal()
    (path,) = log.folder.glob("*0000.mdb")
    written_ms = path.stat().st_mtime_ns // 1_000_000
    log.append([b"a"], [b"2"])
    log.config = log.config_with(cleanup_policy=BOTH, segment_bytes=1)
    log.seal()
    log.compact()
    assert log.bases() == [0, 1]
    log.reopen()
    assert log.writer.sealed.largest_timestamp(0) == written_ms


# --- everything in any order ---------------------------------------------------------------------------------


class _KilledError(Exception):
    pass


class Simulation:
    """Appends, rolls, passes, retention, delete_records, kills and restarts, as ``chance`` has it."""

    def __init__(self, log: Any, chance: random.Random, trash: Path) -> None:
        self.log, self.chance, self.trash = log, chance, trash
        self.everything: list[tuple[int, bytes, bytes | None]] = []
        self.position = self.highest_start = self.swaps = self.taken = 0
        self.reader = LogReader(log.folder)
        log.config = log.config_with(
            cleanup_policy=BOTH, segment_bytes=chance.choice([20_000, 60_000, 1 << 17, 1 << 20])
        )
        log.buffer_bytes = chance.choice([24 * 1021, 1 << 20])

    def step(self) -> None:
        acts: list[tuple[float, Callable[[], object]]] = [
            (0.40, self.append),
            (0.20, self.log.seal),
            (0.08, self.retain),
            (0.04, self.delete_records),
            (0.08, self.restart),
            (0.20, self.compact),
        ]
        self.log.now_ms += self.chance.choice([0, 10, 600])
        weights, choices = zip(*acts, strict=True)
        self.chance.choices(choices, weights)[0]()

    def append(self) -> None:
        count = self.chance.randrange(1, 40)
        keys = [b"%d" % self.chance.randrange(self.chance.choice([3, 40])) for _ in range(count)]
        values = [None if self.chance.random() < 0.2 else b"%d" % number for number in range(count)]
        base = self.log.append(keys, values)
        self.everything += zip(range(base, base + count), keys, values, strict=True)

    def retain(self) -> None:
        by_size = {"retention_bytes": self.chance.choice([0, 60_000, 200_000])}
        by_time = {"retention_ms": self.chance.choice([100, 1000, 5000])}
        self.taken += take_oldest(self.log, self.trash, **self.chance.choice([by_size, by_time]))
        self.note_start()

    def delete_records(self) -> None:
        writer = self.log.writer
        writer.advance_log_start(self.chance.randint(writer.log_start, writer.log_end))
        self.note_start()

    def restart(self) -> None:
        self.log.reopen()
        names = [path.name for path in self.log.folder.iterdir()]
        assert not [name for name in names if not name.endswith((".mdb", ".mdb-lock"))]

    def compact(self) -> None:
        """A pass, in the middle of which other things happen: between two batches, or before the swap; or it is killed."""
        steps = self.chance.choice([None, None, None, 0, 1, 2, 3, 4, 5])

        def swap(asked: Swap) -> None:
            self.disturb(0.2)
            if steps is None:
                self.log.writer.replace_segments(asked)
                self.swaps += 1
                return
            check_swap(self.log.folder, asked, self.log.writer.active_base)
            for step in list(swap_steps(self.log.folder, asked))[:steps]:
                step()
            raise _KilledError

        try:
            self.log.compact(swap, pace=lambda _: self.disturb(0.01))
        except _KilledError:
            self.restart()
        except BrokerError:
            # Only a kill by the broker's restart may take the file that is being written.
            assert self.was_restarted
        self.was_restarted = False

    was_restarted = False

    def disturb(self, probability: float) -> None:
        if self.chance.random() < probability:
            act = self.chance.choice(
                [self.append, self.retain, self.delete_records, self.restart, self.log.seal]
            )
            self.was_restarted |= act == self.restart
            act()

    def note_start(self) -> None:
        self.highest_start = max(self.highest_start, self.log.writer.log_start)

    def check(self) -> None:
        log = self.log
        start = log.writer.log_start
        assert start == self.highest_start, "the log start never moves back"
        found = log.records(start)
        offsets = [offset for offset, _, _ in found]
        assert offsets == sorted(set(offsets))
        assert set(found) <= set(self.everything)
        seen = {key: (offset, value) for offset, key, value in found}
        for key, (offset, value) in {key: (offset, value) for offset, key, value in self.everything}.items():
            if offset >= start and (value is not None or key in seen):
                assert seen[key] == (offset, value)
        assert log.writer.log_bytes == sum(path.stat().st_size for path in log.folder.glob("*.mdb"))

    def read_on(self) -> None:
        """A consumer that is somewhere in the log goes on, or from the log start when that has overtaken it."""
        self.position = max(self.position, self.log.writer.log_start)
        for record, _ in zip(self.log.read(self.reader, self.position), range(7), strict=False):
            assert record[0] >= self.position
            assert record in self.everything
            self.position = record[0] + 1


@pytest.mark.parametrize("seed", range(15))
def test_retention_and_compaction_in_any_order_keep_what_is_to_be_kept(
    open_log: Callable[[str], Any], tmp_path: Path, seed: int
) -> None:
    log = open_log(f"topic-{seed}")
    simulation = Simulation(log, random.Random(seed), tmp_path / "trash")
    with closing(simulation.reader):
        for _ in range(40):
            simulation.step()
            simulation.check()
            simulation.read_on()
    log.seal()
    log.reopen()
    while log.compact().swaps:
        pass
    simulation.check()
    keys_left = [key for _, key, _ in log.records(log.writer.log_start)]
    assert len(keys_left) == len(set(keys_left))
