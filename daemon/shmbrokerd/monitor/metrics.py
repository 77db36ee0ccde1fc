"""What Prometheus is told: Burrow's metrics of groups, and the daemon's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shmbroker.protocol.messages import DescribeDaemon, DescribeDaemonReply, GroupLag, LagStatus, TopicInfo
from shmbroker.shm.counters import SystemCounter
from shmbrokerd.monitor.burrow import current_lag
from shmbrokerd.monitor.source import Source

_GROUP = ["cluster", "consumer_group"]
_GROUP_PARTITION = [*_GROUP, "topic", "partition"]
_PARTITION = ["cluster", "topic", "partition"]

GAUGES: dict[str, tuple[str, list[str]]] = {
    "burrow_kafka_consumer_lag_total": ("Records that a group has not read yet.", _GROUP),
    "burrow_kafka_consumer_status": ("Status of a group: 1 OK, 2 WARN, 3 ERR.", _GROUP),
    "burrow_kafka_consumer_partition_lag": (
        "Records of a partition that a group has not read yet.",
        _GROUP_PARTITION,
    ),
    "burrow_kafka_consumer_current_offset": (
        "The last offset that a group committed, once its window of commits is full.",
        _GROUP_PARTITION,
    ),
    "burrow_kafka_topic_partition_status": (
        "Status of a partition: 1 OK, 2 WARN, 4 STOP, 5 STALL, 6 REWIND, once its window of commits is full.",
        _GROUP_PARTITION,
    ),
    "burrow_kafka_topic_partition_offset": ("The end of a partition, as consumers see it.", _PARTITION),
    "shmbroker_consumer_lag_seconds": (
        "Age of the oldest record that a group has not read, 0 when there is none.",
        _GROUP,
    ),
    "shmbroker_consumer_partition_lag_seconds": (
        "The same for a partition; absent where nothing was committed.",
        _GROUP_PARTITION,
    ),
    "shmbroker_topic_partition_start_offset": ("The first offset that is still there.", _PARTITION),
    "shmbroker_topic_partition_log_bytes": ("Bytes of a partition on disk.", _PARTITION),
    "shmbroker_topic_partition_online": ("1 when a partition can be written, 0 when not.", _PARTITION),
    "shmbroker_clients": ("Connections to the daemon, by what they are attached as.", ["kind"]),
    "shmbroker_start_time_seconds": ("When the daemon was started, in seconds since the epoch.", []),
}
"""Name -> help, labels. docs/lag.md names them all."""

COUNTER_HELP = "Of the broker process, since it was started: {}."


def counter_name(counter: SystemCounter) -> str:
    """Without the ``_total`` that every counter's name ends in."""
    return f"shmbroker_{counter.name.lower()}"


class LagCollector(Collector):
    """Asks anew each time it is scraped: what is gone is gone from the answer."""

    def __init__(self, cluster: str, source: Source) -> None:
        self._cluster = cluster
        self._source = source

    def describe(self) -> Iterable[Metric]:
        """Nothing: or else the registry would ask the daemon for it."""
        return []

    def collect(self) -> Iterator[Metric]:
        gauges = {
            name: GaugeMetricFamily(name, text, labels=labels) for name, (text, labels) in GAUGES.items()
        }
        for summary in self._source.summaries():
            if summary.status is LagStatus.NOTFOUND:
                continue
            lag = self._source.group(summary.group)
            if lag.status is not LagStatus.NOTFOUND:  # it may have gone meanwhile
                self._add_group(gauges, lag)
        for topic in self._source.topics():
            self._add_topic(gauges, topic)
        self._add_daemon(gauges)
        yield from gauges.values()
        yield from self._counters()

    def _add_group(self, gauges: dict[str, GaugeMetricFamily], lag: GroupLag) -> None:
        labels = [self._cluster, lag.group]
        gauges["burrow_kafka_consumer_lag_total"].add_metric(labels, lag.lag)
        gauges["burrow_kafka_consumer_status"].add_metric(labels, lag.status)
        if lag.lag_ms >= 0:
            gauges["shmbroker_consumer_lag_seconds"].add_metric(labels, lag.lag_ms / 1000)
        for each in lag.partitions:
            place = [*labels, each.topic, str(each.partition)]
            gauges["burrow_kafka_consumer_partition_lag"].add_metric(place, current_lag(each))
            if each.lag_ms >= 0:
                gauges["shmbroker_consumer_partition_lag_seconds"].add_metric(place, each.lag_ms / 1000)
            if each.complete == 1.0:
                gauges["burrow_kafka_consumer_current_offset"].add_metric(place, each.committed)
                gauges["burrow_kafka_topic_partition_status"].add_metric(place, each.status)

    def _add_topic(self, gauges: dict[str, GaugeMetricFamily], topic: TopicInfo) -> None:
        for info in topic.partitions:
            place = [self._cluster, topic.name, str(info.partition)]
            figures = self._source.table.figures(info.slot)
            log_end = self._source.log_end(info)
            gauges["shmbroker_topic_partition_online"].add_metric(place, int(figures.state == 1))
            if log_end >= 0:
                gauges["burrow_kafka_topic_partition_offset"].add_metric(place, log_end)
                gauges["shmbroker_topic_partition_start_offset"].add_metric(place, figures.log_start)
                gauges["shmbroker_topic_partition_log_bytes"].add_metric(place, figures.log_bytes)

    def _add_daemon(self, gauges: dict[str, GaugeMetricFamily]) -> None:
        daemon = self._source.ask(DescribeDaemon(), DescribeDaemonReply)
        kinds = [session.kind for session in daemon.sessions]
        for kind in ("producer", "consumer", "control"):
            gauges["shmbroker_clients"].add_metric([kind], kinds.count(kind))
        gauges["shmbroker_start_time_seconds"].add_metric([], daemon.started_at_ms / 1000)

    def _counters(self) -> Iterator[Metric]:
        for counter in SystemCounter:
            family = CounterMetricFamily(counter_name(counter), COUNTER_HELP.format(counter.label))
            family.add_metric([], self._source.counters.read(counter))
            yield family
