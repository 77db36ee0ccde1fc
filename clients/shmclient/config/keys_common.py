"""Keys that every client shares: where the broker is, limits, retries, callbacks, logging, statistics."""

from __future__ import annotations

from shmclient.config.key import INT32_MAX, Key, flag, function, integer, text, unsettable

KEYS: tuple[Key, ...] = (
    text(
        "bootstrap.servers",
        "The daemon to attach to: `shm:` (the default daemon), `shm:/runtime/dir`, or the hosts of a Kafka "
        "cluster, "
        "which are handed to confluent_kafka. Left out, `$SHMBROKER_BOOTSTRAP` decides, then the system's "
        "daemon, "
        "then the user's.",
        aliases=("metadata.broker.list",),
        effect="honoured",
    ),
    text(
        "client.id",
        "Names this client in the daemon's logs, metrics and lists of clients.",
        "shmclient",
        upstream_default="rdkafka",
        note="A name of our own tells the two libraries apart in a mixed system.",
        effect="honoured",
    ),
    text(
        "client.rack",
        "The rack this client counts itself to; reported to the group coordinator.",
        note="One host is one rack.",
    ),
    integer(
        "message.max.bytes",
        1000000,
        1000,
        1000000000,
        "The largest record, in bytes, a producer accepts. The topic's `max.message.bytes` limits the batch "
        "too.",
        effect="honoured",
    ),
    integer(
        "socket.timeout.ms",
        60000,
        10,
        300000,
        "How long a request on the control socket may take before it fails with _TIMED_OUT, also where a call was "
        "given no time-out (-1).",
        effect="honoured",
    ),
    integer(
        "retry.backoff.ms",
        100,
        1,
        300000,
        "The first pause before a failed request or batch is tried again; it doubles with each further "
        "failure.",
        effect="honoured",
    ),
    integer(
        "retry.backoff.max.ms",
        1000,
        1,
        300000,
        "The longest pause between two tries.",
        effect="honoured",
    ),
    integer(
        "metadata.max.age.ms",
        900000,
        1,
        86400000,
        "How old the client's list of topics may become before it is asked for again. Changes to topics in "
        "use are "
        "seen at once, through the shared partition table.",
        effect="honoured",
    ),
    flag(
        "allow.auto.create.topics",
        False,
        "Whether using an unknown topic asks the daemon to create it (it must allow that as well). "
        "For producers and AdminClient the default is true.",
        effect="honoured",
    ),
    flag(
        "enable.random.seed",
        True,
        "True draws random partitions from a generator of the client's own, seeded by the system; false "
        "draws them "
        "from Python's global `random`, which a program can seed to repeat a run.",
        effect="honoured",
    ),
    integer(
        "statistics.interval.ms",
        0,
        0,
        86400000,
        "How often `stats_cb` is called with a JSON document of the client's figures; 0 is never.",
        effect="honoured",
    ),
    function(
        "error_cb",
        "Called from `poll()` as `error_cb(KafkaError)` for errors that belong to no single request, such as "
        "_ALL_BROKERS_DOWN.",
        effect="honoured",
    ),
    function(
        "stats_cb",
        "Called from `poll()` as `stats_cb(json_text)` every `statistics.interval.ms`.",
        effect="honoured",
    ),
    function(
        "throttle_cb",
        "Called from `poll()` as `throttle_cb(ThrottleEvent)` when a broker slows this client down.",
        note="A daemon of this host slows nobody down: it is never called.",
    ),
    Key(
        name="logger",
        kind="object",
        doc="A `logging.Logger` (anything with `log(level, text, *args)`) that gets the client's log lines "
        "instead of "
        "the logger `shmclient`.",
        effect="honoured",
    ),
    integer(
        "log_level",
        6,
        0,
        7,
        "The least important syslog level that is logged.",
        note="Levels are those of Python's `logging`, set on the logger.",
    ),
    Key(
        name="debug",
        kind="flags",
        doc="Parts of librdkafka that shall log what they do.",
        default=(),
        choices=(
            *(
                "generic",
                "broker",
                "topic",
                "metadata",
                "feature",
                "queue",
                "msg",
                "protocol",
                "cgrp",
                "security",
            ),
            *(
                "fetch",
                "interceptor",
                "plugin",
                "consumer",
                "admin",
                "eos",
                "mock",
                "assignor",
                "conf",
                "telemetry",
            ),
            "all",
        ),
        note="Set the logger `shmclient` to DEBUG.",
    ),
    flag(
        "log.queue",
        False,
        "Whether log lines wait for `poll()`.",
        note="Log lines go straight to the logger.",
    ),
    flag(
        "log.thread.name",
        True,
        "Whether log lines name the thread.",
        note="The formatter of Python's `logging` decides.",
    ),
    flag(
        "log.connection.close",
        True,
        "Whether a closed connection is logged.",
        note="A lost daemon is always logged, once.",
    ),
    flag(
        "enable.metrics.push",
        True,
        "Whether the client pushes its metrics to the cluster (KIP-714).",
        note="The daemon reads clients' figures from shared memory.",
    ),
    integer(
        "enabled_events",
        0,
        0,
        INT32_MAX,
        "Which events librdkafka's event queue carries.",
        note="There is no event queue; callbacks do the same.",
    ),
    integer(
        "internal.termination.signal",
        0,
        0,
        128,
        "A signal that wakes librdkafka's threads at shutdown.",
        note="Threads are woken through their eventfd.",
    ),
    text("plugin.library.paths", "Shared libraries to load as plugins.", note="Plugins are not loaded."),
    Key(
        name="builtin.features",
        kind="flags",
        doc="The features a program demands of its library.",
        default=(),
        choices=(
            *(
                "gzip",
                "snappy",
                "ssl",
                "sasl",
                "regex",
                "lz4",
                "sasl_gssapi",
                "sasl_plain",
                "sasl_scram",
                "plugins",
            ),
            *("zstd", "sasl_oauthbearer", "http", "oidc"),
        ),
        note="Names are checked, presence is not.",
    ),
    text("client.software.name", "The library's name as told to brokers.", note="The client reports itself."),
    text(
        "client.software.version",
        "The library's version as told to brokers.",
        note="The client reports itself.",
    ),
    integer(
        "test.mock.num.brokers",
        0,
        0,
        10000,
        "How many mock brokers librdkafka starts inside the process.",
        note="For tests use `shmclient.testing.EmbeddedBroker`, a real daemon.",
    ),
    integer(
        "test.mock.broker.rtt",
        0,
        0,
        3600000,
        "The delay of librdkafka's mock brokers.",
        note="For tests use `shmclient.testing.EmbeddedBroker`, a real daemon.",
    ),
    unsettable("log_cb", "Use `logger`."),
    unsettable("opaque", "Python callbacks carry their own state."),
    unsettable("default_topic_conf", "Use `default.topic.config`, or give topic keys directly."),
    unsettable("interceptors", "Interceptors are not supported."),
    unsettable("background_event_cb", "Use `error_cb`, `stats_cb` or `throttle_cb`."),
    unsettable("socket_cb", "No network sockets are used."),
    unsettable("connect_cb", "No network sockets are used."),
    unsettable("closesocket_cb", "No network sockets are used."),
    unsettable("resolve_cb", "No network sockets are used."),
    unsettable("open_cb", "Files are opened by Python."),
    Key(
        name="default.topic.config",
        kind="object",
        doc="A dict of further keys, which overrides the ones beside it: the old place for topic-level keys.",
        effect="honoured",
        deprecated=True,
        note="Give the keys directly.",
    ),
)
