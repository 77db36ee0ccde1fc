"""A segment looked at in every page: what is whole is said to be whole, and every single change of a tree page is found."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shmbroker.log import segment
from shmbroker.log.inspection import Inspection, large_pages
from shmbroker.log.pages import BigValue, newest_meta
from shmbroker.log.recovery import SegmentFacts
from shmbroker.log.restore import restore_log
from shmbroker.log.scanning import SegmentScan
from shmbroker.records.builder import ProducerStamp

PAGE = 4096
LAST_PAGE_AT = 136
"""In a meta page."""


def inspected(path: Path, watch: Callable[[int], None] = lambda size: None) -> SegmentFacts:
    fd = os.open(path, os.O_RDONLY)
    try:
        return Inspection(fd, 0, {}, watch).run()
    finally:
        os.close(fd)


@pytest.fixture
def path(log: Any, batch: Callable[..., Any]) -> Path:
    for sequence in range(40):
        log.append(batch([bytes(200)], sequence, ProducerStamp(7, 0, sequence)))
    log.append(batch([bytes(10_000)], 50))
    log.writer.flush()
    log.reader.close()
    log.writer.close()
    return Path(log.folder) / segment.file_name(0)


def test_a_whole_segment_is_whole(path: Path) -> None:
    assert inspected(path) == SegmentFacts("", "", 41, 41, goes_on=False)


def test_who_watches_is_told_of_every_batch(path: Path) -> None:
    told: list[int] = []
    inspected(path, told.append)
    assert len(told) == 41
    assert max(told) > 10_000


def test_a_watch_that_raises_ends_it(path: Path) -> None:
    def stop(_: int) -> None:
        raise InterruptedError("the daemon stops")

    with pytest.raises(InterruptedError):
        inspected(path, stop)


def test_every_page_that_is_in_use_is_missed_when_it_is_empty(path: Path) -> None:
    """Of free pages nobody reads anything."""
    whole = path.read_bytes()
    facts = inspected(path)
    noticed = 0
    for number in range(2, len(whole) // PAGE):
        path.write_bytes(whole[: number * PAGE] + bytes(PAGE) + whole[(number + 1) * PAGE :])
        noticed += inspected(path) != facts
    assert noticed >= 8
    path.write_bytes(whole)
    assert inspected(path) == facts


def test_a_file_cut_short_and_one_without_metas_are_damaged(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(bytes(2 * PAGE) + whole[2 * PAGE :])
    assert inspected(path).damage
    path.write_bytes(whole[: -3 * PAGE])
    assert "cut short" in inspected(path).damage


def test_a_flipped_byte_in_a_batch_is_of_that_batch(path: Path) -> None:
    data = bytearray(path.read_bytes())
    at = data.find(bytes(9000))  # inside of the large one
    data[at + 4500] ^= 1
    path.write_bytes(data)
    facts = inspected(path)
    assert facts.damage == ""
    assert "offset 40" in facts.bad_batch
    assert (facts.batches, facts.log_end) == (40, 40)


@pytest.mark.parametrize("field", [16, 24], ids=["append time", "leader epoch"])
def test_a_flipped_byte_in_what_the_broker_stamped_is_of_that_batch(path: Path, field: int) -> None:
    with SegmentScan(path) as scan:
        large = bytes(list(scan.batches())[-1].data)
    data = path.read_bytes()
    wrong = bytearray(large)
    wrong[field] ^= 1
    path.write_bytes(data.replace(large, bytes(wrong)))
    facts = inspected(path)
    assert facts.damage == ""
    assert "offset 40" in facts.bad_batch
    assert "stamp" in facts.bad_batch


def test_a_page_that_is_neither_used_nor_free_is_missed(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    meta = newest_meta(fd)
    os.close(fd)
    data = bytearray(path.read_bytes())
    at = (meta.txn & 1) * PAGE + LAST_PAGE_AT
    assert int.from_bytes(data[at : at + 8], "little") == meta.last_page
    data[at : at + 8] = (meta.last_page + 1).to_bytes(8, "little")
    path.write_bytes(data[: (meta.last_page + 1) * PAGE] + bytes(PAGE))
    assert inspected(path).damage == f"pages [{meta.last_page + 1}] are neither in use nor free"


@pytest.mark.parametrize(("size", "pages"), [(1, 1), (PAGE - 16, 1), (PAGE - 15, 2), (3 * PAGE, 4)])
def test_a_large_value_has_as_many_pages_as_it_needs_with_its_header(size: int, pages: int) -> None:
    assert large_pages(BigValue(5 * PAGE + 16, size), PAGE) == (5, pages)


def test_a_torn_row_of_a_producer_is_damage_and_no_crash(path: Path) -> None:
    with SegmentScan(path) as scan:
        [row] = scan.rows(segment.PRODUCERS).values()
    data = path.read_bytes()
    for remembered in (0, 1, 9, 0xFFFF):
        path.write_bytes(data.replace(row, row[:22] + remembered.to_bytes(2, "little") + row[24:]))
        assert inspected(path).damage == "the row of producer 7 does not say what its batches say"


@pytest.mark.parametrize("seed", range(4))
def test_whatever_bytes_are_wrong_in_either_segment_the_log_is_restored(
    seed: int, log: Any, batch: Callable[..., Any]
) -> None:
    for sequence in range(30):
        log.append(batch([bytes(200)], sequence, ProducerStamp(sequence % 3, 0, sequence // 3)))
        if sequence == 15:
            log.writer.roll(0)
    log.writer.close()
    log.reader.close()
    files = {file: file.read_bytes() for file in sorted(Path(log.folder).glob("*.mdb"))}
    chooser = random.Random(seed)
    for _ in range(60):
        for file, data in files.items():
            wrong = bytearray(data)
            for _ in range(chooser.choice((0, 1, 3))):
                size = chooser.choice((1, 8, 512))
                at = chooser.randrange(len(wrong) - size)
                wrong[at : at + size] = chooser.choice((chooser.randbytes(size), bytes(size), data[:size]))
            file.write_bytes(wrong)
        assert restore_log(log.folder, lambda _: None)
        for backup in Path(log.folder).glob("*.damaged*"):
            backup.unlink()
