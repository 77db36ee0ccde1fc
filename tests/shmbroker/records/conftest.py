"""Records of every shape, as hypothesis strategies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import strategies as st

from shmbroker.records.builder import Columns, ProducerStamp, build_batch
from shmbroker.records.layout import Codec, stamp

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
NOBODY = ProducerStamp()
NULLABLE = st.none() | st.binary(max_size=40)
HEADERS = st.none() | st.lists(st.tuples(st.text(max_size=8), NULLABLE), max_size=3)


@st.composite
def _columns(draw: st.DrawFn, max_records: int = 20) -> Columns:
    count = draw(st.integers(1, max_records))

    def column(items: st.SearchStrategy[Any]) -> Any:
        return draw(st.none() | st.lists(items, min_size=count, max_size=count))

    values = draw(st.lists(NULLABLE, min_size=count, max_size=count))
    return Columns(values, column(NULLABLE), column(INT64), column(HEADERS))


@pytest.fixture(scope="session")
def columns() -> st.SearchStrategy[Columns]:
    """The columns of a batch of 1 to 20 records, with nulls, keys, timestamps and headers here and there."""
    return _columns()


@pytest.fixture(scope="session")
def codecs() -> st.SearchStrategy[Codec]:
    return st.sampled_from(Codec)


@pytest.fixture(scope="session")
def stamped() -> Callable[..., bytearray]:
    """A whole batch as it lies in a log."""

    def make(
        columns: Columns,
        codec: Codec = Codec.NONE,
        *,
        base_offset: int = 0,
        append_time: int = -1,
        base_timestamp: int = 0,
        producer: ProducerStamp = NOBODY,
    ) -> bytearray:
        batch = bytearray(b"".join(build_batch(columns, base_timestamp, producer, codec)))
        stamp(batch, base_offset, append_time, leader_epoch=0)
        return batch

    return make
