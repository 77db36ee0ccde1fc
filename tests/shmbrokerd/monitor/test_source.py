"""What the monitor process asks, against a daemon of this process's own making."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shmbroker.config.broker_keys import BROKER_KEYS
from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol import messages as m
from shmbrokerd.monitor.source import Source
from shmbrokerd.monitor_settings import MonitorSettings
from shmclient.testing import EmbeddedBroker


def source_of(runtime_dir: Path, control_socket: Path | None = None) -> Source:
    config = {name: key.default for name, key in BROKER_KEYS.items() if name.startswith(("lag.", "http."))}
    settings = MonitorSettings(
        str(control_socket or runtime_dir / "control.sock"),
        str(runtime_dir / "partitions"),
        str(runtime_dir / "counters"),
        "info",
        -1,
        "",
        False,
        config,
    )
    return Source(settings)


@pytest.fixture
def source(monitored: EmbeddedBroker) -> Iterator[Source]:
    source = source_of(monitored.runtime_dir)
    yield source
    source.close()


def test_log_ends_of_topics(source: Source, monitored: EmbeddedBroker, topic: str, produce: Any) -> None:
    produce(monitored, topic, 3, partition=1)
    assert source.log_ends(topic) == [0, 3]
    assert source.log_ends("nope") is None
    assert topic in [each.name for each in source.topics()]


def test_a_refusal_is_an_error_and_the_connection_stays_good(source: Source) -> None:
    with pytest.raises(
        BrokerError, match="'loud' is no log level: use debug, info, warning, error"
    ) as caught:
        source.ask(m.SetLogLevel("loud"), m.LogLevelReply)
    assert caught.value.code == ErrorCode.INVALID_REQUEST
    assert source.ask(m.SetLogLevel(), m.LogLevelReply).level == "info"


def test_a_daemon_that_is_not_there_is_not_available(monitored: EmbeddedBroker, folder: Path) -> None:
    source = source_of(monitored.runtime_dir, folder / "nobody.sock")
    with pytest.raises(BrokerError, match="the daemon does not answer") as caught:
        source.summaries()
    assert caught.value.code == ErrorCode.BROKER_NOT_AVAILABLE
    source.close()


def test_a_connection_that_was_lost_is_made_anew(monitored: EmbeddedBroker, folder: Path) -> None:
    path = folder / "control.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        source = source_of(monitored.runtime_dir, path)
        listener.settimeout(10)

        def hang_up() -> None:
            listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(BrokerError, match="the daemon does not answer"):
            source.summaries()
        thread.join()
    path.unlink()
    path.symlink_to(monitored.runtime_dir / "control.sock")
    assert isinstance(source.summaries(), list)
    source.close()
