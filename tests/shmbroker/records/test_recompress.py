import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.records.batch import RecordBatch
from shmbroker.records.builder import Columns
from shmbroker.records.layout import HEADER_BYTES, Codec, check_crc, read_header
from shmbroker.records.recompress import recompress

TYPES = {"uncompressed": Codec.NONE, "gzip": Codec.GZIP, "lz4": Codec.LZ4, "zstd": Codec.ZSTD}


@given(data=st.data(), wanted=st.sampled_from(sorted(TYPES)))
def test_the_records_stay_the_same_under_another_codec(
    data: st.DataObject, wanted: str, columns, codecs, stamped
) -> None:
    batch = stamped(data.draw(columns), data.draw(codecs), base_offset=9)
    before = RecordBatch(batch)
    changed, header = recompress(batch, before.header, wanted)
    after = RecordBatch(changed)
    check_crc(after.header, changed)
    assert after.header == header
    assert header.codec == TYPES[wanted]
    assert bytes(after.body) == bytes(before.body)
    same = {"codec": 0, "length": 0, "crc": 0}
    assert after.header._replace(**same) == before.header._replace(**same)


@pytest.mark.parametrize("wanted", ["producer", "gzip"])
def test_a_batch_that_is_right_already_is_not_touched(wanted: str, stamped) -> None:
    batch = stamped(Columns([b"x"]), Codec.GZIP)
    changed, _ = recompress(batch, read_header(batch), wanted)
    assert changed is batch


def test_a_body_that_cannot_be_decompressed_is_refused(stamped) -> None:
    batch = stamped(Columns([b"x" * 100]), Codec.ZSTD)
    batch[HEADER_BYTES] ^= 0xFF
    with pytest.raises(BrokerError) as refused:
        recompress(batch, read_header(batch), "uncompressed")
    assert refused.value.code == ErrorCode.INVALID_MSG
