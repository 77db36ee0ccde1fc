"""Broker configuration keys of transactions."""

from __future__ import annotations

from shmbroker.config.key import INT_MAX, ConfigKey, ValueType

_INT = ValueType.INT
_DAY_MS = 86_400_000

TRANSACTION_KEYS = [
    ConfigKey(
        "transaction.max.timeout.ms",
        _INT,
        900_000,
        "Longest transaction.timeout.ms that a producer may ask for.",
        unit="ms",
        minimum=1,
        maximum=INT_MAX,
        reason="Kafka's default: readers that wait for the end of transactions wait no longer.",
    ),
    ConfigKey(
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        _INT,
        10_000,
        "How often, at least, it is looked for transactions that are over their time.",
        unit="ms",
        minimum=1,
        maximum=INT_MAX,
        reason="Kafka's default. A time-out that is known to be coming is waited for, whatever this is.",
    ),
    ConfigKey(
        "transactional.id.expiration.ms",
        _INT,
        7 * _DAY_MS,
        "A transactional id that had no transaction for this time is forgotten; its producer has to initialise again.",
        unit="ms",
        minimum=1,
        maximum=INT_MAX,
        reason="Kafka's default: longer than any pause in which somebody is expected back.",
    ),
    ConfigKey(
        "transaction.remove.expired.transaction.cleanup.interval.ms",
        _INT,
        3_600_000,
        "How often it is looked for transactional ids that are due to go.",
        unit="ms",
        minimum=1,
        maximum=INT_MAX,
        reason="Kafka's default.",
    ),
    ConfigKey(
        "transactional.ids.max",
        _INT,
        10_000,
        "Transactional ids known at once; one more is refused with POLICY_VIOLATION.",
        minimum=1,
        maximum=1_000_000,
        reason="Twenty times max.connections. Some 300 bytes of memory each; programs that make up a new id for each run would"
        " fill the store.",
    ),
    ConfigKey(
        "transaction.partitions.max",
        _INT,
        4096,
        "Partitions that one transaction may write to, and partitions of a group whose offsets it may commit.",
        minimum=1,
        maximum=65536,
        reason="As many as max.partitions: all of them. A row of the store and an order to the broker name each.",
    ),
]
