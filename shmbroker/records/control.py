"""Control batches: the one-record batch that ends a transaction in a log (KIP-98), with Kafka's key and value.

::

    key    version i16 (0)   type i16: 0 abort, 1 commit                big-endian
    value  version i16 (0)   epoch of the coordinator i32

The batch has the flags CONTROL and TRANSACTIONAL, no sequence, and the producer id of the transaction. Its producer epoch is
the one of the producer's next transaction (KIP-890): whoever read the log up to here knows that those of the old one are late.
"""

from __future__ import annotations

import enum
import struct
from typing import NamedTuple

from shmbroker.records.batch import RecordBatch
from shmbroker.records.builder import Columns, ProducerStamp, build_batch
from shmbroker.records.layout import Flag, corrupt

_KEY = struct.Struct(">hh")
_VALUE = struct.Struct(">hi")
_VERSION = 0
_NO_SEQUENCE = -1
_FLAGS = Flag.CONTROL | Flag.TRANSACTIONAL


class MarkerType(enum.IntEnum):
    """Kafka's ControlRecordType, as far as transactions need it."""

    ABORT = 0
    COMMIT = 1


class Marker(NamedTuple):
    """The end of the transaction that ``producer_id`` has open in a log."""

    producer_id: int
    producer_epoch: int
    committed: bool
    coordinator_epoch: int


def is_possible(marker: Marker) -> bool:
    """Whether all of it fits a batch."""
    return (
        0 <= marker.producer_id < 1 << 63
        and 0 <= marker.producer_epoch < 1 << 15
        and 0 <= marker.coordinator_epoch < 1 << 31
    )


def build_marker(marker: Marker, timestamp_ms: int) -> bytearray:
    """The whole control batch, without the broker's stamp. The marker is a possible one."""
    kind = MarkerType.COMMIT if marker.committed else MarkerType.ABORT
    columns = Columns([_VALUE.pack(_VERSION, marker.coordinator_epoch)], [_KEY.pack(_VERSION, kind)])
    producer = ProducerStamp(marker.producer_id, marker.producer_epoch, _NO_SEQUENCE)
    header, body = build_batch(columns, timestamp_ms, producer, flags=_FLAGS)
    return bytearray(header + body)


def parse_marker(batch: RecordBatch) -> Marker:
    """What a control batch says.

    Raises:
        BrokerError: INVALID_MSG when it is not one, or of a version or type that is not known here.
    """
    header = batch.header
    if not header.flags & Flag.CONTROL or header.count != 1:
        raise corrupt(f"no marker: flags {header.flags:#x}, {header.count} records")
    (key,) = batch.key_list() or [None]
    (value,) = batch.value_list()
    if key is None or value is None or len(key) < _KEY.size or len(value) < _VALUE.size:
        raise corrupt("a marker without a whole key and value")
    key_version, kind = _KEY.unpack_from(key)
    value_version, coordinator_epoch = _VALUE.unpack_from(value)
    if min(key_version, value_version) < _VERSION or kind not in _TYPES:
        raise corrupt(f"a marker of type {kind}, versions {key_version} and {value_version}")
    return Marker(header.producer_id, header.producer_epoch, kind == MarkerType.COMMIT, coordinator_epoch)


_TYPES = frozenset(MarkerType)
