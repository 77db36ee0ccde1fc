import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.records import layout
from shmbroker.records.builder import Columns, build_batch
from shmbroker.records.layout import (
    CRC_START,
    HEADER,
    HEADER_BYTES,
    MAX_BATCH_BYTES,
    MAX_BATCH_RECORDS,
    Codec,
    Column,
    Header,
    align,
    check_bounds,
    check_crc,
    check_stamp,
    read_header,
    stamp,
)

Stamped = Callable[..., bytearray]
PLAIN = Columns([b"one", None, b"three"], [b"k", b"", None], [5, 6, 7], [[("h", b"v")], None, []])


def check(data: bytes | bytearray | memoryview) -> Header:
    """All that stands between bytes from elsewhere and those who believe them."""
    header = read_header(data)
    check_stamp(header, data)
    check_crc(header, data)
    return header


def repacked(batch: bytes | bytearray, **changes: object) -> bytes:
    """The batch with other header fields, as a client that builds nonsense would send it."""
    header = read_header(batch)._replace(**changes)
    return HEADER.pack(*header[:-1], *header.ends) + bytes(batch[HEADER_BYTES:])


def test_the_header_says_what_was_built(stamped: Stamped) -> None:
    batch = stamped(PLAIN, base_offset=700, append_time=99)
    header = check(batch)
    assert (header.base_offset, header.last_offset, header.count) == (700, 702, 3)
    assert (header.append_time, header.base_timestamp, header.max_timestamp) == (99, 0, 7)
    assert header.length == len(batch)


@given(st.sampled_from(Header._fields[:-1]), st.integers(0, 0x7F))
def test_a_header_is_judged_by_itself_whatever_was_found_sound_before(field: str, value: int) -> None:
    """Of small batches those that look alike are not examined again: what was changed must make a difference."""
    batch = b"".join(build_batch(PLAIN, 1))
    sound = read_header(batch)
    changed = repacked(batch, **{field: value})
    problem = layout._problem(sound._replace(**{field: value}), len(batch))
    if problem is None:
        assert read_header(changed)._replace(**{field: getattr(sound, field)}) == sound
    else:
        with pytest.raises(BrokerError, match=re.escape(problem)):
            read_header(changed)
    for cut in (batch[:-8], batch + bytes(8)):
        with pytest.raises(BrokerError, match=f"length {len(batch)} in {len(cut)} bytes"):
            read_header(cut)


def test_only_so_many_sound_headers_are_remembered() -> None:
    for size in range(3 * layout.MAX_SHAPES):
        read_header(b"".join(build_batch(Columns([bytes(8 * size)]), 1)))
        assert len(layout._sound_shapes) <= layout.MAX_SHAPES


@given(st.sampled_from(Codec))
@settings(max_examples=4, deadline=None)
def test_every_flipped_bit_is_found(codec: Codec) -> None:
    batch = bytearray(b"".join(build_batch(PLAIN, 1, codec=codec)))
    stamp(batch, 12, -1, 3)
    check(batch)
    for position in range(len(batch)):
        for bit in range(8):
            batch[position] ^= 1 << bit
            with pytest.raises(BrokerError) as refused:
                check(batch)
            assert refused.value.code == ErrorCode.INVALID_MSG
            batch[position] ^= 1 << bit
    check(batch)


@given(data=st.data())
def test_a_flipped_byte_of_any_batch_is_found(data: st.DataObject, columns, codecs, stamped: Stamped) -> None:
    batch = stamped(data.draw(columns), data.draw(codecs))
    position = data.draw(st.integers(0, len(batch) - 1))
    batch[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BrokerError) as refused:
        check(batch)
    assert refused.value.code == ErrorCode.INVALID_MSG


@given(data=st.data())
def test_a_batch_of_any_other_length_is_refused(data: st.DataObject, columns, stamped: Stamped) -> None:
    batch = stamped(data.draw(columns))
    cut = data.draw(st.integers(0, len(batch) - 1))
    for wrong in (batch[:cut], batch + b"\0"):
        with pytest.raises(BrokerError) as refused:
            read_header(wrong)
        assert refused.value.code == ErrorCode.INVALID_MSG


@given(
    st.binary(max_size=200) | st.binary(min_size=HEADER_BYTES - 4, max_size=200).map(lambda b: b"SHMB" + b)
)
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(BrokerError) as refused:
        check(data)
    assert refused.value.code == ErrorCode.INVALID_MSG


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"magic": 1}, "magic"),
        ({"version": 2}, "version 2"),
        ({"header_bytes": 64}, "header of 64"),
        ({"length": 64}, "length 64"),
        ({"codec": 2}, "unknown codec 2"),
        ({"flags": 4}, "unknown flags 0x4"),
        ({"count": 0}, "0 records"),
        ({"count": MAX_BATCH_RECORDS + 1}, "records"),
        ({"count": 2, "last_offset_delta": 0}, "2 records over 0 offsets"),
        ({"last_offset_delta": 7}, "3 records over 8 offsets that no column names"),
        ({"last_offset_delta": 1 << 31}, "3 records over"),
        ({"body_bytes": 8}, "body of 8 bytes"),
        ({"codec": 1, "body_bytes": MAX_BATCH_BYTES + 1}, "body of"),
        ({"count": 4, "last_offset_delta": 3}, "VALUE_OFFSETS of 16 bytes for 4"),
    ],
)
def test_a_field_that_cannot_be_is_named(changes: dict[str, int], reason: str, stamped: Stamped) -> None:
    with pytest.raises(BrokerError, match=reason):
        read_header(repacked(stamped(PLAIN), **changes))


@pytest.mark.parametrize("columns", [PLAIN, Columns([b"one", b"three"])])
@given(data=st.data())
def test_columns_that_leave_the_body_are_refused(
    data: st.DataObject, columns: Columns, stamped: Stamped
) -> None:
    batch = stamped(columns)
    ends = list(read_header(batch).ends)
    column = data.draw(st.integers(0, len(ends) - 1))
    good = ends[column]
    near = st.integers(max(0, good - 9), good + 9)
    ends[column] = data.draw((near | st.integers(0, (1 << 32) - 1)).filter(lambda end: end != good))
    try:
        header = read_header(repacked(batch, ends=tuple(ends)))
    except BrokerError as refused:
        assert refused.code == ErrorCode.INVALID_MSG
    else:  # inside the padding after a byte column: the next one still begins where it did
        assert align(ends[column]) == align(good)
        assert header.ends[column] <= header.body_bytes


def test_offsets_may_be_sparse_only_with_a_column_that_says_which(stamped: Stamped) -> None:
    batch = stamped(Columns([b"a", b"b"]))
    body = batch[HEADER_BYTES:] + bytes(8)
    ends = list(read_header(batch).ends)
    ends[Column.OFFSET_DELTAS] += 8
    header = read_header(batch)._replace(
        ends=tuple(ends), body_bytes=len(body), length=HEADER_BYTES + len(body), last_offset_delta=900
    )
    sparse = HEADER.pack(*header[:-1], *header.ends) + bytes(body)
    assert read_header(sparse).last_offset == 900


@pytest.mark.parametrize("column", [Column.VALUE_OFFSETS, Column.KEY_OFFSETS, Column.HEADER_OFFSETS])
@pytest.mark.parametrize("index", [0, 3], ids=["first", "last"])
def test_offsets_that_do_not_span_their_column_are_refused(
    stamped: Stamped, column: Column, index: int
) -> None:
    batch = stamped(PLAIN)
    header = read_header(batch)
    check_bounds(header, batch)
    at = HEADER_BYTES + (align(header.ends[column - 1]) if column else 0) + 4 * index
    batch[at : at + 4] = (1000).to_bytes(4, "little")
    with pytest.raises(BrokerError, match=column.name) as raised:
        check_bounds(header, batch)
    assert raised.value.code == ErrorCode.INVALID_MSG


def test_stamping_leaves_what_the_producer_wrote(stamped: Stamped) -> None:
    batch = stamped(PLAIN)
    before = bytes(batch[CRC_START - 4 :])
    stamp(batch, 1 << 40, 17, 5)
    header = check(batch)
    assert (header.base_offset, header.append_time, header.leader_epoch) == (1 << 40, 17, 5)
    assert bytes(batch[CRC_START - 4 :]) == before
