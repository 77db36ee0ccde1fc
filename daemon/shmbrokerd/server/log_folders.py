"""The folders in the log dir: does what ``controller.log_folders`` decides, at start and when a partition is made."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import Callable, Collection
from pathlib import Path

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log import segment
from shmbroker.log.folder_names import METADATA_NAME, TRASH_PREFIX, LogOwner
from shmbroker.log.label_file import read_label
from shmbroker.log.pages import DamageError, PageReader
from shmbrokerd.controller.log_folders import (
    BringBack,
    Fate,
    Folder,
    LeaveAlone,
    LeaveStray,
    Remove,
    SetAside,
    decide_folders,
    wanted_folders,
)
from shmbrokerd.logs import log
from shmbrokerd.metadata.state import State
from shmbrokerd.server.folder_remover import FolderRemover

SHOWN_NAMES = 3
"""In an alarm; the log has all of them, and ``shmbroker doctor`` those of strays."""


class LogFolders:
    """``state`` returns that of the moment; ``forget`` is told, in the event loop, whose folders are gone for good."""

    def __init__(
        self, logs_path: Path, state: Callable[[], State], forget: Callable[[Collection[LogOwner]], None]
    ) -> None:
        self._path = logs_path
        self._state = state
        self._forget = forget
        self._loop: asyncio.AbstractEventLoop | None = None
        self._trash_names = itertools.count()
        self._remover = FolderRemover(logs_path, self._removed)
        self._strays: set[str] = set()

    def sweep(self) -> None:
        """Give each folder that a daemon before this one left the place that it should have."""
        state = self._state()
        self._loop = asyncio.get_running_loop()
        wanted = wanted_folders(state)
        with os.scandir(self._path) as entries:
            # A thousand logs are looked at: only those that could go need a second look.
            found = [_look(Path(entry.path), entry.is_dir(), entry.name not in wanted) for entry in entries]
        fates = decide_folders(found, wanted, state.deleted_logs)
        owners = {folder.name: folder.label.owner for folder in found if folder.label is not None}
        for fate in fates:
            with contextlib.suppress(OSError):
                self._carry_out(fate, owners.get(fate.name))
        for owner in state.deleted_logs.keys() - owners.values():
            self._remover.remove(None, owner)
        self._warn()

    def make_room(self, name: str, owner: LogOwner) -> None:
        """The partition ``owner`` is to have the folder ``name``: what lies there and is not its own goes elsewhere, and what
        was set aside and is its own comes back.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR when somebody else's folder stays in the way.
        """
        names = [name, *self._strays] if os.path.lexists(self._path / name) else list(self._strays)
        if not names:
            return
        paths = [self._path / name for name in names]
        found = [_look(path, path.is_dir(), True) for path in paths if os.path.lexists(path)]
        fates = decide_folders(found, {name: owner}, self._state().deleted_logs, are_new=True)
        owners = {folder.name: folder.label.owner for folder in found if folder.label is not None}
        try:
            for fate in fates:
                self._carry_out(fate, owners.get(fate.name))
        except OSError as error:
            raise BrokerError(
                ErrorCode.KAFKA_STORAGE_ERROR,
                f"{self._path / name} holds the log of another topic and cannot be moved: {error.strerror}",
            ) from error

    def discard(self, name: str, owner: LogOwner) -> None:
        """The log of a deleted partition: out of the way at once, removed soon."""
        path = self._path / name
        if not os.path.lexists(path):
            self._remover.remove(None, owner)
        elif path.is_dir():
            with contextlib.suppress(OSError):
                self._carry_out(Remove(name), owner)

    def stop(self) -> None:
        """Nobody can be told any more; the next start finds out what is gone."""
        self._loop = None

    def strays(self) -> list[str]:
        """Logs that no topic owns, by name; those that somebody took away since are not among them."""
        return sorted(name for name in self._strays if (self._path / name).is_dir())

    def alarms(self) -> list[str]:
        """What somebody ought to look at, for people."""
        strays = self.strays()
        if not strays:
            return []
        shown = ", ".join(strays[:SHOWN_NAMES])
        more = f" and {len(strays) - SHOWN_NAMES} more" if len(strays) > SHOWN_NAMES else ""
        return [
            f"{len(strays)} logs in {self._path} belong to no topic that the metadata store knows, and were set aside:"
            f" {shown}{more}; put back the newer metadata.mdb, or see docs/recovery.md"
        ]

    # --- inside --------------------------------------------------------------------------------------------

    def _carry_out(self, fate: Fate, owner: LogOwner | None) -> None:
        """Raises OSError, which is logged."""
        path = self._path / fate.name
        match fate:
            case Remove():
                log.info("removing the log of a deleted partition: %s", path)
                self._trash(path, owner)
            case SetAside(name, to):
                self._rename(path, to)
                self._strays.add(to)
                log.warning(
                    "%s is no log of a topic that the metadata store knows: set aside as %s", name, to
                )
            case BringBack(name, to):
                self._rename(path, to)
                self._strays.discard(name)
                log.warning("%s is the log of %s, which had none: brought back", name, to)
            case LeaveStray(name):
                self._strays.add(name)
            case LeaveAlone():
                log.warning("%s is not the log of a partition; it is left alone", path)

    def _trash(self, path: Path, owner: LogOwner | None) -> None:
        trash = path.name
        if not trash.startswith(TRASH_PREFIX):
            trash = f"{TRASH_PREFIX}{os.getpid()}.{next(self._trash_names)}"
            self._rename(path, trash)
        self._remover.remove(path.with_name(trash), owner)

    def _rename(self, path: Path, name: str) -> None:
        try:
            path.rename(path.with_name(name))
        except OSError as error:
            log.error("cannot rename %s to %s: %s", path, name, error)
            raise

    def _warn(self) -> None:
        for alarm in self.alarms():
            log.warning("%s", alarm)

    def _removed(self, owners: Collection[LogOwner]) -> None:
        """In the remover's thread."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it was closed in this moment
                loop.call_soon_threadsafe(self._tell, owners)

    def _tell(self, owners: Collection[LogOwner]) -> None:
        if self._loop is not None:
            self._forget(owners)


def _look(path: Path, is_folder: bool, may_go: bool) -> Folder:
    return Folder(path.name, read_label(path), may_go and is_folder and _is_empty(path), is_folder)


def _is_empty(folder: Path) -> bool:
    """Whether no record was ever in it, as far as can be seen."""
    first = segment.file_name(0)
    try:
        names = set(os.listdir(folder)) - {METADATA_NAME, f"{first}-lock"}  # noqa: PTH208 - names are all that is wanted
        return not names or (names == {first} and _is_unwritten(folder / first))
    except (OSError, DamageError):
        return False


def _is_unwritten(path: Path) -> bool:
    """Raises OSError, DamageError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return PageReader(fd).read(lambda pages: pages.last_below(segment.LOG, None)) is None
    finally:
        os.close(fd)
