"""Broker configuration keys: Kafka's where it has one, our own limits where it does not, and topic
defaults."""

from __future__ import annotations

from shmbroker.config.cleaner_keys import CLEANER_KEYS
from shmbroker.config.group_keys import GROUP_KEYS
from shmbroker.config.key import INT_MAX, ConfigKey, ValueType
from shmbroker.config.lag_keys import LAG_KEYS
from shmbroker.config.storage_keys import STORAGE_KEYS
from shmbroker.config.topic_keys import MAX_MESSAGE_BYTES_LIMIT, TOPIC_KEYS
from shmbroker.config.transaction_keys import TRANSACTION_KEYS

_BOOLEAN, _INT, _LONG = ValueType.BOOLEAN, ValueType.INT, ValueType.LONG
_MIB = 1024 * 1024

_OWN = [
    # --- topics ---------------------------------------------------------------------------------------------
    ConfigKey(
        "node.id",
        _INT,
        0,
        "Number of this node; written to meta.properties and fixed from then on.",
        minimum=0,
        maximum=62,
        reason="The in-sync replicas of a partition are the bits of one 8-byte word.",
    ),
    ConfigKey(
        "num.partitions",
        _INT,
        1,
        "Partitions of a topic that is created without saying how many.",
        minimum=1,
        maximum=4096,
    ),
    ConfigKey(
        "default.replication.factor",
        _INT,
        1,
        "Replicas of a topic that is created without saying how many.",
        minimum=1,
        maximum=1,
        reason="There is one broker process to hold them.",
    ),
    ConfigKey(
        "auto.create.topics.enable",
        _BOOLEAN,
        True,
        "A client that asks for an unknown topic, and allows it, gets it created.",
    ),
    ConfigKey("delete.topic.enable", _BOOLEAN, True, "Whether topics may be deleted."),
    ConfigKey(
        "max.partitions",
        _INT,
        4096,
        "Partitions of all topics together: slots of the partition table.",
        minimum=1,
        maximum=65536,
        reason="384 bytes of table a slot (1.5 MiB), one open log and its descriptors a partition.",
    ),
    # --- clients --------------------------------------------------------------------------------------------
    ConfigKey(
        "max.connections",
        _INT,
        512,
        "Clients connected at once; one more is told so and closed.",
        minimum=1,
        maximum=16384,
        reason="Five descriptors a client in the daemon; 512 stay below common limits of 4096.",
    ),
    ConfigKey(
        "socket.request.max.bytes",
        _INT,
        16 * _MIB,
        "Largest request on the control socket.",
        unit="bytes",
        minimum=64 * 1024,
        maximum=16 * _MIB,
        reason="The metadata of 64k partitions fits; a runaway length does not.",
    ),
    ConfigKey(
        "connections.hello.timeout.ms",
        _INT,
        10_000,
        "A connection that has not introduced itself by then is closed.",
        unit="ms",
        minimum=10,
        maximum=INT_MAX,
        reason="A client says hello within a millisecond; a stopped one gets some grace.",
    ),
    ConfigKey(
        "connections.send.timeout.ms",
        _INT,
        10_000,
        "A client that leaves an answer unread for this long is closed.",
        unit="ms",
        minimum=10,
        maximum=INT_MAX,
        reason="The socket's buffer takes most answers at once; this bounds the rest.",
    ),
    ConfigKey(
        "session.ring.bytes",
        _INT,
        4 * _MIB,
        "Ring of a producer that does not ask for a size. A power of two.",
        unit="bytes",
        minimum=64 * 1024,
        maximum=256 * _MIB,
        reason="Four batches of 1 MiB: one being read, one being written, two between.",
    ),
    ConfigKey(
        "session.ring.max.bytes",
        _INT,
        256 * _MIB,
        "Largest ring that a producer may ask for.",
        unit="bytes",
        minimum=64 * 1024,
        maximum=256 * _MIB,
        reason="A batch of the largest max.message.bytes, twice.",
    ),
    ConfigKey(
        "session.memory.max.bytes",
        _LONG,
        4096 * _MIB,
        "Memory of all clients' session regions together.",
        unit="bytes",
        minimum=_MIB,
        maximum=2**50,
        reason="512 clients with default rings take 2.1 GiB; a hostile one cannot take all memory.",
    ),
    *CLEANER_KEYS,
    *GROUP_KEYS,
    *TRANSACTION_KEYS,
    *LAG_KEYS,
    # --- producers ------------------------------------------------------------------------------------------
    ConfigKey(
        "producer.id.expiration.ms",
        _INT,
        86_400_000,
        "A partition forgets a producer that wrote nothing for so long and has no transaction open there. Looked at every"
        " producer.id.expiration.check.interval.ms, and with each new segment.",
        unit="ms",
        minimum=1,
        maximum=INT_MAX,
        is_dynamic=True,
        reason="Kafka's default, a day: far longer than any producer tries again (delivery.timeout.ms).",
    ),
    ConfigKey(
        "producer.id.expiration.check.interval.ms",
        _INT,
        600_000,
        "Pause between two looks for producers that expired. An idle broker looks once a second at most.",
        unit="ms",
        minimum=1,
        maximum=INT_MAX,
        is_dynamic=True,
        reason="Kafka's default: what expires after a day may as well go some minutes later.",
    ),
    ConfigKey(
        "max.producers.per.partition",
        _INT,
        10_000,
        "Producers that a partition remembers; a new one takes the place of those that wrote longest ago. Where all of them"
        " have open transactions it is refused with THROTTLING_QUOTA_EXCEEDED.",
        minimum=1,
        maximum=1_000_000,
        is_dynamic=True,
        reason="1 KiB of memory each, and 150 bytes that each new segment begins with.",
    ),
    *STORAGE_KEYS,
    # --- storage --------------------------------------------------------------------------------------------
    ConfigKey(
        "metadata.max.bytes",
        _LONG,
        1024 * _MIB,
        "Size that the metadata store may grow to. Then nothing new is taken in; groups go on, and what is deleted makes room.",
        unit="bytes",
        minimum=16 * _MIB,
        maximum=2**40,
        reason="Some 4 million committed offsets; address space only, the file grows as needed.",
    ),
    # --- the daemon's own processes -------------------------------------------------------------------------
    ConfigKey(
        "broker.restart.max.attempts",
        _INT,
        5,
        "Starts of the broker process that may fail in a row before the daemon gives up and exits.",
        minimum=1,
        maximum=1000,
        reason="With the back-off, some 3 s: enough for memory or disk to come back.",
    ),
    ConfigKey(
        "broker.restart.backoff.max.ms",
        _INT,
        5000,
        "Longest wait between two starts of a broker process, or a cleaner process.",
        unit="ms",
        minimum=0,
        maximum=INT_MAX,
        reason="The first restart is immediate, each later one waits twice as long.",
    ),
    ConfigKey(
        "broker.request.timeout.ms",
        _INT,
        30_000,
        "How long the main process waits for the broker process to carry out an order.",
        unit="ms",
        minimum=100,
        maximum=INT_MAX,
        reason="Kafka's request.timeout.ms: clients wait no longer either.",
    ),
    ConfigKey(
        "num.recovery.threads.per.data.dir",
        _INT,
        2,
        "Partitions that are checked at a time when the machine went down without a clean stop.",
        minimum=1,
        maximum=64,
        reason="Kafka's default. Reading and checksums run beside each other, the rest shares one interpreter lock.",
    ),
    ConfigKey(
        "shutdown.timeout.ms",
        _INT,
        1500,
        "A broker that has not closed its logs by then is killed at shutdown.",
        unit="ms",
        minimum=0,
        maximum=INT_MAX,
        reason="Nothing acknowledged is lost by a kill; the daemon promises to stop within 2 s.",
    ),
]


def _topic_default(topic_key: ConfigKey) -> ConfigKey:
    """The broker key that holds the default of a topic key."""
    return topic_key._replace(
        name=topic_key.synonym,
        synonym=topic_key.name,
        doc=f"Default of the topic key {topic_key.name}. {topic_key.doc}",
    )


BROKER_KEYS: dict[str, ConfigKey] = {
    key.name: key for key in [*_OWN, *(_topic_default(topic_key) for topic_key in TOPIC_KEYS.values())]
}

assert BROKER_KEYS["session.ring.max.bytes"].default >= 2 * MAX_MESSAGE_BYTES_LIMIT  # type: ignore[operator]
