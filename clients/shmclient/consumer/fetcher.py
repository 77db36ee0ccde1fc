"""Reads the assigned partitions in turn: positions, resets, end-of-partition events, records and batches."""

from __future__ import annotations

import errno
import time
from collections import deque
from collections.abc import Callable, Iterator

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log.reader import out_of_range
from shmbroker.records.batch import RecordBatch
from shmbroker.records.layout import Flag
from shmbroker.shm.table import Figures, PartitionState
from shmclient.config import ClientConfig
from shmclient.consumer.link import Link
from shmclient.consumer.partitions import NOWHERE, AssignedPartition
from shmclient.consumer.records import messages_of
from shmclient.errors import KafkaError, KafkaException
from shmclient.message import EVENT_TIMESTAMP, Message
from shmclient.topic_partition import OFFSET_BEGINNING, OFFSET_END, OFFSET_INVALID, OFFSET_STORED

READ_BYTES = 512 * 1024
"""Bytes read from one partition before the next one has its turn: what fits the CPU's L2 cache between copying a batch
out of the page cache and cutting it into values. ``max.partition.fetch.bytes`` lowers it."""
LOCATE_RETRY_S = 0.1
"""Pause between two questions for a topic that does not exist."""
_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Of the reading process or the machine: they say nothing about the log."""
_EARLIEST = frozenset({"smallest", "earliest", "beginning"})
_LATEST = frozenset({"largest", "latest", "end"})


class Fetcher:
    """The partitions of one consumer. ``committed_offsets(partitions)`` asks for the group's offsets, OFFSET_INVALID for
    none, None for one to be asked for again."""

    def __init__(
        self,
        config: ClientConfig,
        link: Link,
        committed_offsets: Callable[[list[AssignedPartition]], list[int | None]],
    ) -> None:
        self._config = config
        self._link = link
        self._committed_offsets = committed_offsets
        self._committed_only = config.isolation_level == "read_committed"
        self._read_bytes = max(1, min(READ_BYTES, config.max_partition_fetch_bytes, config.fetch_max_bytes))
        self.partitions: dict[tuple[str, int], AssignedPartition] = {}
        self._is_paused: dict[tuple[str, int], bool] = {}
        """Of every partition that ever was assigned: a pause outlasts the assignment."""
        self._turns: deque[AssignedPartition] = deque()
        self._locate_at = 0.0
        self._located_generation = -1
        self._damaged: dict[AssignedPartition, tuple[int, int]] = {}
        """Those that stand still at a damaged place: its offset, and the connection's generation when it was met."""

    # --- the assignment ------------------------------------------------------------------------------------

    def add(self, partition: AssignedPartition) -> None:
        key = partition.topic, partition.number
        self.partitions[key] = partition
        partition.is_paused = self.know(key)
        self._turns.append(partition)
        self._locate_at = 0.0
        self._link.forget_questions()

    def know(self, key: tuple[str, int]) -> bool:
        """Let a partition be paused from now on; whether it is."""
        return self._is_paused.setdefault(key, False)

    def remove(self, key: tuple[str, int]) -> None:
        partition = self.partitions.pop(key)
        self._turns.remove(partition)
        self._damaged.pop(partition, None)
        partition.close_reader()

    def clear(self) -> None:
        for key in list(self.partitions):
            self.remove(key)

    def set_paused(self, key: tuple[str, int], is_paused: bool) -> None:
        """Pause or resume a partition; nothing for one that never was assigned."""
        if key in self._is_paused:
            self._is_paused[key] = is_paused
        if key in self.partitions:
            self.partitions[key].is_paused = is_paused

    def slots(self) -> list[int]:
        """Slots of the partitions whose news are wanted."""
        return [p.slot for p in self._turns if p.slot >= 0 and not p.is_paused]

    def look_again(self) -> None:
        """Resolve positions with the next look, however short ago the last one was."""
        self._locate_at = 0.0

    # --- looking -------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Find partitions and positions that are not known yet; cheap when all are."""
        if self._damaged:
            self._go_on_past_damage()
        if self._located_generation != self._link.connection.generation:
            self._locate()
            return
        for partition in self._turns:
            if partition.position == NOWHERE and not partition.is_halted:
                self._locate()
                return

    def notice_moved(self) -> None:
        """Look for topics that were deleted, or deleted and made again, with the next :meth:`prepare`."""
        table = self._link.table
        if table is not None and any(
            p.slot < 0 or table.topic_id(p.slot) != p.slot_topic_id or not table.is_in_use(p.slot)
            for p in self._turns
            if not p.is_halted
        ):
            self._located_generation = -1

    def _locate(self) -> None:
        now = time.monotonic()
        if now < self._locate_at or not self._turns:
            return
        self._locate_at = now + LOCATE_RETRY_S
        if not self._link.refresh():
            return
        table = self._link.table
        assert table is not None
        topics = list({p.topic for p in self._turns})
        try:
            infos = self._link.describe(topics, allow_auto_create=self._config.allow_auto_create_topics)
        except KafkaException:
            return
        found = {(t.name, p.partition): (t.topic_id, p) for t in infos if not t.code for p in t.partitions}
        for partition in self._turns:
            topic_id, info = found.get((partition.topic, partition.number), ("", None))
            if info is None:
                partition.slot = -1
                continue
            is_other_log = partition.topic_id not in ("", topic_id)
            partition.locate(info, topic_id, table, committed_only=self._committed_only)
            if is_other_log:
                self._check_position(partition)
        self._resolve_all()
        self._located_generation = self._link.generation

    def _check_position(self, partition: AssignedPartition) -> None:
        """The topic was made again: its new log may not reach as far as the old one."""
        figures, position = self.figures(partition), partition.position
        if position != NOWHERE and not figures.log_start <= position <= figures.log_end:
            partition.position = NOWHERE
            self._reset(partition, figures, position)

    def figures(self, partition: AssignedPartition) -> Figures:
        table = self._link.table
        assert table is not None
        return table.figures(partition.slot)

    def bounds(self, partition: AssignedPartition) -> tuple[int, int, int]:
        """(log start, high watermark, last stable offset) as far as they are known, else OFFSET_INVALID."""
        if partition.slot < 0 or self._link.table is None:
            return OFFSET_INVALID, OFFSET_INVALID, OFFSET_INVALID
        figures = self.figures(partition)
        return figures.log_start, figures.high_watermark, figures.last_stable

    def end_of(self, figures: Figures) -> int:
        """How far this consumer may read (``isolation.level``)."""
        return figures.last_stable if self._committed_only else figures.high_watermark

    def _resolve_all(self) -> None:
        """Turn the starts asked for into positions, where they can be known now."""
        located = [p for p in self._turns if p.slot >= 0 and p.position == NOWHERE and not p.is_halted]
        found = [(partition, self.figures(partition)) for partition in located]
        for partition, figures in found:
            if figures.state != PartitionState.ONLINE:
                self._note_offline(partition, figures)  # its figures say nothing; looked at again soon
        online = [(p, figures) for p, figures in found if figures.state == PartitionState.ONLINE]
        stored = [p for p, _ in online if p.start in (OFFSET_INVALID, OFFSET_STORED)]
        try:
            committed = dict(zip(stored, self._committed_offsets(stored), strict=True))
        except KafkaException:
            return  # the daemon went away; asked again with the next look
        for partition, figures in online:
            start = committed.get(partition, partition.start)
            if start is not None:
                self._resolve(partition, figures, start)

    def _resolve(self, partition: AssignedPartition, figures: Figures, start: int) -> None:
        if start == OFFSET_INVALID:
            self._reset(partition, figures, None)
            return
        if start == OFFSET_BEGINNING:
            start = figures.log_start
        elif start == OFFSET_END:
            start = self.end_of(figures)
        if figures.log_start <= start <= figures.log_end:
            partition.position = start
        else:
            self._reset(partition, figures, start)

    def _reset(self, partition: AssignedPartition, figures: Figures, asked: int | None) -> None:
        """Apply ``auto.offset.reset``; ``asked`` is the offset that is not there, None when none was committed."""
        if partition.committed > figures.log_end:
            partition.committed = (
                OFFSET_INVALID  # of records that are lost: what comes now is to be committed
            )
        policy = self._config.auto_offset_reset
        if policy in _EARLIEST:
            partition.position = figures.log_start
        elif policy in _LATEST:
            partition.position = self.end_of(figures)
        else:
            partition.halt(self._reset_event(partition, figures, asked))
            partition.is_stopped = True

    def _reset_event(self, partition: AssignedPartition, figures: Figures, asked: int | None) -> Message:
        if asked is None:
            text = (
                f"no previously committed offset available for {partition}: Local: No offset stored"
                " (auto.offset.reset=error)"
            )
        else:
            cause = out_of_range(partition.topic, partition.number, asked, figures.log_start, figures.log_end)
            text = f"fetch failed due to requested offset not available: Broker: {cause.message}"
        return self._event(partition, KafkaError._AUTO_OFFSET_RESET, text, asked)

    @staticmethod
    def _event(partition: AssignedPartition, code: int, text: str, offset: int | None) -> Message:
        return Message(
            topic=partition.topic,
            partition=partition.number,
            offset=offset,
            value=text.encode(),
            timestamp=EVENT_TIMESTAMP,
            error=KafkaError(code, text),
        )

    # --- news ----------------------------------------------------------------------------------------------

    def has_news(self) -> bool:
        """True when a partition has something to deliver now."""
        for partition in self._turns:  # noqa: SIM110  # mostly there is one, and a generator costs more than that
            if self._is_ready(partition):
                return True
        return False

    def _is_ready(self, partition: AssignedPartition) -> bool:
        if partition.is_paused:
            return False
        if partition.ready or partition.event is not None or partition.batches:
            return True
        position = partition.position
        if position < 0 or partition.slot < 0:
            return False
        table = self._link.table
        if table is None:
            return False
        words = table.words
        end = words[partition.end_word]
        if end > position:
            return not (partition.is_offline and words[partition.state_word] != PartitionState.ONLINE)
        return bool(end == position and self._wants_eof(partition))

    def _wants_eof(self, partition: AssignedPartition) -> bool:
        return self._config.enable_partition_eof and partition.eof_at != partition.position

    def next_ready(self) -> AssignedPartition | None:
        """The next partition with news; it goes to the end of the line, so that all have their turn."""
        turns = self._turns
        for index, partition in enumerate(turns):
            if self._is_ready(partition):
                turns.rotate(-1 - index)
                return partition
        return None

    # --- reading -------------------------------------------------------------------------------------------

    def fill(self, partition: AssignedPartition, count: int) -> None:
        """Make up to ``count`` messages of ``partition`` ready, or an event; nothing when there is none."""
        ready = partition.ready
        if ready:
            return
        if partition.event is not None:
            ready.append(partition.event)
            partition.event = None
            return
        try:
            batch = self._current_batch(partition)
            if batch is None:
                return
        except BrokerError as error:
            self._stop_at(partition, error)
            return
        start = partition.index
        stop = min(batch.count, start + count)
        try:
            ready.extend(messages_of(partition.topic, partition.number, batch, start, stop))
        except BrokerError as error:
            self._skip_nonsense(partition, batch, error)
            return
        if stop == batch.count:
            partition.batches.popleft()
            partition.index = 0
        else:
            partition.index = stop

    def _current_batch(self, partition: AssignedPartition) -> RecordBatch | None:
        """The batch whose records come next, read from the log if none is at hand."""
        if not partition.batches:
            position = partition.position
            batches = self._read(partition, anchored=False)
            if not batches:
                return None
            partition.batches.extend(batches)
            partition.index = batches[0].index_of(position)
        return partition.batches[0]

    def _read(self, partition: AssignedPartition, *, anchored: bool) -> list[RecordBatch]:
        """Batches to deliver from the partition's position on, which moves past them; an event is set where there are none for
        a reason."""
        figures = self.figures(partition)
        position = partition.position
        if figures.state != PartitionState.ONLINE or partition.reader is None:
            self._note_offline(partition, figures)
            return []
        partition.is_offline = False
        if not figures.log_start <= position <= figures.log_end:
            if figures != self.figures(partition):
                return []  # they were being published; looked at again at once
            partition.position = NOWHERE
            self._reset(partition, figures, position)
            return []
        end = self.end_of(figures)
        if position >= end:
            self._note_eof(partition, end)
            return []
        batches = self._newest(partition, end) or partition.reader.read(
            position,
            end,
            self._read_bytes,
            check_crcs=self._config.check_crcs,
            active_base=figures.active_base,
            anchored=anchored,
        )
        if not batches:
            partition.note_skipped(position, end)
            partition.position = end
            return []
        partition.is_starved = False
        after = batches[-1].last_offset + 1
        if not any(batch.header.flags for batch in batches):
            partition.has_read = True
        else:
            batches = self._visible(partition, batches, end)
            partition.has_read |= bool(batches)
            reached = batches[-1].last_offset + 1 if batches else position
            if reached < after:
                partition.note_skipped(reached, after)
        partition.position = after
        for batch in batches:
            partition.read_rows += batch.header.count
            partition.read_bytes += batch.header.length
        return batches

    def _newest(self, partition: AssignedPartition, end: int) -> list[RecordBatch]:
        """The batch that goes from the partition's position to ``end``, if it is still in the table's tail."""
        table = self._link.table
        assert table is not None
        place = table.words[partition.tail_word]
        if not place:
            return []
        data = table.tail.get(place, partition.slot_topic_id)
        if data is None:
            return []
        try:
            batch = RecordBatch(data, check_crcs=self._config.check_crcs)
        except BrokerError:
            return []  # the log tells what is wrong, and where
        header = batch.header
        is_next = header.base_offset == partition.position and header.last_offset + 1 == end
        return [batch] if is_next else []

    def _visible(
        self, partition: AssignedPartition, batches: list[RecordBatch], end: int
    ) -> list[RecordBatch]:
        """Without transaction markers, which take up offsets and are never delivered, and without what was aborted."""
        if not self._committed_only:
            return [batch for batch in batches if not batch.header.flags & Flag.CONTROL]
        assert partition.reader is not None
        return partition.reader.committed(batches, end)

    def _note_offline(self, partition: AssignedPartition, figures: Figures) -> None:
        """Tell once of a log that cannot be read or written; it goes on by itself when the daemon has opened it anew."""
        if figures.state == PartitionState.OFFLINE and not partition.is_offline:
            partition.is_offline = True
            text = f"{partition} is offline: its log cannot be read or written; see the daemon's log"
            position = None if partition.position == NOWHERE else partition.position
            partition.event = self._event(partition, ErrorCode.KAFKA_STORAGE_ERROR, text, position)

    def _note_eof(self, partition: AssignedPartition, end: int) -> None:
        if self._wants_eof(partition):
            partition.eof_at = end
            text = f"Fetch reached end of partition {partition} at offset {end} (HighwaterMark {end})"
            partition.event = self._event(partition, KafkaError._PARTITION_EOF, text, end)

    def _stop_at(self, partition: AssignedPartition, error: BrokerError) -> None:
        """``partition`` could not be read, for the log's sake or for ours."""
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in _SHORTAGES:
            self._try_later(partition, error)
        else:
            self._stop_at_damage(partition, error)

    def _try_later(self, partition: AssignedPartition, error: BrokerError) -> None:
        """This process has no descriptor or memory left: told once, and tried again until it has."""
        partition.start, partition.position = partition.position, NOWHERE
        self._locate_at = time.monotonic() + LOCATE_RETRY_S
        if not partition.is_starved:
            partition.is_starved = True
            text = f"{partition} cannot be read now, and is tried again: {error.message}"
            partition.event = self._event(partition, KafkaError._FS, text, partition.start)

    def _stop_at_damage(self, partition: AssignedPartition, error: BrokerError) -> None:
        """Damage is told once and the partition stands still there, until it is gone; a seek past it goes on."""
        at = partition.position
        if partition.batches:
            at = partition.batches[0].base_offset + partition.index
        text = f"{partition}: {error.message}"
        partition.halt(self._event(partition, ErrorCode.KAFKA_STORAGE_ERROR, text, at))
        self._damaged[partition] = at, self._link.generation

    def _go_on_past_damage(self) -> None:
        """Where retention or delete_records took the damaged place, or another daemon has the log, which may be repaired."""
        generation = self._link.generation
        for partition, (at, met_in) in list(self._damaged.items()):
            if not partition.is_halted:  # the application has sought past it
                del self._damaged[partition]
            elif generation != met_in or (partition.slot >= 0 and self.figures(partition).log_start > at):
                del self._damaged[partition]
                partition.go_on_at(at)

    def _skip_nonsense(self, partition: AssignedPartition, batch: RecordBatch, error: BrokerError) -> None:
        """A batch as its producer wrote it, and nonsense: told once and left out, as librdkafka does. One bad producer must not
        stop every consumer of the topic."""
        at = batch.base_offset + partition.index
        partition.batches.popleft()
        partition.index = 0
        text = f"{partition}: {error.message}; offsets {at} to {batch.last_offset} are left out"
        partition.event = self._event(partition, KafkaError._BAD_MSG, text, at)

    def read_batches(self, partition: AssignedPartition) -> Iterator[tuple[RecordBatch, int]]:
        """(batch, index of its first record to deliver) of what comes next in ``partition``. Those that are not taken come
        with the next call."""
        batches = partition.batches
        if not batches:
            position = partition.position
            try:
                batches.extend(self._read(partition, anchored=True))
            except BrokerError as error:
                self._stop_at(partition, error)
            if not batches:
                return
            partition.index = batches[0].index_of(position)
        while partition.batches:
            batch, index = partition.batches.popleft(), partition.index
            partition.index = 0
            yield batch, index
