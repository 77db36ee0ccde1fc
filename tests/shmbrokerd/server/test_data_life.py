"""What the broker process is told, by a supervisor that only listens."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shmbroker.config.static import StaticConfig
from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol.messages import ConfigureStorage, HoldRetention, RetentionHold
from shmbroker.shm.counters import CountersFile, SystemCounter
from shmbrokerd.broker_link import BrokerGoneError
from shmbrokerd.metadata.records import ConfigRow, OffsetRow, PartitionRow, Put, TopicRow
from shmbrokerd.metadata.settings import BROKER, TOPIC, Settings
from shmbrokerd.metadata.state import State
from shmbrokerd.server.data_life import DataLife


class Desk:
    """A :class:`DataLife` with one partition, and the orders that it gave."""

    def __init__(self, folder: Path) -> None:
        self.state = State()
        self.state.apply(Put(TopicRow("t", bytes(16), 0)))
        self.state.apply(Put(PartitionRow("t", 0, 5, 0, 0, (0,), (0,))))
        self.counters = CountersFile.create(folder / "counters", 1, 1, 0)
        self.orders: list[Any] = []
        self.error: Exception | None = None
        self.life = DataLife(folder, self, self._settings, self.counters)  # type: ignore[arg-type]

    def _settings(self) -> Settings:
        return Settings(StaticConfig(), self.state)

    async def request(self, order: Any) -> None:
        self.orders.append(order)
        if self.error is not None:
            raise self.error

    def configure(self, kind: str, name: str, key: str, value: str) -> None:
        self.state.apply(Put(ConfigRow(kind, name, key, value)))

    def wait_for(self, *groups: str) -> None:
        self.configure(TOPIC, "t", "retention.groups", ",".join(groups))
        self.life.partition_configured(5, self._settings().log_config("t"))

    def commit(self, group: str, offset: int) -> None:
        self.state.apply(Put(OffsetRow(group, "t", 0, offset, -1, None, 0)))

    def tell(self) -> list[Any]:
        """The orders of one look at the committed offsets."""
        self.orders.clear()
        asyncio.run(self.life.tell_holds())
        return list(self.orders)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.counters.close()


def test_a_fresh_broker_hears_of_the_limits_first(desk: Desk, tmp_path: Path) -> None:
    assert desk.life.broker_started() == ConfigureStorage(str(tmp_path), 64 << 20, 300_000, 30_000, 600_000)


def test_only_what_has_changed_is_told(desk: Desk) -> None:
    desk.life.broker_started()
    asyncio.run(desk.life.reconfigure())
    assert desk.orders == []
    desk.configure(BROKER, "", "log.min.free.bytes", "77")
    asyncio.run(desk.life.reconfigure())
    asyncio.run(desk.life.reconfigure())
    assert [order.min_free_bytes for order in desk.orders] == [77]


@pytest.mark.parametrize(
    "error", [BrokerGoneError(), BrokerError(ErrorCode.BROKER_NOT_AVAILABLE, "restarting")]
)
def test_a_broker_that_could_not_be_told_is_told_with_the_next_change(desk: Desk, error: Exception) -> None:
    desk.life.broker_started()
    desk.configure(BROKER, "", "log.min.free.bytes", "77")
    desk.error = error
    asyncio.run(desk.life.reconfigure())
    desk.error = None
    asyncio.run(desk.life.reconfigure())
    assert [order.min_free_bytes for order in desk.orders] == [77, 77]


def test_holds_are_told_when_they_change(desk: Desk) -> None:
    assert desk.tell() == []
    desk.wait_for("a", "b")
    desk.commit("a", 9)
    assert desk.tell() == [HoldRetention([RetentionHold(5, 0, "b")])]
    assert desk.tell() == []
    desk.commit("b", 12)
    assert desk.tell() == [HoldRetention([RetentionHold(5, 9, "a")])]
    desk.wait_for()
    assert desk.tell() == []


def test_all_are_told_anew_where_the_broker_knows_nothing(desk: Desk) -> None:
    desk.wait_for("a")
    told = desk.tell()
    desk.wait_for("a")
    assert desk.tell() == told, "the partition was opened again"
    desk.life.broker_started()
    assert desk.tell() == told, "the broker was started again"
    desk.wait_for("a")
    desk.error = BrokerGoneError()
    with pytest.raises(BrokerGoneError):
        desk.tell()
    desk.error = None
    assert desk.tell() == told, "it died before it heard"


def test_a_partition_that_is_gone_is_forgotten(desk: Desk) -> None:
    desk.wait_for("a")
    desk.state.slots.clear()
    assert desk.tell() == []


def test_too_little_room_is_an_error_and_an_alarm_with_figures(desk: Desk) -> None:
    desk.life.check_room()
    assert desk.life.alarms() == []
    free = desk.life.free_bytes()
    assert free > 0
    desk.configure(BROKER, "", "log.min.free.bytes", str(1 << 60))
    with pytest.raises(BrokerError) as refused:
        desk.life.check_room()
    assert refused.value.code == ErrorCode.KAFKA_STORAGE_ERROR
    (alarm,) = desk.life.alarms()
    for text in (refused.value.message, alarm):
        assert str(1 << 60) in text
        assert "log.min.free.bytes" in text
    desk.configure(BROKER, "", "log.min.free.bytes", "0")
    desk.life.check_room()


def test_what_groups_lost_is_an_alarm(desk: Desk) -> None:
    desk.counters.add(SystemCounter.RETENTION_OVERRUNS, 3)
    (alarm,) = desk.life.alarms()
    assert "3 segments" in alarm
    assert "retention.groups" in alarm


@pytest.mark.parametrize(
    ("limit", "free", "alarm"),
    [
        (0, (1 << 20) - 1, "the disk is full: "),
        (0, 1 << 20, None),
        (64 << 20, (64 << 20) - 1, "records are refused: "),
        (64 << 20, 0, "records are refused: "),
        (64 << 20, 64 << 20, None),
    ],
)
def test_a_disk_that_is_full_is_an_alarm_with_and_without_a_limit(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, limit: int, free: int, alarm: str | None
) -> None:
    desk.configure(BROKER, "", "log.min.free.bytes", str(limit))
    monkeypatch.setattr(DataLife, "free_bytes", lambda self: free)
    alarms = desk.life.alarms()
    assert [text.startswith(alarm or "-") and f"{free} bytes left" in text for text in alarms] == (
        [True] if alarm else []
    )
