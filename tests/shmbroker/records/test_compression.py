import sys
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.records import compression
from shmbroker.records.compression import compress, decompress
from shmbroker.records.layout import Codec

COMPRESSING = [Codec.GZIP, Codec.LZ4, Codec.ZSTD]
BOMB_BYTES = 64 * 1024 * 1024


@given(st.sampled_from(Codec), st.binary(max_size=5000), st.integers(-1, 12))
def test_what_is_compressed_comes_back(codec: Codec, data: bytes, level: int) -> None:
    assert decompress(codec, memoryview(compress(codec, data, level)), len(data)) == data


@pytest.mark.parametrize("codec", COMPRESSING)
@pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_000])
def test_large_bodies_come_back_whole(codec: Codec, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    assert decompress(codec, memoryview(compress(codec, data)), size) == data


@given(st.sampled_from(Codec), st.binary(max_size=300), st.integers(0, 1000))
def test_a_stream_of_another_size_is_corrupt(codec: Codec, data: bytes, said: int) -> None:
    if said == len(data):
        said += 1
    with pytest.raises(BrokerError) as refused:
        decompress(codec, memoryview(compress(codec, data)), said)
    assert refused.value.code == ErrorCode.INVALID_MSG


@given(st.sampled_from(COMPRESSING), st.binary(max_size=300), st.integers(1, 1000))
def test_garbage_is_corrupt_and_nothing_else(codec: Codec, data: bytes, said: int) -> None:
    try:
        decompress(codec, memoryview(data), said)
    except BrokerError as refused:
        assert refused.code == ErrorCode.INVALID_MSG


@given(st.sampled_from(COMPRESSING), st.binary(min_size=1, max_size=300), st.data())
def test_a_damaged_stream_is_corrupt_or_has_the_size_it_said(
    codec: Codec, data: bytes, choice: st.DataObject
) -> None:
    stream = bytearray(compress(codec, data))
    stream[choice.draw(st.integers(0, len(stream) - 1))] ^= choice.draw(st.integers(1, 255))
    try:
        assert len(decompress(codec, memoryview(stream), len(data))) == len(data)
    except BrokerError as refused:
        assert refused.code == ErrorCode.INVALID_MSG


@pytest.mark.parametrize("codec", COMPRESSING)
def test_a_bomb_takes_no_more_memory_than_it_announced(codec: Codec) -> None:
    bomb = memoryview(compress(codec, bytes(BOMB_BYTES)))
    assert len(bomb) < BOMB_BYTES // 100
    tracemalloc.start()
    try:
        with pytest.raises(BrokerError, match="instead of 1000"):
            decompress(codec, bomb, 1000)
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()


@settings(max_examples=20)
@given(st.sampled_from(COMPRESSING), st.integers(0, 50))
def test_a_cut_stream_is_corrupt(codec: Codec, cut: int) -> None:
    stream = compress(codec, bytes(range(256)) * 10)
    with pytest.raises(BrokerError):
        decompress(codec, memoryview(stream)[: min(cut, len(stream) - 9)], 2560)


@pytest.mark.parametrize(
    ("codec", "module", "extra"), [(Codec.LZ4, "lz4", "lz4"), (Codec.ZSTD, "zstandard", "zstd")]
)
def test_a_codec_that_is_not_installed_names_its_extra(
    codec: Codec, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    caches = (compression._lz4, compression._zstd, compression._zstd_compressor)
    for cached in caches:
        cached.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, f"{module}.frame", None)
    try:
        for call in (lambda: compress(codec, b"data"), lambda: decompress(codec, memoryview(b"data"), 4)):
            with pytest.raises(BrokerError) as refused:
                call()
            assert refused.value.code == ErrorCode.UNSUPPORTED_COMPRESSION_TYPE
            assert f"shmbroker[{extra}]" in refused.value.message
    finally:
        for cached in caches:
            cached.cache_clear()


def test_gzip_is_what_zlib_reads() -> None:
    assert zlib.decompress(compress(Codec.GZIP, b"data")) == b"data"
