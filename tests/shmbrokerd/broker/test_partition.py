from typing import Any

import pytest
from crc32c import crc32c
from msgspec.structs import replace

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.records.builder import Columns, ProducerStamp, build_batch
from shmbroker.records.layout import HEADER, HEADER_BYTES, Codec, read_header
from shmbroker.shm.table import PartitionState


def built(values: list[bytes | None], codec: Codec = Codec.NONE, **columns: Any) -> bytearray:
    return bytearray(b"".join(build_batch(Columns(values, **columns), 0, codec=codec)))


def test_figures_are_published_with_each_commit(bench: Any) -> None:
    partition = bench.loop.partitions[0]
    assert bench.table.figures(0)[:4] == (0, 0, 0, 0)
    partition.stage(built([b"a", b"b"]), 1000)
    assert bench.table.figures(0).log_end == 0
    assert partition.commit() > 0
    figures = bench.table.figures(0)
    assert figures[:4] == (0, 2, 2, 2)
    assert (figures.active_base, figures.appended, figures.state) == (0, 1, PartitionState.ONLINE)
    assert figures.log_bytes == sum(path.stat().st_size for path in (bench.folder / "topic-0").glob("*.mdb"))


def test_a_partition_has_a_name_for_people(bench: Any) -> None:
    assert str(bench.loop.partitions[0]) == "topic [0]"


def test_a_new_configuration_is_obeyed_from_the_next_batch_on(bench: Any) -> None:
    partition = bench.loop.partitions[0]
    partition.stage(built([bytes(3000)]), 1000)
    partition.reconfigure(replace(partition.config, max_message_bytes=2000, segment_bytes=5000))
    with pytest.raises(BrokerError, match=r"topic \[0\] is over 2000 \(max.message.bytes\)") as refused:
        partition.stage(built([bytes(3000)]), 1000)
    assert refused.value.code == ErrorCode.MSG_SIZE_TOO_LARGE
    partition.commit()
    partition.stage(built([b"small"]), 1000)
    partition.commit()
    assert bench.table.figures(0).active_base == 1, "segment.bytes was lowered: the active segment is full"


def test_the_largest_batch_that_is_allowed_is_allowed(bench: Any) -> None:
    partition = bench.loop.partitions[0]
    batch = built([bytes(5000)])
    partition.reconfigure(replace(partition.config, max_message_bytes=len(batch) - HEADER_BYTES))
    partition.stage(bytearray(batch), 1000)
    partition.reconfigure(replace(partition.config, max_message_bytes=len(batch) - HEADER_BYTES - 1))
    with pytest.raises(BrokerError):
        partition.stage(batch, 1000)


def test_sparse_offsets_are_the_brokers_to_write(bench: Any) -> None:
    batch = built([b"a", b"b"])
    old = read_header(batch)
    body = bytes(batch[HEADER_BYTES:]) + (0).to_bytes(4, "little") + (5).to_bytes(4, "little")
    header = old._replace(
        length=HEADER_BYTES + len(body),
        body_bytes=len(body),
        last_offset_delta=5,
        ends=(*old.ends[:-1], old.ends[-1] + 8),
    )
    packed = HEADER.pack(*header[:-1], *header.ends)
    crc = crc32c(body, crc32c(packed[36:])).to_bytes(4, "little")
    with pytest.raises(BrokerError, match="what only the broker may write") as refused:
        bench.loop.partitions[0].stage(bytearray(packed[:32] + crc + packed[36:] + body), 1000)
    assert refused.value.code == ErrorCode.INVALID_RECORD


@pytest.mark.parametrize("codec", Codec)
@pytest.mark.parametrize("wanted", ["producer", "uncompressed", "gzip", "lz4", "zstd"])
def test_any_codec_may_come_and_the_topics_is_stored(codec: Codec, wanted: str, bench: Any) -> None:
    partition = bench.loop.partitions[0]
    partition.reconfigure(replace(partition.config, compression_type=wanted))
    values: list[bytes | None] = [b"again and again " * 100, None]
    header, _ = partition.stage(built(values, codec, keys=[b"k", None], headers=[[("h", b"1")], None]), 1000)
    partition.commit()
    expected = {"producer": codec, "uncompressed": Codec.NONE}.get(wanted)
    assert header.codec == (Codec[wanted.upper()] if expected is None else expected)
    assert bench.values() == values


def test_a_stream_that_cannot_be_decompressed_is_nonsense_of_the_client(bench: Any) -> None:
    partition = bench.loop.partitions[0]
    partition.reconfigure(replace(partition.config, compression_type="uncompressed"))
    batch = built([b"again and again " * 100], Codec.ZSTD)
    batch[HEADER_BYTES : HEADER_BYTES + 4] = b"\0\0\0\0"
    batch[32:36] = crc32c(bytes(batch[36:])).to_bytes(4, "little")
    with pytest.raises(BrokerError) as refused:
        partition.stage(batch, 1000)
    assert refused.value.code == ErrorCode.INVALID_MSG


def test_deleting_records_moves_the_log_start_and_not_beyond_the_end(bench: Any) -> None:
    partition = bench.loop.partitions[0]
    partition.stage(built([b"x"] * 10), 1000)
    partition.commit()
    assert partition.advance_log_start(4) == 4
    assert bench.table.figures(0).log_start == 4
    assert partition.advance_log_start(2) == 4, "what is gone is gone"
    for wrong in (11, -2):
        with pytest.raises(BrokerError, match=f"up to offset {wrong}: it ends at 10") as refused:
            partition.advance_log_start(wrong)
        assert refused.value.code == ErrorCode.OFFSET_OUT_OF_RANGE
    assert partition.advance_log_start(-1) == 10
    assert bench.table.figures(0)[:2] == (10, 10)


def test_a_closed_partition_says_so_in_the_table(bench: Any) -> None:
    partition = bench.loop.partitions.pop(0)
    partition.close()
    assert bench.table.figures(0).state == PartitionState.CLOSED


def test_an_offline_partition_can_still_be_read(bench: Any) -> None:
    partition = bench.loop.partitions[0]
    partition.stage(built([b"x"]), 1000)
    partition.commit()
    partition.go_offline()
    assert bench.table.figures(0).state == PartitionState.OFFLINE
    assert bench.values() == [b"x"]


def test_limits_of_producers_change_while_the_log_is_open(bench: Any) -> None:
    partition = bench.loop.partitions[0]
    partition.reconfigure(replace(partition.config, producer_id_expiration_ms=500, max_producers=2))
    for number in range(3):
        stamp = ProducerStamp(number, 0, 0)
        partition.stage(bytearray(b"".join(build_batch(Columns([b"x"]), 0, stamp))), 1000 + number)
    partition.commit()
    assert [each.producer_id for each in partition.active_producers()] == [1, 2]
    assert partition.log.expire_producers(1502) == 1
    assert [each.producer_id for each in partition.active_producers()] == [2]
