import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.records.batch import RecordBatch
from shmbroker.records.builder import Columns, ProducerStamp, build_batch
from shmbroker.records.control import Marker, build_marker, parse_marker
from shmbroker.records.layout import Flag, check_crc, read_header

MARKERS = st.builds(
    Marker,
    st.integers(0, (1 << 63) - 1),
    st.integers(0, 0x7FFF),
    st.booleans(),
    st.integers(0, (1 << 31) - 1),
)


@given(MARKERS, st.integers(0, 1 << 42))
def test_a_marker_is_read_as_written(marker: Marker, timestamp: int) -> None:
    data = build_marker(marker, timestamp)
    header = read_header(data)
    check_crc(header, data)
    assert header.flags == Flag.CONTROL | Flag.TRANSACTIONAL
    assert (header.count, header.base_sequence, header.base_timestamp) == (1, -1, timestamp)
    assert parse_marker(RecordBatch(bytes(data))) == marker


@pytest.mark.parametrize(("committed", "kind"), [(False, 0), (True, 1)])
def test_key_and_value_are_kafkas(committed: bool, kind: int) -> None:
    batch = RecordBatch(bytes(build_marker(Marker(7, 3, committed, 258), 0)))
    assert batch.key_list() == [bytes([0, 0, 0, kind])]
    assert batch.value_list() == [bytes([0, 0, 0, 0, 1, 2])]


def control_batch(key: bytes | None, value: bytes | None, **more: Any) -> RecordBatch:
    columns = Columns([value], [key])
    parts = build_batch(columns, 0, ProducerStamp(1, 1, -1), **{"flags": Flag.CONTROL, **more})
    return RecordBatch(b"".join(parts))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (struct.pack(">hh", 0, 2), struct.pack(">hi", 0, 1)),
        (struct.pack(">hh", -1, 0), struct.pack(">hi", 0, 1)),
        (struct.pack(">h", 0), struct.pack(">hi", 0, 1)),
        (struct.pack(">hh", 0, 0), b""),
        (None, struct.pack(">hi", 0, 1)),
        (struct.pack(">hh", 0, 0), None),
    ],
)
def test_what_is_no_marker_is_refused(key: bytes | None, value: bytes | None) -> None:
    with pytest.raises(BrokerError) as refused:
        parse_marker(control_batch(key, value))
    assert refused.value.code == ErrorCode.INVALID_MSG


def test_an_ordinary_batch_is_no_marker() -> None:
    batch = control_batch(struct.pack(">hh", 0, 0), struct.pack(">hi", 0, 1), flags=Flag.TRANSACTIONAL)
    with pytest.raises(BrokerError, match="no marker"):
        parse_marker(batch)
