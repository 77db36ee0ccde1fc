"""Broker configuration keys of lag: what is remembered of commits, how it is judged, who is told, and where it is served."""

from __future__ import annotations

from shmbroker.config.key import INT_MAX, LONG_MAX, ConfigKey, ValueType

_BOOLEAN, _DOUBLE = ValueType.BOOLEAN, ValueType.DOUBLE
_INT, _LONG, _STRING = ValueType.INT, ValueType.LONG, ValueType.STRING
_WEEK_MS = 7 * 86_400_000

LAG_KEYS = [
    ConfigKey(
        "lag.window.commits",
        _INT,
        10,
        "Commits of a partition that its status is judged by, and log ends that are remembered (Burrow's intervals).",
        minimum=1,
        maximum=1000,
        reason="Burrow's default. More are slower to tell of trouble, fewer see it where there is none.",
    ),
    ConfigKey(
        "lag.commit.min.distance.ms",
        _INT,
        1000,
        "A commit that comes sooner after the last one takes its place in the window (Burrow's min-distance).",
        unit="ms",
        minimum=0,
        maximum=INT_MAX,
        reason="As in the configuration that Burrow comes with: ten commits in a row would be over in a moment, and any pause"
        " a stop.",
    ),
    ConfigKey(
        "lag.allowed.records",
        _LONG,
        0,
        "A partition that is no further behind is OK, whatever else (Burrow's allowed-lag).",
        unit="records",
        minimum=0,
        maximum=LONG_MAX,
        reason="Burrow's default.",
    ),
    ConfigKey(
        "lag.minimum.complete",
        _DOUBLE,
        0.0,
        "How full a window has to be before its partition can be anything but OK (Burrow's minimum-complete).",
        minimum=0.0,
        maximum=1.0,
        reason="Burrow's default: one commit is enough to say that no other followed.",
    ),
    ConfigKey(
        "lag.group.expire.ms",
        _LONG,
        _WEEK_MS,
        "The windows of a group that commits nothing for this long are dropped (Burrow's expire-group).",
        unit="ms",
        minimum=1000,
        maximum=LONG_MAX,
        reason="Burrow's default, and that of offsets.retention.minutes.",
    ),
    ConfigKey(
        "lag.group.allowlist",
        _STRING,
        "",
        "Regular expression: only groups that it matches somewhere are judged. Empty: all.",
    ),
    ConfigKey(
        "lag.group.denylist",
        _STRING,
        "",
        "Regular expression: groups that it matches somewhere are not judged.",
    ),
    ConfigKey(
        "lag.sample.interval.ms",
        _INT,
        10_000,
        "How often log ends, and the lag of each group for its history, are noted (Burrow's offset-refresh).",
        unit="ms",
        minimum=100,
        maximum=INT_MAX,
        reason="Burrow's default.",
    ),
    ConfigKey(
        "lag.history.samples",
        _INT,
        360,
        "How many figures the history of a group's lag has.",
        minimum=1,
        maximum=100_000,
        reason="An hour at the default interval, in 3 kB a group.",
    ),
    ConfigKey(
        "lag.max.partitions",
        _INT,
        100_000,
        "Windows of all groups together; what is committed beyond that is not judged.",
        minimum=0,
        maximum=10_000_000,
        reason="Some 60 MB; a thousand groups of a hundred partitions each.",
    ),
    # --- where it is served ---------------------------------------------------------------------------------
    ConfigKey(
        "http.listen",
        _STRING,
        "",
        "Where lag and metrics are served over HTTP: 127.0.0.1:PORT, [::1]:PORT or unix:PATH. Empty: nowhere. Needs"
        " pip install 'shmbroker[http]'.",
    ),
    # --- who is told ----------------------------------------------------------------------------------------
    ConfigKey(
        "http.cluster.name",
        _STRING,
        "local",
        "What this daemon is called in the paths of Burrow's HTTP API and in its metrics.",
    ),
    ConfigKey(
        "http.max.connections",
        _INT,
        64,
        "HTTP connections at once; further ones are answered 503.",
        minimum=1,
        maximum=10_000,
        reason="Some scripts and a Prometheus or two; each may hold an answer of some MB in memory.",
    ),
    ConfigKey(
        "lag.notify.webhook.url",
        _STRING,
        "",
        "Groups in trouble are told to this http or https address: a POST of JSON. Empty: nobody. Needs pip install"
        " 'shmbroker[http]'.",
    ),
    ConfigKey(
        "lag.notify.command",
        _STRING,
        "",
        "Groups in trouble are told to this program: JSON on its standard input. Words as in a shell, but no shell runs"
        " it. Empty: nobody.",
    ),
    ConfigKey(
        "lag.notify.interval.ms",
        _INT,
        60_000,
        "How often groups are judged, and how long at least after one notice the next of the same group follows.",
        unit="ms",
        minimum=100,
        maximum=INT_MAX,
        reason="Burrow's default.",
    ),
    ConfigKey(
        "lag.notify.threshold",
        _STRING,
        "WARN",
        "The mildest status that is told.",
        choices=("WARN", "ERR"),
        reason="Burrow's default (2).",
    ),
    ConfigKey(
        "lag.notify.send.close",
        _BOOLEAN,
        False,
        "Whether it is told, too, when a group is OK again.",
        reason="Burrow's default.",
    ),
    ConfigKey(
        "lag.notify.group.allowlist",
        _STRING,
        "",
        "Regular expression: only groups that it matches somewhere are told of. Empty: all.",
    ),
    ConfigKey(
        "lag.notify.group.denylist",
        _STRING,
        "",
        "Regular expression: groups that it matches somewhere are not told of.",
    ),
    ConfigKey(
        "lag.notify.timeout.ms",
        _INT,
        5000,
        "How long a webhook may take to answer, or a command to end, before it is given up.",
        unit="ms",
        minimum=100,
        maximum=INT_MAX,
        reason="Burrow's default for HTTP.",
    ),
    ConfigKey(
        "lag.notify.queue.max",
        _INT,
        100,
        "Notices that may wait for a webhook or command that is slow; further ones are dropped and logged.",
        minimum=1,
        maximum=100_000,
        reason="A hundred groups in trouble at once; what is still true is told again after the interval.",
    ),
]
