"""The counters file: what the daemon has done, readable by anyone without asking it.

Layout (little-endian, all words 8 bytes)::

    header    line 0   magic  version  system counters  sessions
              line 1   daemon pid  broker pid  started at (ms since the epoch)
    system    one line per SystemCounter, written by the broker process, CLEANER_* by the main process
    session i line 0   id (0: free)  pid  kind  connected at ms           main process
              line 1   batches  records  bytes  refused                   broker process (producers)
              line 2   client id, UTF-8, zero-padded                      main process

Session entries are handed out by the main process; entry i belongs to the session whose id is stored there.
"""

from __future__ import annotations

import enum
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.shm.region import CACHE_LINE_BYTES, create_shared_file, map_shared_file

MAGIC = int.from_bytes(b"SHMCOUNT", "little")
VERSION = 1
_LINE_WORDS = CACHE_LINE_BYTES // 8
_HEADER_LINES = 2
_SESSION_LINES = 3
CLIENT_ID_BYTES = CACHE_LINE_BYTES


class SystemCounter(enum.IntEnum):
    """Totals since the broker started; the label is what ``shmbroker top`` prints."""

    label: str

    def __new__(cls, value: int, label: str) -> SystemCounter:
        member = int.__new__(cls, value)
        member._value_ = value
        member.label = label
        return member

    RECORDS_IN = 0, "records appended"
    BYTES_IN = 1, "bytes appended"
    BATCHES_IN = 2, "batches appended"
    COMMITS = 3, "log commits"
    FLUSHES = 4, "flushes to disk"
    DUPLICATES = 5, "duplicate batches answered"
    REFUSED = 6, "batches refused"
    FAULTED_SESSIONS = 7, "clients detached for breaking the rules"
    WAKEUPS = 8, "client wake-ups sent"
    SLEEPS = 9, "broker sleeps"
    ROLLS = 10, "segments rolled"
    STORAGE_ERRORS = 11, "storage errors"
    RETENTION_SEGMENTS = 12, "segments deleted by retention"
    RETENTION_OVERRUNS = 13, "segments deleted that retention.groups had not read"
    SPACE_REFUSALS = 14, "times that the disk had less than log.min.free.bytes"
    CLEANER_PASSES = 15, "compaction passes"
    CLEANER_FAILURES = 16, "compaction passes that failed"
    CLEANER_BYTES_READ = 17, "bytes read by compaction"
    CLEANER_BYTES_WRITTEN = 18, "bytes written by compaction"


_RECORDS_IN, _BYTES_IN, _BATCHES_IN, _COMMITS = (
    (_HEADER_LINES + counter) * _LINE_WORDS
    for counter in (
        SystemCounter.RECORDS_IN,
        SystemCounter.BYTES_IN,
        SystemCounter.BATCHES_IN,
        SystemCounter.COMMITS,
    )
)
"""Their words."""
_FIRST_SESSION_LINE = _HEADER_LINES + len(SystemCounter)


class SessionCounters(NamedTuple):
    session_id: int
    pid: int
    kind: int
    connected_at_ms: int
    batches: int
    records: int
    bytes: int
    refused: int
    client_id: str


class CountersFile:
    """A mapping of the counters file; clients and tools map it read-only."""

    def __init__(self, region: mmap.mmap, name: str) -> None:
        if len(region) < _HEADER_LINES * CACHE_LINE_BYTES:
            raise BrokerError(ErrorCode.INVALID_REQUEST, f"{name}: too short for a counters file")
        self._region = region
        self._bytes = memoryview(region)
        self.words = self._bytes[: len(region) & -8].cast("q")
        magic, version, system, sessions = self.words[:4]
        if magic != MAGIC or version != VERSION or system != len(SystemCounter):
            raise BrokerError(
                ErrorCode.UNSUPPORTED_VERSION, f"{name} is not a counters file of version {VERSION}"
            )
        if sessions < 0 or len(region) < self._size_bytes(sessions):
            raise BrokerError(ErrorCode.INVALID_REQUEST, f"{name}: cut short")
        self.sessions = sessions

    @classmethod
    def create(cls, path: Path, sessions: int, daemon_pid: int, started_at_ms: int) -> CountersFile:
        """Make a fresh file with room for ``sessions`` attached clients."""
        region = create_shared_file(path, cls._size_bytes(sessions))
        with memoryview(region) as view, view.cast("q") as words:
            words[1], words[2], words[3] = VERSION, len(SystemCounter), sessions
            words[_LINE_WORDS], words[_LINE_WORDS + 2] = daemon_pid, started_at_ms
            words[0] = MAGIC
        return cls(region, str(path))

    @classmethod
    def open(cls, path: Path | str, *, writable: bool = False) -> CountersFile:
        return cls(map_shared_file(path, writable=writable), str(path))

    @staticmethod
    def _size_bytes(sessions: int) -> int:
        return (_FIRST_SESSION_LINE + sessions * _SESSION_LINES) * CACHE_LINE_BYTES

    def close(self) -> None:
        self.words.release()
        self._bytes.release()
        self._region.close()

    # --- the daemon as a whole -----------------------------------------------------------------------------

    @property
    def daemon_pid(self) -> int:
        return self.words[_LINE_WORDS]

    @property
    def started_at_ms(self) -> int:
        return self.words[_LINE_WORDS + 2]

    @property
    def broker_pid(self) -> int:
        return self.words[_LINE_WORDS + 1]

    @broker_pid.setter
    def broker_pid(self, pid: int) -> None:
        self.words[_LINE_WORDS + 1] = pid

    def add(self, counter: SystemCounter, amount: int = 1) -> None:
        self.words[(_HEADER_LINES + counter) * _LINE_WORDS] += amount

    def add_commit(self, batches: int, records: int, size_bytes: int) -> None:
        """What one commit appended to a log: four of the counters, on the way of every batch."""
        words = self.words
        words[_COMMITS] += 1
        words[_BATCHES_IN] += batches
        words[_RECORDS_IN] += records
        words[_BYTES_IN] += size_bytes

    def read(self, counter: SystemCounter) -> int:
        return self.words[(_HEADER_LINES + counter) * _LINE_WORDS]

    # --- sessions ------------------------------------------------------------------------------------------

    def _session_word(self, entry: int) -> int:
        if not 0 <= entry < self.sessions:
            raise IndexError(f"session entry {entry} is not in 0..{self.sessions - 1}")
        return (_FIRST_SESSION_LINE + entry * _SESSION_LINES) * _LINE_WORDS

    def open_session(
        self, entry: int, session_id: int, pid: int, kind: int, connected_at_ms: int, client_id: str
    ) -> None:
        first = self._session_word(entry)
        words = self.words
        for word in range(first, first + 2 * _LINE_WORDS):
            words[word] = 0
        start = (first + 2 * _LINE_WORDS) * 8
        name = client_id.encode()[:CLIENT_ID_BYTES].ljust(CLIENT_ID_BYTES, b"\0")
        self._bytes[start : start + CLIENT_ID_BYTES] = name
        words[first + 1], words[first + 2], words[first + 3] = pid, kind, connected_at_ms
        words[first] = session_id

    def close_session(self, entry: int) -> None:
        self.words[self._session_word(entry)] = 0

    def add_session(self, entry: int, batches: int, records: int, size_bytes: int, refused: int) -> None:
        first = self._session_word(entry) + _LINE_WORDS
        words = self.words
        words[first] += batches
        words[first + 1] += records
        words[first + 2] += size_bytes
        words[first + 3] += refused

    def live_sessions(self) -> Iterator[SessionCounters]:
        for entry in range(self.sessions):
            first = self._session_word(entry)
            session_id, pid, kind, connected_at_ms = self.words[first : first + 4]
            if session_id == 0:
                continue
            batches, records, size_bytes, refused = self.words[first + _LINE_WORDS : first + _LINE_WORDS + 4]
            start = (first + 2 * _LINE_WORDS) * 8
            client_id = bytes(self._bytes[start : start + CLIENT_ID_BYTES]).rstrip(b"\0")
            yield SessionCounters(
                session_id,
                pid,
                kind,
                connected_at_ms,
                batches,
                records,
                size_bytes,
                refused,
                client_id.decode(errors="replace"),
            )
