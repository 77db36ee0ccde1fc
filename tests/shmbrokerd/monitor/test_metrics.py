"""/metrics of a real daemon, read by Prometheus' own parser."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from shmbroker.shm.counters import SystemCounter
from shmbrokerd.monitor.metrics import GAUGES, counter_name
from shmclient.testing import EmbeddedBroker

HOUR_MS = 3_600_000
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
Sample = tuple[str, tuple[tuple[str, str], ...]]


def scrape(http: httpx.Client, accept: str = "text/plain") -> dict[Sample, float]:
    response = http.get("/metrics", headers={"accept": accept})
    assert response.status_code == 200
    assert response.headers["content-type"].startswith(accept.split(";")[0])
    families = (parse_openmetrics if "openmetrics" in accept else parse_text)(response.text)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def value(samples: dict[Sample, float], name: str, **labels: str) -> float | None:
    return samples.get((name, tuple(sorted(labels.items()))))


@pytest.mark.parametrize("accept", ["text/plain", OPENMETRICS])
def test_lag_of_groups(
    http: httpx.Client, monitored: EmbeddedBroker, topic: str, produce: Any, commit: Any, accept: str
) -> None:
    produce(monitored, topic, 10, timestamp=1_700_000_000_000)
    commit(monitored, topic, topic, 1, 2, 4)
    samples = scrape(http, accept)
    group = {"cluster": "local", "consumer_group": topic}
    first, second = ({**group, "topic": topic, "partition": number} for number in "01")
    assert value(samples, "burrow_kafka_consumer_lag_total", **group) == 6
    assert value(samples, "burrow_kafka_consumer_status", **group) in (1, 3)
    assert value(samples, "burrow_kafka_consumer_partition_lag", **first) == 6
    assert value(samples, "burrow_kafka_consumer_partition_lag", **second) == 0
    assert value(samples, "burrow_kafka_consumer_current_offset", **first) == 4
    assert value(samples, "burrow_kafka_consumer_current_offset", **second) is None
    assert value(samples, "burrow_kafka_topic_partition_status", **first) in (1, 4)
    seconds = value(samples, "shmbroker_consumer_partition_lag_seconds", **first)
    assert seconds is not None and seconds > HOUR_MS / 1000
    assert value(samples, "shmbroker_consumer_lag_seconds", **group) is not None
    assert value(samples, "shmbroker_consumer_partition_lag_seconds", **second) is None


def test_figures_of_partitions_and_counters_of_the_broker(
    http: httpx.Client, monitored: EmbeddedBroker, topic: str, produce: Any
) -> None:
    before = scrape(http)
    produce(monitored, topic, 10)
    samples = scrape(http)
    first = {"cluster": "local", "topic": topic, "partition": "0"}
    assert value(samples, "burrow_kafka_topic_partition_offset", **first) == 10
    assert value(samples, "shmbroker_topic_partition_start_offset", **first) == 0
    assert value(samples, "shmbroker_topic_partition_online", **first) == 1
    size = value(samples, "shmbroker_topic_partition_log_bytes", **first)
    assert size is not None and size > 0
    for counter in SystemCounter:
        assert value(samples, f"{counter_name(counter)}_total") is not None
    records_in = f"{counter_name(SystemCounter.RECORDS_IN)}_total"
    assert value(samples, records_in) == (value(before, records_in) or 0) + 10
    assert value(samples, "shmbroker_clients", kind="control") is not None


def test_groups_that_are_gone_leave_nothing_behind(
    http: httpx.Client, monitored: EmbeddedBroker, topic: str, produce: Any, commit: Any
) -> None:
    produce(monitored, topic, 1)
    commit(monitored, topic, topic, 1)
    assert any(("consumer_group", topic) in labels for _, labels in scrape(http))
    http.delete(f"/v3/kafka/local/consumer/{topic}")
    assert not any(("consumer_group", topic) in labels for _, labels in scrape(http))


def test_every_metric_has_a_help_text_and_names_no_other(http: httpx.Client) -> None:
    families = {family.name: family for family in parse_text(http.get("/metrics").text)}
    names = {*GAUGES, *map(counter_name, SystemCounter)}
    assert families.keys() == names
    assert all(family.documentation for family in families.values())
