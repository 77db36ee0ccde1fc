from __future__ import annotations

import logging
from typing import Any

import pytest

from shmclient import Consumer, Producer
from shmclient.logs import client_log


class Lines:
    """The least a logger can be."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str]] = []

    def log(self, level: int, text: str, *args: Any) -> None:
        self.lines.append((level, text % args))


def test_without_a_logger_lines_go_to_the_packages(caplog: pytest.LogCaptureFixture) -> None:
    client_log(None)(logging.WARNING, "%d lines", 1)
    assert caplog.record_tuples == [("shmclient", logging.WARNING, "1 lines")]


def test_what_cannot_log_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    client_log(object())(logging.INFO, "a line")  # below the level of the root logger
    client_log(5)(logging.ERROR, "a line")
    assert caplog.record_tuples == [("shmclient", logging.ERROR, "a line")]


def test_a_clients_lines_go_to_its_logger(caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = Lines(), Lines()
    conf = {"bootstrap.servers": "shm:/nonexistent", "group.id": "g", "linger.ms": 1}
    with (
        Producer(conf | {"logger": ours, "delivery.timeout.ms": 100}) as producer,
        Consumer(conf | {"logger": theirs}) as consumer,
    ):
        assert [level for level, text in ours.lines if "group.id" in text] == [logging.WARNING]
        assert [level for level, text in theirs.lines if "linger.ms" in text] == [logging.WARNING]
        producer.produce("t", b"v")
        producer.flush()
        consumer.poll(0.05)
    assert [text for _, text in ours.lines if "brokers are down" in text]
    assert [text for _, text in theirs.lines if "brokers are down" in text]
    assert not caplog.record_tuples
