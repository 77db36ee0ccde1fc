from array import array
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmbroker.records.batch import RecordBatch
from shmbroker.records.builder import (
    Columns,
    PackedColumn,
    ProducerStamp,
    build_batch,
    encode_batch,
    encode_packed,
    encode_single,
    join_columns,
    restamp,
    shift_offsets,
)
from shmbroker.records.layout import Codec, check_crc, read_header


def headers_of(columns: Columns) -> list | None:
    if columns.headers is None or not any(columns.headers):
        return None
    return [list(map(tuple, pairs)) if pairs else None for pairs in columns.headers]


@given(data=st.data(), base_timestamp=st.integers(-(1 << 63), (1 << 63) - 1))
def test_what_goes_in_comes_out(data: st.DataObject, base_timestamp: int, columns, codecs) -> None:
    built = data.draw(columns)
    codec = data.draw(codecs)
    header, body = build_batch(built, base_timestamp, ProducerStamp(7, 3, 12), codec)
    batch = RecordBatch(header + body)
    check_crc(batch.header, header + body)
    assert batch.count == len(built.values)
    assert batch.value_list() == list(built.values)
    assert batch.key_list() == (None if built.keys is None else list(built.keys))
    assert batch.timestamp_list() == (built.timestamps or [base_timestamp] * batch.count)
    assert (batch.headers_list() or None) == headers_of(built) or batch.headers_list() == [None] * batch.count
    assert batch.header.max_timestamp == max(built.timestamps or [base_timestamp])
    assert batch.header[14:17] == (7, 12, 3)


@given(data=st.data())
def test_a_part_of_a_batch_is_the_part_of_its_lists(data: st.DataObject, columns, codecs) -> None:
    header, body = build_batch(data.draw(columns), 5, codec=data.draw(codecs))
    batch = RecordBatch(header + body)
    start = data.draw(st.integers(0, batch.count))
    stop = data.draw(st.integers(start, batch.count))
    assert batch.value_list(start, stop) == batch.value_list()[start:stop]
    assert batch.timestamp_list(start, stop) == batch.timestamp_list()[start:stop]
    assert batch.offset_list(start, stop) == batch.offset_list()[start:stop]
    for part, whole in (
        (batch.key_list(start, stop), batch.key_list()),
        (batch.headers_list(start, stop), batch.headers_list()),
    ):
        assert part == (None if whole is None else whole[start:stop])


def test_columns_nobody_filled_take_no_bytes() -> None:
    header, body = build_batch(Columns([b"12345678"]), 0)
    assert len(body) == 8 + 8
    batch = RecordBatch(header + body)
    assert batch.key_list() is None
    assert batch.headers_list() is None
    assert batch.timestamps is None


@given(
    data=st.data(),
    producer_id=st.integers(0, (1 << 63) - 1),
    epoch=st.integers(0, 0x7FFF),
    sequence=st.integers(0, 0x7FFFFFFF),
)
def test_a_batch_can_be_given_to_another_producer(
    data: st.DataObject, producer_id: int, epoch: int, sequence: int, columns, codecs
) -> None:
    stamp = ProducerStamp(producer_id, epoch, sequence)
    built, codec = data.draw(columns), data.draw(codecs)
    header, body = build_batch(built, 5, ProducerStamp(1, 1, 1), codec)
    assert restamp(header, (body,), stamp) + body == b"".join(build_batch(built, 5, stamp, codec))


def test_values_of_a_wrong_type_are_a_type_error() -> None:
    with pytest.raises(TypeError):
        build_batch(Columns([b"fine", "text"]), 0)  # type: ignore[list-item]


def test_compression_makes_repetition_small() -> None:
    columns = Columns([b"the same line again and again"] * 1000)
    sizes = {codec: len(build_batch(columns, 0, codec=codec)[1]) for codec in Codec}
    assert all(sizes[codec] < sizes[Codec.NONE] / 5 for codec in Codec if codec != Codec.NONE), sizes
    assert read_header(b"".join(build_batch(columns, 0, codec=Codec.ZSTD))).body_bytes == sizes[Codec.NONE]


def test_records_that_are_not_consecutive_keep_their_offsets() -> None:
    header, body = build_batch(Columns([b"a", b"b", b"c"], offset_deltas=[0, 3, 4]), 0)
    batch = RecordBatch(header + body)
    check_crc(batch.header, header + body)
    assert batch.offset_list() == [0, 3, 4]
    assert batch.last_offset == 4
    assert batch.index_of(1) == 1


@given(data=st.data())
def test_columns_cut_from_one_and_joined_are_the_column(data: st.DataObject, codecs) -> None:
    values = data.draw(st.lists(st.binary(max_size=20), min_size=1, max_size=30))
    offsets = memoryview(array("i", accumulate(map(len, values), initial=0)))
    cuts = sorted({0, len(values), *data.draw(st.lists(st.integers(0, len(values)), max_size=4))})
    whole = b"".join(values)
    pieces = [
        PackedColumn(
            shift_offsets(offsets[start : stop + 1], -offsets[start]), whole[offsets[start] : offsets[stop]]
        )
        for start, stop in pairwise(cuts)
    ]
    for piece, (start, stop) in zip(pieces, pairwise(cuts), strict=True):
        assert list(piece.items()) == values[start:stop]
        assert piece.size == sum(map(len, values[start:stop]))
    for _ in range(2):  # the second time from memory
        joined = join_columns(pieces)
        assert b"".join(joined.items()) == whole
    assert len(joined) == len(values)
    codec = data.draw(codecs)
    stamp = ProducerStamp(7, 3, 12)
    header, parts = encode_packed(joined, 5, stamp, codec, flags=2)
    assert (header, b"".join(parts)) == build_batch(Columns(values), 5, stamp, codec, flags=2)


@given(
    value=st.binary(max_size=40), key=st.none() | st.binary(max_size=20), timestamp=st.integers(0, 1 << 50)
)
def test_one_record_is_encoded_as_a_batch_of_one(value: bytes, key: bytes | None, timestamp: int) -> None:
    stamp = ProducerStamp(7, 3, 12)
    columns = Columns([value], None if key is None else [key])
    header, parts = encode_batch(columns, timestamp, stamp)
    single_header, single_parts = encode_single(value, key, timestamp, stamp)
    assert (single_header, b"".join(single_parts)) == (header, b"".join(parts))
