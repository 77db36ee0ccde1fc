from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.records.batch import RecordBatch
from shmbroker.records.builder import Columns, ProducerStamp, build_batch
from shmbroker.records.layout import Codec, check_bounds, check_crc, check_stamp, read_header, stamp
from shmbroker.records.thinning import thin_batch

ITEM = st.one_of(st.none(), st.binary(max_size=6))
HEADERS = st.one_of(st.none(), st.lists(st.tuples(st.text(max_size=3), ITEM), min_size=1, max_size=2))


def batch_of(columns: Columns, codec: Codec = Codec.NONE, append_time: int = -1) -> RecordBatch:
    data = bytearray(b"".join(build_batch(columns, 7, ProducerStamp(5, 1, 40), codec, flags=2)))
    stamp(data, 1000, append_time, 3)
    return RecordBatch(bytes(data), check_crcs=True)


def rows(batch: RecordBatch) -> list[tuple[Any, ...]]:
    nothing = [None] * batch.count
    columns = (batch.key_list(), batch.value_list(), batch.headers_list())
    return list(
        zip(
            batch.offset_list(),
            batch.timestamp_list(),
            *(column or nothing for column in columns),
            strict=True,
        )
    )


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_the_kept_records_are_what_they_were(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 20))

    def column(items: st.SearchStrategy[Any]) -> Any:
        return data.draw(st.one_of(st.none(), st.lists(items, min_size=count, max_size=count)))

    values = data.draw(st.lists(ITEM, min_size=count, max_size=count))
    columns = Columns(values, column(ITEM), column(st.integers(0, 1 << 40)), column(HEADERS))
    codec = data.draw(st.sampled_from([Codec.NONE, Codec.GZIP]))
    batch = batch_of(columns, codec, data.draw(st.sampled_from([-1, 99])))
    expected = rows(batch)
    kept = list(range(count))
    # What is left of a batch may be thinned again.
    for _ in range(2):
        chosen = sorted(data.draw(st.sets(st.integers(0, len(kept) - 1), min_size=1)))
        kept = [kept[index] for index in chosen]
        thinned = thin_batch(batch, chosen)
        header = read_header(thinned)
        check_crc(header, thinned)
        check_stamp(header, thinned)
        check_bounds(header, thinned)
        batch = RecordBatch(thinned)
        assert rows(batch) == [expected[index] for index in kept]
        assert (batch.base_offset, batch.last_offset) == (expected[kept[0]][0], expected[kept[-1]][0])
        assert (header.producer_id, header.producer_epoch, header.base_sequence) == (5, 1, 40)
        assert (header.flags, header.codec, header.leader_epoch) == (2, codec, 3)


def test_records_that_stay_together_need_no_column_of_offsets() -> None:
    batch = batch_of(Columns([b"a", b"b", b"c", b"d"], [b"1", b"2", b"3", b"4"]))
    assert RecordBatch(thin_batch(batch, [1, 2])).offset_deltas is None
    assert RecordBatch(thin_batch(batch, [1, 3])).offset_deltas is not None


def test_damaged_columns_are_told() -> None:
    data = bytearray(b"".join(build_batch(Columns([b"a", b"b"], [b"1", b"2"]), 0)))
    data[128] = 9  # the first value offset
    with pytest.raises(BrokerError, match="VALUE_OFFSETS") as caught:
        thin_batch(RecordBatch(bytes(data)), [1])
    assert caught.value.code == ErrorCode.INVALID_MSG
