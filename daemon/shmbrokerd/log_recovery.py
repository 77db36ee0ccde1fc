"""Logs after a power loss are recovered one by one, each before the broker may open it.

The folders that wait are known from the start. Only when none is left is it written down that this boot has begun: whoever is
killed before that begins anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log.recovery import LastRun, Outcome, SegmentDecision, StartDecision
from shmbrokerd.last_run import LastRunFile
from shmbrokerd.logs import log


class LogRecovery:
    """``threads``: logs that are looked at at a time (``num.recovery.threads.per.data.dir``)."""

    def __init__(self, last_run: LastRunFile, threads: int) -> None:
        self._last_run = last_run
        self._waiting: set[Path] = set()
        self._pool: ThreadPoolExecutor | None = None
        self._threads = threads
        self._is_stopping = False
        self._started_at = time.monotonic()
        self._outcomes: list[Outcome] = []

    @property
    def waiting(self) -> int:
        """Logs that were not looked at yet."""
        return len(self._waiting)

    def begin(self, folders: Iterable[Path]) -> None:
        """Decide which of the logs in ``folders`` have to be looked at; before any of them is opened.

        Raises:
            BrokerError: the data dir cannot be written.
        """
        if self._last_run.decision is StartDecision.CHECK:
            self._waiting = set(folders)
        if not self._waiting:
            self._last_run.write(is_clean=False)
            return
        why = (
            "no record of the last run"
            if self._last_run.last_run is LastRun.NONE
            else "an unclean stop and another boot"
        )
        log.warning("%s: checking %d partitions", why, len(self._waiting))
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="log-recovery")

    async def ensure(self, folder: Path) -> None:
        """Return when the log in ``folder`` may be opened.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR naming file and reason; the next call tries again.
        """
        if folder not in self._waiting:
            return
        if self._pool is None:
            raise _stopping()
        from shmbroker.log.restore import restore_log  # hardly any start needs it

        loop = asyncio.get_running_loop()
        outcomes = await loop.run_in_executor(self._pool, restore_log, folder, self._watch)
        self._outcomes += outcomes
        for outcome in outcomes:
            if outcome.decision is not SegmentDecision.KEEP:
                log.warning("%s: %s", folder, outcome)
        self._done(folder)

    def forget(self, folder: Path) -> None:
        """The log in ``folder`` is deleted."""
        if folder in self._waiting:
            self._done(folder)

    def _done(self, folder: Path) -> None:
        self._waiting.discard(folder)
        if self._waiting:
            return
        self._last_run.write(is_clean=False)
        counts = dict.fromkeys(SegmentDecision, 0)
        for outcome in self._outcomes:
            counts[outcome.decision] += 1
        log.info(
            "checked %d segments in %.1f s: %s",
            len(self._outcomes),
            time.monotonic() - self._started_at,
            ", ".join(f"{count} {decision.value}" for decision, count in counts.items() if count)
            or "none there",
        )
        self._close_pool()

    def _watch(self, _bytes_done: int) -> None:
        if self._is_stopping:
            raise _stopping()

    def stop(self) -> None:
        """End what is under way as soon as it can be; its log stays as it was."""
        self._is_stopping = True
        self._close_pool()

    def _close_pool(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False)
            self._pool = None

    def note_clean_stop(self) -> None:
        """All logs were flushed and closed. Where some were never looked at, the next start has to."""
        if not self._waiting:
            self._last_run.write(is_clean=True)


def _stopping() -> BrokerError:
    return BrokerError(
        ErrorCode.KAFKA_STORAGE_ERROR, "the daemon is stopping; the next start checks this log"
    )
