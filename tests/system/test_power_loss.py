"""A daemon after the machine went down: another boot id, and a disk that kept what it liked of the unflushed pages.

What a power loss does to one file is simulated in tests/shmbroker/log/test_power_loss.py; here are the parts around it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from systemkit.records import Reports, produce_numbers, read_numbers
from systemkit.waiting import wait_for

from shmclient.testing import EmbeddedBroker


def segment(broker: EmbeddedBroker, topic: str) -> Path:
    (path,) = (broker.data_dir / "logs" / f"{topic}-0").glob("*.mdb")
    return path


def lose_power(broker: EmbeddedBroker, monkeypatch: Any, boot: str) -> None:
    """The processes are gone at once, and the next start is another boot's."""
    broker.kill()
    monkeypatch.setenv("SHMBROKERD_BOOT_ID", boot)


@pytest.mark.slow
def test_after_a_power_loss_every_acknowledged_record_is_there_and_the_loss_of_others_is_told(
    start_broker: Any, make_producer: Any, make_consumer: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("SHMBROKERD_BOOT_ID", "first")
    broker = start_broker()
    producer, reports = make_producer(broker), Reports()
    produce_numbers(producer, "t", range(200), reports)
    assert producer.flush(20) == 0
    flushed = segment(broker, "t").read_bytes()
    careless = make_producer(broker, {"acks": "1"})
    produce_numbers(careless, "t", range(200, 300), reports)
    assert careless.flush(20) == 0
    whole = segment(broker, "t").read_bytes()
    lose_power(broker, monkeypatch, "second")
    # Both metas reached the disk, and nothing else of what was not flushed.
    segment(broker, "t").write_bytes(whole[:8192] + flushed[8192:].ljust(len(whole) - 8192, b"\0"))
    broker.restart()
    assert re.search(r"t-0: rebuilt from its batches: \d+ batches, offsets 0 to 2\d\d", broker.log), (
        broker.log
    )
    values = read_numbers(make_consumer(broker, "t"), 200)
    assert values == list(range(200))
    more = Reports()
    producer = make_producer(broker)
    produce_numbers(producer, "t", range(1000, 1010), more)
    assert producer.flush(30) == 0
    assert len(more.offsets) == 10


@pytest.mark.slow
def test_only_another_boot_after_an_unclean_stop_has_the_logs_checked(
    start_broker: Any, make_producer: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("SHMBROKERD_BOOT_ID", "first")
    broker = start_broker()
    producer = make_producer(broker)
    produce_numbers(producer, "t", range(10), Reports())
    assert producer.flush(20) == 0
    record = broker.data_dir / "last-run.properties"
    assert record.read_text() == "version=1\nboot.id=first\nstopped=no\n"
    broker.kill()
    broker.restart()
    assert "checking" not in broker.log
    lose_power(broker, monkeypatch, "second")
    broker.restart()
    wait_for(lambda: "checked 1 segments" in broker.log, "the log was checked", 30)
    assert "1 whole" in broker.log
    assert "boot.id=second" in record.read_text()
    monkeypatch.setenv("SHMBROKERD_BOOT_ID", "third")
    broker.restart()  # a clean stop
    assert "boot.id=third" in record.read_text()
    assert "an unclean stop" not in broker.log


@pytest.mark.slow
def test_a_log_that_cannot_be_recovered_is_offline_and_tried_again_and_the_rest_is_served(
    start_broker: Any, make_producer: Any, make_consumer: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("SHMBROKERD_BOOT_ID", "first")
    broker = start_broker()
    producer = make_producer(broker)
    for topic in ("bad", "good"):
        produce_numbers(producer, topic, range(10), Reports())
    assert producer.flush(20) == 0
    lose_power(broker, monkeypatch, "second")
    bad = segment(broker, "bad")
    content = bad.read_bytes()
    bad.unlink()
    bad.mkdir()  # nothing can be read or written there
    broker.restart()
    assert read_numbers(make_consumer(broker, "good"), 10) == list(range(10))
    assert f"{bad}: cannot recover the log" in broker.log
    assert "boot.id=first" in (broker.data_dir / "last-run.properties").read_text()
    bad.rmdir()
    bad.write_bytes(content)
    wait_for(lambda: "bad-0 is online again" in broker.log, "it is tried again", 60)
    assert read_numbers(make_consumer(broker, "bad"), 10) == list(range(10))
    assert "boot.id=second" in (broker.data_dir / "last-run.properties").read_text()
