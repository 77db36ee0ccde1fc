"""Batches that a hostile client built, with CRCs that are right: looked at from every side, nothing but an error comes out."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from crc32c import crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.records.batch import RecordBatch
from shmbroker.records.builder import Columns, build_batch
from shmbroker.records.layout import HEADER, HEADER_BYTES, Codec, stamp

BASES = [
    (Columns([b"value", None, b"x" * 30]), Codec.NONE),
    (Columns([b"v", b""], [b"k", None], [1, 2], [[("name", b"value")], None]), Codec.NONE),
    (Columns([b"again " * 20] * 3, [b"k"] * 3), Codec.GZIP),
    (Columns([b"again " * 20] * 3, None, [3, 4, 5]), Codec.LZ4),
    (Columns([b"again " * 20] * 3, None, None, [[("h", None)]] * 3), Codec.ZSTD),
]
BATCHES = [b"".join(build_batch(columns, 9, codec=codec)) for columns, codec in BASES]
NUMBERS = st.one_of(
    st.integers(0, (1 << 32) - 1),
    st.integers(0, 300),
    st.sampled_from([0xFFFFFFFF, 0x80000000, 1_000_000, 1 << 28]),
)


def looked_at_from_every_side(data: bytes) -> None:
    batch = RecordBatch(data, check_crcs=True)
    assert 1 <= batch.count == len(batch)
    start = batch.count // 2
    sides: list[Any] = [
        lambda: batch.value_list(),
        lambda: batch.value_list(start, batch.count),
        lambda: batch.key_list(),
        lambda: batch.key_list(start, start + 1),
        lambda: batch.headers_list(),
        lambda: batch.headers_list(start, batch.count),
        lambda: batch.timestamp_list(),
        lambda: batch.offset_list(start, batch.count),
        lambda: batch.index_of(batch.base_offset + start),
        lambda: (batch.values, batch.value_offsets, batch.value_validity, batch.keys, batch.key_offsets),
    ]
    for side in sides:
        try:
            side()
        except BrokerError as error:
            assert error.code == ErrorCode.INVALID_MSG


def altered(
    batch: bytes, fields: list[tuple[int, int]], noise: list[tuple[int, bytes]], grow: bytes
) -> bytes:
    """The batch with some header fields and some bytes changed, and length and CRCs made to fit."""
    data = bytearray(batch + grow)
    for position, content in noise:
        at = HEADER_BYTES + position % max(1, len(data) - HEADER_BYTES)
        data[at : at + len(content)] = content[: len(data) - at]
    struct.pack_into("<I", data, 36, len(data))
    for word, value in fields:
        struct.pack_into("<I", data, 40 + 4 * (word % 22), value)
    struct.pack_into("<I", data, 32, crc32c(bytes(data[36:])))
    stamp(data, 5, -1, 0)
    return bytes(data)


def fuzz(batch: bytes, fields: list[tuple[int, int]], noise: list[tuple[int, bytes]], grow: bytes) -> None:
    try:
        looked_at_from_every_side(altered(batch, fields, noise, grow))
    except BrokerError as error:
        assert error.code == ErrorCode.INVALID_MSG


CHANGES: dict[str, st.SearchStrategy[Any]] = {
    "batch": st.sampled_from(BATCHES),
    "fields": st.lists(st.tuples(st.integers(0, 21), NUMBERS), max_size=3),
    "noise": st.lists(st.tuples(st.integers(0, 400), st.binary(min_size=1, max_size=12)), max_size=4),
    "grow": st.just(b"") | st.binary(max_size=24),
}


@given(**CHANGES)
@settings(max_examples=600)
def test_a_hostile_batch_is_an_error_and_nothing_else(**changes: Any) -> None:
    fuzz(**changes)


@pytest.mark.slow
@given(**CHANGES)
@settings(max_examples=10_000)
def test_many_more_hostile_batches_are_errors_and_nothing_else(**changes: Any) -> None:
    fuzz(**changes)


def test_the_fuzz_begins_with_batches_that_are_good() -> None:
    for batch in BATCHES:
        looked_at_from_every_side(altered(batch, [], [], b""))
    assert HEADER.size == HEADER_BYTES
