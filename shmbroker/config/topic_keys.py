"""Topic configuration keys with Kafka's names, types and defaults (4.x), and our own ``flush.on.ack`` and
``retention.groups``.

Each has a broker key, its synonym, that holds the default of all topics. Keys marked RECORDED are harmless
while nothing acts on them: data is kept longer than asked for, never shorter.
"""

from __future__ import annotations

from shmbroker.config.key import INT_MAX, LONG_MAX, ConfigKey, Standing, ValueType

MAX_MESSAGE_BYTES_LIMIT = 128 * 1024 * 1024
"""Half of the largest ring that a client may ask for: a batch of this size fits one without wrapping."""

_DAY_MS = 24 * 3600 * 1000
_RECORDED = Standing.RECORDED
_BOOLEAN, _INT, _LONG = ValueType.BOOLEAN, ValueType.INT, ValueType.LONG
_DOUBLE, _STRING, _LIST = ValueType.DOUBLE, ValueType.STRING, ValueType.LIST


def _key(
    name: str,
    synonym: str,
    type: ValueType,
    default: bool | int | float | str,
    doc: str,
    *,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    standing: Standing = Standing.HONOURED,
    reason: str = "",
    may_be_empty: bool = False,
) -> ConfigKey:
    if maximum is None and minimum is not None:
        maximum = INT_MAX if type is _INT else LONG_MAX if type is _LONG else None
    return ConfigKey(
        name,
        type,
        default,
        doc,
        unit,
        minimum,
        maximum,
        choices,
        True,
        standing,
        synonym,
        reason,
        may_be_empty,
    )


_TABLE = [
    # --- what the append loop obeys -------------------------------------------------------------------------
    _key(
        "max.message.bytes",
        "message.max.bytes",
        _INT,
        1_048_588,
        "Largest batch of records, after compression, that the topic accepts.",
        unit="bytes",
        minimum=0,
        maximum=MAX_MESSAGE_BYTES_LIMIT,
        reason="Kafka's default: 1 MiB and the overhead of one batch. At most half of the largest ring.",
    ),
    _key(
        "segment.bytes",
        "log.segment.bytes",
        _INT,
        1 << 30,
        "A segment of this size is sealed and a new one begun. Its memory map is sized after it.",
        unit="bytes",
        minimum=1 << 20,
        reason="Kafka's default and minimum; below 1 MiB a busy topic would be a file a second.",
    ),
    _key(
        "segment.ms",
        "log.roll.ms",
        _LONG,
        7 * _DAY_MS,
        "A segment is sealed by the first append whose timestamp is later than that of its first batch by more than"
        " this.",
        unit="ms",
        minimum=1,
        reason="Kafka's default, as long as retention.ms: a slow topic is a segment a week.",
    ),
    _key(
        "index.interval.bytes",
        "log.index.interval.bytes",
        _INT,
        4096,
        "An entry of the time index is written about every so many bytes.",
        unit="bytes",
        minimum=0,
    ),
    _key(
        "flush.on.ack",
        "log.flush.on.ack",
        _BOOLEAN,
        True,
        "A record produced with acks=all is acknowledged only once it is on disk. With false, acks=all is"
        " answered when the page cache has the record: it survives the death of any process, not a power"
        " loss.",
    ),
    _key(
        "min.insync.replicas",
        "min.insync.replicas",
        _INT,
        1,
        "Replicas that must have a record before acks=all is answered; with fewer, such records are refused"
        " with NOT_ENOUGH_REPLICAS.",
        minimum=1,
    ),
    _key(
        "compression.type",
        "compression.type",
        _STRING,
        "producer",
        "Codec of the stored batches; producer keeps what the producer chose.",
        choices=("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"),
    ),
    _key(
        "message.timestamp.type",
        "log.message.timestamp.type",
        _STRING,
        "CreateTime",
        "Whose clock a record carries: the producer's (CreateTime) or the broker's (LogAppendTime).",
        choices=("CreateTime", "LogAppendTime"),
    ),
    _key(
        "message.timestamp.before.max.ms",
        "log.message.timestamp.before.max.ms",
        _LONG,
        LONG_MAX,
        "With CreateTime, a record stamped further back than this is refused with INVALID_TIMESTAMP.",
        unit="ms",
        minimum=0,
    ),
    _key(
        "message.timestamp.after.max.ms",
        "log.message.timestamp.after.max.ms",
        _LONG,
        3_600_000,
        "With CreateTime, a record stamped further ahead than this is refused with INVALID_TIMESTAMP.",
        unit="ms",
        minimum=0,
    ),
    # --- how long data lives --------------------------------------------------------------------------------
    _key(
        "cleanup.policy",
        "log.cleanup.policy",
        _LIST,
        "delete",
        "What becomes of old segments: deleted by retention.ms and retention.bytes, compacted, or both; nothing keeps"
        " them.",
        choices=("delete", "compact"),
        may_be_empty=True,
    ),
    _key(
        "retention.ms",
        "log.retention.ms",
        _LONG,
        7 * _DAY_MS,
        "A segment all of whose records are older than this is deleted, the oldest first; -1 keeps them.",
        unit="ms",
        minimum=-1,
    ),
    _key(
        "retention.bytes",
        "log.retention.bytes",
        _LONG,
        -1,
        "The oldest segments are deleted while the partition without them has this size still; -1 is no limit.",
        unit="bytes",
        minimum=-1,
    ),
    _key(
        "local.retention.ms",
        "log.local.retention.ms",
        _LONG,
        -2,
        "Kafka's retention.ms for what a remote tier has a copy of; -2 is retention.ms. There is no remote tier here, so"
        " it has no effect, as in Kafka without one.",
        unit="ms",
        minimum=-2,
        standing=_RECORDED,
    ),
    _key(
        "local.retention.bytes",
        "log.local.retention.bytes",
        _LONG,
        -2,
        "Kafka's retention.bytes for what a remote tier has a copy of; -2 is retention.bytes. It has no effect, as"
        " local.retention.ms.",
        unit="bytes",
        minimum=-2,
        standing=_RECORDED,
    ),
    _key(
        "retention.groups",
        "log.retention.groups",
        _LIST,
        "",
        "Groups that retention waits for: what retention.ms and retention.bytes would delete is kept until each"
        " of these consumer groups has committed past it, up to retention.groups.max.bytes and"
        " retention.groups.max.ms.",
    ),
    _key(
        "retention.groups.max.bytes",
        "log.retention.groups.max.bytes",
        _LONG,
        10 * 1024**3,
        "Size of a partition above which retention stops waiting for retention.groups; -1 is no limit.",
        unit="bytes",
        minimum=-1,
        reason="Ten segments of the default size: a group that is gone for good does not fill the disk.",
    ),
    _key(
        "retention.groups.max.ms",
        "log.retention.groups.max.ms",
        _LONG,
        -1,
        "Age of records above which retention stops waiting for retention.groups; -1 is no limit.",
        unit="ms",
        minimum=-1,
    ),
    _key(
        "delete.retention.ms",
        "log.cleaner.delete.retention.ms",
        _LONG,
        _DAY_MS,
        "How long compaction keeps tombstones.",
        unit="ms",
        minimum=0,
    ),
    _key(
        "min.compaction.lag.ms",
        "log.cleaner.min.compaction.lag.ms",
        _LONG,
        0,
        "Age below which a record is never compacted.",
        unit="ms",
        minimum=0,
    ),
    _key(
        "max.compaction.lag.ms",
        "log.cleaner.max.compaction.lag.ms",
        _LONG,
        LONG_MAX,
        "Age above which a record is due for compaction.",
        unit="ms",
        minimum=1,
    ),
    _key(
        "min.cleanable.dirty.ratio",
        "log.cleaner.min.cleanable.ratio",
        _DOUBLE,
        0.5,
        "Share of uncompacted bytes that starts a compaction.",
        minimum=0,
        maximum=1,
    ),
    _key(
        "file.delete.delay.ms",
        "log.segment.delete.delay.ms",
        _LONG,
        60_000,
        "Wait before a deleted segment's file goes. It has no effect: files go at once, and readers keep what they have"
        " open.",
        unit="ms",
        minimum=0,
        standing=_RECORDED,
    ),
    _key(
        "flush.messages",
        "log.flush.interval.messages",
        _LONG,
        LONG_MAX,
        "So many records after the last flush of a partition, it is flushed, acks=all or not.",
        minimum=1,
    ),
    _key(
        "flush.ms",
        "log.flush.interval.ms",
        _LONG,
        LONG_MAX,
        "A record is flushed after so long at the latest, acks=all or not.",
        unit="ms",
        minimum=0,
    ),
    _key(
        "segment.jitter.ms",
        "log.roll.jitter.ms",
        _LONG,
        0,
        "What segment.ms is shortened by, by another part of this for each segment: not all partitions roll at once.",
        unit="ms",
        minimum=0,
    ),
    _key(
        "segment.index.bytes",
        "log.index.size.max.bytes",
        _INT,
        10 * 1024 * 1024,
        "Size of Kafka's index files; indexes here live inside the segment and need no size.",
        unit="bytes",
        minimum=4,
        standing=_RECORDED,
    ),
    _key(
        "preallocate",
        "log.preallocate",
        _BOOLEAN,
        False,
        "Whether Kafka writes segments to full size at once; segments here grow, with blocks for 8 MiB ahead at most.",
        standing=_RECORDED,
    ),
    _key(
        "unclean.leader.election.enable",
        "unclean.leader.election.enable",
        _BOOLEAN,
        False,
        "Whether a replica out of sync may lead; with one replica the question never comes up.",
        standing=_RECORDED,
    ),
    _key(
        "compression.gzip.level",
        "compression.gzip.level",
        _INT,
        -1,
        "Level when the broker compresses with gzip; -1 is the codec's own.",
        minimum=-1,
        maximum=9,
        standing=_RECORDED,
    ),
    _key(
        "compression.lz4.level",
        "compression.lz4.level",
        _INT,
        9,
        "Level when the broker compresses with lz4.",
        minimum=1,
        maximum=17,
        standing=_RECORDED,
    ),
    _key(
        "compression.zstd.level",
        "compression.zstd.level",
        _INT,
        3,
        "Level when the broker compresses with zstd.",
        minimum=-131072,
        maximum=22,
        standing=_RECORDED,
    ),
]

TOPIC_KEYS: dict[str, ConfigKey] = {key.name: key for key in _TABLE}
