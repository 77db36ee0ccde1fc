import threading
import time
from collections.abc import Callable, Iterator

import pytest

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.shm.completions import Completion
from shmbrokerd.broker.flusher import FLUSH_THREADS, Flushed, Flusher

DEADLINE_S = 20.0


def answers(*numbers: int) -> list[tuple[int, Completion]]:
    return [(number, Completion(number, number, -1, 0)) for number in numbers]


class Disk:
    """Counts flushes, and lets none through until it is told to."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self._gate = threading.Semaphore(0)
        self.flushes = 0

    def flush(self) -> None:
        self.begun.release()
        assert self._gate.acquire(timeout=DEADLINE_S)
        self.flushes += 1

    def let_through(self, count: int = 1) -> None:
        self._gate.release(count)

    def wait_begun(self) -> None:
        assert self.begun.acquire(timeout=DEADLINE_S)


class Finished:
    """What the flusher gave back, and a way to wait for it."""

    def __init__(self) -> None:
        self.rings = threading.Semaphore(0)
        self.flusher = Flusher(self.rings.release)

    def next(self) -> list[Flushed]:
        assert self.rings.acquire(timeout=DEADLINE_S)
        return self.flusher.finished()


@pytest.fixture
def finished() -> Iterator[Finished]:
    finished = Finished()
    yield finished
    finished.flusher.stop()


def test_a_flush_allows_its_answers(finished: Finished) -> None:
    disk = Disk()
    disk.let_through()
    finished.flusher.request(3, disk.flush, answers(1, 2))
    assert finished.next() == [Flushed(3, disk.flush, answers(1, 2), [], None)]
    assert not finished.flusher.has_finished()


def test_what_comes_during_a_flush_shares_the_next_one(finished: Finished) -> None:
    disk = Disk()
    finished.flusher.request(3, disk.flush, answers(1))
    disk.wait_begun()
    for number in range(2, 6):
        finished.flusher.request(3, disk.flush, answers(number))
    disk.let_through()
    assert finished.next()[0].answers == answers(1)
    disk.wait_begun()
    disk.let_through()
    assert finished.next()[0].answers == answers(2, 3, 4, 5)
    assert disk.flushes == 2
    wait_until(lambda: not finished.flusher.is_busy())


def test_the_newest_flush_serves_a_group(finished: Finished) -> None:
    """After a log was rolled the next request knows the new segment; the old one is sealed."""
    first, second = Disk(), Disk()
    finished.flusher.request(3, first.flush, answers(1))
    first.wait_begun()
    finished.flusher.request(3, first.flush, answers(2))
    finished.flusher.request(3, second.flush, answers(3))
    first.let_through()
    finished.next()
    second.let_through()
    assert finished.next() == [Flushed(3, second.flush, answers(2, 3), [], None)]
    assert (first.flushes, second.flushes) == (1, 1)


def test_partitions_do_not_wait_for_one_another(finished: Finished) -> None:
    slow, fast = Disk(), Disk()
    finished.flusher.request(1, slow.flush, answers(1))
    slow.wait_begun()
    fast.let_through()
    finished.flusher.request(2, fast.flush, answers(2))
    assert [flushed.slot for flushed in finished.next()] == [2]
    slow.let_through()
    assert [flushed.slot for flushed in finished.next()] == [1]


def test_a_partition_is_flushed_by_one_thread_at_a_time(finished: Finished) -> None:
    inside = 0
    most = 0
    lock = threading.Lock()

    def flush() -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0)
        with lock:
            inside -= 1

    requests = 200
    for number in range(requests):
        finished.flusher.request(1, flush, answers(number))
    given: list[tuple[int, Completion]] = []
    wait_until(
        lambda: (
            given.extend(answer for flushed in finished.flusher.finished() for answer in flushed.answers)
            or len(given) == requests
        )
    )
    assert given == answers(*range(requests))
    assert most == 1


def test_more_partitions_than_threads_are_all_flushed(finished: Finished) -> None:
    disk = Disk()
    disk.let_through(5 * FLUSH_THREADS)
    for slot in range(5 * FLUSH_THREADS):
        finished.flusher.request(slot, disk.flush, answers(slot))
    seen: list[int] = []
    while len(seen) < 5 * FLUSH_THREADS:
        seen += [flushed.slot for flushed in finished.next()]
    assert sorted(seen) == list(range(5 * FLUSH_THREADS))


@pytest.mark.parametrize(
    "failure",
    [
        BrokerError(ErrorCode.KAFKA_STORAGE_ERROR, "0.mdb: flush: Input/output error"),
        RuntimeError("something nobody thought of"),
    ],
)
def test_a_flush_that_fails_forbids_its_answers_and_the_next_one_is_tried(
    failure: Exception, finished: Finished
) -> None:
    def refuse() -> None:
        raise failure

    finished.flusher.request(3, refuse, answers(1))
    [flushed] = finished.next()
    assert flushed.answers == answers(1)
    assert flushed.error is not None
    assert flushed.error.code == ErrorCode.KAFKA_STORAGE_ERROR
    assert str(failure.args[-1]) in flushed.error.message
    disk = Disk()
    disk.let_through()
    finished.flusher.request(3, disk.flush, answers(2))
    assert finished.next()[0].error is None


def test_stopping_finishes_what_runs() -> None:
    finished = Finished()
    disk = Disk()
    finished.flusher.request(3, disk.flush, answers(1))
    disk.wait_begun()
    disk.let_through()
    finished.flusher.stop()
    assert disk.flushes == 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("flush-")]


def test_a_broker_that_never_flushes_has_no_threads_for_it() -> None:
    flusher = Flusher(lambda: None)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("flush-")]
    flusher.stop()


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture
def threads_left(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """So many threads can be started from now on."""
    start = threading.Thread.start
    left = [0]

    def start_or_fail(thread: threading.Thread) -> None:
        if not left[0]:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        start(thread)

    def allow(count: int) -> None:
        left[0] = count
        monkeypatch.setattr(threading.Thread, "start", start_or_fail)

    return allow


def test_without_a_thread_a_flush_is_done_by_who_asks_until_there_is_one(
    finished: Finished, threads_left: Callable[[int], None]
) -> None:
    disk = Disk()
    disk.let_through(4)
    threads_left(0)
    for number in (1, 2):
        finished.flusher.request(number, disk.flush, answers(number))
        assert disk.flushes == number
        (flushed,) = finished.next()
        assert (flushed.slot, flushed.answers, flushed.error) == (number, answers(number), None)
    threads_left(1)
    for number in (3, 4):
        finished.flusher.request(number, disk.flush, answers(number))
        (flushed,) = finished.next()
        assert flushed.answers == answers(number)
    assert len(finished.flusher._threads) == 1
