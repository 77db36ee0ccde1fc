"""Codecs for the columns of a batch. gzip is always there; lz4 and zstd are extras."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable
from typing import Any

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.records.layout import Codec, corrupt

DEFAULT_LEVEL = -1
"""``compression.level=-1``: each codec's own default."""


def compress(codec: Codec, data: bytes, level: int = DEFAULT_LEVEL) -> bytes:
    """Compress ``data``; ``level`` as in librdkafka's ``compression.level``, clipped to the codec's range.

    Raises:
        BrokerError: UNSUPPORTED_COMPRESSION_TYPE when the codec's package is not installed.
    """
    match codec:
        case Codec.NONE:
            return data
        case Codec.GZIP:
            return zlib.compress(data, level if level < 0 else min(level, 9))
        case Codec.LZ4:
            return bytes(_lz4().compress(data, compression_level=max(level, 0), store_size=False))
        case Codec.ZSTD:
            return bytes(_zstd_compressor(level).compress(data))


def decompress(codec: Codec, data: memoryview, body_bytes: int) -> bytes:
    """Return exactly ``body_bytes`` bytes; a stream that holds more or less is corrupt and never fills memory.

    Raises:
        BrokerError: INVALID_MSG, or UNSUPPORTED_COMPRESSION_TYPE when the codec's package is not installed.
    """
    decoder: Callable[[memoryview, int], bytes] = _DECODERS[codec]
    try:
        body = decoder(data, body_bytes)
    except BrokerError:
        raise
    except Exception as error:  # each package has exceptions of its own
        raise corrupt(f"{codec.name.lower()} stream: {error}") from None
    if len(body) != body_bytes:
        raise corrupt(f"{codec.name.lower()} stream of {len(body)} bytes instead of {body_bytes}")
    return body


def _decompress_gzip(data: memoryview, body_bytes: int) -> bytes:
    stream = zlib.decompressobj()
    # One byte more than announced is enough to see that the stream is too long.
    return stream.decompress(data, body_bytes + 1)


def _decompress_lz4(data: memoryview, body_bytes: int) -> bytes:
    stream = _lz4().LZ4FrameDecompressor()
    return bytes(stream.decompress(data, max_length=body_bytes + 1))


def _decompress_zstd(data: memoryview, body_bytes: int) -> bytes:
    reader = _zstd().ZstdDecompressor(max_window_size=1 << 27).stream_reader(data)
    return bytes(reader.read(body_bytes + 1))


def _decompress_none(data: memoryview, body_bytes: int) -> bytes:
    return bytes(data)


_DECODERS = {
    Codec.NONE: _decompress_none,
    Codec.GZIP: _decompress_gzip,
    Codec.LZ4: _decompress_lz4,
    Codec.ZSTD: _decompress_zstd,
}


def _missing(package: str, extra: str) -> BrokerError:
    return BrokerError(
        ErrorCode.UNSUPPORTED_COMPRESSION_TYPE,
        f"compression.type={extra} needs the package {package}: pip install 'shmbroker[{extra}]'",
    )


@functools.cache
def _lz4() -> Any:
    try:
        import lz4.frame
    except ImportError:
        raise _missing("lz4", "lz4") from None
    return lz4.frame


@functools.cache
def _zstd() -> Any:
    try:
        import zstandard
    except ImportError:
        raise _missing("zstandard", "zstd") from None
    return zstandard


@functools.lru_cache(maxsize=32)
def _zstd_compressor(level: int) -> Any:
    return _zstd().ZstdCompressor(level=3 if level == DEFAULT_LEVEL else min(level, 22))
