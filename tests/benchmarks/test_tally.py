from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.scoreboard import Scoreboard
from benchmarks.tally import BrokenDeliveryError, Tally
from benchmarks.workload import RecordSource, Workload

ONE_TO_ONE = Workload(record_bytes=100).with_records(3000)
FAN = Workload(record_bytes=100, producers=2, consumers=2, partitions=2).with_records(4000)


@pytest.fixture
def scoreboard(tmp_path: Path) -> Scoreboard:
    Scoreboard.create(tmp_path / "scoreboard")
    return Scoreboard(tmp_path / "scoreboard")


def test_everything_in_order_is_accepted(scoreboard: Scoreboard) -> None:
    tally = Tally(ONE_TO_ONE, scoreboard, 0)
    for chunk in RecordSource(ONE_TO_ONE, 0).chunks():
        assert not tally.finished
        tally.add(chunk)
    assert tally.finished
    tally.verify()
    assert scoreboard.total() == 3000


def test_blocks_of_bytes_are_checked_by_their_crc(scoreboard: Scoreboard) -> None:
    tally = Tally(ONE_TO_ONE, scoreboard, 0)
    for block in RecordSource(ONE_TO_ONE, 0).blocks(655):
        tally.add_block(block, len(block) // 100)
    assert tally.finished
    tally.verify()


def test_one_flipped_bit_in_a_block_is_noticed(scoreboard: Scoreboard) -> None:
    tally = Tally(ONE_TO_ONE, scoreboard, 0)
    for number, block in enumerate(RecordSource(ONE_TO_ONE, 0).blocks(655)):
        changed = bytearray(block)
        changed[777] ^= number == 2
        tally.add_block(bytes(changed), len(block) // 100)
    with pytest.raises(BrokenDeliveryError, match="CRC"):
        tally.verify()


@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_chunk_is_noticed(scoreboard: Scoreboard, lost: int) -> None:
    tally = Tally(ONE_TO_ONE, scoreboard, 0)
    chunks = list(RecordSource(ONE_TO_ONE, 0).chunks())
    del chunks[lost]
    with pytest.raises(BrokenDeliveryError, match="position"):
        for chunk in chunks:
            tally.add(chunk)


def test_a_chunk_delivered_twice_is_noticed(scoreboard: Scoreboard) -> None:
    tally = Tally(ONE_TO_ONE, scoreboard, 0)
    chunk = next(RecordSource(ONE_TO_ONE, 0).chunks())
    tally.add(chunk)
    with pytest.raises(BrokenDeliveryError, match="position 1000"):
        tally.add(chunk)


def test_missing_records_at_the_end_are_noticed(scoreboard: Scoreboard) -> None:
    tally = Tally(ONE_TO_ONE, scoreboard, 0)
    tally.add(next(RecordSource(ONE_TO_ONE, 0).chunks()))
    with pytest.raises(BrokenDeliveryError, match="1000 received"):
        tally.verify()


def test_consumers_that_share_the_work_finish_when_their_sum_is_complete(scoreboard: Scoreboard) -> None:
    tallies = [Tally(FAN, scoreboard, number) for number in range(2)]
    for producer in range(2):
        for number, chunk in enumerate(RecordSource(FAN, producer).chunks()):
            assert not tallies[0].finished
            tallies[number].add(chunk)
    assert all(tally.finished for tally in tallies)
    for tally in tallies:
        tally.verify()


def test_a_record_that_nobody_sent_is_noticed_in_shared_work(scoreboard: Scoreboard) -> None:
    tally = Tally(FAN, scoreboard, 0)
    with pytest.raises(BrokenDeliveryError, match="nobody sent"):
        tally.add([bytes(100)])
