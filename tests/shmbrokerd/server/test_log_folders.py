"""The log dir itself; which folder goes where is tested with the table of ``controller.log_folders``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log import segment
from shmbroker.log.active import create_segment
from shmbroker.log.folder_names import Label, LogOwner, stray_name
from shmbroker.log.label_file import claim
from shmbroker.log.writer import PartitionWriter
from shmbroker.records.builder import Columns, build_batch
from shmbroker.records.layout import read_header
from shmbrokerd.metadata.records import DeletedLogRow, PartitionRow, Put, TopicRow
from shmbrokerd.metadata.state import State
from shmbrokerd.server.log_folders import LogFolders

OLD, NEW = bytes([1]) * 16, bytes([2]) * 16


class World:
    """A log dir, what the store says, and what was forgotten."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = State()
        self.gone: set[LogOwner] = set()
        self.folders = LogFolders(path, lambda: self.state, self._forget)

    def _forget(self, owners: Collection[LogOwner]) -> None:
        self.gone |= set(owners)

    def make(self, name: str, topic_id: bytes, partition: int = 0) -> None:
        claim(self.path / name, Label(topic_id, name.rpartition("-")[0], partition))
        (self.path / name / "00000000000000000000.mdb").write_bytes(b"records")

    def names(self) -> set[str]:
        return {path.name for path in self.path.iterdir() if not path.name.startswith(".deleted.")}

    async def wait_gone(self, *owners: LogOwner) -> None:
        async with asyncio.timeout(30):
            while self.gone != set(owners):
                await asyncio.sleep(0.002)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def stray(name: str, topic_id: bytes = OLD) -> str:
    return stray_name(name, topic_id, ())


def run(act: Callable[[], object], world: World, *gone: LogOwner) -> None:
    async def main() -> None:
        world.folders.sweep()
        act()
        await world.wait_gone(*gone)
        world.folders.stop()

    asyncio.run(main())


def test_a_start_removes_what_is_deleted_and_forgets_that_once_it_is_gone(world: World) -> None:
    world.make("a-0", OLD)
    world.make("b-0", OLD, 1)
    for partition in range(3):  # the folder of the third one is gone already
        world.state.apply(Put(DeletedLogRow(OLD, partition, "x")))
    run(lambda: None, world, *(LogOwner(OLD, partition) for partition in range(3)))
    assert list(world.path.iterdir()) == []
    assert world.folders.alarms() == []


def test_strays_are_counted_in_an_alarm_until_somebody_takes_them_away(world: World) -> None:
    for number in range(5):
        world.make(f"a-{number}", OLD, number)
    run(lambda: None, world)
    assert world.names() == {stray(f"a-{number}") for number in range(5)}
    (alarm,) = world.folders.alarms()
    assert alarm.startswith("5 logs in ")
    assert "and 2 more" in alarm
    for path in world.path.iterdir():
        path.rename(world.path.parent / path.name)
    assert world.folders.alarms() == []


def test_logs_without_a_record_are_removed_and_those_that_cannot_be_read_are_kept(world: World) -> None:
    for name in ("only-label-0", "no-record-0", "records-0", "damaged-0"):
        claim(world.path / name, Label(OLD, name, 0))
    create_segment(world.path / "no-record-0" / segment.file_name(0), 1 << 20, 0, {}, is_durable=False)
    writer = PartitionWriter(world.path / "records-0", 1 << 20, 4096, 0)
    batch = bytearray(b"".join(build_batch(Columns([b"x"]), 0)))
    writer.stage(batch, read_header(batch), -1, 0)
    writer.commit()
    writer.close()
    (world.path / "damaged-0" / segment.file_name(0)).write_bytes(b"garbage" * 4096)

    async def main() -> None:
        world.folders.sweep()
        world.folders.stop()

    asyncio.run(main())
    assert world.names() == {stray("records-0"), stray("damaged-0")}


def test_a_new_partition_gets_an_empty_place(world: World) -> None:
    def make_room() -> None:
        world.make("a-0", OLD)  # came there behind the daemon's back
        world.folders.make_room("a-0", LogOwner(NEW, 0))

    run(make_room, world)
    assert world.names() == {stray("a-0")}


def test_a_folder_that_cannot_be_moved_refuses_the_new_partition(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, to: Path) -> Path:
        raise PermissionError(1, "Operation not permitted")

    def make_room() -> None:
        world.make("a-0", OLD)
        monkeypatch.setattr(Path, "rename", refuse)
        with pytest.raises(BrokerError, match="a-0 holds the log of another topic") as refused:
            world.folders.make_room("a-0", LogOwner(NEW, 0))
        assert refused.value.code == ErrorCode.KAFKA_STORAGE_ERROR

    run(make_room, world)
    assert world.names() == {"a-0"}


def test_a_start_goes_on_when_a_folder_cannot_be_moved(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.make("a-0", OLD)
    world.make("b-0", OLD)
    rename = Path.rename

    def refuse_a(path: Path, to: Path) -> Path:
        if path.name == "a-0":
            raise PermissionError(1, "Operation not permitted")
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", refuse_a)
    run(lambda: None, world)
    assert world.names() == {"a-0", stray("b-0")}


def test_a_deleted_log_is_out_of_the_way_at_once(world: World) -> None:
    world.state.apply(Put(TopicRow("a", OLD, 0)))
    world.state.apply(Put(PartitionRow("a", 0, 0, 0, 0, (0,), (0,))))
    world.make("a-0", OLD)

    def discard() -> None:
        world.folders.discard("a-0", LogOwner(OLD, 0))
        assert world.names() == set()
        world.folders.discard("a-1", LogOwner(OLD, 1))

    run(discard, world, LogOwner(OLD, 0), LogOwner(OLD, 1))


def test_nobody_is_told_after_the_end(world: World) -> None:
    async def main() -> None:
        world.folders.sweep()
        world.folders.stop()
        world.folders._removed({LogOwner(OLD, 0)})
        await asyncio.sleep(0)

    asyncio.run(main())
    assert world.gone == set()
