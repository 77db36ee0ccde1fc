"""How the daemon that used the data dir before ended: a small file that says in which boot it ran and whether all was flushed.

``last-run.properties`` is written before anything else is (``stopped=no``), and again when all logs were flushed and closed
(``stopped=clean``). Kafka's ``.kafka_cleanshutdown`` does the half of that; the boot id tells a process that was killed, whose
writes are all in the page cache, from a machine that went down.
"""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path
from typing import Final

from shmbroker.log.recovery import START, LastRun, StartDecision
from shmbrokerd.data_dir import DataDirError, sync_folder

NAME: Final = "last-run.properties"
VERSION: Final = 1
BOOT_ID_VARIABLE: Final = "SHMBROKERD_BOOT_ID"
"""For tests: another boot id than the kernel's."""
_BOOT_ID_PATH: Final = Path("/proc/sys/kernel/random/boot_id")
_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)
_STOPPED: Final = {"clean": LastRun.CLEAN, "no": LastRun.UNCLEAN}

log = logging.getLogger(__name__)


def boot_id() -> str:
    """Another one after each boot; empty where the kernel tells none, which is never the same boot."""
    if chosen := os.environ.get(BOOT_ID_VARIABLE):
        return chosen
    try:
        return _BOOT_ID_PATH.read_text(encoding="ascii").strip()
    except OSError:
        return ""


class LastRunFile:
    """The file in ``data_dir``, as it was found.

    Raises:
        DataDirError: it is of a newer version, or cannot be read.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / NAME
        self._boot_id = boot_id()
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            text = ""
        except (OSError, UnicodeDecodeError) as error:
            raise DataDirError(f"cannot read {self._path}: {error}") from error
        self._text = text
        pairs = (line.partition("=") for line in text.splitlines())
        properties = {name.strip(): value.strip() for name, _, value in pairs}
        version = properties.get("version", "0")
        if version.isdigit() and int(version) > VERSION:
            raise DataDirError(
                f"{self._path} has version {version}, this daemon reads up to {VERSION}: upgrade shmbroker to open it"
            )
        self.last_run = _STOPPED.get(properties.get("stopped", ""), LastRun.NONE)
        self.is_same_boot = properties.get("boot.id") == self._boot_id != ""

    @property
    def decision(self) -> StartDecision:
        return START[self.last_run, self.is_same_boot]

    def write(self, *, is_clean: bool) -> None:
        """Durable when this returns. A full disk keeps no daemon from starting or stopping: there the record is removed, which
        needs no space, or is left to say that the stop was none. Either has the logs checked more often than need be.

        Raises:
            DataDirError: it cannot be written.
        """
        stopped = "clean" if is_clean else "no"
        text = f"version={VERSION}\nboot.id={self._boot_id}\nstopped={stopped}\n"
        try:
            if text != self._text:
                self._replace(text)
            sync_folder(self._path.parent)
        except OSError as error:
            if error.errno not in _NO_SPACE:
                raise DataDirError(f"cannot write {self._path}: {error}") from error
            log.warning("cannot write %s: %s; the next start may have to check the logs", self._path, error)
            if not is_clean:
                self._remove()

    def _replace(self, text: str) -> None:
        scratch = self._path.with_suffix(".new")
        try:
            with scratch.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            scratch.rename(self._path)
        except OSError:
            scratch.unlink(missing_ok=True)
            raise
        self._text = text

    def _remove(self) -> None:
        try:
            self._path.unlink(missing_ok=True)
            sync_folder(self._path.parent)
        except OSError as error:
            raise DataDirError(
                f"cannot remove {self._path}, which says more than is known: {error}"
            ) from error
        self._text = ""
