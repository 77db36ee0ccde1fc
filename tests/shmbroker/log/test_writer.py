import ctypes
import errno
import os
import random
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lmdb
import pytest

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log import active as active_module
from shmbroker.log import segment
from shmbroker.log.reader import LogReader
from shmbroker.log.writer import PartitionWriter
from shmbroker.records.builder import ProducerStamp
from shmbroker.records.layout import check_crc, check_stamp

InChild = Callable[[Callable[[], object]], None]


def told(call: Callable[[], Any]) -> str:
    with pytest.raises(BrokerError) as refused:
        call()
    assert refused.value.code == ErrorCode.KAFKA_STORAGE_ERROR
    return refused.value.message


def active_file(log: Any) -> Path:
    path: Path = log.folder / segment.file_name(log.writer.active_base)
    return path


@pytest.fixture
def file_limit() -> Iterator[Callable[[int | None], None]]:
    """Let no file grow beyond so many bytes (None: as before): a full disk, without one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(limit_bytes: int | None) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, before if limit_bytes is None else (limit_bytes, before[1]))

    yield limit
    limit(None)


# --- offsets, producers, segments --------------------------------------------------------------------------


def test_a_batch_is_stamped_with_what_it_was_given(open_log: Any, batch: Any) -> None:
    log = open_log(leader_epoch=7)
    log.append(batch([b"a"] * 4))
    [position] = log.append(batch([b"b"] * 3), append_time=55)
    assert position == (4, 55, False)
    found = log.read(4)[0]
    assert (found.base_offset, found.last_offset, found.header.leader_epoch) == (4, 6, 7)
    assert found.timestamp_list() == [55] * 3
    check_crc(found.header, found._data)
    check_stamp(found.header, found._data)


def test_nothing_is_in_the_log_before_the_commit(log: Any, batch: Any) -> None:
    made = batch([b"a"])
    log.writer.stage(made.data, made.header, -1)
    assert log.writer.log_end == 0
    log.reopen()
    assert log.writer.log_end == 0
    assert log.writer.commit() == 0


def test_a_repeated_batch_has_its_old_position_also_after_a_restart_and_a_roll(log: Any, batch: Any) -> None:
    def send(sequence: int) -> Any:
        return batch([b"x"] * 2, 0, ProducerStamp(9, 0, sequence))

    assert log.append(send(0), send(0)) == [(0, -1, False), (0, -1, True)]
    log.reopen()
    assert log.append(send(0), send(2)) == [(0, -1, True), (2, -1, False)]
    log.writer.segment_bytes = 4000
    assert log.append(batch([b"rolls"])) == [(4, -1, False)]
    assert log.writer.active_base == 4
    assert log.append(send(2), send(4)) == [(2, -1, True), (5, -1, False)]
    assert log.writer.log_end == 7


def test_a_batch_over_the_segment_size_is_refused_as_kafka_does(log: Any, batch: Any) -> None:
    with pytest.raises(BrokerError, match=r"over 1048576 \(segment.bytes\)") as refused:
        log.append(batch([bytes(1 << 20)]))
    assert refused.value.code == ErrorCode.RECORD_LIST_TOO_LARGE
    assert log.append(batch([b"fits"])) == [(0, -1, False)]


def test_an_empty_segment_is_not_rolled(log: Any, batch: Any) -> None:
    log.writer.segment_bytes = 300
    for number in range(3):
        log.append(batch([b"%d" % number]))
    assert segment.list_base_offsets(log.folder) == [0, 1, 2]
    assert log.values() == [b"0", b"1", b"2"]


def test_a_roll_leaves_nothing_but_segments(log: Any, batch: Any) -> None:
    for _ in range(30):
        log.append(batch([bytes(100_000)]))
    suffixes = {"".join(path.suffixes) for path in log.folder.iterdir()}
    assert suffixes <= {".mdb", ".mdb-lock"}
    assert log.writer.rolls == len(segment.list_base_offsets(log.folder)) - 1 > 0


def test_a_leftover_of_a_roll_that_was_killed_is_in_nobodys_way(log: Any, batch: Any) -> None:
    log.append(batch([b"a"]))
    log.writer.segment_bytes = 400
    (log.folder / segment.file_name(1)).with_suffix(".new").write_bytes(b"half a segment")
    log.append(batch([b"b"]))
    assert log.values() == [b"a", b"b"]


def test_a_log_start_survives_restarts_and_rolls(log: Any, batch: Any) -> None:
    for _ in range(30):
        log.append(batch([bytes(100_000)]))
    log.writer.advance_log_start(17)
    first = segment.list_base_offsets(log.folder)[0]
    assert 0 < first <= 17
    log.writer.advance_log_start(5)
    log.reopen()
    assert (log.writer.log_start, log.writer.log_end) == (17, 30)
    for _ in range(12):
        log.append(batch([bytes(100_000)]))
    log.reopen()
    assert log.writer.log_start == 17


def test_segments_that_could_not_be_deleted_are_deleted_later(
    log: Any, batch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(30):
        log.append(batch([bytes(100_000)]))

    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        log.writer.advance_log_start(30)
    assert segment.list_base_offsets(log.folder)[0] == 0
    assert log.writer.log_start == 30
    log.reopen()
    assert segment.list_base_offsets(log.folder) == [log.writer.active_base]
    assert log.writer.log_bytes == active_file(log).stat().st_size


# --- what goes wrong ---------------------------------------------------------------------------------------


def test_a_map_that_is_full_begins_a_new_segment(
    log: Any, batch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(active_module, "MAP_SLACK_BYTES", 0)
    log.writer.segment_bytes = 256 * 1024
    log.reopen()
    log.writer.segment_bytes = 100 << 20  # so that only the map ends the segment
    stamps = [ProducerStamp(3, 0, sequence) for sequence in range(40)]
    for stamp in stamps:
        log.append(batch([bytes(30_000)], 0, stamp))
    assert log.writer.rolls > 0
    assert log.writer.log_end == 40
    assert log.values() == [bytes(30_000)] * 40
    assert log.append(batch([bytes(30_000)], 0, stamps[-1])) == [(39, -1, True)]


def test_a_commit_that_fits_no_map_is_refused_and_the_log_goes_on(
    log: Any, batch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(active_module, "MAP_SLACK_BYTES", 0)
    log.settings["segment_bytes"] = 256 * 1024
    log.reopen()
    big = [batch([bytes(100_000)]) for _ in range(5)]
    assert "MDB_MAP_FULL" in told(lambda: log.append(*big))
    assert log.append(big[0]) == [(0, -1, False)]
    assert log.values() == [bytes(100_000)]


def test_a_full_disk_is_a_storage_error_and_changes_nothing(log: Any, batch: Any, file_limit: Any) -> None:
    first, second = (batch([bytes(50_000)], 0, ProducerStamp(3, 0, sequence)) for sequence in (0, 1))
    log.append(first)
    file_limit(active_file(log).stat().st_size)
    for _ in range(3):
        message = told(lambda: log.append(second))
        assert message.startswith(f"{active_file(log)}: append at offset 1: ")
        assert (log.writer.log_start, log.writer.log_end) == (0, 1)
        assert log.append(first) == [(0, -1, True)], "what is in the log is known still"
    assert len(log.values()) == 1
    file_limit(None)
    assert log.append(second) == [(1, -1, False)], "what is not in the log is not taken for a repetition"
    log.reopen()
    assert len(log.values()) == 2


def test_a_disk_without_room_for_a_new_segment_is_a_storage_error_and_changes_nothing(
    log: Any, batch: Any, file_limit: Any
) -> None:
    sent = [batch([bytes(500)], 0, ProducerStamp(3, 0, sequence)) for sequence in range(2)]
    log.append(sent[0])
    log.writer.segment_bytes = 1000
    file_limit(4096)
    for _ in range(3):
        assert "cannot begin a new segment" in told(lambda: log.append(sent[1]))
    assert sorted(path.name for path in log.folder.glob("*")) == [
        segment.file_name(0),
        segment.file_name(0) + "-lock",
    ]
    file_limit(None)
    assert log.append(sent[1]) == [(1, -1, False)]
    assert log.writer.active_base == 1
    assert len(log.values()) == 2


def test_a_map_that_is_full_on_a_disk_that_is_full_forgets_what_was_staged(
    log: Any, batch: Any, file_limit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry must be appended, not answered as a repetition of what was never written."""
    monkeypatch.setattr(active_module, "MAP_SLACK_BYTES", 0)
    log.writer.segment_bytes = 128 * 1024
    log.reopen()
    log.writer.segment_bytes = 100 << 20
    sequence = 0
    with pytest.raises(BrokerError):
        while True:
            sent = batch([bytes(20_000)], 0, ProducerStamp(3, 0, sequence))
            file_limit(4096 if sequence > 20 else None)
            log.append(sent)
            sequence += 1
    file_limit(None)
    end = log.writer.log_end
    assert log.append(sent) == [(end, -1, False)]
    assert len(log.values()) == sequence + 1


def test_a_full_file_system_is_a_storage_error_and_works_again_with_room(
    in_child: InChild, tmp_path: Path, open_log: Any, batch: Any
) -> None:
    mount_point = tmp_path / "small"
    mount_point.mkdir()

    def fill_up() -> None:
        filler = mount_point / "filler"
        filler.write_bytes(bytes(900_000))
        log = open_log("small/topic-0")
        appended = 0
        while True:
            sent = batch([bytes(30_000)], 0, ProducerStamp(1, 0, appended))
            try:
                log.append(sent)
            except BrokerError as error:
                assert error.code == ErrorCode.KAFKA_STORAGE_ERROR
                assert "the file system has " in error.message
                break
            appended += 1
        assert 5 < appended == log.writer.log_end
        assert len(log.values()) == appended
        filler.unlink()
        assert log.append(sent) == [(appended, -1, False)]
        log.reopen()
        assert len(log.values()) == appended + 1

    def mount_and_fill() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        new_namespace, recursive, private = 0x20000, 1 << 14, 1 << 18
        assert libc.unshare(new_namespace) == 0
        assert libc.mount(b"none", b"/", None, recursive | private, None) == 0
        assert libc.mount(b"tmpfs", bytes(mount_point), b"tmpfs", 0, b"size=2m") == 0
        fill_up()

    if os.geteuid() != 0 or not _can_mount():
        pytest.skip("needs the right to mount a small file system; file size limits are tested without")
    in_child(mount_and_fill)


def _can_mount() -> bool:
    effective = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff:")
    )
    return bool(int(effective.split()[1], 16) >> 21 & 1)  # CAP_SYS_ADMIN


def test_an_active_file_cut_short_is_a_storage_error_and_never_a_signal(
    in_child: InChild, log: Any, batch: Any
) -> None:
    for _ in range(20):
        log.append(batch([bytes(9000)]))
    log.writer.close()
    whole = active_file(log).read_bytes()

    def cut(size: int) -> None:
        log.reopen()
        os.truncate(active_file(log), size)
        for call in (
            lambda: log.append(batch([b"more"])),
            lambda: log.append(batch([b"more"])),
            lambda: log.writer.advance_log_start(3),
        ):
            message = told(call)
            assert str(active_file(log)) in message
            assert "cut short" in message
        assert (log.writer.log_start, log.writer.log_end) == (0, 20)
        log.writer.close()
        assert "cut short" in told(lambda: PartitionWriter(log.folder, **log.settings))

    for size in (0, 1, 4095, 4096, 8192, 50_001, len(whole) - 1):
        in_child(lambda size=size: cut(size))
        active_file(log).write_bytes(whole)
    log.reopen()
    assert len(log.values()) == 20


def test_a_log_that_was_mended_works_without_being_told(log: Any, batch: Any) -> None:
    log.append(batch([bytes(9000)]))
    whole = active_file(log).read_bytes()
    os.truncate(active_file(log), 8192)
    told(lambda: log.append(batch([b"more"])))
    told(lambda: log.append(batch([b"more"])))
    active_file(log).write_bytes(whole)
    assert log.append(batch([b"more"])) == [(1, -1, False)]
    assert log.values() == [bytes(9000), b"more"]


@pytest.mark.parametrize("what", ["file", "directory"])
def test_a_folder_that_cannot_be_used_is_named(what: str, tmp_path: Path, log: Any) -> None:
    if what == "file":
        (tmp_path / "taken").write_bytes(b"")
    else:
        (tmp_path / "taken").mkdir()
        (tmp_path / "taken" / segment.file_name(5)).mkdir()
    assert str(tmp_path / "taken") in told(lambda: PartitionWriter(tmp_path / "taken", **log.settings))


# --- flushing ----------------------------------------------------------------------------------------------


class Synced:
    """Stands between the writer and its environment and notes what reaches the disk."""

    def __init__(self, writer: PartitionWriter, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ends: list[int] = []
        self.error: Exception | None = None
        self._writer = writer
        monkeypatch.setattr(active_module, "_open_environment", self._open(active_module._open_environment))
        monkeypatch.setattr(active_module.os, "fdatasync", self._sync_file(os.fdatasync))

    def _sync_file(self, fdatasync: Any) -> Any:
        """A segment that was opened anew is flushed without LMDB until it is written."""

        def sync(fd: int) -> None:
            fdatasync(fd)
            self.ends.append(self._writer.log_end)

        return sync

    def _open(self, open_lmdb: Any) -> Any:
        outer = self

        class Environment:
            def __init__(self, path: Path, map_bytes: int) -> None:
                self._environment = open_lmdb(path, map_bytes)

            def sync(self, force: bool) -> None:
                if outer.error is not None:
                    raise outer.error
                self._environment.sync(force)
                outer.ends.append(outer._writer.log_end)

            def __getattr__(self, name: str) -> Any:
                return getattr(self._environment, name)

        return Environment


def test_a_flush_that_a_failed_commit_overtook_still_reaches_the_disk(
    log: Any, batch: Any, monkeypatch: pytest.MonkeyPatch, file_limit: Any
) -> None:
    synced = Synced(log.writer, monkeypatch)
    log.append(batch([b"acknowledged"]))
    flush = log.writer.flush
    file_limit(active_file(log).stat().st_size)
    told(lambda: log.append(batch([bytes(100_000)])))
    file_limit(None)
    flush()
    assert synced.ends == [1]


def test_a_disk_that_refuses_a_flush_is_a_storage_error(
    log: Any, batch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = Synced(log.writer, monkeypatch)
    log.reopen()
    log.append(batch([b"a"]))
    synced.error = lmdb.Error("mdb_env_sync: Input/output error")
    assert f"{active_file(log)}: flush: mdb_env_sync: Input/output error" in told(log.writer.flush)


def test_a_closed_log_cannot_be_flushed(log: Any, batch: Any) -> None:
    log.append(batch([b"a"]))
    flush = log.writer.flush
    log.writer.close()
    assert "the log is closed" in told(flush)


def test_flushes_run_beside_appends_and_rolls(log: Any, batch: Any) -> None:
    stop = threading.Event()
    failures: list[BaseException] = []

    def flush_on_and_on() -> None:
        while not stop.is_set():
            try:
                log.writer.flush()
            except BaseException as error:
                failures.append(error)
                return

    threads = [threading.Thread(target=flush_on_and_on) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(60):
            log.append(batch([bytes(60_000)]))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert log.writer.rolls > 1
    assert len(log.values()) == 60


# --- kill -9 -----------------------------------------------------------------------------------------------


def append_until_killed(folder: Path, settings: dict[str, Any], batch: Any, acknowledged: int) -> None:
    """Append as fast as possible and tell of each commit through a pipe once it is there."""
    writer = PartitionWriter(folder, **settings)
    sequence = writer.log_end
    chooser = random.Random(sequence)
    while True:
        for _ in range(chooser.randint(1, 4)):
            value = b"%d" % sequence + b"." * chooser.choice((0, 100, 3000, 20_000))
            made = batch([value], sequence, ProducerStamp(1, 0, sequence))
            position = writer.stage(made.data, made.header, -1)
            assert position == (sequence, -1, False)
            sequence += 1
        writer.commit()
        os.write(acknowledged, writer.log_end.to_bytes(8, "little"))


def kill_in_the_middle(log: Any, batch: Any, commits: int) -> None:
    readable, writable = os.pipe()
    log.writer.close()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(readable)
            append_until_killed(log.folder, log.settings, batch, writable)
        finally:
            os._exit(1)
    os.close(writable)
    with os.fdopen(readable, "rb") as pipe:
        told_of = pipe.read(8 * commits)
        os.kill(pid, signal.SIGKILL)
        told_of += pipe.read()
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    acknowledged = int.from_bytes(told_of[-8:], "little")
    log.reopen()
    assert log.writer.log_end >= acknowledged, "what was acknowledged is there"
    values = log.values()
    assert [int(value.split(b".")[0]) for value in values] == list(range(log.writer.log_end))
    repeated = batch([b"?"], 0, ProducerStamp(1, 0, log.writer.log_end - 1))
    assert log.append(repeated) == [(log.writer.log_end - 1, -1, True)], "state and log agree"
    assert log.reader.offset_for_time(acknowledged - 1, 0, log.writer.log_end) == (
        acknowledged - 1,
        acknowledged - 1,
    )


def test_what_was_committed_survives_a_kill_in_the_middle_of_appends(log: Any, batch: Any) -> None:
    for commits in (1, 7, 40):
        kill_in_the_middle(log, batch, commits)


@pytest.mark.slow
def test_what_was_committed_survives_many_kills(open_log: Any, batch: Any) -> None:
    chooser = random.Random(7)
    for number in range(8):
        log = open_log(f"topic-{number}", segment_bytes=chooser.choice((100_000, 1 << 20)))
        for _ in range(6):
            kill_in_the_middle(log, batch, chooser.randint(1, 60))
        log.close()


def test_readers_of_a_log_that_is_being_written_see_whole_batches_only(log: Any, batch: Any) -> None:
    """A reader in this process races a writer in another, which reuses its tree pages all the time."""
    readable, writable = os.pipe()
    log.writer.close()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(readable)
            append_until_killed(log.folder, log.settings, batch, writable)
        finally:
            os._exit(1)
    os.close(writable)
    reader = LogReader(log.folder)
    seen = 0
    try:
        with os.fdopen(readable, "rb", buffering=0) as pipe:
            while seen < 1500:
                told_of = pipe.read(65536)
                end = int.from_bytes(told_of[len(told_of) // 8 * 8 - 8 :][:8], "little")
                while seen < end:
                    active = segment.list_base_offsets(log.folder)[-1]
                    for found in reader.read(seen, end, 50_000, check_crcs=True, active_base=active):
                        assert found.base_offset == seen
                        assert [int(v.split(b".")[0]) for v in found.value_list() if v] == [seen]
                        seen = found.last_offset + 1
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        reader.close()
