"""Durability beside the append loop: flushes are grouped by partition and run in threads of their own.

While one flush of a partition runs, all that arrives for it waits for the next one, which serves them together: the slower
the disk, the larger the groups. py-lmdb releases the GIL, so the loop goes on appending meanwhile. Flushes of sealed segments
are groups of their own, for they do less.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.shm.completions import Completion
from shmbrokerd.logs import log

FLUSH_THREADS = 4
"""Partitions flushed at a time: enough for a disk's queue to merge, few enough not to starve the loop of the GIL."""


Listener = Callable[[BrokerError | None], None]
"""Hears of the end of a flush, in the loop's thread."""


class Flushed(NamedTuple):
    """A finished flush: the answers it allows, as (session id, completion), or the error that forbids them; ``listeners`` are
    to be told."""

    slot: int
    flush: Callable[[], None]
    answers: list[tuple[int, Completion]]
    listeners: list[Listener]
    error: BrokerError | None


_Key = tuple[int, bool]
"""Of a group: slot, and whether its flush is of what is sealed only."""


class _Group(NamedTuple):
    flush: Callable[[], None]
    answers: list[tuple[int, Completion]]
    listeners: list[Listener]


class Flusher:
    """``request`` and ``finished`` are called by the loop only; ``on_finished`` by the threads."""

    def __init__(self, on_finished: Callable[[], None]) -> None:
        self._on_finished = on_finished
        self._lock = threading.Lock()
        self._waiting: dict[_Key, _Group] = {}
        self._running: set[_Key] = set()
        self._due: queue.SimpleQueue[_Key | None] = queue.SimpleQueue()
        self._finished: deque[Flushed] = deque()
        self._threads: list[threading.Thread] = []
        self._is_alone = False
        """There is no thread to be had: the loop flushes by itself, until there is."""

    def request(
        self,
        slot: int,
        flush: Callable[[], None],
        answers: list[tuple[int, Completion]],
        listener: Listener | None = None,
        *,
        only_sealed: bool = False,
    ) -> None:
        """Flush ``slot`` and give back ``answers`` when that is done. ``flush`` covers all appends before this call, or with
        ``only_sealed`` those that are in a sealed segment now."""
        self._start_threads()
        listeners = [] if listener is None else [listener]
        key = slot, only_sealed
        with self._lock:
            earlier = self._waiting.get(key)
            if earlier:
                answers, listeners = [*earlier.answers, *answers], [*earlier.listeners, *listeners]
            self._waiting[key] = _Group(flush, answers, listeners)
            if earlier is None and key not in self._running:
                self._due.put(key)
        if not self._threads:
            self._flush(self._due.get())

    def finished(self) -> list[Flushed]:
        """All flushes finished since the last call."""
        finished = []
        while self._finished:
            finished.append(self._finished.popleft())
        return finished

    def has_finished(self) -> bool:
        return bool(self._finished)

    def is_busy(self) -> bool:
        with self._lock:
            return bool(self._waiting or self._running)

    def stop(self) -> None:
        """Finish what is running; groups still waiting are dropped with their answers."""
        for _ in self._threads:
            self._due.put(None)
        for thread in self._threads:
            thread.join()

    def _start_threads(self) -> None:
        # A broker whose topics are never flushed (acks 0 and 1) never pays for the threads.
        if self._threads:
            return
        for number in range(FLUSH_THREADS):
            thread = threading.Thread(target=self._run, name=f"flush-{number}", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                self._note_shortage(error)
                return
            self._threads.append(thread)

    def _note_shortage(self, error: RuntimeError) -> None:
        """A limit of threads, memory or maps is reached (TasksMax, RLIMIT_NPROC, vm.max_map_count)."""
        if self._threads or not self._is_alone:
            log.warning("%s: %d of %d threads flush", error, len(self._threads), FLUSH_THREADS)
        self._is_alone = not self._threads

    def _run(self) -> None:
        while (key := self._due.get()) is not None:
            self._flush(key)

    def _flush(self, key: _Key | None) -> None:
        assert key is not None
        with self._lock:
            group = self._waiting.pop(key)
            self._running.add(key)
        error = None
        try:
            group.flush()
        except BrokerError as failure:
            error = failure
        except Exception as failure:  # a thread that ended here would leave its producers waiting for ever
            log.exception("flushing slot %d", key[0])
            error = BrokerError(ErrorCode.KAFKA_STORAGE_ERROR, f"flush: {failure}")
        self._finished.append(Flushed(key[0], *group, error))
        with self._lock:
            self._running.discard(key)
            if key in self._waiting:
                self._due.put(key)
        self._on_finished()
