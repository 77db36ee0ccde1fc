"""Whose data dir it is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from systemkit.records import Reports, produce_numbers, read_numbers

from shmclient.testing import BrokerStartError, EmbeddedBroker


def refusal(start_broker: Any, **options: Any) -> str:
    with pytest.raises(BrokerStartError) as raised:
        start_broker(**options)
    return str(raised.value)


def test_a_second_daemon_is_refused_with_the_pid_and_the_first_goes_on(
    broker: EmbeddedBroker, start_broker: Any, make_producer: Any
) -> None:
    assert f"in use by the daemon with pid {broker.pid}" in refusal(start_broker, data_dir=broker.data_dir)
    assert f"in use by the daemon with pid {broker.pid}" in refusal(
        start_broker, runtime_dir=broker.runtime_dir
    )
    producer = make_producer(broker)
    producer.produce("t", b"x")
    assert producer.flush(20) == 0


@pytest.mark.slow
def test_a_newer_data_dir_is_refused_and_not_touched(start_broker: Any, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    first = start_broker(data_dir=data_dir)
    first.stop()
    properties = data_dir / "meta.properties"
    newer = properties.read_text().replace("version=1", "version=2")
    properties.write_text(newer)
    assert "upgrade shmbroker" in refusal(start_broker, data_dir=data_dir)
    assert properties.read_text() == newer


@pytest.mark.parametrize("content", ["letters", "kafka"])
def test_a_foreign_data_dir_is_refused_and_not_touched(
    start_broker: Any, tmp_path: Path, content: str
) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    if content == "kafka":
        (data_dir / "meta.properties").write_text("version=1\ncluster.id=abc\nnode.id=1\n")
    else:
        (data_dir / "letters").write_text("dear")
    before = {path.name: path.read_text() for path in data_dir.iterdir()}
    assert str(data_dir) in refusal(start_broker, data_dir=data_dir)
    after = {path.name: path.read_text() for path in data_dir.iterdir() if path.name != ".lock"}
    assert after == before


@pytest.mark.slow
def test_a_copied_data_dir_serves_the_same_records(
    broker: EmbeddedBroker, start_broker: Any, make_producer: Any, make_consumer: Any, tmp_path: Path
) -> None:
    producer, reports = make_producer(broker), Reports()
    produce_numbers(producer, "t", range(500), reports)
    assert producer.flush(20) == 0
    broker.kill()
    shutil.copytree(broker.data_dir, tmp_path / "copy")
    copy = start_broker(data_dir=tmp_path / "copy")
    assert read_numbers(make_consumer(copy, "t"), 500) == list(range(500))
