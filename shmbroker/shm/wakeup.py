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
import math
import os
import select
import threading
from collections.abc import Callable
from typing import Protocol

_MAX_POLL_MS = (1 << 31) - 1
"""What poll(2) can be told, 24 days; whoever sleeps looks again afterwards anyway."""


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


class Event(Protocol):
    """What is rung and slept on: :class:`Eventfd`, or its process-local twin where the protocol itself is examined."""

    def ring(self) -> None:
        """Count one up; never waits."""

    def poll(self, timeout_ms: int) -> tuple[bool, list[int]]:
        """Sleep until the count is not zero; returns whether it is, and the other descriptors that became readable."""

    def drain(self) -> None:
        """Set the count to zero."""


class Eventfd:
    """An eventfd and, for the one who sleeps, the descriptors that end the sleep as well."""

    __slots__ = ("_fd", "_poller")

    def __init__(self, fd: int, *also_watch: int) -> None:
        self._fd = fd
        self._poller = select.poll()
        for watched in (fd, *also_watch):
            self._poller.register(watched, select.POLLIN)

    def ring(self) -> None:
        ring(self._fd)

    def poll(self, timeout_ms: int) -> tuple[bool, list[int]]:
        fired = [fd for fd, _ in self._poller.poll(timeout_ms)]
        others = [fd for fd in fired if fd != self._fd]
        return len(others) < len(fired), others

    def drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._fd)


class Bell:
    """The publisher's end: rings ``eventfd`` when the word ``waiting_word`` says that somebody sleeps.

    ``fence`` and ``event`` are given only where the protocol is examined without an operating system.
    """

    __slots__ = ("_event", "_fence", "_waiting_word", "_words")

    def __init__(
        self,
        words: memoryview,
        waiting_word: int,
        eventfd: int,
        *,
        fence: Callable[[], None] | None = None,
        event: Event | None = None,
    ) -> None:
        self._words = words
        self._waiting_word = waiting_word
        self._fence = fence or Fence()
        self._event = event or Eventfd(eventfd)

    def ring_if_waiting(self) -> bool:
        """Call after publishing. True when the other side was rung."""
        self._fence()
        if not self._words[self._waiting_word]:
            return False
        self._event.ring()
        return True


def ring(eventfd: int) -> None:
    """Wake whoever sleeps on ``eventfd``; a counter that is full already wakes."""
    with contextlib.suppress(BlockingIOError):
        os.eventfd_write(eventfd, 1)


class Sleeper:
    """The sleeper's end. ``also_watch`` are descriptors whose readability ends the sleep as well.

    ``fence`` and ``event`` as for :class:`Bell`.
    """

    __slots__ = ("_event", "_fence", "_waiting_word", "_words")

    def __init__(
        self,
        words: memoryview,
        waiting_word: int,
        eventfd: int,
        *also_watch: int,
        fence: Callable[[], None] | None = None,
        event: Event | None = None,
    ) -> None:
        self._words = words
        self._waiting_word = waiting_word
        self._fence = fence or Fence()
        self._event = event or Eventfd(eventfd, *also_watch)

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
            rung, others = self._event.poll(math.ceil(max(0.0, min(timeout_s * 1000, _MAX_POLL_MS))))
        finally:
            words[waiting_word] = 0
        if rung:
            self._event.drain()
        return others
