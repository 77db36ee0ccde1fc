from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from shmbroker.log import segment
from shmbroker.log.times import largest_timestamp_in


def path_of(log: Any) -> Path:
    return Path(log.folder / segment.file_name(0))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("interval", [0, 4096, 100_000])
def test_the_largest_timestamp_is_found_whatever_the_order(
    open_log: Any, batch: Any, seed: int, interval: int
) -> None:
    rng = random.Random(seed)
    log = open_log(index_interval_bytes=interval, segment_bytes=1 << 24)
    timestamps = [rng.randrange(1000, 10**6) for _ in range(120)]
    for timestamp in timestamps:
        log.append(batch([bytes(rng.randrange(3000))], timestamp))
    assert largest_timestamp_in(path_of(log)) == max(timestamps)


def test_the_brokers_stamp_counts_where_there_is_one(log: Any, batch: Any) -> None:
    log.append(batch([b"x"], 10**15), append_time=5000)
    assert largest_timestamp_in(path_of(log)) == 5000


def test_a_segment_without_timestamps_is_as_old_as_its_file(log: Any, batch: Any) -> None:
    log.append(batch([b"x"], -1))
    os.utime(path_of(log), (1234.5, 1234.5))
    assert largest_timestamp_in(path_of(log)) == 1_234_500


def test_so_is_one_that_is_damaged(log: Any, batch: Any) -> None:
    log.append(batch([b"x"], 10**15))
    log.writer.close()
    path_of(log).write_bytes(b"garbage" * 5000)
    os.utime(path_of(log), (1234.5, 1234.5))
    assert largest_timestamp_in(path_of(log)) == 1_234_500


def test_one_that_is_not_there_is_an_error(log: Any) -> None:
    with pytest.raises(FileNotFoundError):
        largest_timestamp_in(log.folder / segment.file_name(77))
