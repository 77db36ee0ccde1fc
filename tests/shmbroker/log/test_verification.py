"""A damaged segment must take its partition offline and not the broker: it is checked before LMDB may see it."""

import os
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log import segment
from shmbroker.log.pages import DamageError, PageReader
from shmbroker.log.verification import check_writable
from shmbroker.log.writer import PartitionWriter
from shmbroker.records.builder import ProducerStamp

PAGE = 4096
InChild = Callable[[Callable[[], object]], None]


def check(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        check_writable(fd, PageReader(fd))
    finally:
        os.close(fd)


@pytest.fixture
def closed(log: Any, batch: Any) -> Any:
    """A closed log with all that a segment may hold, and its file's content."""
    for number in range(60):
        stamp = ProducerStamp(number % 7, 0, number // 7)
        log.append(batch([b"%d" % number + bytes(3000 * (number % 3))], number, stamp))
    log.writer.advance_log_start(2)
    log.reader.close()
    log.writer.close()
    log.path = log.folder / segment.file_name(0)
    log.content = log.path.read_bytes()
    return log


def test_a_segment_is_fit_after_any_number_of_commits(log: Any, batch: Any) -> None:
    chooser = random.Random(3)
    for number in range(120):
        stamp = ProducerStamp(chooser.randrange(300), number, 0)
        log.append(batch([bytes(chooser.choice((0, 100, 1000, 5000)))], number, stamp))
        check(log.folder / segment.file_name(log.writer.active_base))


def test_a_segment_of_very_many_producers_is_fit(log: Any, batch: Any) -> None:
    for start in range(0, 4000, 500):
        log.append(*[batch([b"x"], 0, ProducerStamp(start + i, 0, 0)) for i in range(500)])
    log.reopen()
    assert log.append(batch([b"x"], 0, ProducerStamp(3999, 0, 0))) == [(3999, -1, True)]


def test_a_file_cut_short_is_told(closed: Any) -> None:
    needed = len(closed.content)
    os.truncate(closed.path, needed - 1)
    with pytest.raises(DamageError, match=f"cut short: {needed - 1} bytes of at least"):
        check(closed.path)


def test_a_page_that_is_free_and_in_use_is_told(closed: Any) -> None:
    content = bytearray(closed.content)
    newest = max((0, PAGE), key=lambda meta: struct.unpack_from("<Q", content, meta + 144))
    (free_root,) = struct.unpack_from("<Q", content, newest + 80)
    (root,) = struct.unpack_from("<Q", content, newest + 128)
    (pointer,) = struct.unpack_from("<H", content, free_root * PAGE + 16)
    # A list of free pages is a count and so many page numbers. Let it be the root of the tables.
    first_list = free_root * PAGE + pointer + 16
    assert struct.unpack_from("<Q", content, first_list)[0] >= 1
    struct.pack_into("<QQ", content, first_list, 1, root)
    closed.path.write_bytes(content)
    with pytest.raises(DamageError, match=r"in use and free|free twice"):
        check(closed.path)


def positions_of_trees(content: bytes) -> list[int]:
    """Bytes of metas and of tree pages in use or free: all that LMDB itself looks at."""
    positions = [*range(152), *range(PAGE, PAGE + 152)]
    for start in range(2 * PAGE, len(content), PAGE):
        flags, lower = struct.unpack_from("<HH", content, start + 10)
        if flags in (1, 2) and 16 < lower < PAGE:
            positions += range(start, start + lower)
            for (pointer,) in struct.iter_unpack("<H", content[start + 16 : start + lower]):
                positions += range(start + pointer, min(start + pointer + 40, start + PAGE))
    return sorted(set(positions))


def open_and_append(log: Any, batch: Any) -> None:
    """What a broker does with a damaged file: it refuses it, or appends; it never ends."""
    try:
        writer = PartitionWriter(log.folder, **log.settings)
        for number in range(30):
            stamp = ProducerStamp(number % 9, 5, number // 9)
            made = batch([bytes(2500 * (number % 2))], 100 + number, stamp)
            try:
                writer.stage(made.data, made.header, -1)
                writer.commit()
            except BrokerError as error:
                if error.code == ErrorCode.KAFKA_STORAGE_ERROR:
                    return
        writer.close()
    except BrokerError as error:
        assert error.code == ErrorCode.KAFKA_STORAGE_ERROR
        assert str(log.folder) in error.message


def flip_and_append(log: Any, batch: Any, in_child: InChild, positions: list[int]) -> None:
    chooser = random.Random(5)
    at = [0]

    def body() -> None:
        while at[0] < len(positions):
            content = bytearray(log.content)
            content[positions[at[0]]] ^= 1 << chooser.randrange(8)
            log.path.write_bytes(content)
            open_and_append(log, batch)
            at[0] += 1

    in_child(body)


def test_a_flipped_bit_in_a_tree_never_ends_the_broker(closed: Any, batch: Any, in_child: InChild) -> None:
    flip_and_append(closed, batch, in_child, positions_of_trees(closed.content)[7::37])


@pytest.mark.slow
def test_no_flipped_byte_in_any_tree_ends_the_broker(closed: Any, batch: Any, in_child: InChild) -> None:
    flip_and_append(closed, batch, in_child, positions_of_trees(closed.content))
