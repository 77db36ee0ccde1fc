import mmap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmbroker.errors import BrokerError
from shmbroker.shm.counters import MAGIC, VERSION, CountersFile, SystemCounter


@pytest.fixture
def counters(tmp_path: Path) -> CountersFile:
    return CountersFile.create(tmp_path / "counters", sessions=3, daemon_pid=41, started_at_ms=1000)


def test_a_tool_sees_what_the_daemon_counts(counters: CountersFile, tmp_path: Path) -> None:
    tool = CountersFile.open(tmp_path / "counters")
    counters.broker_pid = 42
    for counter in SystemCounter:
        counters.add(counter, counter + 10)
    counters.add(SystemCounter.COMMITS)
    assert (tool.daemon_pid, tool.broker_pid, tool.started_at_ms, tool.sessions) == (41, 42, 1000, 3)
    for counter in SystemCounter:
        assert tool.read(counter) == counter + 10 + (counter == SystemCounter.COMMITS)
    with pytest.raises(TypeError):
        tool.add(SystemCounter.COMMITS)


def test_every_counter_has_a_label_of_its_own() -> None:
    labels = [counter.label for counter in SystemCounter]
    assert all(labels)
    assert len(set(labels)) == len(labels)
    assert sorted(SystemCounter) == list(range(len(SystemCounter)))


def test_sessions_come_and_go(counters: CountersFile) -> None:
    assert list(counters.live_sessions()) == []
    counters.open_session(0, 7, 100, 1, 5000, "first")
    counters.open_session(2, 9, 101, 2, 6000, "")
    counters.add_session(2, batches=1, records=20, size_bytes=300, refused=4)
    counters.add_session(2, batches=1, records=2, size_bytes=3, refused=0)
    assert list(counters.live_sessions()) == [
        (7, 100, 1, 5000, 0, 0, 0, 0, "first"),
        (9, 101, 2, 6000, 2, 22, 303, 4, ""),
    ]
    counters.close_session(2)
    counters.open_session(2, 10, 102, 1, 7000, "next")
    assert list(counters.live_sessions())[1] == (10, 102, 1, 7000, 0, 0, 0, 0, "next")


@given(name=st.text(max_size=100).filter(lambda name: not name.endswith("\0")))
def test_any_client_id_is_kept_as_far_as_it_fits(name: str) -> None:
    counters = in_memory(1)
    counters.open_session(0, 1, 2, 1, 3, name)
    [session] = counters.live_sessions()
    if len(name.encode()) <= 64:
        assert session.client_id == name
    else:
        assert name.startswith(session.client_id.rstrip("\N{REPLACEMENT CHARACTER}"))


def in_memory(sessions: int) -> CountersFile:
    region = mmap.mmap(-1, (2 + len(SystemCounter) + 3 * sessions) * 64)
    words = (MAGIC, VERSION, len(SystemCounter), sessions)
    region[:32] = b"".join(word.to_bytes(8, "little") for word in words)
    return CountersFile(region, "test")


@pytest.mark.parametrize("entry", [-1, 3])
def test_an_entry_that_is_not_there_is_refused(counters: CountersFile, entry: int) -> None:
    with pytest.raises(IndexError, match=f"session entry {entry} is not in"):
        counters.close_session(entry)


@given(
    content=st.binary(min_size=1, max_size=2000),
    words=st.lists(st.integers(-(1 << 63), (1 << 63) - 1), max_size=2),
)
def test_a_file_that_is_no_counters_file_is_refused(content: bytes, words: list[int]) -> None:
    figures = (MAGIC, VERSION, *words)
    content = b"".join(figure.to_bytes(8, "little", signed=True) for figure in figures) + content
    region = mmap.mmap(-1, len(content))
    region[:] = content
    try:
        counters = CountersFile(region, "garbage")
    except BrokerError as error:
        assert "garbage" in error.message
    else:
        list(counters.live_sessions())


def test_a_file_cut_short_is_refused(counters: CountersFile, tmp_path: Path) -> None:
    path = tmp_path / "counters"
    short = tmp_path / "short"
    short.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(BrokerError, match="cut short"):
        CountersFile.open(short)


def test_closing_lets_go_of_the_file(counters: CountersFile) -> None:
    counters.close()
    with pytest.raises(ValueError, match="released"):
        counters.read(SystemCounter.COMMITS)
