"""Which folder of the log dir is whose, and what becomes of it.

====================================  =================================================  ===================================
the folder's name                     the store                                          what becomes of it
====================================  =================================================  ===================================
``.deleted.*``                        whatever it says now: a daemon named it so after   removed
                                      the store knew that the partition is deleted
a partition's                         knows the partition; the label names it, or there  kept
                                      is no label and the partition is not new
a partition's                         knows that what the label names is deleted         removed
a partition's                         else, and nothing was ever in it                   removed
a partition's                         else: it is older than the log, or another one     set aside, as a stray
a stray's                             knows what the label names, whose place is free    brought back
a stray's                             knows that what the label names is deleted         removed
a stray's                             else                                               left alone, and told of
any other                             -                                                  left alone, and told of
====================================  =================================================  ===================================

So the only logs that are removed are those whose deletion is written down, in the store or in the folder's name, and those with
nothing in them. A store that is older than the logs (an operator put back a copy) knows of neither, and costs nobody a record.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from shmbroker.log.folder_names import (
    TRASH_PREFIX,
    Label,
    LogOwner,
    is_partition_name,
    is_stray_name,
    partition_folder,
    stray_name,
)
from shmbrokerd.metadata.state import State


class Folder(NamedTuple):
    """An entry of the log dir, as it was found."""

    name: str
    label: Label | None
    is_empty: bool
    """A folder that holds no file but its label, and maybe a first segment without a record."""
    is_folder: bool = True


class Keep(NamedTuple):
    name: str


class Remove(NamedTuple):
    name: str


class SetAside(NamedTuple):
    name: str
    to: str


class BringBack(NamedTuple):
    name: str
    to: str


class LeaveStray(NamedTuple):
    name: str


class LeaveAlone(NamedTuple):
    """It has no name of ours."""

    name: str


Fate = Keep | Remove | SetAside | BringBack | LeaveStray | LeaveAlone


def wanted_folders(state: State) -> dict[str, LogOwner]:
    """The folder of each partition."""
    return {
        partition_folder(name, number): LogOwner(topic.row.topic_id, number)
        for name, topic in state.topics.items()
        for number in topic.partitions
    }


def decide_folders(
    found: Iterable[Folder],
    wanted: Mapping[str, LogOwner],
    deleted: Collection[LogOwner],
    *,
    are_new: bool = False,
) -> list[Fate]:
    """What becomes of each folder, in an order in which it can be done. ``are_new``: the partitions of ``wanted`` are being
    made, so a folder without a label is none of theirs."""
    folders = {folder.name: folder for folder in sorted(found, key=lambda folder: folder.name)}
    taken = set(folders)
    fates: dict[str, Fate] = {}
    for name, folder in folders.items():
        fate = fates[name] = _fate(folder, wanted, deleted, taken, are_new)
        if isinstance(fate, SetAside):
            taken.add(fate.to)
    occupied = {name for name, fate in fates.items() if isinstance(fate, Keep | LeaveAlone)}
    strays = [folders[name] for name, fate in fates.items() if isinstance(fate, LeaveStray)]
    returning = _returning(strays, wanted, occupied)
    for back in returning:
        del fates[back.name]
    return [*fates.values(), *returning]


def _fate(
    folder: Folder,
    wanted: Mapping[str, LogOwner],
    deleted: Collection[LogOwner],
    taken: Collection[str],
    are_new: bool,
) -> Fate:
    name, label = folder.name, folder.label
    if name.startswith(TRASH_PREFIX):
        return Remove(name)
    if not folder.is_folder or not (is_partition_name(name) or is_stray_name(name)):
        return LeaveAlone(name)
    is_deleted = label is not None and label.owner in deleted
    if is_stray_name(name):
        return Remove(name) if is_deleted else LeaveStray(name)
    owner = wanted.get(name)
    is_own = not are_new if label is None else label.owner == owner
    if owner is not None and is_own:
        return Keep(name)
    if is_deleted or folder.is_empty:
        return Remove(name)
    return SetAside(name, stray_name(name, label.topic_id if label else None, taken))


def _returning(
    strays: Iterable[Folder], wanted: Mapping[str, LogOwner], occupied: Collection[str]
) -> list[BringBack]:
    """Strays whose place is free. Of several for one place none comes back: somebody made copies, and has to choose."""
    places = {owner: name for name, owner in wanted.items() if name not in occupied}
    claims: dict[str, list[str]] = {}
    for stray in strays:
        place = places.get(stray.label.owner) if stray.label is not None else None
        if place is not None:
            claims.setdefault(place, []).append(stray.name)
    return [BringBack(names[0], place) for place, names in claims.items() if len(names) == 1]
