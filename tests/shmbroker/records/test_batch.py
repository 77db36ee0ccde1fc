import gc
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.records.batch import CREATE_TIME, LOG_APPEND_TIME, RecordBatch
from shmbroker.records.builder import Columns, build_batch
from shmbroker.records.layout import HEADER, HEADER_BYTES, Codec, Column, read_header


def rebuilt(columns: Columns, column: Column, content: bytes) -> bytes:
    """The batch with the bytes of one column replaced: what only a hostile client would build."""
    header, body = build_batch(columns, 0)
    end = read_header(header + body).ends[column]
    forged = bytearray(body)
    forged[end - len(content) : end] = content
    return header + bytes(forged)


def test_columns_of_a_plain_batch_are_views_of_its_bytes() -> None:
    data = bytearray(b"".join(build_batch(Columns([b"abc", b"de"]), 0)))
    batch = RecordBatch(memoryview(data))
    assert bytes(batch.values) == b"abcde"
    assert batch.value_offsets.tolist() == [0, 3, 5]
    at = data.index(b"abcde")
    data[at] = ord("X")
    assert bytes(batch.values) == b"Xbcde"


def test_append_time_takes_the_place_of_the_records_times(stamped) -> None:
    columns = Columns([b"a", b"b"], timestamps=[3, 4])
    created, appended = RecordBatch(stamped(columns)), RecordBatch(stamped(columns, append_time=50))
    assert (created.timestamp_type, created.timestamp_list()) == (CREATE_TIME, [3, 4])
    assert (appended.timestamp_type, appended.timestamp_list()) == (LOG_APPEND_TIME, [50, 50])
    assert appended.timestamps is None


def test_offsets_and_indexes_of_a_compacted_batch() -> None:
    header, body = build_batch(Columns([b"a", b"b", b"c"]), 0)
    old = read_header(header + body)
    deltas = array("i", [1, 5, 9]).tobytes()
    body += deltas + bytes(-len(deltas) % 8)
    sparse = old._replace(
        base_offset=100,
        last_offset_delta=11,
        length=HEADER_BYTES + len(body),
        body_bytes=len(body),
        ends=(*old.ends[:-1], old.ends[-1] + len(deltas)),
    )
    batch = RecordBatch(HEADER.pack(*sparse[:-1], *sparse.ends) + body)
    assert batch.offset_list() == [101, 105, 109]
    assert batch.last_offset == 111
    assert [batch.index_of(offset) for offset in (100, 101, 102, 105, 109, 110)] == [0, 0, 1, 1, 2, 3]


@given(st.lists(st.none() | st.just(b""), min_size=1, max_size=70))
def test_null_and_empty_are_told_apart(values: list[bytes | None]) -> None:
    assert RecordBatch(b"".join(build_batch(Columns(values, values), 0))).value_list() == values
    assert RecordBatch(b"".join(build_batch(Columns(values, values), 0))).key_list() == values


@given(st.lists(st.integers(-(1 << 31), (1 << 31) - 1), min_size=3, max_size=3), st.integers(0, 2))
def test_offsets_inside_a_column_that_make_no_sense_never_reach_beyond_it(
    offsets: list[int], start: int
) -> None:
    data = rebuilt(Columns([b"abcd", b"efgh"]), Column.VALUE_OFFSETS, array("i", offsets).tobytes())
    batch = RecordBatch(data)
    try:
        values = batch.value_list(start)
    except BrokerError as error:
        assert error.code == ErrorCode.INVALID_MSG
        assert "value offsets" in error.message
    else:
        assert all(value in b"abcdefgh" for value in values if value is not None)


@given(st.binary(max_size=39))
def test_headers_that_cannot_be_decoded_are_an_error_of_the_batch(content: bytes) -> None:
    columns = Columns([b""], headers=[[("name", bytes(30))]])
    batch = RecordBatch(rebuilt(columns, Column.HEADERS, content.ljust(39, b"\xc1")))
    with pytest.raises(BrokerError) as refused:
        batch.headers_list()
    assert refused.value.code == ErrorCode.INVALID_MSG


def test_crcs_are_checked_when_asked_for(stamped) -> None:
    data = stamped(Columns([b"payload"]))
    data[data.index(b"payload")] ^= 1
    assert RecordBatch(data).value_list() != [b"payload"]
    with pytest.raises(BrokerError, match="CRC"):
        RecordBatch(data, check_crcs=True)
    data[data.index(b"ayload") - 1] ^= 1
    data[9] ^= 1
    with pytest.raises(BrokerError, match="stamp CRC"):
        RecordBatch(data, check_crcs=True)


def test_a_view_keeps_the_batch_alive() -> None:
    values = RecordBatch(b"".join(build_batch(Columns([b"x" * 5000]), 0))).values
    gc.collect()
    assert bytes(values) == b"x" * 5000


def test_a_compressed_body_is_decompressed_once() -> None:
    batch = RecordBatch(b"".join(build_batch(Columns([b"x" * 100] * 10), 0, codec=Codec.GZIP)))
    assert batch.body is batch.body


@given(data=st.data())
def test_an_only_record_is_what_the_columns_say_or_is_not_taken_for_one(
    data: st.DataObject, columns, codecs
) -> None:
    built = data.draw(columns)
    batch = RecordBatch(b"".join(build_batch(built, 5, codec=data.draw(codecs))))
    only = batch.only_record()
    keys = batch.key_list()
    is_plain = (
        len(built.values) == 1
        and built.values[0] is not None
        and built.timestamps is None
        and built.headers is None
        and batch.header.codec == Codec.NONE
        and (keys is None or keys[0] is not None)
    )
    assert only == ((None if keys is None else keys[0], built.values[0]) if is_plain else None)
