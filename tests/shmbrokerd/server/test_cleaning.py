"""What cleaner processes are told, by a main process whose broker only listens."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from shmbroker.config.static import StaticConfig
from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol import messages as m
from shmbroker.shm.counters import CountersFile, SystemCounter
from shmbrokerd.broker_link import BrokerGoneError
from shmbrokerd.metadata.records import ConfigRow, PartitionRow, Put, TopicRow
from shmbrokerd.metadata.settings import BROKER, TOPIC, Settings
from shmbrokerd.metadata.state import State
from shmbrokerd.server.cleaning import Cleaning, alarms

TOPIC_ID, OTHER_ID = bytes(16), b"x" * 16
SWAP = m.ReplaceSegments(5, TOPIC_ID, 0, 10, [0, 4])


class Desk:
    """A :class:`Cleaning` with one topic of two partitions, in the slots 5 and 6."""

    def __init__(self, folder: Path) -> None:
        self.state = State()
        self.state.apply(Put(TopicRow("t", TOPIC_ID, 0)))
        for partition, slot in enumerate((5, 6)):
            self.state.apply(Put(PartitionRow("t", partition, slot, 0, 0, (0,), (0,))))
        self.counters = CountersFile.create(folder / "counters", 1, 1, 0)
        self.orders: list[Any] = []
        self.error: Exception | None = None
        logs: Any = self
        self.cleaning = Cleaning(self._settings, logs, logs, folder / "table", self.counters)

    def _settings(self) -> Settings:
        return Settings(StaticConfig(), self.state)

    def configure(self, key: str, value: str, kind: str = TOPIC, name: str = "t") -> None:
        self.state.apply(Put(ConfigRow(kind, name, key, value)))

    # What it needs of others.

    def directory(self, topic: str, partition: int) -> str:
        return f"/logs/{topic}-{partition}"

    async def request(self, order: Any) -> m.BrokerReply:
        self.orders.append(order)
        if self.error is not None:
            raise self.error
        return m.BrokerReply()

    # What cleaners do.

    def ask(self, body: Any, cleaner: int = 0) -> Any:
        return asyncio.run(self.cleaning.answer(cleaner, body))

    def slots(self) -> list[int]:
        return [entry.slot for entry in self.ask(m.ListCompacted()).logs]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    with closing(desk.counters):
        yield desk


@pytest.fixture
def compacted(desk: Desk) -> Desk:
    desk.configure("cleanup.policy", "compact")
    return desk


@pytest.mark.parametrize(
    ("policy", "slots"), [("delete", []), ("compact", [5, 6]), ("compact,delete", [5, 6]), ("", [])]
)
def test_topics_are_listed_that_want_to_be_compacted(desk: Desk, policy: str, slots: list[int]) -> None:
    desk.configure("cleanup.policy", policy)
    assert desk.slots() == slots


def test_limits_are_those_of_the_moment(compacted: Desk) -> None:
    compacted.configure("log.cleaner.dedupe.buffer.size", "2000000", BROKER, "0")
    compacted.configure("log.min.free.bytes", "77", BROKER, "0")
    limits = compacted.ask(m.ListCompacted()).limits
    assert (limits.buffer_bytes, limits.min_free_bytes) == (2_000_000, 77)


def test_a_log_is_one_cleaners_at_a_time(compacted: Desk) -> None:
    claim = m.ClaimLog(5, TOPIC_ID)
    assert compacted.ask(claim).code == ErrorCode.NO_ERROR
    assert compacted.ask(claim, cleaner=1).code == ErrorCode.UNKNOWN_TOPIC_OR_PART
    assert compacted.slots() == [6]
    # Only who has it gives it back.
    compacted.ask(m.LogCleaned(5, TOPIC_ID), cleaner=1)
    assert compacted.slots() == [6]
    compacted.ask(m.LogCleaned(5, TOPIC_ID))
    assert compacted.slots() == [5, 6]


@pytest.mark.parametrize("claim", [m.ClaimLog(5, OTHER_ID), m.ClaimLog(9, TOPIC_ID)])
def test_what_is_gone_or_another_topic_by_now_cannot_be_claimed(compacted: Desk, claim: Any) -> None:
    assert compacted.ask(claim).code == ErrorCode.UNKNOWN_TOPIC_OR_PART


def test_only_who_claimed_a_log_may_have_segments_swapped(compacted: Desk) -> None:
    assert compacted.ask(SWAP).code == ErrorCode.INVALID_REQUEST
    assert compacted.orders == []
    compacted.ask(m.ClaimLog(5, TOPIC_ID))
    assert compacted.ask(SWAP).code == ErrorCode.NO_ERROR
    assert compacted.orders == [SWAP]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BrokerGoneError(), ErrorCode.BROKER_NOT_AVAILABLE),
        (BrokerError(ErrorCode.INVALID_REQUEST, "other segments"), ErrorCode.INVALID_REQUEST),
    ],
)
def test_what_the_broker_refuses_is_an_answer(compacted: Desk, error: Exception, code: ErrorCode) -> None:
    compacted.ask(m.ClaimLog(5, TOPIC_ID))
    compacted.error = error
    reply = compacted.ask(SWAP)
    assert reply.code == code
    assert reply.message


def test_passes_are_counted(compacted: Desk) -> None:
    compacted.ask(m.LogCleaned(5, TOPIC_ID, bytes_read=100, bytes_written=30))
    damage = {"code": ErrorCode.KAFKA_STORAGE_ERROR, "message": "damage"}
    compacted.ask(m.LogCleaned(5, TOPIC_ID, bytes_read=7, **damage))  # type: ignore[arg-type]
    wanted = (
        SystemCounter.CLEANER_PASSES,
        SystemCounter.CLEANER_FAILURES,
        SystemCounter.CLEANER_BYTES_READ,
        SystemCounter.CLEANER_BYTES_WRITTEN,
    )
    assert [compacted.counters.read(counter) for counter in wanted] == [1, 1, 107, 30]


def test_how_far_topics_are_is_what_cleaners_saw_last(compacted: Desk) -> None:
    (info,) = compacted.cleaning.describe()
    assert (info.topic, info.partitions, info.unseen, info.problems) == ("t", 2, 2, [])
    compacted.ask(m.LogsLookedAt([m.CompactionLook(5, TOPIC_ID, 10, 1000, 200)]))
    compacted.ask(m.LogsLookedAt([m.CompactionLook(6, TOPIC_ID, 0, 0, 50)]), cleaner=1)
    (info,) = compacted.cleaning.describe()
    assert (info.unseen, info.clean_bytes, info.dirty_bytes) == (0, 1000, 250)
    assert alarms(compacted.cleaning.describe()) == []


def test_what_was_seen_of_a_topic_that_is_gone_is_not_told_of_the_next_one(compacted: Desk) -> None:
    compacted.ask(m.LogsLookedAt([m.CompactionLook(5, OTHER_ID, 10, 1000, 200, "damage")]))
    (info,) = compacted.cleaning.describe()
    assert (info.unseen, info.clean_bytes, info.problems) == (2, 0, [])


def test_what_cannot_be_compacted_is_an_alarm(compacted: Desk) -> None:
    looks = [m.CompactionLook(slot, TOPIC_ID, problem="bad CRC") for slot in (5, 6)]
    compacted.ask(m.LogsLookedAt(looks))
    assert alarms(compacted.cleaning.describe()) == ["cannot compact t [0]: bad CRC, and 1 more"]
    (info,) = compacted.cleaning.describe()
    assert (info.unseen, len(info.problems)) == (2, 2)
    compacted.ask(m.LogsLookedAt([m.CompactionLook(slot, TOPIC_ID, 0, 1, 1) for slot in (5, 6)]))
    assert alarms(compacted.cleaning.describe()) == []


def test_cleaners_are_started_and_stopped_as_soon_as_settings_say_so(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    running: set[int] = set()

    async def run_cleaner(number: int) -> None:
        running.add(number)
        try:
            await asyncio.Event().wait()
        finally:
            running.discard(number)

    monkeypatch.setattr(desk.cleaning, "_run_cleaner", run_cleaner)
    desk.configure("log.cleaner.backoff.ms", "2147483647", BROKER, "0")

    async def becomes(wanted: set[int]) -> None:
        async with asyncio.timeout(30):
            while running != wanted:
                await asyncio.sleep(0)

    async def scenario() -> None:
        task = asyncio.create_task(desk.cleaning.run())
        for policy, threads, wanted in (
            ("compact", "1", {0}),
            ("compact", "3", {0, 1, 2}),
            ("compact", "2", {0, 1}),
            ("delete", "2", set()),
            ("compact,delete", "1", {0}),
        ):
            desk.configure("cleanup.policy", policy)
            desk.configure("log.cleaner.threads", threads, BROKER, "0")
            desk.cleaning.settings_changed()
            await becomes(wanted)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert running == set()

    asyncio.run(scenario())


def test_a_pass_under_limits_that_were_changed_is_begun_anew(
    compacted: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []

    async def run_cleaner(number: int) -> None:
        events.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            events.append("ended")

    monkeypatch.setattr(compacted.cleaning, "_run_cleaner", run_cleaner)

    async def after(key: str, value: str, expected: list[str]) -> None:
        compacted.configure(key, value, BROKER, "0")
        compacted.cleaning.settings_changed()
        async with asyncio.timeout(30):
            while events != expected or compacted.cleaning._changed.is_set():
                await asyncio.sleep(0)

    async def scenario() -> None:
        task = asyncio.create_task(compacted.cleaning.run())
        await after("log.cleaner.io.max.bytes.per.second", "1024", ["begun"])
        await after("log.retention.ms", "1024", ["begun"])
        await after("log.cleaner.io.max.bytes.per.second", "9999999", ["begun", "ended", "begun"])
        await after("log.cleaner.dedupe.buffer.size", "2000000", ["begun", "ended"] * 2 + ["begun"])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scenario())
