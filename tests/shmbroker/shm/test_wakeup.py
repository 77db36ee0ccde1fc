import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from shmbroker.shm.wakeup import Bell, Sleeper, make_fence, ring

DEADLINE_S = 20.0
WORD = 3


@pytest.fixture
def eventfd() -> Iterator[int]:
    fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    yield fd
    os.close(fd)


@pytest.fixture
def words() -> memoryview:
    return memoryview(bytearray(64)).cast("q")


def test_nobody_is_rung_who_does_not_sleep(words: memoryview, eventfd: int) -> None:
    assert not Bell(words, WORD, eventfd).ring_if_waiting()
    with pytest.raises(BlockingIOError):
        os.eventfd_read(eventfd)


def test_who_is_ready_does_not_sleep(words: memoryview, eventfd: int) -> None:
    seen = []

    def is_ready() -> bool:
        seen.append(words[WORD])
        return True

    assert Sleeper(words, WORD, eventfd).sleep_unless(is_ready, DEADLINE_S) == []
    assert seen == [1], "the flag is up when the sleeper looks again"
    assert words[WORD] == 0


def test_a_ring_ends_the_sleep_and_is_used_up(words: memoryview, eventfd: int) -> None:
    bell, sleeper = Bell(words, WORD, eventfd), Sleeper(words, WORD, eventfd)

    def is_ready() -> bool:
        assert bell.ring_if_waiting(), "rung between the second look and the sleep"
        return False

    began = time.monotonic()
    assert sleeper.sleep_unless(is_ready, DEADLINE_S) == []
    assert time.monotonic() - began < DEADLINE_S / 2
    assert words[WORD] == 0
    assert sleeper.was_rung
    sleeper.sleep_unless(lambda: False, 0.001)
    assert not sleeper.was_rung, "one ring ends one sleep"


@pytest.mark.parametrize("timeout_s", [0, -1.0, 0.001, 0.0301])
def test_a_sleep_ends_at_its_timeout_and_not_before(
    words: memoryview, eventfd: int, timeout_s: float
) -> None:
    began = time.monotonic()
    assert Sleeper(words, WORD, eventfd).sleep_unless(lambda: False, timeout_s) == []
    assert timeout_s <= time.monotonic() - began < DEADLINE_S


def test_a_timeout_beyond_what_poll_can_count_is_no_error(words: memoryview, eventfd: int) -> None:
    ring(eventfd)
    assert Sleeper(words, WORD, eventfd).sleep_unless(lambda: False, 1e300) == []
    ring(eventfd)
    assert Sleeper(words, WORD, eventfd).sleep_unless(lambda: False, float("inf")) == []


def test_a_watched_descriptor_ends_the_sleep_too(words: memoryview, eventfd: int) -> None:
    readable, writable = os.pipe()
    try:
        sleeper = Sleeper(words, WORD, eventfd, readable)
        os.write(writable, b"x")
        assert sleeper.sleep_unless(lambda: False, DEADLINE_S) == [readable]
        ring(eventfd)
        assert sleeper.sleep_unless(lambda: False, DEADLINE_S) == [readable]
        os.read(readable, 1)
        assert sleeper.sleep_unless(lambda: False, 0) == []
    finally:
        os.close(readable)
        os.close(writable)


def test_a_full_counter_is_rung_without_waiting(words: memoryview, eventfd: int) -> None:
    os.eventfd_write(eventfd, (1 << 64) - 2)
    words[WORD] = 1
    assert Bell(words, WORD, eventfd).ring_if_waiting()


def test_an_exception_of_a_signal_handler_ends_the_sleep(words: memoryview, eventfd: int) -> None:
    class StopError(Exception):
        pass

    def stop(*_: object) -> None:
        raise StopError

    def is_ready() -> bool:
        signal.raise_signal(signal.SIGUSR1)
        return False

    before = signal.signal(signal.SIGUSR1, stop)
    try:
        with pytest.raises(StopError):
            Sleeper(words, WORD, eventfd).sleep_unless(is_ready, DEADLINE_S)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert words[WORD] == 0, "who is gone from the bed is not to be woken"


def test_two_threads_hand_a_number_to_and_fro_and_never_miss_it() -> None:
    """The real thing once: every wake-up that is lost costs a time-out, and there is no time for even one."""
    rounds = 2000
    words = memoryview(bytearray(256)).cast("q")
    fds = [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(2)]
    give_up_at = time.monotonic() + DEADLINE_S

    def play(me: int) -> None:
        other = 1 - me
        sleeper = Sleeper(words, 8 + me, fds[me])
        bell = Bell(words, 8 + other, fds[other])
        for turn in range(me, 2 * rounds, 2):
            while words[16] != turn:
                if time.monotonic() > give_up_at:
                    return
                sleeper.sleep_unless(lambda turn=turn: words[16] == turn, DEADLINE_S)
            words[16] = turn + 1
            bell.ring_if_waiting()

    threads = [threading.Thread(target=play, args=(me,)) for me in range(2)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        for fd in fds:
            os.close(fd)
    assert words[16] == 2 * rounds
    assert time.monotonic() < give_up_at


def test_a_fence_can_be_passed_again_and_again() -> None:
    fence = make_fence()
    for _ in range(1000):
        fence()
