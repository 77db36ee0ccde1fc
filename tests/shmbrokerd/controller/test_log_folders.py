"""The table of folders line by line, and then a log dir through orders, copies of the store put back, and crashes."""

from __future__ import annotations

import copy
import random
from collections.abc import Collection
from typing import NamedTuple

import pytest

from shmbroker.log.folder_names import Label, LogOwner
from shmbrokerd.controller.log_folders import (
    BringBack,
    Folder,
    Keep,
    LeaveAlone,
    LeaveStray,
    Remove,
    SetAside,
    decide_folders,
)

OLD, NEW = bytes([1]) * 16, bytes([2]) * 16
OLD_TEXT = "AQEBAQEBAQEBAQEBAQEBAQ"


def folder(name: str, topic_id: bytes | None = OLD, partition: int = 0, *, is_empty: bool = False) -> Folder:
    return Folder(name, None if topic_id is None else Label(topic_id, "a", partition), is_empty)


def fate(
    found: Folder,
    wanted: dict[str, LogOwner] | None = None,
    deleted: Collection[LogOwner] = (),
    *,
    are_new: bool = False,
) -> object:
    (decided,) = decide_folders([found], wanted or {}, deleted, are_new=are_new)
    return type(decided), tuple(decided)


A0 = {"a-0": LogOwner(OLD, 0)}


def test_a_partitions_folder_is_kept() -> None:
    assert fate(folder("a-0"), A0) == (Keep, ("a-0",))


def test_a_folder_of_an_older_version_belongs_to_the_topic_of_its_name() -> None:
    assert fate(folder("a-0", None), A0) == (Keep, ("a-0",))


def test_but_not_to_one_that_is_only_now_made() -> None:
    assert fate(folder("a-0", None), A0, are_new=True) == (SetAside, ("a-0", "a-0.unknown-stray"))


def test_what_is_written_down_as_deleted_is_removed() -> None:
    assert fate(folder("a-0"), {}, {LogOwner(OLD, 0)}) == (Remove, ("a-0",))
    assert fate(folder("a-0"), {"a-0": LogOwner(NEW, 0)}, {LogOwner(OLD, 0)}) == (Remove, ("a-0",))
    assert fate(folder(".deleted.12.3", None)) == (Remove, (".deleted.12.3",))
    assert fate(folder(f"a-0.{OLD_TEXT}-stray"), {}, {LogOwner(OLD, 0)})[0] is Remove  # type: ignore[index]


def test_a_log_that_the_store_does_not_know_is_set_aside() -> None:
    assert fate(folder("a-0")) == (SetAside, ("a-0", f"a-0.{OLD_TEXT}-stray"))
    assert fate(folder("a-0", None)) == (SetAside, ("a-0", "a-0.unknown-stray"))
    assert fate(folder("a-0"), {"a-0": LogOwner(NEW, 0)}) == (SetAside, ("a-0", f"a-0.{OLD_TEXT}-stray"))


def test_only_the_deletion_of_that_very_partition_counts() -> None:
    assert fate(folder("a-0"), {}, {LogOwner(NEW, 0), LogOwner(OLD, 1)})[0] is SetAside  # type: ignore[index]
    assert fate(folder("a-0", None), {}, {LogOwner(OLD, 0)})[0] is SetAside  # type: ignore[index]


def test_a_folder_that_was_begun_and_has_nothing_in_it_is_removed() -> None:
    assert fate(folder("a-0", is_empty=True)) == (Remove, ("a-0",))
    assert fate(folder("a-0", None, is_empty=True)) == (Remove, ("a-0",))


def test_a_stray_comes_back_when_the_store_knows_it_and_its_place_is_free() -> None:
    stray = f"a-0.{OLD_TEXT}-stray"
    assert fate(folder(stray), A0) == (BringBack, (stray, "a-0"))
    assert fate(folder(stray), {"a-0": LogOwner(NEW, 0)}) == (LeaveStray, (stray,))
    assert fate(folder(stray), {"a-1": LogOwner(OLD, 1)}) == (LeaveStray, (stray,))
    assert fate(folder(stray)) == (LeaveStray, (stray,))
    assert fate(folder("a-0.unknown-stray", None), A0) == (LeaveStray, ("a-0.unknown-stray",))


def test_two_logs_change_places_in_an_order_in_which_that_can_be_done() -> None:
    fates = decide_folders([folder("a-0.x-stray"), folder("a-0", NEW)], A0, ())
    assert [(type(fate), fate.name) for fate in fates] == [(SetAside, "a-0"), (BringBack, "a-0.x-stray")]


def test_of_several_copies_none_comes_back() -> None:
    fates = decide_folders([folder("a-0.x-stray"), folder("a-0.y-stray")], A0, ())
    assert {type(fate) for fate in fates} == {LeaveStray}


def test_what_has_no_name_of_ours_is_left_alone() -> None:
    for name in ("lost+found", "a-0.backup", "notes.txt"):
        assert fate(folder(name, None)) == (LeaveAlone, (name,))
    in_the_way = Folder("a-0", None, False, is_folder=False)
    assert fate(in_the_way, A0) == (LeaveAlone, ("a-0",))
    fates = decide_folders([in_the_way, folder("a-0.x-stray")], A0, ())
    assert {type(fate) for fate in fates} == {LeaveAlone, LeaveStray}


# --- a log dir and its life --------------------------------------------------------------------------------


class Store(NamedTuple):
    """What a metadata store says: name -> (topic id, partitions), and deletions whose folders may be there still."""

    topics: dict[str, tuple[bytes, int]]
    deleted: set[LogOwner]

    def wanted(self) -> dict[str, LogOwner]:
        return {
            f"{name}-{number}": LogOwner(topic_id, number)
            for name, (topic_id, count) in self.topics.items()
            for number in range(count)
        }


class Log(NamedTuple):
    owner: LogOwner
    number: int
    """Each log that is made has another one: an empty one is no replacement for what was there."""


class Disk(dict[str, Log]):
    """Folder -> the log in it."""

    def found(self) -> list[Folder]:
        return [
            Folder(name, Label(log.owner.topic_id, "?", log.owner.partition), False)
            for name, log in self.items()
        ]

    def owners(self) -> set[LogOwner]:
        return {log.owner for log in self.values()}


class KilledError(Exception):
    """The daemon is killed here."""


class World:
    """A daemon on a disk, with an operator who makes copies of the store and puts them back. Each step may be the last one."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.disk = Disk()
        self.store = Store({}, set())
        self.copies = [copy.deepcopy(self.store)]
        self.ever_deleted: set[LogOwner] = set()
        """Whose deletion was written down in some store."""
        self.made = 0
        self.may_crash = True

    def step(self) -> None:
        if self.may_crash and self.rng.random() < 0.15:
            raise KilledError

    def remove(self, name: str) -> None:
        owner = self.disk[name].owner
        assert owner in self.ever_deleted, f"{name} is removed and nobody wanted that"
        self.step()
        del self.disk[name]

    def move(self, name: str, to: str) -> None:
        assert to not in self.disk, f"{name} would replace {to}"
        self.step()
        self.disk[to] = self.disk.pop(name)

    def carry_out(self, found: list[Folder], wanted: dict[str, LogOwner], *, are_new: bool = False) -> None:
        for decided in decide_folders(found, wanted, self.store.deleted, are_new=are_new):
            match decided:
                case Remove(name):
                    self.remove(name)
                case SetAside(name, to) | BringBack(name, to):
                    self.move(name, to)

    def start(self) -> None:
        self.carry_out(self.disk.found(), self.store.wanted())
        self.store.deleted.intersection_update(self.disk.owners())
        for name, owner in self.store.wanted().items():
            self.open(name, owner)

    def open(self, name: str, owner: LogOwner) -> None:
        self.step()
        if name not in self.disk:
            self.made += 1
            self.disk[name] = Log(owner, self.made)
        assert self.disk[name].owner == owner, f"{name} has the records of another topic"

    def create(self, name: str, count: int) -> None:
        old_id, old = self.store.topics.get(name, (b"", 0))
        self.made += not old
        topic_id = old_id or self.made.to_bytes(16, "big")
        if count <= old:
            return
        self.store.topics[name] = topic_id, count
        for number in range(old, count):
            self.step()
            place, owner = f"{name}-{number}", LogOwner(topic_id, number)
            near = [folder for folder in self.disk.found() if folder.name == place or "stray" in folder.name]
            self.carry_out(near, {place: owner}, are_new=True)
            self.open(place, owner)

    def delete(self, name: str) -> None:
        found = self.store.topics.pop(name, None)
        if found is None:
            return
        topic_id, count = found
        owners = {f"{name}-{number}": LogOwner(topic_id, number) for number in range(count)}
        self.store.deleted.update(owners.values())
        self.ever_deleted.update(owners.values())
        for place, owner in owners.items():
            self.step()
            if place in self.disk and self.disk[place].owner == owner:
                trash = f".deleted.{self.rng.random()}"
                self.move(place, trash)
                self.remove(trash)
            self.step()
            self.store.deleted.discard(owner)

    def act(self) -> None:
        name = self.rng.choice("abc")
        match self.rng.randrange(6):
            case 0 | 1 | 2:
                self.create(name, self.rng.randint(1, 3))
            case 3:
                self.delete(name)
            case 4:
                self.copies.append(copy.deepcopy(self.store))
            case 5:
                raise KilledError

    def live(self, actions: int) -> None:
        for _ in range(actions):
            try:
                self.start()
                while True:
                    self.act()
            except KilledError:
                if self.rng.random() < 0.4:
                    self.copies.append(copy.deepcopy(self.store))
                    self.store = copy.deepcopy(self.rng.choice(self.copies))


@pytest.mark.parametrize("seed", range(60))
def test_no_record_goes_without_being_deleted_and_none_is_anothers(seed: int) -> None:
    world = World(random.Random(seed))
    written: set[Log] = set()
    for _ in range(20):
        world.live(3)
        written |= set(world.disk.values())
        assert {log for log in written if log.owner not in world.ever_deleted} <= set(world.disk.values())


@pytest.mark.parametrize("seed", range(40))
def test_putting_back_the_newest_store_brings_every_log_back(seed: int) -> None:
    world = World(random.Random(seed))
    world.live(8)
    world.may_crash = False
    world.start()
    newest, before = copy.deepcopy(world.store), dict(world.disk)
    world.may_crash = True
    for _ in range(3):  # an older one is put back, topics of the same names are made, and nothing is deleted
        world.store = copy.deepcopy(world.rng.choice(world.copies))
        try:
            world.start()
            for _ in range(3):
                world.create(world.rng.choice("abc"), world.rng.randint(1, 3))
        except KilledError:
            pass
    world.store = newest
    world.may_crash = False
    world.start()
    assert {name: world.disk[name] for name in newest.wanted()} == {
        name: before[name] for name in newest.wanted()
    }


@pytest.mark.parametrize("seed", range(40))
def test_without_an_older_store_nothing_is_left_over(seed: int) -> None:
    world = World(random.Random(seed))
    for _ in range(20):
        try:
            world.start()
            while True:
                world.act()
        except KilledError:
            pass
    world.may_crash = False
    world.start()
    assert {name: log.owner for name, log in world.disk.items()} == world.store.wanted()
    assert world.store.deleted == set()
