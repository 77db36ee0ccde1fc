"""One partition as the broker leads it: which batches may enter its log, and what the partition table says of it."""

from __future__ import annotations

from pathlib import Path

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log.folder_names import Label
from shmbroker.log.label_file import claim
from shmbroker.log.rolling import RollRule
from shmbroker.log.swapping import Swap
from shmbroker.log.writer import PartitionWriter, Position
from shmbroker.protocol.messages import ActiveProducer, LogConfig
from shmbroker.records.control import Marker
from shmbroker.records.layout import (
    HEADER_BYTES,
    Column,
    Flag,
    Header,
    align,
    check_bounds,
    check_crc,
    read_header,
)
from shmbroker.records.recompress import recompress
from shmbroker.shm.ring import topic_tag
from shmbroker.shm.table import Figures, PartitionState, PartitionTable
from shmbrokerd.broker.retention import UNKNOWN, Hold


class LedPartition:
    """A partition's log and its line in the table.

    Raises:
        BrokerError: KAFKA_STORAGE_ERROR when the log cannot be opened.
    """

    def __init__(
        self,
        slot: int,
        topic: str,
        partition: int,
        folder: Path,
        leader_epoch: int,
        config: LogConfig,
        table: PartitionTable,
    ) -> None:
        self.slot = slot
        self.topic = topic
        self.partition = partition
        self.config = config
        self.is_compacted = "compact" in config.cleanup_policy
        self._topic_id = table.topic_id(slot)
        self.topic_tag = topic_tag(self._topic_id)
        self._table = table
        self._appended = self._rolls = 0
        self.is_online = True
        self.hold: Hold | None = UNKNOWN if config.retention_groups else None
        """What retention leaves to groups."""
        self.unflushed = 0
        """Records appended since a flush was asked for."""
        claim(folder, Label(self._topic_id, topic, partition))
        self.log = PartitionWriter(
            folder,
            config.segment_bytes,
            config.index_interval_bytes,
            leader_epoch,
            config.producer_id_expiration_ms,
            config.max_producers,
            self._roll_rule(),
        )
        self.publish()

    def __str__(self) -> str:
        return f"{self.topic} [{self.partition}]"

    def _roll_rule(self) -> RollRule:
        """Kafka's: a log that is compacted is rolled in time for ``max.compaction.lag.ms``, too."""
        config, name = self.config, f"{self.topic}-{self.partition}"
        is_compacted = "compact" in config.cleanup_policy
        longest_ms = config.max_compaction_lag_ms if is_compacted else config.segment_ms
        return RollRule(min(longest_ms, config.segment_ms), config.segment_jitter_ms, name)

    def reconfigure(self, config: LogConfig) -> None:
        if config.retention_groups != self.config.retention_groups:
            self.hold = UNKNOWN if config.retention_groups else None
        self.config = config
        self.is_compacted = "compact" in config.cleanup_policy
        self.log.set_roll_rule(self._roll_rule())
        self.log.segment_bytes = config.segment_bytes
        self.log.index_interval_bytes = config.index_interval_bytes
        self.log.producer_expiration_ms = config.producer_id_expiration_ms
        self.log.max_producers = self.log.producers.limit = config.max_producers

    # --- what may enter ------------------------------------------------------------------------------------

    def stage(self, batch: bytearray, now_ms: int) -> tuple[Header, Position]:
        """Check ``batch`` and hold it for the next commit.

        Raises:
            BrokerError: INVALID_MSG when its bytes are not a whole batch (the client that sent it cannot be trusted);
                MSG_SIZE_TOO_LARGE, INVALID_TIMESTAMP, INVALID_RECORD for a batch that breaks a limit; the codes of
                :meth:`PartitionWriter.stage`.
        """
        header = read_header(batch)
        check_crc(header, batch)
        check_bounds(header, batch)
        self._check_limits(header, now_ms)
        config = self.config
        batch, header = recompress(batch, header, config.compression_type)
        append_time = now_ms if config.message_timestamp_type == "LogAppendTime" else -1
        return header, self.log.stage(batch, header, append_time, now_ms)

    def _check_limits(self, header: Header, now_ms: int) -> None:
        config = self.config
        size = header.length - HEADER_BYTES
        if size > config.max_message_bytes:
            raise BrokerError(
                ErrorCode.MSG_SIZE_TOO_LARGE,
                f"batch of {size} bytes for {self} is over {config.max_message_bytes} (max.message.bytes)",
            )
        has_deltas = header.ends[Column.OFFSET_DELTAS] != align(header.ends[Column.HEADERS])
        if header.flags & Flag.CONTROL or has_deltas:
            raise BrokerError(
                ErrorCode.INVALID_RECORD, f"a client sent {self} what only the broker may write"
            )
        if header.flags & Flag.TRANSACTIONAL and header.producer_id < 0:
            raise BrokerError(ErrorCode.INVALID_RECORD, f"a transactional batch of no producer for {self}")
        if self.is_compacted and not _has_keys(header):
            raise BrokerError(
                ErrorCode.INVALID_RECORD,
                f"compacted topic cannot accept a record without key in {self} (cleanup.policy)",
            )
        if header.producer_id >= 0 and (header.base_sequence < 0 or header.producer_epoch < 0):
            raise BrokerError(
                ErrorCode.INVALID_RECORD,
                f"producer {header.producer_id} sent {self} sequence {header.base_sequence} of epoch"
                f" {header.producer_epoch}",
            )
        if config.message_timestamp_type == "LogAppendTime":
            return
        ahead, behind = header.max_timestamp - now_ms, now_ms - header.base_timestamp
        if ahead > config.message_timestamp_after_max_ms or behind > config.message_timestamp_before_max_ms:
            raise BrokerError(
                ErrorCode.INVALID_TIMESTAMP,
                f"timestamps {header.base_timestamp} to {header.max_timestamp} for {self} are too far from"
                f" {now_ms} (message.timestamp.after.max.ms={config.message_timestamp_after_max_ms},"
                f" message.timestamp.before.max.ms={config.message_timestamp_before_max_ms})",
            )

    def commit(self, is_lone: bool = False) -> int:
        """Append what is staged and let readers see it; returns the bytes. A lone batch is also put where readers that wait
        for it find it at once.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR.
        """
        size = self.log.commit()
        self._appended += 1
        self.publish(self._table.tail.put(self._topic_id, self.log.newest) if is_lone and size else 0)
        return size

    # --- producers -----------------------------------------------------------------------------------------

    def write_marker(self, marker: Marker, now_ms: int) -> bool:
        """End a producer's transaction and let readers see it; False when the log knew. It is in the page cache then.

        Raises:
            BrokerError: the codes of :meth:`PartitionWriter.stage_marker` and :meth:`commit`.
        """
        if not self.is_online:
            raise BrokerError(ErrorCode.KAFKA_STORAGE_ERROR, f"{self} is offline")
        is_written = self.log.stage_marker(marker, now_ms)
        if is_written:
            self.commit()
        return is_written

    def active_producers(self) -> list[ActiveProducer]:
        """All that the log remembers (KIP-664)."""
        return [
            ActiveProducer(
                producer_id,
                row.epoch,
                row.last_sequence,
                row.last_time,
                row.coordinator_epoch,
                row.transaction_start,
            )
            for producer_id, row in self.log.producers.items()
        ]

    def take_rolls(self) -> int:
        """Segments begun since the last call."""
        rolls, self._rolls = self.log.rolls - self._rolls, self.log.rolls
        return rolls

    # --- what the table says -------------------------------------------------------------------------------

    def publish(self, place: int = 0) -> None:
        """With one replica a committed batch is replicated to all: the high watermark is the end of the log. ``place``: of the
        newest batch in the tail."""
        log = self.log
        state = PartitionState.ONLINE if self.is_online else PartitionState.OFFLINE
        self._table.publish(
            self.slot,
            Figures(
                log.log_start,
                log.log_end,
                log.log_end,
                log.last_stable,
                log.active_base,
                log.log_bytes,
                self._appended,
                state,
            ),
            place,
        )

    def go_offline(self) -> None:
        """The disk broke a promise (a flush failed): nothing more is acknowledged until the log is opened anew."""
        self.is_online = False
        self.publish()

    def advance_log_start(self, offset: int) -> int:
        """Delete records below ``offset`` (-1: all there are); returns the new log start.

        Raises:
            BrokerError: OFFSET_OUT_OF_RANGE beyond the high watermark, KAFKA_STORAGE_ERROR.
        """
        log = self.log
        target = log.log_end if offset == -1 else offset
        if not 0 <= target <= log.log_end:
            raise BrokerError(
                ErrorCode.OFFSET_OUT_OF_RANGE,
                f"cannot delete records of {self} up to offset {offset}: it ends at {log.log_end}",
            )
        log.advance_log_start(target)
        self.publish()
        return log.log_start

    def replace_segments(self, topic_id: bytes, swap: Swap) -> None:
        """Swap in a compacted segment.

        Raises:
            BrokerError: INVALID_REQUEST when it was built for what is not there any more, KAFKA_STORAGE_ERROR.
        """
        if topic_tag(topic_id) != self.topic_tag:
            raise BrokerError(
                ErrorCode.INVALID_REQUEST, f"{self} is of another topic than what was compacted"
            )
        try:
            self.log.replace_segments(swap)
        finally:
            self.publish()

    def retire(self, base_offset: int, trash: Path) -> list[Path]:
        """Let the log begin with the segment ``base_offset``; returns the files to unlink, under names that begin as ``trash``.
        Who reads in them goes on; who comes later is told first that they are gone.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR.
        """
        self.log.raise_log_start(base_offset)
        self.publish()
        try:
            return self.log.set_aside(trash)
        finally:
            self.publish()

    def close(self) -> None:
        self.log.close()
        self._table.publish(self.slot, Figures(0, 0, 0, 0, 0, 0, 0, PartitionState.CLOSED))


def _has_keys(header: Header) -> bool:
    """Whether no record is without a key: there are keys, and no bitmap that says for some that they are null."""
    ends = header.ends
    is_there = ends[Column.KEY_OFFSETS] != align(ends[Column.VALUE_VALIDITY])
    return is_there and ends[Column.KEY_VALIDITY] == align(ends[Column.KEYS])
