"""How a process sleeps until another has something for it, and never misses it.

Two words and an eventfd. The one who sleeps::

    waiting = 1; fence; look again; sleep on the eventfd with a time-out; waiting = 0

The one who publishes::

    publish; fence; if waiting: ring the eventfd

Whatever the interleaving, either the sleeper's second look sees what was published or the publisher sees ``waiting``.
Only the sleeper clears its flag, so a publisher that dies after looking at it takes nobody else's wake-up with it: the
next one rings too. An eventfd counts, so a ring between the second look and the sleep is kept.

An eventfd was preferred to a named POSIX semaphore: the round trip is the same (47 us on the machine where both were
measured), it has no name that a crash could leave behind, and it can be waited for together with sockets.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Callable


class Fence:
    """A full memory barrier: no load after it is done before a store ahead of it is seen by others.

    Releasing and re-taking a private lock is a release followed by an acquire on one atomic word, which both x86-64 and
    AArch64 keep in order with everything around it. One instance serves one thread at a time.
    """

    __slots__ = ("_acquire", "_release")

    def __init__(self) -> None:
        lock = threading.Lock()
        lock.acquire()
        self._acquire = lock.acquire
        self._release = lock.release

    def __call__(self) -> None:
        self._release()
        self._acquire()


class Bell:
    """The publisher's end: rings ``eventfd`` when the word ``waiting_word`` says that somebody sleeps."""

    __slots__ = ("_eventfd", "_fence", "_waiting_word", "_words")

    def __init__(self, words: memoryview, waiting_word: int, eventfd: int) -> None:
        self._words = words
        self._waiting_word = waiting_word
        self._eventfd = eventfd
        self._fence = Fence()

    def ring_if_waiting(self) -> bool:
        """Call after publishing. True when the other side was rung."""
        self._fence()
        if not self._words[self._waiting_word]:
            return False
        ring(self._eventfd)
        return True


def ring(eventfd: int) -> None:
    """Wake whoever sleeps on ``eventfd``; a counter that is full already wakes."""
    with contextlib.suppress(BlockingIOError):
        os.eventfd_write(eventfd, 1)


class Sleeper:
    """The sleeper's end. ``also_watch`` are descriptors whose readability ends the sleep as well."""

    __slots__ = ("_eventfd", "_fence", "_poller", "_waiting_word", "_words")

    def __init__(self, words: memoryview, waiting_word: int, eventfd: int, *also_watch: int) -> None:
        self._words = words
        self._waiting_word = waiting_word
        self._eventfd = eventfd
        self._fence = Fence()
        self._poller = select.poll()
        for fd in (eventfd, *also_watch):
            self._poller.register(fd, select.POLLIN)

    def sleep_unless(self, is_ready: Callable[[], bool], timeout_s: float) -> list[int]:
        """Sleep until rung, until a watched descriptor is readable, or for ``timeout_s``.

        Returns at once when ``is_ready()`` holds. Returns the descriptors, other than the eventfd, that ended the sleep.
        Signal handlers run during the sleep, and an exception they raise ends it.
        """
        words, waiting_word = self._words, self._waiting_word
        words[waiting_word] = 1
        try:
            self._fence()
            if is_ready():
                return []
            # Rounded up: a sleep that ends just short of its deadline would only be followed by another.
            events = self._poller.poll(max(0, -int(-timeout_s * 1000 // 1)))
        finally:
            words[waiting_word] = 0
        fired = [fd for fd, _ in events]
        if self._eventfd in fired:
            fired.remove(self._eventfd)
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._eventfd)
        return fired
