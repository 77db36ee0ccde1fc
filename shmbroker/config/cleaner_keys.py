"""Broker keys of the cleaner, with Kafka's names (4.x): how compaction is done. When it is done is a matter of topic keys."""

from __future__ import annotations

import sys

from shmbroker.config.key import INT_MAX, ConfigKey, ValueType

_MIB = 1024 * 1024

CLEANER_KEYS = [
    ConfigKey(
        "log.cleaner.enable",
        ValueType.BOOLEAN,
        True,
        "Whether topics with cleanup.policy=compact are compacted at all. Without, they only grow.",
    ),
    ConfigKey(
        "log.cleaner.threads",
        ValueType.INT,
        1,
        "Logs that are compacted at a time, each by a process of its own. They are started with the first"
        " topic that is compacted.",
        minimum=1,
        maximum=16,
        is_dynamic=True,
        reason="Kafka's default. Processes, for threads of one would take turns; each has some 25 MiB besides its"
        " share of the buffer.",
    ),
    ConfigKey(
        "log.cleaner.dedupe.buffer.size",
        ValueType.LONG,
        128 * _MIB,
        "Memory for the keys of a pass, of all cleaner processes together; 24 bytes a key. Where there are"
        " more keys, several passes"
        " are made. Only what the records at hand may need is taken.",
        unit="bytes",
        minimum=_MIB,
        maximum=2**40,
        is_dynamic=True,
        reason="Kafka's default: 5 million keys to a pass.",
    ),
    ConfigKey(
        "log.cleaner.io.buffer.load.factor",
        ValueType.DOUBLE,
        0.9,
        "How full that memory may get. A higher share holds more keys and takes longer to look them up.",
        minimum=0.1,
        maximum=0.95,
        is_dynamic=True,
        reason="Kafka's default: ten steps to a key that is not there; beyond 0.95 it would be more than twenty.",
    ),
    ConfigKey(
        "log.cleaner.io.max.bytes.per.second",
        ValueType.DOUBLE,
        sys.float_info.max,
        "Bytes that a cleaner process reads and writes in a second, together. The default is no limit.",
        unit="bytes/s",
        minimum=1024,
        is_dynamic=True,
        reason="With less than 1 KiB a second a pass would outlive the log.",
    ),
    ConfigKey(
        "log.cleaner.backoff.ms",
        ValueType.LONG,
        15_000,
        "How long to rest when no log needs to be compacted.",
        unit="ms",
        minimum=10,
        maximum=INT_MAX,
        is_dynamic=True,
        reason="Kafka's default: looking costs a look into each folder.",
    ),
]
