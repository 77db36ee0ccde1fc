"""The cleaner process around its parts: ask what there is, compact the log that needs it most, rest when none does."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log.swapping import Swap
from shmbroker.protocol.channel import Channel, ChannelClosedError
from shmbroker.protocol.framing import Codec
from shmbroker.protocol.messages import (
    BrokerReply,
    ClaimLog,
    CleanerAnswer,
    CleanerQuestion,
    CleanerRequest,
    CleanerResponse,
    CompactedLog,
    CompactedLogs,
    CompactionLook,
    ListCompacted,
    LogCleaned,
    LogsLookedAt,
    ReplaceSegments,
)
from shmbroker.shm.table import PartitionState, PartitionTable
from shmbrokerd.cleaner.cleaning import CleaningPass, Tools, Work
from shmbrokerd.cleaner.rules import Prospect, SegmentFacts, choose, look_at
from shmbrokerd.cleaner.setbacks import Setback, Setbacks, setback_of
from shmbrokerd.cleaner.survey import Survey
from shmbrokerd.cleaner.throttle import Throttle
from shmbrokerd.logs import log

ANSWER_TIMEOUT_S = 120.0
"""The main process waits for a broker that is being restarted before it answers a swap; past this it hangs itself."""

A = TypeVar("A", bound=CleanerAnswer)
Found = tuple[CompactedLog, list[SegmentFacts], Prospect]


class CleanerLoop:
    """Runs until the main process is gone."""

    def __init__(self, channel_fd: int, table_path: str) -> None:
        self._channel: Channel[CleanerQuestion, CleanerResponse] = Channel(
            socket.socket(fileno=channel_fd), Codec(CleanerQuestion), Codec(CleanerResponse)
        )
        self._table = PartitionTable.open(table_path)
        self._survey = Survey()
        self._setbacks = Setbacks()
        """By topic id and partition."""
        self._told: list[CompactionLook] = []
        """What the main process knows of logs."""

    def run(self) -> None:
        try:
            while True:
                listed = self._ask(ListCompacted(), CompactedLogs)
                if not self._clean_one(listed):
                    self._rest(listed.limits.backoff_ms / 1000)
        except ChannelClosedError:
            log.info("the main process is gone; the cleaner stops")

    def _ask(self, body: CleanerRequest, answer_type: type[A]) -> A:
        self._channel.send(CleanerQuestion(body))
        answer = self._channel.receive(ANSWER_TIMEOUT_S).body
        if not isinstance(answer, answer_type):
            raise BrokerError(
                ErrorCode.INVALID_REQUEST, f"{type(body).__name__} was answered with {type(answer).__name__}"
            )
        return answer

    def _rest(self, seconds: float) -> None:
        """Wait, or until the main process is gone: it says nothing that was not asked."""
        if select.select([self._channel], [], [], seconds)[0]:
            self._channel.receive_available()

    # --- which one -----------------------------------------------------------------------------------------

    def _clean_one(self, listed: CompactedLogs) -> bool:
        """Compact the log that needs it most; False when none does."""
        found = self._prospects(listed.logs)
        self._tell_looks([self._look(entry, found) for entry in listed.logs])
        chosen = choose({key: prospect for key, (_, _, prospect) in found.items()})
        if chosen is None:
            return False
        entry, segments, prospect = found[chosen]
        claim = self._ask(ClaimLog(entry.slot, entry.topic_id), BrokerReply)
        if claim.code == ErrorCode.NO_ERROR:
            self._ask(self._clean(entry, segments, prospect, listed), BrokerReply)
        return True

    def _prospects(self, logs: Iterable[CompactedLog]) -> dict[bytes, Found]:
        now_ms = time.time_ns() // 1_000_000
        found = {}
        self._survey.forget_others({Path(entry.directory) for entry in logs})
        self._setbacks.forget_others({_key(entry) for entry in logs})
        for entry in logs:
            figures = self._table.figures(entry.slot)
            is_paused = self._setbacks.is_paused(_key(entry), time.monotonic())
            if figures.state != PartitionState.ONLINE or is_paused:
                continue
            try:
                segments = self._survey.sealed_segments(Path(entry.directory), figures.active_base)
            except BrokerError as error:
                self._set_back(entry, error)
                continue
            prospect = look_at(segments, figures.last_stable, entry.config, now_ms)
            found[_key(entry)] = entry, segments, prospect
        return found

    def _look(self, entry: CompactedLog, found: Mapping[bytes, Found]) -> CompactionLook:
        key = _key(entry)
        figures = (-1, -1, -1)
        if key in found:
            prospect = found[key][2]
            figures = prospect.start, prospect.clean_bytes, prospect.dirty_bytes
        return CompactionLook(entry.slot, entry.topic_id, *figures, self._setbacks.problem(key))

    def _tell_looks(self, looks: list[CompactionLook]) -> None:
        if looks != self._told:
            self._ask(LogsLookedAt(looks), BrokerReply)
            self._told = looks

    # --- and how -------------------------------------------------------------------------------------------

    def _clean(
        self, entry: CompactedLog, segments: list[SegmentFacts], prospect: Prospect, listed: CompactedLogs
    ) -> LogCleaned:
        """Compact one log; what became of it."""
        started_at = time.monotonic()
        throttle = Throttle(listed.limits.max_bytes_per_s, started_at)

        def pace(size: int) -> None:
            if pause_s := throttle.pause_s(size, time.monotonic()):
                self._rest(pause_s)

        def swap(swap: Swap) -> None:
            body = ReplaceSegments(entry.slot, entry.topic_id, swap.base, swap.until, list(swap.replaced))
            reply = self._ask(body, BrokerReply)
            if reply.code != ErrorCode.NO_ERROR:
                raise BrokerError(reply.code, reply.message)

        limits = listed.limits
        tools = Tools(limits.buffer_bytes, limits.load_factor, pace, swap, limits.min_free_bytes)
        now_ms = time.time_ns() // 1_000_000
        cleaning = CleaningPass(Path(entry.directory), entry.config, segments, prospect, tools, now_ms)
        outcome = LogCleaned(entry.slot, entry.topic_id)
        try:
            cleaning.run()
        except BrokerError as error:
            self._set_back(entry, error)
            if setback_of(error) is not Setback.CHANGED:
                outcome.code, outcome.message = error.code, error.message
        else:
            self._setbacks.forget(_key(entry))
            _tell(entry, cleaning.work, time.monotonic() - started_at)
        work = cleaning.work
        outcome.clean_to = work.clean_to
        outcome.bytes_read, outcome.bytes_written = work.bytes_read, work.bytes_written
        outcome.records_read, outcome.records_kept = work.records_read, work.records_kept
        return outcome

    def _set_back(self, entry: CompactedLog, error: BrokerError) -> None:
        if self._setbacks.note(_key(entry), setback_of(error), error.message, time.monotonic()):
            log.warning("cannot compact %s [%d]: %s", entry.topic, entry.partition, error.message)
        else:
            log.info("compacting %s [%d] is put off: %s", entry.topic, entry.partition, error.message)


def _tell(entry: CompactedLog, work: Work, took_s: float) -> None:
    log.info(
        "compacted %s [%d] to offset %d: kept %d of %d records, read %d and wrote %d bytes in %.1f s",
        entry.topic, entry.partition, work.clean_to, work.records_kept, work.records_read,
        work.bytes_read, work.bytes_written, took_s,
    )  # fmt: skip


def _key(entry: CompactedLog) -> bytes:
    return entry.topic_id + entry.partition.to_bytes(4, "little")
