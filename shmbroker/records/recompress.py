"""Change the codec of a batch for topics whose ``compression.type`` is not ``producer``."""

from __future__ import annotations

from shmbroker.records.checksum import crc32c
from shmbroker.records.compression import compress, decompress
from shmbroker.records.layout import CRC_START, HEADER, HEADER_BYTES, Codec, Header

_CODEC_NAMES = {"uncompressed": Codec.NONE, "gzip": Codec.GZIP, "lz4": Codec.LZ4, "zstd": Codec.ZSTD}


def recompress(batch: bytearray, header: Header, compression_type: str) -> tuple[bytearray, Header]:
    """Return the batch as the topic's ``compression.type`` wants it, unchanged when it already is.

    Raises:
        BrokerError: INVALID_MSG when the body cannot be decompressed; UNSUPPORTED_COMPRESSION_TYPE when the codec's
            package is not installed where the daemon runs.
    """
    codec = _CODEC_NAMES.get(compression_type)
    if codec is None or codec == header.codec:
        return batch, header
    body = decompress(Codec(header.codec), memoryview(batch)[HEADER_BYTES:], header.body_bytes)
    stored = compress(codec, body)
    header = header._replace(codec=codec, length=HEADER_BYTES + len(stored))
    packed = HEADER.pack(*header[:-1], *header.ends)
    header = header._replace(crc=crc32c(stored, crc32c(packed[CRC_START:])))
    return bytearray(HEADER.pack(*header[:-1], *header.ends) + stored), header
