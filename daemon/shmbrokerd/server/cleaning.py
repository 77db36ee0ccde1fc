"""Compaction, as the main process sees it: cleaner processes where there is something to compact, and answers to what they ask.

They decide what to compact, and say so here first, for no two may be at the same log; the broker swaps in what they made.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol.messages import (
    BrokerReply,
    ClaimLog,
    CleanerAnswer,
    CleanerLimits,
    CleanerRequest,
    CompactedLog,
    CompactedLogs,
    CompactionInfo,
    CompactionLook,
    ListCompacted,
    LogCleaned,
    LogsLookedAt,
    ReplaceSegments,
)
from shmbroker.shm.counters import CountersFile, SystemCounter
from shmbrokerd.broker_link import BrokerGoneError
from shmbrokerd.cleaner_process import CleanerProcess
from shmbrokerd.metadata.settings import Settings
from shmbrokerd.server.partition_logs import PartitionLogs
from shmbrokerd.supervisor import Supervisor

_TERMS = (
    "log.cleaner.dedupe.buffer.size",
    "log.cleaner.io.buffer.load.factor",
    "log.cleaner.io.max.bytes.per.second",
)


def alarms(compaction: Iterable[CompactionInfo]) -> list[str]:
    """What somebody ought to look at, for people."""
    problems = [problem for info in compaction for problem in info.problems]
    more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
    return [f"cannot compact {problems[0]}{more}"] if problems else []


class Cleaning:
    """``settings`` returns the state and configuration of the moment."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        logs: PartitionLogs,
        supervisor: Supervisor,
        table_path: Path,
        counters: CountersFile,
    ) -> None:
        self._settings = settings
        self._logs = logs
        self._supervisor = supervisor
        self._table_path = table_path
        self._running: list[asyncio.Task[None]] = []
        self._claims: dict[int, int] = {}
        """Slots that are being compacted, and by which cleaner."""
        self._counters = counters
        self._looks: dict[int, CompactionLook] = {}
        """By slot, what a cleaner saw last, perhaps of another topic that had it."""
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Keep as many cleaner processes as there should be, until cancelled; all are gone then."""
        terms = self._terms()
        try:
            while True:
                if (changed := self._terms()) != terms:
                    terms = changed
                    await self._adjust(0)
                await self._adjust(self._wanted())
                with contextlib.suppress(TimeoutError):
                    backoff_ms = self._settings().broker_number("log.cleaner.backoff.ms")
                    await asyncio.wait_for(self._changed.wait(), backoff_ms / 1000)
                self._changed.clear()
        finally:
            await self._adjust(0)

    def settings_changed(self) -> None:
        """There may be something to compact now, or nothing any more."""
        self._changed.set()

    def _wanted(self) -> int:
        settings = self._settings()
        if not settings.broker_value("log.cleaner.enable") or not self._compacted_topics(settings):
            return 0
        return settings.broker_number("log.cleaner.threads")

    def _terms(self) -> tuple[object, ...]:
        """What a cleaner is told when it begins a pass. Where that changes all are started anew, as Kafka does: a pass under a
        limit that was too low would go on for days."""
        return tuple(self._settings().broker_value(key) for key in _TERMS)

    async def _adjust(self, wanted: int) -> None:
        while len(self._running) < wanted:
            number = len(self._running)
            self._running.append(asyncio.create_task(self._run_cleaner(number)))
        surplus, self._running = self._running[wanted:], self._running[:wanted]
        for task in surplus:
            task.cancel()
        await asyncio.gather(*surplus, return_exceptions=True)

    async def _run_cleaner(self, number: int) -> None:
        await CleanerProcess(
            self._table_path,
            lambda body: self.answer(number, body),
            lambda: self._release_all(number),
            self._settings().broker_number("broker.restart.backoff.max.ms") / 1000,
        ).run()

    def _release_all(self, number: int) -> None:
        self._claims = {slot: owner for slot, owner in self._claims.items() if owner != number}

    @staticmethod
    def _compacted_topics(settings: Settings) -> list[str]:
        topics = settings.state.topics
        return [
            topic
            for topic in topics
            if "compact" in str(settings.topic_value(topic, "cleanup.policy")).split(",")
        ]

    # --- questions -----------------------------------------------------------------------------------------

    async def answer(self, number: int, body: CleanerRequest) -> CleanerAnswer:
        """What the cleaner ``number`` hears; a refusal is an answer, never an exception."""
        match body:
            case ListCompacted():
                return self._list()
            case ClaimLog(slot, topic_id):
                return self._claim(number, slot, topic_id)
            case ReplaceSegments():
                return await self._replace(number, body)
            case LogsLookedAt(looks):
                self._looks |= {look.slot: look for look in looks}
                return BrokerReply()
            case LogCleaned():
                self._cleaned(number, body)
                return BrokerReply()

    def _list(self) -> CompactedLogs:
        settings = self._settings()
        logs = []
        for topic in self._compacted_topics(settings):
            config = settings.log_config(topic)
            topic_id = settings.state.topics[topic].row.topic_id
            for row in settings.state.topics[topic].partitions.values():
                if row.slot not in self._claims:
                    directory = self._logs.directory(topic, row.partition)
                    logs.append(CompactedLog(row.slot, topic_id, topic, row.partition, directory, config))
        share = settings.broker_number("log.cleaner.dedupe.buffer.size") // max(1, len(self._running))
        limits = CleanerLimits(
            share,
            float(settings.broker_value("log.cleaner.io.buffer.load.factor")),
            float(settings.broker_value("log.cleaner.io.max.bytes.per.second")),
            settings.broker_number("log.cleaner.backoff.ms"),
            settings.broker_number("log.min.free.bytes"),
        )
        return CompactedLogs(logs, limits)

    def describe(self) -> list[CompactionInfo]:
        """How far each compacted topic is, as it was seen last."""
        return [self._describe_topic(topic) for topic in self._compacted_topics(self._settings())]

    def _describe_topic(self, topic: str) -> CompactionInfo:
        entry = self._settings().state.topics[topic]
        seen: dict[int, CompactionLook] = {}
        for row in entry.partitions.values():
            look = self._looks.get(row.slot)
            if look is not None and look.topic_id == entry.row.topic_id:
                seen[row.partition] = look
        told = [look for look in seen.values() if look.clean_to >= 0]
        return CompactionInfo(
            topic,
            len(entry.partitions),
            len(entry.partitions) - len(told),
            sum(look.clean_bytes for look in told),
            sum(look.dirty_bytes for look in told),
            [f"{topic} [{partition}]: {look.problem}" for partition, look in seen.items() if look.problem],
        )

    def _claim(self, number: int, slot: int, topic_id: bytes) -> BrokerReply:
        state = self._settings().state
        row = state.slots.get(slot)
        topic = None if row is None else state.topics.get(row.topic)
        if topic is None or topic.row.topic_id != topic_id or slot in self._claims:
            return BrokerReply(ErrorCode.UNKNOWN_TOPIC_OR_PART, f"slot {slot} is another cleaner's, or gone")
        self._claims[slot] = number
        return BrokerReply()

    def _cleaned(self, number: int, body: LogCleaned) -> None:
        if self._claims.get(body.slot) == number:
            del self._claims[body.slot]
        failed = body.code != ErrorCode.NO_ERROR
        self._counters.add(SystemCounter.CLEANER_FAILURES if failed else SystemCounter.CLEANER_PASSES)
        self._counters.add(SystemCounter.CLEANER_BYTES_READ, body.bytes_read)
        self._counters.add(SystemCounter.CLEANER_BYTES_WRITTEN, body.bytes_written)

    async def _replace(self, number: int, body: ReplaceSegments) -> BrokerReply:
        if self._claims.get(body.slot) != number:
            return BrokerReply(ErrorCode.INVALID_REQUEST, f"slot {body.slot} is not claimed")
        try:
            return await self._supervisor.request(body)
        except BrokerGoneError:
            return BrokerReply(
                ErrorCode.BROKER_NOT_AVAILABLE, "the broker process died while it swapped segments"
            )
        except BrokerError as error:
            return BrokerReply(error.code, error.message)
