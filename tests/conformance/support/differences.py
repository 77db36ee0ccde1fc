"""Every place where shmclient deliberately does not do what confluent_kafka and Apache Kafka do.

A test asks `broker.differs("<name>")` and expects the one or the other; a name that is not in this table is
an error. docs/conformance.md repeats the table for readers, and test_differences.py holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """One wanted difference: what each side does, and why ours is wanted.

    `bridge`: whether shmclient keeps it when bootstrap.servers names a Kafka cluster.
    """

    name: str
    kafka: str
    shm: str
    why: str
    bridge: bool = True


TABLE = (
    Difference(
        "default-partitioner",
        kafka="`partitioner` defaults to `consistent_random` (CRC32 of the key)",
        shm="`partitioner` defaults to `murmur2_random`",
        why="the Java clients' hash: a topic filled from both sides keeps one partition per key",
        bridge=False,
    ),
    Difference(
        "iterable-consumer",
        kafka="a Consumer is not iterable (TypeError)",
        shm="`for message in consumer` polls without end",
        why="the loop every program writes by hand",
    ),
    Difference(
        "callable-callback",
        kafka="produce() accepts a delivery callback that cannot be called, flush() raises SystemError",
        shm="produce() raises TypeError",
        why="the mistake surfaces where it was made",
    ),
    Difference(
        "produce-batch",
        kafka="produce_batch() ignores a record's `partition` and refuses `timestamp` (NotImplementedError)",
        shm="produce_batch() honours `partition`, `timestamp` and `headers` of each record",
        why="confluent_kafka documents `partition` as honoured; ours has no reason to refuse the rest",
    ),
    Difference(
        "error-texts",
        kafka="`KafkaError.str()` is librdkafka's text of the code, or what the broker said",
        shm="the same origin (`Local:`, `Broker:`), other words, and what to do about it",
        why="codes and names are the contract; a text can help more when it knows there is one host",
    ),
    Difference(
        "callbacks-none",
        kafka="`subscribe(topics, on_assign=None)` raises TypeError",
        shm="a callback that is None is none",
        why="None is what the documented default of these arguments is",
    ),
    Difference(
        "commit-not-owned",
        kafka="a member commits for any partition, owned or not",
        shm="a member commits for what it owns; the rest is refused with ILLEGAL_GENERATION, or STALE_MEMBER_EPOCH"
        " (`group.protocol=consumer`)",
        why="another member may own the partition and be ahead: committed offsets never move back by themselves",
        bridge=False,
    ),
    Difference(
        "sticky-strategy",
        kafka="librdkafka has no `partition.assignment.strategy=sticky` (_INVALID_ARG)",
        shm="`sticky` is Kafka's StickyAssignor, with callbacks as in an eager protocol",
        why="the daemon assigns, and has what Kafka's Java client has",
        bridge=False,
    ),
    Difference(
        "queue-bytes",
        kafka="`queue.buffering.max.kbytes` counts values: keys and headers wait without a limit",
        shm="`queue.buffering.max.kbytes` counts values, keys and headers",
        why="all of them take memory",
        bridge=False,
    ),
    Difference(
        "long-transactional-id",
        kafka="a `transactional.id` may have any length",
        shm="249 bytes at most: init_transactions() is refused with INVALID_REQUEST (fatal)",
        why="it is part of a key of the metadata store, as is `group.id`",
        bridge=False,
    ),
    Difference(
        "commit-after-unsubscribe",
        kafka="after unsubscribe() commits are refused with UNKNOWN_MEMBER_ID: librdkafka keeps the id of its membership",
        shm="a consumer that left commits like one that never was a member: while the group has none",
        why="as Kafka's Java client; other members' offsets are safe either way",
        bridge=False,
    ),
    Difference(
        "empty-group-id",
        kafka="`group.id=''` aborts the process",
        shm="ValueError, as for a missing `group.id`",
        why="an exception can be handled",
    ),
)

BY_NAME = {difference.name: difference for difference in TABLE}
