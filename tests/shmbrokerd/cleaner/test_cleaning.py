"""Whole passes over logs on the disk, held to a dumb model: a dict of the last record of each key."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log import segment
from shmbroker.log.reader import LogReader
from shmbroker.log.swapping import Swap, swap_steps
from shmbroker.records.layout import Codec
from shmbrokerd.cleaner.setbacks import NoRoomError


def test_the_last_record_of_each_key_stays_at_its_offset(log: Any) -> None:
    log.append([b"a", b"b", b"a"], [b"1", b"2", b"3"])
    log.append([b"c", b"b"], [b"4", b"5"])
    log.seal()
    log.append([b"a"], [b"6"])
    work = log.compact()
    assert (work.records_read, work.records_kept, work.clean_to) == (5, 3, 5)
    # The active segment is left alone, and does not count.
    assert log.records() == [(2, b"a", b"3"), (3, b"c", b"4"), (4, b"b", b"5"), (5, b"a", b"6")]


def test_a_tombstone_stays_until_its_horizon(log: Any) -> None:
    log.append([b"a", b"b"], [b"1", b"2"])
    log.append([b"a"], [None])
    log.seal()
    log.compact()
    assert log.records() == [(1, b"b", b"2"), (2, b"a", None)]
    for now_ms, is_there in ((1_000_999, True), (1_001_000, False)):
        log.now_ms = now_ms
        log.append([b"c"], [b"x"])
        log.seal()
        log.compact()
        assert ((2, b"a", None) in log.records()) == is_there
    assert (1, b"b", b"2") in log.records()


def test_records_without_a_key_go(log: Any) -> None:
    log.append([None, b"a", None], [b"1", b"2", b"3"])
    log.append(None, [b"4"])
    log.seal()
    log.compact()
    assert log.records() == [(1, b"a", b"2")]


@pytest.mark.parametrize("codec", [Codec.NONE, Codec.GZIP])
def test_what_a_record_carries_stays(log: Any, codec: Codec) -> None:
    headers = [[("h", b"1")], None, [("i", None), ("j", b"2")]]
    log.append(
        [b"a", b"b", b"a"], [b"1", None, b"3"], codec, timestamps=[7, 8, 9], headers=headers, timestamp=7
    )
    log.append([b"c"], [b"4"], codec)
    log.seal()
    log.compact()
    with closing(LogReader(log.folder)) as reader:
        first, second = reader.read(0, 4, 1 << 20, check_crcs=True, active_base=4)
    assert first.offset_list() == [1, 2]
    assert first.timestamp_list() == [8, 9]
    assert first.headers_list() == [None, [("i", None), ("j", b"2")]]
    assert first.value_list() == [None, b"3"]
    assert (first.header.max_timestamp, first.header.codec) == (9, codec)
    assert second.offset_list() == [3]


def test_neighbours_become_one_segment_as_long_as_they_fit(log: Any) -> None:
    for number in range(6):
        log.append([b"%d" % (number % 2)], [bytes(100)])
        log.seal()
    size = log.segments()[0].bytes
    log.config = log.config_with(segment_bytes=size * 3)
    log.compact()
    assert log.bases() == [0, 3]
    assert [offset for offset, _, _ in log.records()] == [4, 5]
    assert [facts.compacted.until for facts in log.segments()] == [3, 6]


def test_a_pass_in_which_nothing_changes_writes_nothing(log: Any) -> None:
    log.append([b"a", b"b"], [b"1", b"2"])
    log.seal()
    assert log.compact().swaps == 1
    assert log.compact().swaps == 0


def test_more_keys_than_there_is_memory_for_take_several_passes(log: Any) -> None:
    log.buffer_bytes = 24 * 1021
    for start in range(0, 3000, 100):
        keys = [b"%d" % key for key in range(start, start + 100)]
        log.append(keys, keys)
        log.append(keys, [b"new"] * 100)
    log.seal()
    ends = []
    while (work := log.compact()).swaps:
        ends.append(work.clean_to)
    assert len(ends) >= 3
    assert ends == sorted(set(ends))
    assert ends[-1] == 6000
    assert [value for _, _, value in log.records()] == [b"new"] * 3000


def test_nothing_beyond_the_last_stable_offset_is_touched(log: Any) -> None:
    log.append([b"a"], [b"1"])
    log.append([b"a"], [b"2"])
    log.append([b"a"], [b"3"])
    log.seal()
    assert log.compact(last_stable=2).clean_to == 2
    assert [offset for offset, _, _ in log.records()] == [1, 2]
    log.compact()
    assert [offset for offset, _, _ in log.records()] == [2]


def test_a_damaged_batch_stops_the_pass_and_changes_nothing(log: Any) -> None:
    log.append([b"a"], [bytes(5000)])
    log.append([b"a"], [bytes(5000)])
    log.seal()
    path = log.folder / segment.file_name(0)
    data = bytearray(path.read_bytes())
    data[data.index(b"SHMB") + 300] ^= 1
    path.write_bytes(data)
    with pytest.raises(BrokerError, match=rf"{path}.*CRC") as caught:
        log.compact()
    assert caught.value.code == ErrorCode.KAFKA_STORAGE_ERROR
    assert not list(log.folder.glob("*.cleaned"))
    assert path.read_bytes() == data


def test_a_swap_into_another_log_than_was_read_is_refused(log: Any) -> None:
    for value in (b"1", b"2"):
        log.append([b"a"], [value])
        log.seal()
    with pytest.raises(BrokerError) as caught:
        log.compact(lambda swap: log.writer.replace_segments(swap._replace(replaced=swap.replaced[:1])))
    assert caught.value.code == ErrorCode.INVALID_REQUEST
    assert log.records() == [(0, b"a", b"1"), (1, b"a", b"2")]
    assert not list(log.folder.glob("*.cleaned"))


def test_without_room_nothing_is_read_and_nothing_written(log: Any) -> None:
    log.append([b"a", b"a"], [b"1", b"2"])
    log.seal()
    log.min_free_bytes = 1 << 60
    with pytest.raises(NoRoomError, match=r"1152921504606846976 more must stay \(log.min.free.bytes\)"):
        log.compact()
    assert log.records() == [(0, b"a", b"1"), (1, b"a", b"2")]
    assert not list(log.folder.glob("*.cleaned"))
    log.min_free_bytes = 0
    log.compact()
    assert log.records() == [(1, b"a", b"2")]


def test_records_without_timestamps_do_not_become_younger(log: Any) -> None:
    log.append([b"a", b"a"], [b"1", b"2"], timestamp=-1)
    log.append([b"b"], [b"3"], timestamp=-1)
    log.seal()
    (path,) = (log.folder / segment.file_name(base) for base in log.bases())
    os.utime(path, (1000, 1000))
    log.writer.sealed.forget(0)
    log.reopen()
    assert log.compact().swaps == 1
    assert log.writer.sealed.largest_timestamp(0) == 1_000_000


def test_a_reader_in_the_middle_of_it_all_misses_nothing_and_sees_nothing_twice(log: Any) -> None:
    for number in range(40):
        log.append([b"%d" % (number % 7)], [b"%d" % number])
        if number % 4 == 3:
            log.seal()
    for stop in range(0, 40, 3):
        with closing(LogReader(log.folder)) as reader:
            seen = []
            reading = log.read(reader)
            for record in reading:
                seen.append(record)
                if record[0] >= stop:
                    log.append([b"0"], [b"more"])
                    log.seal()
                    log.compact()
                    break
            seen += reading
        offsets = [offset for offset, _, _ in seen]
        assert offsets == sorted(set(offsets))
        assert set(log.records()) <= set(seen)


# --- crashes -------------------------------------------------------------------------------------------------


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("done", range(8))
def test_a_kill_at_any_step_of_a_swap_leaves_a_log_that_can_be_read(log: Any, done: int) -> None:
    for number in range(6):
        log.append([b"%d" % (number % 2)], [b"%d" % number])
        log.seal()
    before = log.records()

    def swap(swap: Swap) -> None:
        for _, step in zip(range(done), swap_steps(log.folder, swap), strict=False):
            step()
        raise _KilledError

    kept = []

    def swap_and_keep(asked: Swap) -> None:
        # A builder that is killed does not get to remove its file.
        scratch = log.folder / f"{asked.base:020d}.cleaned"
        kept.append(scratch.read_bytes())
        try:
            swap(asked)
        finally:
            if scratch.exists():
                scratch.rename(scratch.with_suffix(".kept"))

    with pytest.raises(_KilledError):
        log.compact(swap_and_keep)
    for path in log.folder.glob("*.kept"):
        path.rename(path.with_suffix(".cleaned"))
    expected = [(4, b"0", b"4"), (5, b"1", b"5")]
    found = log.records()
    assert set(expected) <= set(found) <= set(before)
    assert found == sorted(found)
    log.reopen()
    found = log.records()
    assert found == (before if done < 2 else expected)
    assert {path.suffix for path in log.folder.iterdir()} <= {".mdb", ".mdb-lock"}
    log.compact()
    assert log.records() == expected


@pytest.mark.parametrize("seed", range(30))
def test_appends_passes_and_crashes_in_any_order_keep_the_last_of_each_key(
    open_log: Callable[[str], Any], seed: int
) -> None:
    chance = random.Random(seed)
    log = open_log(f"topic-{seed}")
    log.buffer_bytes = chance.choice([24 * 1021, 1 << 20])
    everything: list[tuple[int, bytes, bytes | None]] = []
    for step in range(40):
        act = chance.random()
        log.now_ms += chance.choice([0, 10, 600])
        if act < 0.5:
            count = chance.randrange(1, 60)
            keys = [b"%d" % chance.randrange(chance.choice([3, 40])) for _ in range(count)]
            values = [None if chance.random() < 0.2 else b"%d" % step for _ in range(count)]
            base = log.append(keys, values, chance.choice([Codec.NONE, Codec.GZIP]))
            everything += zip(range(base, base + count), keys, values, strict=True)
        elif act < 0.7:
            log.seal()
        elif act < 0.8:
            log.reopen()
        else:
            _compact_and_perhaps_die(log, chance)
        _check(log, everything)
    log.seal()
    log.reopen()
    while log.compact().swaps:
        pass
    _check(log, everything)
    keys_left = [key for _, key, _ in log.records()]
    assert len(keys_left) == len(set(keys_left))


def _compact_and_perhaps_die(log: Any, chance: random.Random) -> None:
    done = chance.randrange(12)

    def swap(swap: Swap) -> None:
        steps = list(swap_steps(log.folder, swap))
        for step in steps[:done]:
            step()
        if done < len(steps):
            raise _KilledError

    try:
        log.compact(swap)
    except _KilledError:
        if chance.random() < 0.5:
            log.reopen()  # else the broker lives, and only the cleaner died


def _check(log: Any, everything: list[tuple[int, bytes, bytes | None]]) -> None:
    """What can be read was written, in order; and no key has lost its last record, but for a tombstone."""
    found = log.records()
    offsets = [offset for offset, _, _ in found]
    assert offsets == sorted(set(offsets))
    assert set(found) <= set(everything)
    last = {key: (offset, value) for offset, key, value in everything}
    seen = {key: (offset, value) for offset, key, value in found}
    for key, (offset, value) in last.items():
        if value is not None:
            assert seen[key] == (offset, value)
        elif key in seen:
            assert seen[key] == (offset, None)


def test_files_of_a_log_are_all_accounted_for(log: Any, tmp_path: Path) -> None:
    for number in range(6):
        log.append([b"a"], [b"%d" % number])
        log.seal()
    log.compact()
    sizes = sum(path.stat().st_size for path in log.folder.glob("*.mdb"))
    assert log.writer.log_bytes == sizes
