"""Broker configuration keys of groups: membership, assignment, committed offsets."""

from __future__ import annotations

from shmbroker.config.key import INT_MAX, ConfigKey, ValueType

_INT, _LIST = ValueType.INT, ValueType.LIST
_MIB = 1024 * 1024
_DAY_MS = 86_400_000

GROUP_KEYS = [
    ConfigKey(
        "group.initial.rebalance.delay.ms",
        _INT,
        0,
        "How long the first member of an empty group waits for others before partitions are assigned.",
        unit="ms",
        minimum=0,
        maximum=INT_MAX,
        reason="Kafka's 3 s save rebalances; here one takes a millisecond and moves nothing needlessly.",
    ),
    ConfigKey(
        "group.max.size",
        _INT,
        1024,
        "Members of a group; one more is refused with GROUP_MAX_SIZE_REACHED.",
        minimum=1,
        maximum=16384,
        reason="Twice the default of max.connections; the time to assign grows with it.",
    ),
    ConfigKey(
        "group.min.session.timeout.ms",
        _INT,
        6000,
        "Shortest session.timeout.ms that a member may ask for.",
        unit="ms",
        minimum=10,
        maximum=INT_MAX,
        reason="Kafka's default. It only counts for members that are alive and stalled, or expected back.",
    ),
    ConfigKey(
        "group.max.session.timeout.ms",
        _INT,
        1_800_000,
        "Longest session.timeout.ms that a member may ask for.",
        unit="ms",
        minimum=10,
        maximum=INT_MAX,
        reason="Kafka's default: partitions of a static member that never comes back are read again after it.",
    ),
    ConfigKey(
        "group.max.rebalance.timeout.ms",
        _INT,
        _DAY_MS,
        "Longest max.poll.interval.ms that a member may ask for; a longer one counts as this.",
        unit="ms",
        minimum=10,
        maximum=INT_MAX,
        reason="The longest that librdkafka takes. A member that releases nothing is fenced after it.",
    ),
    ConfigKey(
        "group.consumer.session.timeout.ms",
        _INT,
        45_000,
        "Session time-out of members that do not ask for one (group.protocol=consumer).",
        unit="ms",
        minimum=10,
        maximum=INT_MAX,
        reason="Kafka's default.",
    ),
    ConfigKey(
        "group.consumer.heartbeat.interval.ms",
        _INT,
        5000,
        "How often members stamp their heartbeat, a store to shared memory; more often where their session time-out needs it.",
        unit="ms",
        minimum=10,
        maximum=INT_MAX,
        reason="Kafka's default: nine stamps in a session time-out.",
    ),
    ConfigKey(
        "group.consumer.assignors",
        _LIST,
        "uniform,range",
        "Assignors that members may choose with group.remote.assignor; the first is that of those who do not choose.",
        choices=("uniform", "range", "roundrobin", "sticky", "cooperative-sticky"),
        reason="Kafka's default.",
    ),
    ConfigKey(
        "connections.push.max.pending",
        _INT,
        100,
        "Messages of the daemon that a client may leave unread, when its socket is full, before it is closed.",
        minimum=1,
        maximum=100_000,
        reason="A socket holds some 200 kB: a client with more to read than that and this has stopped listening.",
    ),
    ConfigKey(
        "offset.metadata.max.bytes",
        _INT,
        4096,
        "Largest metadata text of a committed offset.",
        unit="bytes",
        minimum=0,
        maximum=_MIB,
        reason="Kafka's default.",
    ),
    ConfigKey(
        "offsets.retention.minutes",
        _INT,
        7 * 24 * 60,
        "Offsets of a group without members are dropped after this time, counted from when its last member left, or,"
        " if it never had any, from the commit. So are those of topics that a group subscribes to no more.",
        unit="min",
        minimum=1,
        maximum=INT_MAX,
        reason="Kafka's default.",
    ),
    ConfigKey(
        "offsets.retention.check.interval.ms",
        _INT,
        600_000,
        "How often it is looked for offsets that are due to go.",
        unit="ms",
        minimum=10,
        maximum=INT_MAX,
        reason="Kafka's default.",
    ),
]
