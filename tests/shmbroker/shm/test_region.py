import errno
import mmap
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.shm.region import create_session_fd, create_shared_file, map_session_fd, map_shared_file


@contextmanager
def file_limit(limit_bytes: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes: what a full file system does, on any machine. It holds for the file that pytest
    writes to as well, so it has to be lifted before the test ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def session_fd() -> Iterator[int]:
    fd = create_session_fd("test", 8192)
    yield fd
    os.close(fd)


def test_both_sides_see_what_either_writes(session_fd: int) -> None:
    with map_session_fd(session_fd) as here, map_session_fd(session_fd) as there:
        assert here[:] == bytes(8192)
        here[4096] = 7
        assert there[4096] == 7


@pytest.mark.parametrize("size", [0, 4096, 1 << 20])
def test_nobody_can_resize_a_session_region(session_fd: int, size: int) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(session_fd, size)
    assert os.fstat(session_fd).st_size == 8192


def test_a_session_region_leaves_no_name_and_is_not_inherited(session_fd: int) -> None:
    assert "(deleted)" in str(Path(f"/proc/self/fd/{session_fd}").readlink())
    assert not os.get_inheritable(session_fd)


def test_a_region_that_cannot_be_reserved_is_a_storage_error() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with (
        file_limit(16384),
        pytest.raises(BrokerError, match="cannot reserve 1048576 bytes of shared memory for huge") as refused,
    ):
        create_session_fd("huge", 1 << 20)
    assert refused.value.code == ErrorCode.KAFKA_STORAGE_ERROR
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_descriptor_that_is_not_sealed_is_refused(tmp_path: Path) -> None:
    plain = os.memfd_create("plain", os.MFD_ALLOW_SEALING)
    file = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        for fd in (plain, file):
            os.ftruncate(fd, 4096)
            with pytest.raises(BrokerError, match="not sealed") as refused:
                map_session_fd(fd)
            assert refused.value.code == ErrorCode.INVALID_REQUEST
    finally:
        os.close(plain)
        os.close(file)


def test_no_address_space_is_a_storage_error(session_fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(mmap, "mmap", refuse)
    with pytest.raises(BrokerError, match="cannot map a session region of 8192 bytes") as refused:
        map_session_fd(session_fd)
    assert refused.value.code == ErrorCode.KAFKA_STORAGE_ERROR


def test_a_shared_file_is_replaced_and_its_old_readers_keep_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "figures"
    first = create_shared_file(path, 4096)
    old = map_shared_file(path)
    first[0] = 1
    second = create_shared_file(path, 8192)
    second[0] = 2
    assert (old[0], map_shared_file(path)[0]) == (1, 2)
    assert [entry.name for entry in tmp_path.iterdir()] == ["figures"]


def test_a_leftover_of_a_crash_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "figures.new").write_bytes(b"half")
    assert create_shared_file(tmp_path / "figures", 4096)[:4] == bytes(4)


def test_a_mapping_for_reading_cannot_be_written(tmp_path: Path) -> None:
    create_shared_file(tmp_path / "figures", 4096)
    region = map_shared_file(tmp_path / "figures")
    with pytest.raises(TypeError):
        region[0] = 1
    writable = map_shared_file(tmp_path / "figures", writable=True)
    writable[0] = 9
    assert region[0] == 9


def test_a_missing_or_empty_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="figures") as missing:
        map_shared_file(tmp_path / "figures")
    assert missing.value.code == ErrorCode.BROKER_NOT_AVAILABLE
    (tmp_path / "figures").touch()
    with pytest.raises(BrokerError, match="is empty") as empty:
        map_shared_file(tmp_path / "figures")
    assert empty.value.code == ErrorCode.INVALID_REQUEST


def test_a_full_disk_is_a_storage_error_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "figures"
    create_shared_file(path, 4096)[0] = 5
    with file_limit(16384), pytest.raises(BrokerError, match="cannot create") as refused:
        create_shared_file(path, 1 << 20)
    assert refused.value.code == ErrorCode.KAFKA_STORAGE_ERROR
    assert map_shared_file(path)[0] == 5
    assert [entry.name for entry in tmp_path.iterdir()] == ["figures"]
