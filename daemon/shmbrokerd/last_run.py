"""How the daemon that used the data dir before ended: a small file that says in which boot it ran and whether all was flushed.

``last-run.properties`` is written before anything else is (``stopped=no``), and again when all logs were flushed and closed
(``stopped=clean``). Kafka's ``.kafka_cleanshutdown`` does the half of that; the boot id tells a process that was killed, whose
writes are all in the page cache, from a machine that went down.
"""

from __future__ import annotations

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
_STOPPED: Final = {"clean": LastRun.CLEAN, "no": LastRun.UNCLEAN}


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
        """Durable when this returns.

        Raises:
            DataDirError: it cannot be written.
        """
        stopped = "clean" if is_clean else "no"
        text = f"version={VERSION}\nboot.id={self._boot_id}\nstopped={stopped}\n"
        scratch = self._path.with_suffix(".new")
        try:
            with scratch.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            scratch.rename(self._path)
            sync_folder(self._path.parent)
        except OSError as error:
            raise DataDirError(f"cannot write {self._path}: {error}") from error
