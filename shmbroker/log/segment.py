"""The descriptor of a segment: file names, tables, keys, rows.

A partition is the folder ``<log dir>/<topic>-<partition>/``; a segment is one LMDB environment in one file there,
``<base offset, 20 digits>.mdb`` (with LMDB's lock file beside it). Its tables:

=============  =============================================  ==========================================================
``log``        last offset of a batch, u64 big-endian         the batch, stamped
``time``       highest timestamp so far, big-endian, biased   last offset of the batch that brought it, u64 big-endian
``producers``  producer id, u64 big-endian                    its epoch, open transaction and last five batches
                                                              (:class:`~shmbroker.log.producers.ProducerRow`)
``aborted``    offset of an abort marker, u64 big-endian      producer, first offset, and what was stable then
                                                              (:class:`~shmbroker.log.producers.AbortedTransaction`)
``meta``       a name                                         what the segment says of itself
=============  =============================================  ==========================================================

Because ``log`` is keyed by the *last* offset, ``set_range(position)`` lands on the batch that holds ``position``, or on
the first one after it where compaction left a gap. Only the newest segment of a folder is ever written, and nothing is
ever deleted inside one.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Final

from shmbroker.errors import BrokerError, ErrorCode

SUFFIX: Final = ".mdb"
LOCK_SUFFIX: Final = ".mdb-lock"
LOG: Final = b"log"
TIMES: Final = b"time"
PRODUCERS: Final = b"producers"
ABORTED: Final = b"aborted"
META: Final = b"meta"
TABLES: Final = (LOG, TIMES, PRODUCERS, ABORTED, META)

KEY = struct.Struct(">Q")
_TIME_BIAS = 1 << 63

META_FORMAT: Final = b"format"
META_LOG_START: Final = b"log_start"
META_COMPACTED: Final = b"compacted"
"""There in a segment that compaction made: only then may offsets be missing between its batches."""
META_AFTER_UNFLUSHED: Final = b"after_unflushed"
"""There as long as the segment before may not be on the disk: see ``last_sealed``."""
FORMAT_VERSION: Final = b"2"


def file_name(base_offset: int) -> str:
    return f"{base_offset:020d}{SUFFIX}"


def list_base_offsets(folder: Path | str) -> list[int]:
    """Base offsets of the segments in a partition's folder, ascending; empty when there is no such folder."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - a thousand logs are listed at start, and names are all that is wanted
    except FileNotFoundError:
        return []
    stems = (name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX))
    return sorted(int(stem) for stem in stems if stem.isdigit())


def time_key(timestamp_ms: int) -> bytes:
    """Big-endian with the sign bit flipped, so that LMDB's byte order is the order of timestamps."""
    return KEY.pack(timestamp_ms + _TIME_BIAS)


def time_of(key: bytes) -> int:
    timestamp: int = KEY.unpack(key)[0] - _TIME_BIAS
    return timestamp


def storage_error(path: Path | str, what: str, error: Exception | str) -> BrokerError:
    """A KAFKA_STORAGE_ERROR that names the file."""
    return BrokerError(ErrorCode.KAFKA_STORAGE_ERROR, f"{path}: {what}: {error}")
