"""What the main process may ask of a broker, each command one function. Those that need the disk are answered later."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log.swapping import Swap
from shmbroker.protocol.channel import DescriptorsLostError
from shmbroker.protocol.messages import (
    AdvanceLogStart,
    AttachSession,
    BrokerAnswer,
    BrokerReply,
    ClosePartition,
    ConfigureStorage,
    DescribeLogProducers,
    DetachSession,
    HoldRetention,
    LogProducersReply,
    OpenPartition,
    ReconfigurePartition,
    ReplaceSegments,
    StopBroker,
    WriteMarkers,
)
from shmbroker.shm.table import Figures, PartitionState, PartitionTable
from shmbrokerd.broker.append_loop import AppendLoop
from shmbrokerd.broker.marker_order import MarkerOrder
from shmbrokerd.broker.partition import LedPartition
from shmbrokerd.broker.session import open_session
from shmbrokerd.broker.upkeep import Upkeep
from shmbrokerd.logs import log

_REQUESTED_WRONG = frozenset({ErrorCode.OFFSET_OUT_OF_RANGE, ErrorCode.INVALID_REQUEST})
"""Refusals of what a client or the cleaner asked for: nothing is wrong with the broker."""


class Commands:
    """Carries commands out on an :class:`AppendLoop`, between two of its rounds."""

    def __init__(self, loop: AppendLoop, table: PartitionTable, upkeep: Upkeep) -> None:
        self._loop = loop
        self._table = table
        self._upkeep = upkeep
        self.is_stopping = False
        self._handlers: dict[type, Callable[[Any, Sequence[int]], BrokerAnswer]] = {
            ConfigureStorage: self._configure_storage,
            OpenPartition: self._open_partition,
            ReconfigurePartition: self._reconfigure_partition,
            ClosePartition: self._close_partition,
            AdvanceLogStart: self._advance_log_start,
            ReplaceSegments: self._replace_segments,
            HoldRetention: self._hold_retention,
            AttachSession: self._attach_session,
            DetachSession: self._detach_session,
            DescribeLogProducers: self._describe_producers,
            StopBroker: self._stop,
        }

    def run(
        self, body: Any, take_fds: Callable[[int], Sequence[int]], answer: Callable[[BrokerAnswer], None]
    ) -> None:
        """Carry out one command and ``answer`` it, now or in a later round; a refusal is an answer, never an exception."""
        if isinstance(body, WriteMarkers):
            MarkerOrder(self._loop, body, answer).start()
        else:
            answer(self._run(body, take_fds))

    def _run(self, body: Any, take_fds: Callable[[int], Sequence[int]]) -> BrokerAnswer:
        try:
            fds = take_fds(2) if isinstance(body, AttachSession) else ()
            return self._handlers[type(body)](body, fds)
        except BrokerError as error:
            level = logging.INFO if error.code in _REQUESTED_WRONG else logging.ERROR
            log.log(level, "%s failed: %s", type(body).__name__, error.message)
            return BrokerReply(error.code, error.message)
        except DescriptorsLostError as error:
            log.error("%s failed: %s", type(body).__name__, error)
            return BrokerReply(ErrorCode.KAFKA_STORAGE_ERROR, str(error))

    def _partition(self, slot: int) -> LedPartition:
        partition = self._loop.partitions.get(slot)
        if partition is None:
            raise BrokerError(ErrorCode.UNKNOWN_TOPIC_OR_PART, f"slot {slot} is not open")
        return partition

    def _open_partition(self, command: OpenPartition, _fds: Sequence[int]) -> BrokerReply:
        earlier = self._loop.partitions.pop(command.slot, None)
        if earlier is not None:  # asked twice: a log can be open only once
            earlier.close()
        try:
            self._loop.partitions[command.slot] = LedPartition(
                command.slot,
                command.topic,
                command.partition,
                Path(command.directory),
                command.leader_epoch,
                command.config,
                self._table,
            )
        except BrokerError:
            self._table.publish(command.slot, Figures(0, 0, 0, 0, 0, 0, 0, PartitionState.OFFLINE))
            raise
        # Whose coordinator never heard of them (power loss, a coordinator that forgot) are found out here.
        producers = self._loop.partitions[command.slot].log.producers
        self._loop.tell_opened(command.slot, producers.open_transactions())
        producer_id, coordinator_epoch = producers.highest()
        return BrokerReply(producer_id=producer_id, coordinator_epoch=coordinator_epoch)

    def _reconfigure_partition(self, command: ReconfigurePartition, _fds: Sequence[int]) -> BrokerReply:
        self._partition(command.slot).reconfigure(command.config)
        self._upkeep.reconfigured(command.slot)
        return BrokerReply()

    def _configure_storage(self, command: ConfigureStorage, _fds: Sequence[int]) -> BrokerReply:
        self._upkeep.configure(command)
        return BrokerReply()

    def _hold_retention(self, command: HoldRetention, _fds: Sequence[int]) -> BrokerReply:
        self._upkeep.hold(command)
        return BrokerReply()

    def _close_partition(self, command: ClosePartition, _fds: Sequence[int]) -> BrokerReply:
        self._partition(command.slot).close()
        del self._loop.partitions[command.slot]
        return BrokerReply()

    def _advance_log_start(self, command: AdvanceLogStart, _fds: Sequence[int]) -> BrokerReply:
        return BrokerReply(offset=self._partition(command.slot).advance_log_start(command.offset))

    def _replace_segments(self, command: ReplaceSegments, _fds: Sequence[int]) -> BrokerReply:
        swap = Swap(command.base, command.until, tuple(command.replaced))
        self._partition(command.slot).replace_segments(command.topic_id, swap)
        return BrokerReply()

    def _attach_session(self, command: AttachSession, fds: Sequence[int]) -> BrokerReply:
        region_fd, eventfd = fds
        self._loop.attach(open_session(command.session_id, command.counters_entry, region_fd, eventfd))
        return BrokerReply()

    def _detach_session(self, command: DetachSession, _fds: Sequence[int]) -> BrokerReply:
        self._loop.detach(command.session_id)
        return BrokerReply()

    def _describe_producers(self, command: DescribeLogProducers, _fds: Sequence[int]) -> LogProducersReply:
        return LogProducersReply(self._partition(command.slot).active_producers())

    def _stop(self, _command: StopBroker, _fds: Sequence[int]) -> BrokerReply:
        self.is_stopping = True
        return BrokerReply()
