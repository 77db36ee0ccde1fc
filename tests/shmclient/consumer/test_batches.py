import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.records.batch import RecordBatch
from shmbroker.records.builder import Columns, build_batch
from shmbroker.records.layout import Column, read_header
from shmclient.consumer.batches import ConsumedBatch

RECORDS = st.lists(
    st.tuples(st.none() | st.binary(max_size=9), st.none() | st.binary(max_size=9)), min_size=1, max_size=20
)


def consumed(data: bytes, start: int = 0) -> ConsumedBatch:
    return ConsumedBatch("topic", 0, RecordBatch(data), start)


@given(RECORDS, st.booleans(), st.data())
def test_arrow_and_lists_are_the_same_records(
    records: list[tuple[bytes | None, bytes | None]], has_keys: bool, data: st.DataObject
) -> None:
    pytest.importorskip("pyarrow")
    values, keys = [value for value, _ in records], [key for _, key in records]
    start = data.draw(st.integers(0, len(records) - 1))
    built = b"".join(build_batch(Columns(values, keys if has_keys else None), 77))
    batch = consumed(built, start)
    table = batch.to_arrow()
    assert table["value"].to_pylist() == batch.value_list() == values[start:]
    assert table["key"].to_pylist() == batch.key_list() == (keys[start:] if has_keys else [None] * len(batch))
    assert table["offset"].to_pylist() == batch.offset_list()


@given(RECORDS, st.data())
def test_numpy_tells_nulls_from_empty_values(
    records: list[tuple[bytes | None, bytes | None]], data: st.DataObject
) -> None:
    pytest.importorskip("numpy")
    values, keys = [value for value, _ in records], [key for _, key in records]
    start = data.draw(st.integers(0, len(records) - 1))
    batch = consumed(b"".join(build_batch(Columns(values, keys), 77)), start)
    arrays = batch.to_numpy()
    for name, column in (("value", batch.value_list()), ("key", batch.key_list())):
        if f"{name}_nulls" in arrays:
            assert arrays[f"{name}_nulls"].tolist() == [item is None for item in column]
        else:
            assert f"{name}s" not in arrays or None not in column


@given(
    st.lists(st.integers(-(1 << 31), (1 << 31) - 1), min_size=4, max_size=4),
    st.sampled_from(["value", "key"]),
)
def test_offsets_that_leave_their_column_are_an_error_and_never_reach_arrow(
    offsets: list[int], name: str
) -> None:
    """The log may have a flipped byte there, or a client may have written it: without check.crcs nobody looked yet."""
    pytest.importorskip("pyarrow")
    header, body = build_batch(Columns([b"one", b"two", b"three"], [b"a", b"b", b"c"]), 0)
    column = Column.VALUE_OFFSETS if name == "value" else Column.KEY_OFFSETS
    end = read_header(header + body).ends[column]
    batch = consumed(header + body[: end - 16] + struct.pack("<4i", *offsets) + body[end:])
    try:
        found = batch.to_arrow()[name].to_pylist()
    except BrokerError as error:
        assert error.code == ErrorCode.INVALID_MSG
        assert f"{name} offsets" in error.message
    else:
        data = b"onetwothree" if name == "value" else b"abc"
        assert found == [data[a:b] for a, b in pairwise(offsets)]
