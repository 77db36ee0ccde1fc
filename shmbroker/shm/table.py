"""The partition table: the live figures of every partition, one file mapped by everybody.

Layout (little-endian, all words 8 bytes)::

    header   line 0   magic  version  slots  incarnation
             line 1   doorbell-waiting flag of the broker
    slot i   line 0   the leader's figures, written by the broker process only:
                        log_start  log_end  high_watermark  last_stable  active_base  log_bytes  appended  state
             line 1   the controller's figures, written by the main process only:
                        topic id (16 bytes)  leader  leader_epoch  isr bitmap  partition  in_use
                        and, written by the broker, where in the tail the newest batch is (see ``tail``)
             lines 2-5  the topic's name, UTF-8, zero-padded (249 bytes at most): lets ``top`` label a slot
    then     the tail: the newest small batches

Commit rule: a batch is in the log before ``log_end`` and ``high_watermark`` say so, and ``in_use`` is stored last when
a slot is given out and first when it is taken back. Each word is one aligned 8-byte store: readers see old or new,
never a mix. A reader needs no lock: it loads one word to learn of new data.
"""

from __future__ import annotations

import enum
import mmap
from pathlib import Path
from typing import NamedTuple

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.shm.region import CACHE_LINE_BYTES, create_shared_file, map_shared_file
from shmbroker.shm.tail import TAIL_BYTES, Tail

MAGIC = int.from_bytes(b"SHMTABLE", "little")
VERSION = 2
HEADER_BYTES = 2 * CACHE_LINE_BYTES
SLOT_BYTES = 6 * CACHE_LINE_BYTES
NAME_BYTES = 4 * CACHE_LINE_BYTES
MAX_TOPIC_NAME_BYTES = 249
"""Kafka's limit: name + '-' + partition + suffix must fit a file name of 255 bytes."""

_WORD_BYTES = 8
_HEADER_WORDS = HEADER_BYTES // _WORD_BYTES
_SLOT_WORDS = SLOT_BYTES // _WORD_BYTES
_WAITING_WORD = CACHE_LINE_BYTES // _WORD_BYTES
# Word indexes inside a slot: the leader's line, then the controller's.
_LOG_START, _LOG_END, _HIGH_WATERMARK, _LAST_STABLE, _ACTIVE_BASE, _LOG_BYTES, _APPENDED, _STATE = range(8)
_TOPIC_ID, _LEADER, _LEADER_EPOCH, _ISR, _PARTITION, _IN_USE, _TAIL = 8, 10, 11, 12, 13, 14, 15
_NAME_OFFSET = 2 * CACHE_LINE_BYTES


class PartitionState(enum.IntEnum):
    """What the broker says of a slot."""

    CLOSED = 0
    ONLINE = 1
    OFFLINE = 2
    """The log cannot be read or written: KAFKA_STORAGE_ERROR."""


class Figures(NamedTuple):
    """The leader's line of one slot: offsets, ``log_bytes`` on disk, batches ``appended`` since the broker started."""

    log_start: int
    log_end: int
    high_watermark: int
    last_stable: int
    active_base: int
    log_bytes: int
    appended: int
    state: int


def table_bytes(slots: int) -> int:
    """Size of a table with room for ``slots`` partitions."""
    return HEADER_BYTES + slots * SLOT_BYTES + TAIL_BYTES


class PartitionTable:
    """A mapping of the table. Only the daemon's processes hold a writable one."""

    def __init__(self, region: mmap.mmap, name: str) -> None:
        if len(region) < HEADER_BYTES:
            raise BrokerError(ErrorCode.INVALID_REQUEST, f"{name}: too short for a partition table")
        self._region = region
        self._bytes = memoryview(region)
        self.words = self._bytes[: len(region) & -_WORD_BYTES].cast("q")
        magic, version, slots, incarnation = self.words[:4]
        if magic != MAGIC or version != VERSION:
            raise BrokerError(
                ErrorCode.UNSUPPORTED_VERSION,
                f"{name} is not a partition table of version {VERSION}: client and daemon differ in version",
            )
        if len(region) < table_bytes(slots) or slots < 1:
            raise BrokerError(ErrorCode.INVALID_REQUEST, f"{name}: cut short")
        self.slots = slots
        self.incarnation = incarnation
        start = HEADER_BYTES + slots * SLOT_BYTES
        self.tail = Tail(self._bytes[start : start + TAIL_BYTES])

    @classmethod
    def create(cls, path: Path, slots: int, incarnation: int) -> PartitionTable:
        """Make a fresh table with room for ``slots`` partitions at ``path``."""
        region = create_shared_file(path, table_bytes(slots))
        with memoryview(region) as view, view.cast("q") as words:
            words[1], words[2], words[3] = VERSION, slots, incarnation
            words[0] = MAGIC
        return cls(region, str(path))

    @classmethod
    def open(cls, path: Path | str, *, writable: bool = False) -> PartitionTable:
        return cls(map_shared_file(path, writable=writable), str(path))

    def close(self) -> None:
        self.tail.close()
        self.words.release()
        self._bytes.release()
        self._region.close()

    # --- the leader's line ---------------------------------------------------------------------------------

    @staticmethod
    def _word(slot: int) -> int:
        return _HEADER_WORDS + slot * _SLOT_WORDS

    def high_watermark_word(self, slot: int) -> int:
        """Index into ``words`` of the slot's high watermark: pollers load it without a call."""
        return self._word(slot) + _HIGH_WATERMARK

    def last_stable_word(self, slot: int) -> int:
        """Index into ``words`` of the slot's last stable offset, which read_committed readers poll."""
        return self._word(slot) + _LAST_STABLE

    def state_word(self, slot: int) -> int:
        """Index into ``words`` of the slot's :class:`PartitionState`."""
        return self._word(slot) + _STATE

    def figures(self, slot: int) -> Figures:
        first = self._word(slot)
        return Figures._make(self.words[first : first + 8])

    def publish(self, slot: int, figures: Figures, place: int = 0) -> None:
        """Store all figures of a slot, the ones that let readers go on last. ``place``: of the newest batch in the tail."""
        first = self._word(slot)
        words = self.words
        log_start, log_end, high_watermark, last_stable, active_base, log_bytes, appended, state = figures
        words[first + _TAIL] = place
        words[first + _ACTIVE_BASE] = active_base
        words[first + _LOG_BYTES] = log_bytes
        words[first + _APPENDED] = appended
        words[first + _LOG_START] = log_start
        words[first + _LAST_STABLE] = last_stable
        words[first + _LOG_END] = log_end
        words[first + _HIGH_WATERMARK] = high_watermark
        words[first + _STATE] = state

    def tail_word(self, slot: int) -> int:
        """Index into ``words`` of the place in the tail where the slot's newest batch is."""
        return self._word(slot) + _TAIL

    # --- the controller's line -----------------------------------------------------------------------------

    def assign(
        self, slot: int, topic: str, topic_id: bytes, partition: int, leader: int, leader_epoch: int
    ) -> None:
        """Give ``slot`` to a partition. ``topic_id`` is 16 bytes."""
        self._check_slot(slot)
        name = topic.encode()
        if len(name) > MAX_TOPIC_NAME_BYTES or len(topic_id) != 16:
            raise ValueError(
                f"topic name of {len(name)} bytes or id of {len(topic_id)} bytes does not fit a slot"
            )
        start = HEADER_BYTES + slot * SLOT_BYTES
        first = self._word(slot)
        self._bytes[start + _NAME_OFFSET : start + SLOT_BYTES] = name.ljust(NAME_BYTES, b"\0")
        id_start = start + _TOPIC_ID * _WORD_BYTES
        self._bytes[id_start : id_start + 16] = topic_id
        words = self.words
        words[first + _LEADER] = leader
        words[first + _LEADER_EPOCH] = leader_epoch
        words[first + _ISR] = 1 << leader
        words[first + _PARTITION] = partition
        words[first + _IN_USE] = 1

    def release_slot(self, slot: int) -> None:
        """Take the slot back; its name stays until the next assign so that late readers can still say whose it was."""
        self._check_slot(slot)
        self.words[self._word(slot) + _IN_USE] = 0

    def topic_id(self, slot: int) -> bytes:
        start = HEADER_BYTES + slot * SLOT_BYTES + _TOPIC_ID * _WORD_BYTES
        return bytes(self._bytes[start : start + 16])

    def is_in_use(self, slot: int) -> bool:
        return self.words[self._word(slot) + _IN_USE] == 1

    def label(self, slot: int) -> tuple[str, int]:
        """(topic, partition) of a slot in use."""
        start = HEADER_BYTES + slot * SLOT_BYTES
        name = bytes(self._bytes[start + _NAME_OFFSET : start + SLOT_BYTES]).rstrip(b"\0")
        return name.decode(errors="replace"), self.words[self._word(slot) + _PARTITION]

    def leader_epoch(self, slot: int) -> int:
        return self.words[self._word(slot) + _LEADER_EPOCH]

    def _check_slot(self, slot: int) -> None:
        if not 0 <= slot < self.slots:
            raise BrokerError(ErrorCode.UNKNOWN_TOPIC_OR_PART, f"slot {slot} is not in 0..{self.slots - 1}")

    # --- the broker's sleep flag ---------------------------------------------------------------------------

    @property
    def doorbell_waiting_word(self) -> int:
        """Index into ``words`` of the flag that says the broker sleeps (see ``wakeup``)."""
        return _WAITING_WORD
