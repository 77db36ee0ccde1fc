"""The journal over a store whose disk can be made slow or full."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Iterator
from typing import Any

import pytest

from shmbroker.errors import BrokerError, ErrorCode
from shmbrokerd.journal import Journal
from shmbrokerd.metadata.records import AnyRow, CounterRow, Put, Record
from shmbrokerd.metadata.state import State


class Disk:
    """A store in memory. ``gate`` holds writes back, ``refuse`` makes them fail."""

    def __init__(self) -> None:
        self.rows: dict[tuple[Any, ...], AnyRow] = {}
        self.writes: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.refuse = False
        self.unreadable = False
        self.closed = False

    def write(self, records: Iterable[Record]) -> None:
        self.entered.set()
        assert self.gate.wait(10)
        records = list(records)
        self.writes.append(len(records))
        if self.refuse:
            raise BrokerError(ErrorCode.KAFKA_STORAGE_ERROR, "disk full")
        for record in records:
            self.rows[record.row.key] = record.row

    def records(self) -> Iterator[Record]:
        if self.unreadable:
            raise BrokerError(ErrorCode.KAFKA_STORAGE_ERROR, "unreadable")
        return (Put(row) for row in self.rows.values())

    def close(self) -> None:
        self.closed = True


def count(name: str, value: int) -> list[Record]:
    return [Put(CounterRow(name, value))]


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await scenario

    asyncio.run(bounded())


async def until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0.001)


@pytest.fixture
def disk() -> Disk:
    return Disk()


def journal_of(disk: Disk) -> Journal:
    return Journal(disk)  # type: ignore[arg-type]


def test_a_commit_returns_once_it_is_on_disk(disk: Disk) -> None:
    async def scenario() -> None:
        journal = journal_of(disk)
        disk.gate.clear()
        commit = asyncio.create_task(journal.commit(count("a", 1)))
        read = asyncio.create_task(journal.settled())
        await until(disk.entered.is_set)
        assert journal.state.counters == {"a": 1}
        assert not commit.done()
        assert not read.done()  # a reader must not hear of what may yet fail
        disk.gate.set()
        await asyncio.gather(commit, read)
        assert list(disk.rows.values()) == [CounterRow("a", 1)]
        await journal.close()

    run(scenario())


def test_commits_that_wait_are_written_together(disk: Disk) -> None:
    async def scenario() -> None:
        journal = journal_of(disk)
        disk.gate.clear()
        commits = [asyncio.create_task(journal.commit(count("a", 0)))]
        await until(disk.entered.is_set)
        commits += [asyncio.create_task(journal.commit(count(f"c{n}", n))) for n in range(50)]
        await until(lambda: len(journal.state.counters) == 51)
        disk.gate.set()
        await asyncio.gather(*commits)
        assert disk.writes == [1, 50]
        await journal.close()

    run(scenario())


def test_what_may_wait_is_written_with_what_comes_next(disk: Disk) -> None:
    async def scenario() -> None:
        journal = journal_of(disk)
        later = journal.enter(count("later", 1), may_wait=True)
        assert journal.state.counters == {"later": 1}
        await journal.commit(count("now", 2))
        assert later is not None
        assert later.done()
        assert disk.writes == [2]
        await journal.close()

    run(scenario())


def test_what_may_wait_does_not_wait_for_long(disk: Disk) -> None:
    async def scenario() -> None:
        journal = journal_of(disk)
        for _ in range(2):
            later = journal.enter(count("later", 1), may_wait=True)
            assert later is not None
            await later
        assert disk.writes == [1, 1]
        await journal.close()

    run(scenario())


def test_who_asks_does_not_hear_of_what_may_wait_before_it_is_written(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shmbrokerd.journal.LONGEST_DELAY_S", 3600)

    async def scenario() -> None:
        journal = journal_of(disk)
        journal.enter(count("later", 1), may_wait=True)
        await journal.settled()
        assert disk.writes == [1]
        journal.enter(count("last", 2), may_wait=True)
        await journal.close()
        assert disk.writes == [1, 1]

    run(scenario())


def test_nothing_pending_means_no_waiting(disk: Disk) -> None:
    async def scenario() -> None:
        journal = journal_of(disk)
        await journal.settled()
        await journal.commit([])
        assert disk.writes == []
        await journal.close()

    run(scenario())


def test_who_waits_for_a_write_that_no_thread_can_make_hears_of_it(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def scenario() -> None:
        journal = journal_of(disk)
        with monkeypatch.context() as short:
            short.setattr(threading.Thread, "start", fail)
            with pytest.raises(BrokerError, match="can't start new thread"):
                await asyncio.wait_for(journal.commit(count("lost", 1)), 20)
        assert journal.state.counters == {}
        await journal.commit(count("again", 2))
        assert journal.state.counters == {"again": 2}
        await journal.close()

    run(scenario())


def test_a_refused_write_takes_the_state_back_and_all_that_was_built_on_it(disk: Disk) -> None:
    async def scenario() -> None:
        journal = journal_of(disk)
        await journal.commit(count("kept", 1))
        disk.gate.clear()
        disk.refuse = True
        first = asyncio.create_task(journal.commit(count("lost", 2)))
        disk.entered.clear()
        await until(disk.entered.is_set)
        second = asyncio.create_task(journal.commit(count("on top", 3)))
        reader = asyncio.create_task(journal.settled())
        await asyncio.sleep(0)
        disk.gate.set()
        results = await asyncio.gather(first, second, reader, return_exceptions=True)
        assert [getattr(result, "code", None) for result in results] == [ErrorCode.KAFKA_STORAGE_ERROR] * 3
        assert journal.state.counters == {"kept": 1}
        disk.refuse = False
        await journal.commit(count("again", 4))
        assert journal.state.counters == {"kept": 1, "again": 4}
        replayed = State()
        replayed.replay(disk.records())
        assert journal.state == replayed
        await journal.close()

    run(scenario())


def test_a_store_that_can_be_neither_written_nor_read_answers_nothing_more(disk: Disk) -> None:
    async def scenario() -> None:
        journal = journal_of(disk)
        disk.refuse = disk.unreadable = True
        for _ in range(2):
            with pytest.raises(BrokerError) as caught:
                await journal.commit(count("a", 1))
            assert caught.value.code == ErrorCode.KAFKA_STORAGE_ERROR
        with pytest.raises(BrokerError):
            await journal.settled()
        await journal.close()

    run(scenario())


def test_a_waiter_that_is_cancelled_does_not_take_the_others_along(disk: Disk) -> None:
    async def scenario() -> None:
        journal = journal_of(disk)
        disk.gate.clear()
        gone = asyncio.create_task(journal.commit(count("a", 1)))
        stays = asyncio.create_task(journal.commit(count("b", 2)))
        await until(lambda: len(journal.state.counters) == 2)
        gone.cancel()
        disk.gate.set()
        await stays
        assert len(disk.rows) == 2
        await journal.close()

    run(scenario())


def test_closing_writes_what_is_pending(disk: Disk) -> None:
    async def scenario() -> None:
        journal = journal_of(disk)
        commit = asyncio.create_task(journal.commit(count("a", 1)))
        await asyncio.sleep(0)
        await journal.close()
        await commit
        assert disk.closed
        assert len(disk.rows) == 1

    run(scenario())
