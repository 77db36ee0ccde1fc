from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from shmbroker.errors import ErrorCode
from shmbroker.log import segment

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)


@given(INT64, INT64)
def test_times_sort_as_their_keys(one: int, other: int) -> None:
    assert (one < other) == (segment.time_key(one) < segment.time_key(other))
    assert segment.time_of(segment.time_key(one)) == one


@given(st.lists(st.integers(0, (1 << 63) - 1), unique=True, max_size=5))
def test_names_sort_as_their_base_offsets(bases: list[int]) -> None:
    assert sorted(bases, key=segment.file_name) == sorted(bases)
    assert all(len(segment.file_name(base)) == 24 for base in bases)


def test_only_segments_are_listed(tmp_path: Path) -> None:
    for base in (70, 0, 1 << 40):
        (tmp_path / segment.file_name(base)).touch()
    for other in ("00000000000000000009.new", "00000000000000000000.mdb-lock", "notes.mdb", "leader"):
        (tmp_path / other).touch()
    assert segment.list_base_offsets(tmp_path) == [0, 70, 1 << 40]
    assert segment.list_base_offsets(tmp_path / "nowhere") == []


def test_a_storage_error_names_the_file(tmp_path: Path) -> None:
    error = segment.storage_error(tmp_path / "0.mdb", "read at offset 5", OSError(5, "Input/output error"))
    assert error.code == ErrorCode.KAFKA_STORAGE_ERROR
    assert error.message == f"{tmp_path}/0.mdb: read at offset 5: [Errno 5] Input/output error"
