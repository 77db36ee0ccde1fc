import mmap
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shmbroker.errors import BrokerError
from shmbroker.shm.session import (
    COMPLETION_BYTES,
    HEADER_BYTES,
    MAGIC,
    VERSION,
    SessionKind,
    SessionLayout,
    consumer_layout,
    producer_layout,
    read_header,
    write_header,
)

REGION_BYTES = 16384
POWERS = st.sampled_from([1 << power for power in range(6, 12)])


def region_of(words: list[int], size_bytes: int = REGION_BYTES) -> mmap.mmap:
    region = mmap.mmap(-1, size_bytes)
    content = struct.pack(f"<{len(words)}q", *words)[:size_bytes]
    region[: len(content)] = content
    return region


@given(POWERS, POWERS)
def test_a_producers_layout_is_read_as_written(ring_bytes: int, entries: int) -> None:
    layout = producer_layout(ring_bytes, entries)
    region = mmap.mmap(-1, layout.total_bytes)
    write_header(region, layout)
    assert read_header(region) == layout
    assert layout.ring_start == HEADER_BYTES
    assert layout.completions_start == HEADER_BYTES + ring_bytes
    assert layout.total_bytes == HEADER_BYTES + ring_bytes + entries * COMPLETION_BYTES


@given(st.integers(1, 70_000))
def test_a_consumer_has_a_bit_for_every_slot(slots: int) -> None:
    layout = consumer_layout(slots)
    region = mmap.mmap(-1, layout.total_bytes)
    write_header(region, layout)
    assert read_header(region) == layout
    assert layout.interest_bytes * 8 >= slots


@pytest.mark.parametrize("size", [0, 1, 63, 65, 96, -64])
def test_a_ring_that_is_no_power_of_two_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"{size} is not a power of two"):
        producer_layout(size, 64)
    with pytest.raises(ValueError, match=f"{size} is not a power of two"):
        producer_layout(64, size)


WORD = st.one_of(
    st.sampled_from([0, 1, 2, 3, 64, 128, 1024, -1, 1 << 40, (1 << 63) - 1, -(1 << 63)]),
    st.integers(-(1 << 63), (1 << 63) - 1),
)


@given(st.lists(WORD, min_size=4, max_size=4))
@example([1, 0, 1024, 64])
@example([2, 64, 0, 0])
@example([2, 0, 0, 0])
@example([1, 0, 1 << 40, 64])
def test_a_layout_that_somebody_scribbled_on_is_refused_or_lies_in_the_region(figures: list[int]) -> None:
    region = region_of([MAGIC, VERSION, *figures])
    try:
        layout = read_header(region)
    except BrokerError:
        return
    assert layout == SessionLayout(SessionKind(figures[0]), *figures[1:])
    assert layout.total_bytes <= REGION_BYTES
    assert min(layout) >= 0


@given(st.binary(max_size=2 * HEADER_BYTES).filter(bool))
def test_a_region_of_anything_is_refused(content: bytes) -> None:
    region = mmap.mmap(-1, len(content))
    region[:] = content
    with pytest.raises(BrokerError):
        read_header(region)


def test_another_version_says_to_upgrade_both() -> None:
    with pytest.raises(BrokerError, match="upgrade client and daemon together"):
        read_header(region_of([MAGIC, VERSION + 1, 1, 0, 1024, 64]))
