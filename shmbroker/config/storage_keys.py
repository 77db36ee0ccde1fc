"""Broker keys of data life: when the broker looks at what it keeps, and how much of the disk it leaves alone."""

from __future__ import annotations

from shmbroker.config.key import LONG_MAX, ConfigKey, ValueType

_LONG = ValueType.LONG
_MIB = 1024 * 1024

STORAGE_KEYS = [
    ConfigKey(
        "log.retention.check.interval.ms",
        _LONG,
        300_000,
        "How often the broker looks for segments that retention may delete. A topic whose settings change, or whose"
        " retention.groups read on, is looked at at once; all are while the disk is short of space.",
        unit="ms",
        minimum=1,
        maximum=LONG_MAX,
        is_dynamic=True,
        reason="Kafka's default. A look costs some 10 us a partition.",
    ),
    ConfigKey(
        "log.initial.task.delay.ms",
        _LONG,
        30_000,
        "When the first look after a start comes, at the latest.",
        unit="ms",
        minimum=0,
        maximum=LONG_MAX,
        reason="Kafka's default: clients come back first.",
    ),
    ConfigKey(
        "log.min.free.bytes",
        _LONG,
        64 * _MIB,
        "When the file system of the data directory has less room, records and new partitions are refused with"
        " KAFKA_STORAGE_ERROR until there is more again. Reading, retention, delete_records and the deletion of topics go"
        " on. 0 lets the disk become full.",
        unit="bytes",
        minimum=0,
        maximum=LONG_MAX,
        is_dynamic=True,
        reason="Room for the commits under way, for committed offsets and metadata, and for deleting: nothing that must"
        " not fail meets a full disk.",
    ),
]
