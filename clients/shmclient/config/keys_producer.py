"""Keys of the producer: acknowledgement, batching, buffering, compression, partitioning, transactions."""

from __future__ import annotations

from shmclient.config.key import INT32_MAX, Key, choice, flag, function, integer, text, unsettable

KEYS: tuple[Key, ...] = (
    integer(
        "acks",
        -1,
        -1,
        1000,
        "When a record counts as delivered: 0 once it is handed over, 1 once the leader committed it, all "
        "(-1) once "
        "every in-sync replica has it and it is on disk. With other numbers every "
        "record is reported as failed with INVALID_REQUIRED_ACKS, as Kafka's brokers do.",
        clients="P",
        aliases=("request.required.acks",),
        synonyms={"all": "-1"},
        effect="honoured",
    ),
    Key(
        name="linger.ms",
        kind="float",
        doc="How long a batch may wait for more records, in milliseconds (fractions are allowed).",
        default=0.0,
        low=0,
        high=900000,
        clients="P",
        aliases=("queue.buffering.max.ms",),
        effect="honoured",
        upstream_default=5.0,
        note="Batching is adaptive: a lone record leaves at once, records that come while a batch is under "
        "way "
        "travel together. Waiting buys little where no network round trip is saved.",
    ),
    integer(
        "batch.size",
        1000000,
        1,
        INT32_MAX,
        "The most bytes of records in one batch. A larger record travels alone.",
        clients="P",
        effect="honoured",
        note="At the default, packed columns (`produce_batch(values=, value_offsets=)`) of up to 1 MiB travel in one batch, "
        "if the topic's `max.message.bytes` allows.",
    ),
    integer(
        "batch.num.messages",
        10000,
        1,
        1000000,
        "The most records in one batch.",
        clients="P",
        effect="honoured",
    ),
    integer(
        "queue.buffering.max.messages",
        100000,
        0,
        INT32_MAX,
        "The most records that may wait for their delivery report; `produce()` raises BufferError beyond. "
        "0 is no limit.",
        clients="P",
        effect="honoured",
    ),
    integer(
        "queue.buffering.max.kbytes",
        1048576,
        1,
        INT32_MAX,
        "The most bytes, in KiB, of values, keys and headers of records that may wait for their delivery report; `produce()` "
        "raises BufferError for a record that would be too much. Whichever is reached first counts, this or "
        "`queue.buffering.max.messages`.",
        clients="P",
        effect="honoured",
    ),
    choice(
        "compression.type",
        "none",
        ("none", "gzip", "snappy", "lz4", "zstd"),
        "How batches are compressed. lz4 and zstd need the extras of the same names. snappy is not offered: "
        "such batches are stored as they are, with a warning.",
        clients="P",
        aliases=("compression.codec",),
        effect="honoured",
    ),
    integer(
        "compression.level",
        -1,
        -1,
        12,
        "How hard to compress; higher is smaller and slower. -1 is the codec's own default.",
        clients="P",
        effect="honoured",
    ),
    integer(
        "delivery.timeout.ms",
        300000,
        0,
        INT32_MAX,
        "How long a record may take from `produce()` to its delivery report, retries included; then it "
        "fails with "
        "_MSG_TIMED_OUT. 0 is no limit. Transactional producers default to `transaction.timeout.ms`.",
        clients="P",
        aliases=("message.timeout.ms",),
        effect="honoured",
    ),
    integer(
        "request.timeout.ms",
        30000,
        1,
        900000,
        "How long the daemon may wait for in-sync replicas before it fails a batch.",
        clients="P",
        note="Partitions have one replica: there is nothing to wait for.",
    ),
    integer(
        "retries",
        INT32_MAX,
        0,
        INT32_MAX,
        "How often a batch is tried again within `delivery.timeout.ms`.",
        clients="P",
        aliases=("message.send.max.retries",),
        effect="honoured",
    ),
    choice(
        "partitioner",
        "murmur2_random",
        ("random", "consistent", "consistent_random", "murmur2", "murmur2_random", "fnv1a", "fnv1a_random"),
        "Which partition a record without one goes to: a hash of the key (CRC32 for `consistent`), where the "
        "`_random` kinds choose freely for records without a key. Also a callable "
        "`partitioner(key: bytes | None, partition_count: int) -> int`.",
        clients="P",
        takes_callable=True,
        effect="honoured",
        upstream_default="consistent_random",
        note="murmur2 is what Kafka's own clients and Kafka Streams use, so keys land where they would "
        "there.",
    ),
    integer(
        "sticky.partitioning.linger.ms",
        10,
        0,
        900000,
        "How long records without a key go to one partition before the next is chosen, unless it got as much as fills "
        "a batch before; 0 chooses at random for each.",
        clients="P",
        effect="honoured",
    ),
    flag(
        "enable.idempotence",
        True,
        "Whether retries can neither duplicate nor reorder records (KIP-98). Asking for what it excludes, "
        "such as "
        "`acks=1` or `retries=0`, switches the default off and contradicts an explicit true.",
        clients="P",
        effect="honoured",
        upstream_default=False,
        note="Kafka's own producer has had it on since 3.0, and sequence numbers cost nothing measurable "
        "here.",
    ),
    text(
        "transactional.id",
        "Names a transactional producer across restarts; a newer one of the same name fences the older.",
        clients="P",
        effect="honoured",
    ),
    integer(
        "transaction.timeout.ms",
        60000,
        1000,
        INT32_MAX,
        "How long a transaction may stay open before the coordinator aborts it.",
        clients="P",
        effect="honoured",
    ),
    flag(
        "delivery.report.only.error",
        False,
        "Whether delivery callbacks are called for failed records only.",
        clients="P",
        effect="honoured",
    ),
    function(
        "on_delivery",
        "Called from `poll()` and `flush()` as `on_delivery(error, message)` for every record whose "
        "`produce()` "
        "named no callback. Producers only.",
        clients="P",
        effect="honoured",
    ),
    integer(
        "max.in.flight.requests.per.connection",
        1000000,
        1,
        1000000,
        "How many batches may be under way at once; at most 5 together with an explicit "
        "`enable.idempotence`.",
        aliases=("max.in.flight",),
        note="The ring keeps batches in order, however many are under way.",
    ),
    integer(
        "queue.buffering.backpressure.threshold",
        1,
        1,
        1000000,
        "How many unsent requests make librdkafka gather larger batches.",
        clients="P",
        note="Batches grow by themselves while one is under way.",
    ),
    flag(
        "enable.gapless.guarantee",
        False,
        "Whether a record that fails makes the producer unusable, so that no gap can follow.",
        clients="P",
        note="Not supported.",
    ),
    integer(
        "message.copy.max.bytes",
        65535,
        0,
        1000000000,
        "Up to which size librdkafka copies a record rather than referring to it.",
        note="Records are written to shared memory once, whatever their size.",
    ),
    choice(
        "queuing.strategy",
        "fifo",
        ("fifo", "lifo"),
        "Whether old or new records leave first.",
        clients="P",
        deprecated=True,
        note="Order is always kept.",
    ),
    flag(
        "produce.offset.report",
        False,
        "Whether delivery reports carry offsets.",
        clients="P",
        deprecated=True,
        note="They always do.",
    ),
    unsettable("dr_cb", "Use `on_delivery`.", "P"),
    unsettable("dr_msg_cb", "Use `on_delivery`.", "P"),
    unsettable("partitioner_cb", "Give a callable as `partitioner`.", "P"),
    unsettable("msg_order_cmp", "Order is always kept.", "P"),
)
